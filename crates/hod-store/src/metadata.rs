//! What a prefix says of itself, in `.spack` (`spack-format` 1.3).

use std::path::{Path, PathBuf};

use hod_spec::{DagHash, Spec, SpecFile};

use crate::Error;

/// The `.spack` directory of a prefix.
#[derive(Debug, Clone)]
pub struct SpecMetadata {
    /// The directory.
    pub directory: PathBuf,
    /// Its `spec.json`.
    pub spec_file: SpecFile,
}

impl SpecMetadata {
    /// Reads the metadata of the package in `prefix`, a path on this machine. If `expected` is
    /// given, it must be the package's hash.
    pub fn read(prefix: &Path, expected: Option<&DagHash>) -> Result<Self, Error> {
        let directory = prefix.join(".spack");
        let path = directory.join("spec.json");
        let bytes =
            fs_err::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let spec_file = SpecFile::parse(bytes)
            .map_err(|source| Error::SpecFile { path: path.clone(), source: source.into() })?;
        let found = spec_file.root().hash;
        match expected {
            Some(expected) if *expected != found => {
                Err(Error::AnotherSpec { path, expected: *expected, found })
            }
            _ => Ok(Self { directory, spec_file }),
        }
    }

    /// The package.
    pub fn spec(&self) -> &Spec {
        self.spec_file.root()
    }
}
