//! Any bytes are a manifest of installed files, or an error; what was read can be written.
#![no_main]

use hod_store::InstallManifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = InstallManifest::parse(bytes) {
        let text = manifest.render();
        assert!(text.is_ascii());
        let again = InstallManifest::parse(text.as_bytes()).expect("what is written can be read");
        assert_eq!(again, manifest);
    }
});
