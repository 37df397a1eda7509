//! The build information of a package: what is known of it before any file is read, and the lists
//! that packing adds.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use hod_archive::{BeforeLast, Digest, Mark};
use hod_mirror::oci::{RelocationFacts, RoomNeeded, encode_path};
use hod_relocate::Prefixes;
use hod_spec::relocation_set;
use hod_store::BuildInfo;

use super::classify::{BINARY, Classifier, TEXT};
use crate::{Installed, Package};

/// Build information without its lists.
#[derive(Debug)]
pub(super) struct Frame {
    info: BuildInfo,
    is_spec: bool,
}

/// Build information that is ready to be written.
pub(super) struct Filled {
    /// Of the package; made of the tree where Spack did not make it.
    pub(super) hash: String,
    /// The bytes of `.spack/binary_distribution`.
    pub(super) bytes: Vec<u8>,
    /// Names it cannot hold because they are not UTF-8.
    pub(super) unlisted: u64,
}

impl Frame {
    /// `spack_prefix`: where Spack is; no reader of today looks at it (`spack-format` 3.5).
    pub(super) fn new(package: &Package, spack_prefix: Option<&str>) -> Self {
        match package.as_installed() {
            Some(installed) => Self::of_spec(package, installed, spack_prefix),
            None => Self::of_prefix(package),
        }
    }

    /// `buildpath`, which Spack relocates as "the store", is the prefix itself where there is no
    /// store: what lies beside it is not part of the package, and paths to it must stay.
    fn of_prefix(package: &Package) -> Self {
        let info = BuildInfo {
            buildpath: package.prefix().to_string_lossy().into_owned(),
            relative_prefix: ".".to_owned(),
            hardlinks_deduped: true,
            ..BuildInfo::default()
        };
        Self { info, is_spec: false }
    }

    fn of_spec(package: &Package, installed: &Installed, spack_prefix: Option<&str>) -> Self {
        let store = installed.store();
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let root = store.root();
        let relative = package.prefix().strip_prefix(root).unwrap_or(package.prefix());
        let prefixes = relocation_set(store, installed.spec()).into_iter().filter_map(|spec| {
            Some((spec.hash.to_string(), text(&store.prefix(&spec.hash)?.recorded)))
        });
        let sbang = store.sbang_path();
        // Old readers replace `<spackprefix>/bin/sbang`: where Spack is not known, what is there.
        let beside_sbang = || sbang.ancestors().nth(2).map(text).unwrap_or_default();
        let info = BuildInfo {
            sbang_install_path: Some(text(&sbang)),
            buildpath: text(root),
            spackprefix: spack_prefix.map_or_else(beside_sbang, str::to_owned),
            relative_prefix: text(relative),
            hardlinks_deduped: true,
            hash_to_prefix: prefixes.collect(),
            ..BuildInfo::default()
        };
        Self { info, is_spec: true }
    }

    /// The prefixes to look for in files and links, in the order in which they will be replaced:
    /// `sbang`, the package and its dependencies, the store (`spack-format` 7.3). For the lists no
    /// order matters.
    pub(super) fn prefixes(&self) -> Prefixes {
        let BuildInfo { hash_to_prefix, sbang_install_path, buildpath, .. } = &self.info;
        let packages = hash_to_prefix.iter().map(|(_, prefix)| prefix);
        Prefixes::new(sbang_install_path.iter().chain(packages).chain([buildpath]))
    }

    /// What the image says of relocation, with what was found in the binaries.
    pub(super) fn relocation(&self, classifier: Classifier) -> RelocationFacts {
        let BuildInfo { hash_to_prefix, sbang_install_path, buildpath, .. } = &self.info;
        let path = |bytes: &[u8]| encode_path(Path::new(OsStr::from_bytes(bytes)));
        let need = |(prefix, shortest_suffix, file): (Vec<u8>, _, Vec<u8>)| RoomNeeded {
            // They were text before.
            prefix: String::from_utf8_lossy(&prefix).into_owned(),
            shortest_suffix,
            file: path(&file),
        };
        RelocationFacts {
            sbang: sbang_install_path.clone(),
            prefixes: hash_to_prefix.clone(),
            root: buildpath.clone(),
            needs: classifier.needs().into_iter().map(need).collect(),
        }
    }

    /// What the blob depends on besides the tree: the same tree with other dependencies is packed
    /// again.
    pub(super) fn context(&self) -> Vec<u8> {
        if self.is_spec { self.info.render() } else { Vec::new() }
    }

    /// Adds the lists.
    pub(super) fn fill(&self, package: &Package, seen: &BeforeLast<'_>) -> Filled {
        let mut info = self.info.clone();
        let hash = if let Some(installed) = package.as_installed() {
            installed.hash().to_string()
        } else {
            let hash = hash_of(&seen.digest);
            info.hash_to_prefix = vec![(hash.clone(), info.buildpath.clone())];
            hash
        };
        let mut unlisted = 0;
        for (mark, name) in seen.marks {
            let Ok(name) = String::from_utf8(name.clone()) else {
                unlisted += 1;
                continue;
            };
            list(&mut info, *mark).push(name);
        }
        Filled { hash, bytes: info.render(), unlisted }
    }
}

fn list(info: &mut BuildInfo, mark: Mark) -> &mut Vec<String> {
    match mark {
        BINARY => &mut info.relocate_binaries,
        TEXT => &mut info.relocate_textfiles,
        _ => &mut info.relocate_links,
    }
}

/// The name of a build that Spack did not make: 160 bits of the digest of everything that was
/// packed, in the 32 letters and digits that Spack writes its hashes with.
fn hash_of(tree: &Digest) -> String {
    data_encoding::BASE32_NOPAD.encode(&tree.as_bytes()[..20]).to_lowercase()
}
