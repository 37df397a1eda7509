//! Whatever is in a `mirrors.yaml`, a change of one mirror is refused or leaves all others as they
//! are.
#![no_main]

use std::path::Path;

use hod_store::{MirrorFile, MirrorSettings, Secret};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("/home/ada/.spack/mirrors.yaml");
    let Ok(mut file) = MirrorFile::parse(path, Some(bytes.to_vec())) else { return };
    let others: Vec<String> = file.names().map(str::to_owned).collect();
    let settings = MirrorSettings {
        id: Some(Secret::Value("me".to_owned())),
        secret_variable: Some("TOKEN".to_owned()),
        signed: Some(false),
        ..MirrorSettings::default()
    };
    if file.add("new", "oci://registry/cache", &settings).is_ok() {
        assert_eq!(file.names().next(), Some("new"));
        assert!(file.names().skip(1).eq(others.iter().map(String::as_str)));
        file.remove("new").expect("it was added");
        assert!(file.names().eq(others.iter().map(String::as_str)));
    }
    if let Some(first) = others.first() {
        let _ = file.set(first, None, &settings);
        let _ = file.remove(first);
    }
});
