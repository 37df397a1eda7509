//! Whatever is in a file of passwords is read or refused, and neither an error nor `Debug` shows a
//! secret.
#![no_main]

use std::path::Path;

use hod_mirror::{AuthAnswer, AuthFile, Credentials};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("config.json");
    let Ok(file) = AuthFile::parse(path, bytes) else { return };
    for (host, repository) in [("q.io", "ns/repo"), ("docker.io", "library/x"), ("q.io:5000", "")] {
        match file.answer(host, repository) {
            Ok(AuthAnswer::Credentials(credentials)) => {
                let shown = format!("{credentials:?}");
                let secret = match &credentials {
                    Credentials::Basic { username, password } => {
                        // A user may be called like the password.
                        if username.contains(&**password) {
                            continue;
                        }
                        password
                    }
                    Credentials::IdentityToken(token) | Credentials::RegistryToken(token) => token,
                    _ => continue,
                };
                // Short ones are part of anything.
                assert!(secret.len() < 24 || !shown.contains(&**secret));
            }
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
