//! Whatever names an image reads as itself again, and no tag makes a hash that is none.
#![no_main]

use hod_cache::BaseReference;
use hod_mirror::registry::{Reference, hash_of_tag};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = Reference::parse(text) {
        assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
    }
    if let Ok(base) = text.parse::<BaseReference>() {
        assert!(!base.name().is_empty());
    }
    if let Some(hash) = hash_of_tag(text) {
        assert!(text.contains(&hash.to_string()));
    }
});
