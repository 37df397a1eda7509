//! Any text is a recipe that allows or forbids something.
#![no_main]

use hod_store::Redistribution;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let verdict = Redistribution::of_recipe(text);
    assert_ne!(verdict, Redistribution::Unknown);
});
