//! Queries find what Spack finds.

use hod_spec::{Nodes, Query, SpecFile};
use serde::Deserialize;

use crate::{Files, blobs, read};

/// For each query which of the specs it finds, as zeros and ones; nothing if Spack refuses it.
#[derive(Deserialize)]
struct Table {
    specs: Vec<String>,
    queries: Vec<(String, Option<String>)>,
}

/// Where we differ on purpose, with what we find.
const DIFFERENT: &[(&str, Option<&str>)] = &[
    // Spack takes `os=*` for a reason not to look at the target.
    ("arch=linux-*-zen4", Some("011000000000000000")),
    // Spack would have to ask the git repository.
    ("@git.main", Some("010000100000000000")),
    // Spack takes it for `zlib`, or for any dependency beside bzip2.
    ("zlib^", None),
    ("zlib^^bzip2", None),
];

#[test]
fn queries_find_what_spack_finds() {
    let Table { specs, queries } = serde_json::from_slice(&read("spec/queries.json")).unwrap();
    let (Files(mut files), _) = blobs("spack/v3-unsigned");
    for path in ["spec/v5.json", "spec/v4.json", "spec/v2.json"] {
        files.push(SpecFile::parse(read(path)).unwrap());
    }
    let files = Files(files);
    assert_eq!(queries.len(), 219);
    let mut faults = Vec::new();
    for (text, expected) in &queries {
        let query: Result<Query, _> = text.parse();
        let found = query.as_ref().ok().map(|query| {
            let matches = specs.iter().map(|hash| {
                let spec = files.node(&hash.parse().unwrap()).unwrap();
                if query.matches(spec, &files) { '1' } else { '0' }
            });
            matches.collect::<String>()
        });
        let different = DIFFERENT.iter().find(|(query, _)| query == text);
        let expected = different.map_or(expected.as_deref(), |(_, found)| *found);
        if found.as_deref() != expected {
            faults.push(format!("`{text}`: {found:?} instead of {expected:?}"));
        }

        // What is shown is read as the same.
        if let Ok(query) = query {
            assert_eq!(query.to_string().parse(), Ok(query), "`{text}`");
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
