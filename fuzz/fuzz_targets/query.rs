//! Any text is a query or an error with its place; what is shown is read as the same.
#![no_main]

use std::sync::LazyLock;

use hod_spec::{Query, SpecFile};
use libfuzzer_sys::fuzz_target;

static FILES: LazyLock<[SpecFile; 2]> = LazyLock::new(|| {
    let new = include_bytes!("../../fixtures/spec/v5.json");
    let old = include_bytes!("../../fixtures/spec/v4.json");
    [&new[..], &old[..]].map(|bytes| SpecFile::parse(bytes.to_vec()).expect("it is a spec file"))
});

fuzz_target!(|text: &str| {
    match text.parse::<Query>() {
        Ok(query) => {
            assert_eq!(query.to_string().parse(), Ok(query.clone()));
            for file in &*FILES {
                file.nodes().iter().filter(|spec| query.matches(spec, file)).count();
            }
        }
        Err(error) => assert!(text.get(error.range).is_some()),
    }
});
