//! What a prefix says of itself, in `.spack` (`spack-format` 1.3).

use std::path::{Path, PathBuf};

use hod_spec::{DagHash, Spec, SpecFile};

use crate::{Error, yaml};

/// The `.spack` directory of a prefix.
#[derive(Debug, Clone)]
pub struct SpecMetadata {
    /// The directory.
    pub directory: PathBuf,
    /// Its `spec.json`, or what that was before Spack 0.16: `spec.yaml`, turned into JSON.
    pub spec_file: SpecFile,
}

impl SpecMetadata {
    /// Reads the metadata of the package in `prefix`, a path on this machine. If `expected` is
    /// given, it must be the package's hash.
    pub fn read(prefix: &Path, expected: Option<&DagHash>) -> Result<Self, Error> {
        let directory = prefix.join(".spack");
        let (path, bytes) = read(&directory)?;
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

fn read(directory: &Path) -> Result<(PathBuf, Vec<u8>), Error> {
    let path = directory.join("spec.json");
    let source = match fs_err::read(&path) {
        Ok(bytes) => return Ok((path, bytes)),
        Err(source) => source,
    };
    let old = directory.join("spec.yaml");
    match fs_err::read(&old) {
        Ok(bytes) => {
            let value = yaml::parse(&bytes, &old)
                .map_err(|source| Error::Syntax { path: old.clone(), source: source.into() })?;
            let text = value.map_or_else(String::new, |value| value.to_json().to_string());
            Ok((old, text.into_bytes()))
        }
        // What is missing is the file of today.
        Err(_) => Err(Error::Read { path, source }),
    }
}
