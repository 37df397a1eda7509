//! A build cache of layout 2: spec files and tarballs (`spack-format` 4.8).

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use hod_archive::{Cancel, Digest};

use super::spack::available;
use super::{Problem, Tags};
use crate::DirectoryMirror;
use crate::error::Error;
use crate::parallel;
use crate::spack::{Signature, SpackLayer};

/// What spec files say. They are read before anything is hashed, because only they tell where the
/// tarballs are.
#[derive(Default)]
pub(super) struct V2 {
    pub(super) tarballs: Vec<Tarball>,
    pub(super) findings: Vec<(PathBuf, Problem, Tags)>,
    pub(super) packages: u64,
    pub(super) signed: u64,
    pub(super) unindexed: Vec<String>,
    pub(super) withdrawn: Vec<String>,
}

pub(super) struct Tarball {
    /// The entry that names it.
    pub(super) entry: String,
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    /// Bytes there, if it is there.
    pub(super) size: Option<u64>,
}

pub(super) fn read(
    mirror: &DirectoryMirror,
    jobs: NonZeroUsize,
    cancel: &Cancel,
) -> Result<V2, Error> {
    let mut v2 = V2::default();
    let names = mirror.spack_v2_names()?;
    for path in names.unknown {
        v2.findings.push((path, Problem::Misplaced, Tags::new()));
    }
    let entries = parallel::map(&names.names, jobs, cancel, |name| {
        // Of the spec only the name: all of them at once would fill the memory.
        mirror.read_spack_v2_entry(name).map(|entry| {
            entry.map(|entry| (entry.name.clone(), entry.signature, entry.layer.clone()))
        })
    })?;
    let mut indexed = match mirror.read_spack_v2_index() {
        Ok(database) => database.as_ref().map(available).unwrap_or_default(),
        Err(error) => {
            let path = mirror.v2_index_path();
            v2.findings.push((path, Problem::from_error(&error), Tags::new()));
            BTreeMap::new()
        }
    };
    for (name, entry) in names.names.iter().zip(entries) {
        let withdrawn = indexed.remove(&name.hash());
        match entry {
            Ok(None) => v2.withdrawn.extend(withdrawn),
            Ok(Some((entry, signature, layer))) => {
                v2.packages += 1;
                v2.signed += u64::from(signature != Signature::None);
                if withdrawn.is_none() {
                    v2.unindexed.push(entry.to_string());
                }
                let SpackLayer { digest, size, path } = layer;
                v2.tarballs.push(Tarball { entry: entry.to_string(), path, digest, size });
            }
            Err(error) => {
                v2.packages += 1;
                let path = mirror.v2_directory().join(name.file_name());
                let tags = [name.stem().to_owned()].into();
                v2.findings.push((path, Problem::from_error(&error), tags));
            }
        }
    }
    v2.withdrawn.extend(indexed.into_values());
    Ok(v2)
}
