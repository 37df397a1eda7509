//! Numbers as people read them.

use std::time::Duration;

/// `1.4 GiB`, one decimal; bytes below 1 KiB as they are.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        // From here one decimal would be rounded up to the next unit anyway.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// `38ms`, `4.2s`, `1m 12s`.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0..1000 => format!("{millis}ms"),
        1000..59_950 => format!("{:.1}s", duration.as_secs_f64()),
        _ => {
            let seconds = duration.as_secs_f64().round() as u64;
            format!("{}m {}s", seconds / 60, seconds % 60)
        }
    }
}

/// `1 file`, `12 files`, `2 directories`.
pub(crate) fn count(count: u64, what: &str) -> String {
    let plural = match what {
        "prefix" | "hash" => format!("{what}es"),
        word if word.ends_with('y') => format!("{}ies", &word[..word.len() - 1]),
        word => format!("{word}s"),
    };
    if count == 1 { format!("1 {what}") } else { format!("{count} {plural}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal() {
        let shown = [0, 1023, 1024, 1536, 1_048_575, 1 << 20, 5 << 30].map(bytes);
        let expected = ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "5.0 GiB"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn durations_are_short() {
        let shown = [38, 4_200, 59_960, 72_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(shown, ["38ms", "4.2s", "1m 0s", "1m 12s"]);
    }

    #[test]
    fn words_are_counted() {
        assert_eq!(count(1, "prefix"), "1 prefix");
        assert_eq!(count(2, "prefix"), "2 prefixes");
        assert_eq!(count(0, "directory"), "0 directories");
    }
}
