//! Comparison with what Spack itself wrote: `fixtures/spack` and `fixtures/spec`.
#![expect(clippy::unwrap_used, reason = "clippy knows no tests in the helpers of a test file")]

mod index;
mod legacy;

use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn read(path: &str) -> Vec<u8> {
    fs_err::read(fixtures().join(path)).unwrap()
}
