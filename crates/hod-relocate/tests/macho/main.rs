//! Mach-O images, real and made here, before and after relocation.
#![expect(clippy::unwrap_used, reason = "clippy knows no tests in the helpers of a test file")]

mod build;
mod hostile;
mod judge;
mod names;
mod seal;

use std::path::Path;

use hod_relocate::PrefixMap;
use hod_relocate::macho::{MachOError, relocate_load_commands, resign};

/// A real image; `fixtures/macho/README.md` says where each comes from.
fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/macho").join(name);
    fs_err::read(path).unwrap()
}

/// Relocated, if anything changed. What is refused has not changed.
fn relocated(image: &[u8], pairs: &[(&str, &str)]) -> Result<Option<Vec<u8>>, MachOError> {
    let mut bytes = image.to_vec();
    let changed = relocate_load_commands(b"lib/libx.dylib", &mut bytes, &map(pairs));
    if !matches!(changed, Ok(true)) {
        assert!(bytes == image, "nothing is written");
    }
    Ok(changed?.then_some(bytes))
}

/// Signed anew, if anything was to be signed.
fn resigned(image: &[u8]) -> Result<Option<Vec<u8>>, MachOError> {
    let mut bytes = image.to_vec();
    let changed = resign(b"lib/libx.dylib", &mut bytes);
    if !matches!(changed, Ok(true)) {
        assert!(bytes == image, "nothing is written");
    }
    Ok(changed?.then_some(bytes))
}

fn map(pairs: &[(&str, &str)]) -> PrefixMap {
    PrefixMap::new(pairs.iter().copied())
}
