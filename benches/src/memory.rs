//! The largest resident set of a push.

use crate::harness::Harness;
use crate::table::{Table, mebibytes};

const SUBJECTS: &[&str] = &["cpython", "tiny", "million", "huge"];
const VARIANTS: &[(&str, &[&str])] = &[
    ("hod", &[]),
    ("hod -j 16", &["-j", "16"]),
    ("hod, zstd", &["--compression", "zstd", "--compression-level", "fast"]),
];

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    let mut table = Table::new("Peak memory of packing", &["corpus", "", "MiB"]);
    for subject in harness.subjects(SUBJECTS) {
        for (name, options) in VARIANTS {
            let packed = harness.push(&subject, options, &[])?;
            table.row([
                subject.name.clone(),
                (*name).to_owned(),
                mebibytes(packed.usage.max_rss_kib),
            ]);
        }
        // Ten gigabytes take the peer minutes, and its memory does not depend on the size of files.
        if subject.name != "huge" {
            let packed = harness.peer(&subject, &[])?;
            table.row([
                subject.name,
                "Spack's way".to_owned(),
                mebibytes(packed.usage.max_rss_kib),
            ]);
        }
    }
    harness.show(&table);
    Ok(())
}
