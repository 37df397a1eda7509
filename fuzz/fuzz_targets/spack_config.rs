//! Whatever lies where Spack looks for its configuration is read or refused, and what is read has
//! mirrors with URLs and roots that are absolute.
#![no_main]

use std::path::Path;

use hod_store::{Environment, SpackConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let environment = Environment {
        variables: [("NAME".to_owned(), "value".to_owned())].into(),
        home: Some("/home/ada".into()),
        cwd: "/cwd".into(),
        user: Some("ada".to_owned()),
    };
    let file = Path::new("/etc/spack/spack.yaml");
    let Ok(config) = SpackConfig::parse(bytes, file, &environment) else { return };
    if let Ok(Some(tree)) = config.install_tree() {
        assert!(tree.root.is_absolute());
    }
    for mirror in config.mirrors().unwrap_or_default() {
        assert!(mirror.fetch.url.contains(':'));
    }
    for root in config.upstreams().unwrap_or_default() {
        assert!(root.is_absolute());
    }
    let _ = (config.uses_locks(), config.lock_timeout());
});
