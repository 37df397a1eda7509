//! Samples and the tables they end in.

use std::fmt;

use serde_json::{Value, json};

/// The measured values of one cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The middle value, or the mean of the two middle ones; NaN when there is none.
    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    pub(crate) fn smallest(&self) -> f64 {
        self.sorted().first().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn largest(&self) -> f64 {
        self.sorted().last().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.0
    }
}

/// `median (min–max)`.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = self.sorted();
        match sorted[..] {
            [] => f.write_str("-"),
            [only] => write!(f, "{only:.3}"),
            [first, .., last] => write!(f, "{:.3} ({first:.3}–{last:.3})", self.median()),
        }
    }
}

/// A Markdown table, kept for the JSON as well.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Single values behind the cells, by a name of their own.
    samples: serde_json::Map<String, Value>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.into(), columns, rows: Vec::new(), samples: serde_json::Map::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "{}", self.title);
        self.rows.push(cells);
    }

    pub(crate) fn keep(&mut self, name: impl Into<String>, samples: &Samples) {
        self.samples.insert(name.into(), json!(samples.values()));
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "title": self.title,
            "columns": self.columns,
            "rows": self.rows,
            "samples": self.samples,
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "**{}**\n", self.title)?;
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        let mut rules = vec!["---:"; self.columns.len()];
        rules[0] = "---";
        writeln!(f, "| {} |", rules.join(" | "))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}

/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Peak memory in whole MiB.
pub(crate) fn mebibytes(kibibytes: i64) -> String {
    grouped(u64::try_from(kibibytes).unwrap_or(0).div_ceil(1024))
}

/// `numerator / denominator`, as far as a ratio of counts needs to be right.
#[expect(clippy::cast_precision_loss, reason = "ratios are shown with three digits")]
pub(crate) fn ratio(numerator: u64, denominator: u64) -> f64 {
    numerator as f64 / denominator as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let samples = |values: &[f64]| Samples(values.to_vec());
        assert!((samples(&[3.0, 1.0, 2.0]).median() - 2.0).abs() < 1e-9);
        assert!((samples(&[4.0, 1.0, 2.0, 3.0]).median() - 2.5).abs() < 1e-9);
        assert!(samples(&[]).median().is_nan());
        assert_eq!(samples(&[3.0, 1.0, 2.0]).to_string(), "2.000 (1.000–3.000)");
    }

    #[test]
    fn numbers_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("t", &["a", "b"]);
        table.row(["1".to_owned(), "2".to_owned()]);
        assert_eq!(table.to_string(), "**t**\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n");
    }
}
