//! System calls per file, directory and link.

use crate::harness::{Harness, Packed, Subject};
use crate::parts;
use crate::shape::{ENTRIES, Shape};
use crate::strace::{self, Counts, FILE_CALLS};
use crate::table::{Table, grouped, ratio};

const SUBJECTS: &[&str] = &["small-3000", "cpython"];
const SIDES: [&str; 2] = ["hod", "Spack's way"];

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    for side in SIDES {
        let empty = counts(harness, side, &Shape::Empty.make(harness)?)?;
        let mut columns = Vec::new();
        for shape in Shape::COUNTED {
            let counts = counts(harness, side, &shape.make(harness)?)?;
            columns.push((format!("per {}", shape.name()), counts, ENTRIES));
        }
        for subject in harness.subjects(SUBJECTS) {
            let (_, seen) = parts::walk_and_read(&subject.prefix)?;
            let counts = counts(harness, side, &subject)?;
            columns.push((format!("{}, per file", subject.name), counts, seen.files));
        }
        let title = format!("System calls of packing: {side}");
        harness.show(&differences(&title, &empty, &columns));
    }
    Ok(())
}

fn counts(harness: &Harness, side: &str, subject: &Subject) -> anyhow::Result<Counts> {
    let report = harness.memory.path().join("strace.txt");
    let wrap = strace::counting(&report);
    let _: Packed = if side == SIDES[0] {
        harness.push(subject, &[], &wrap)?
    } else {
        harness.peer(subject, &wrap)?
    };
    strace::read(&report)
}

/// One row per call, one column per tree: (count - count on the empty tree) / entries. The column
/// `start` is the count on the empty tree.
pub(crate) fn differences(title: &str, empty: &Counts, columns: &[(String, Counts, u64)]) -> Table {
    let mut heads = vec!["call", "start"];
    heads.extend(columns.iter().map(|(head, ..)| head.as_str()));
    let mut table = Table::new(title, &heads);
    let of = |counts: &Counts, name: &str| counts.get(name).copied().unwrap_or(0);
    let beyond = |counts: &Counts, name: &str| of(counts, name).saturating_sub(of(empty, name));
    let mut sums = vec![0; columns.len()];
    let mut start = 0;
    for name in FILE_CALLS {
        start += of(empty, name);
        let cells: Vec<_> = columns.iter().map(|(_, counts, _)| beyond(counts, name)).collect();
        sums.iter_mut().zip(&cells).for_each(|(sum, cell)| *sum += cell);
        let shares = cells.iter().zip(columns).map(|(cell, (.., entries))| ratio(*cell, *entries));
        let shares: Vec<_> = shares.collect();
        if shares.iter().any(|&share| share >= 0.005) {
            let mut row = vec![(*name).to_owned(), grouped(of(empty, name))];
            row.extend(shares.iter().map(|share| format!("{share:.2}")));
            table.row(row);
        }
    }
    let mut row = vec!["all on files".to_owned(), grouped(start)];
    let shares = sums.iter().zip(columns).map(|(sum, (.., entries))| ratio(*sum, *entries));
    row.extend(shares.map(|share| format!("{share:.2}")));
    table.row(row);
    let total = |counts: &Counts| counts.values().sum::<u64>();
    let mut row = vec!["all calls of the run".to_owned(), grouped(total(empty))];
    row.extend(columns.iter().map(|(_, counts, _)| grouped(total(counts))));
    table.row(row);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_start_costs_is_subtracted() {
        let counts = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Counts>()
        };
        let empty = counts(&[("openat", 20), ("mmap", 50)]);
        let files = counts(&[("openat", 120), ("read", 250), ("mmap", 60)]);
        let table = differences("t", &empty, &[("per file".to_owned(), files, 100)]);
        let text = table.to_string();
        assert!(text.contains("| openat | 20 | 1.00 |"), "{text}");
        assert!(text.contains("| read | 0 | 2.50 |"), "{text}");
        assert!(text.contains("| all on files | 20 | 3.50 |"), "{text}");
        assert!(text.contains("| all calls of the run | 70 | 430 |"), "{text}");
        assert!(!text.contains("mmap"), "{text}");
    }
}
