//! Any bytes are a spec file or an error.
#![no_main]

use hod_spec::{Spec, SpecFile};
use libfuzzer_sys::fuzz_target;

mod specs;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = SpecFile::parse(bytes.to_vec()) {
        let nodes: Vec<&Spec> = file.nodes().iter().collect();
        specs::exercise(&file, &nodes);
        let text = format!("{{\"spec\":{}}}", file.v5_spec_text());
        let again = SpecFile::parse(text.into_bytes()).expect("what was written can be read");
        assert_eq!(again.root().hash, file.root().hash);
        for spec in again.nodes() {
            let before = file.get(&spec.hash).expect("no spec comes from nowhere");
            assert_eq!(before.dependencies, spec.dependencies);
            assert_eq!(before.describe(), spec.describe());
        }
    }
});
