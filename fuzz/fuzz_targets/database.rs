//! Any bytes are a database or an error.
#![no_main]

use hod_spec::{Database, Spec};
use libfuzzer_sys::fuzz_target;

mod specs;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(database) = Database::parse(bytes.to_vec()) {
        let specs: Vec<&Spec> = database.records().map(|record| &record.spec).collect();
        specs::exercise(&database, &specs);
    }
});
