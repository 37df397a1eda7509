//! A prefix that Spack did not make, at a new place.

use std::path::{Path, PathBuf};

use hod_archive::{Cancel, Limits, Ownership};
use hod_mirror::Mirror;
use hod_relocate::PrefixMap;
use hod_store::BuildInfo;

use super::InstallError;
use super::moves::Moves;
use super::moves::parse;
use super::relocation::Lists;
use super::stage::Cargo;
use crate::layer::Layer;
use crate::source::Source;
use crate::{Found, LocalStore, Reporter};

/// Which prefix is to go where.
#[derive(Debug)]
pub struct PlainRequest<'a> {
    /// The package.
    pub found: &'a Found,
    /// Where to. Must not exist or be empty.
    pub to: &'a Path,
    /// Threads that decompress and that write.
    pub jobs: usize,
    /// What no archive may exceed.
    pub limits: Limits,
    /// Stops the work; nothing is left behind.
    pub cancel: Cancel,
}

/// What became of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlainInstalled {
    /// Where it is, absolute.
    pub prefix: PathBuf,
    /// Where it was when it was packed.
    pub original_prefix: PathBuf,
    /// Files that were changed.
    pub relocated: u64,
    /// Counted and verified.
    pub contents: hod_archive::Unpacked,
}

/// Unpacks a prefix that Spack did not make to a new place, where everything in it that said the old
/// one says the new one.
///
/// # Errors
/// [`InstallError::OfSpack`] for packages of Spack, which may need others beside them.
pub fn install_plain(
    mirror: &Mirror,
    local: &LocalStore,
    request: &PlainRequest<'_>,
    reporter: &dyn Reporter,
) -> Result<PlainInstalled, InstallError> {
    let label = request.found.label();
    if request.found.spec.is_some() {
        return Err(InstallError::OfSpack { spec: label });
    }
    let source = Source::new(mirror, local);
    let layer = Layer::of(source, request.found)?;
    let prefix = std::path::absolute(request.to).map_err(|source| InstallError::Place {
        action: "find",
        path: request.to.to_owned(),
        source,
    })?;
    // As it is found when the package runs, without `.` and `..` and links on the way.
    let prefix = resolved(&prefix);
    let original = std::sync::OnceLock::new();
    let lists = |build_info: &[u8]| {
        let info = parse(build_info, &label)?;
        let _ = original.set(PathBuf::from(&info.buildpath));
        let map = PrefixMap::new(plain_moves(&info, &prefix));
        Ok(Lists::new(&info, map, PathBuf::new()))
    };
    let cargo = Cargo {
        label: &label,
        layer: &layer,
        source,
        location: &prefix,
        ownership: Ownership::default(),
        limits: request.limits,
        jobs: request.jobs,
        memory: None,
        cancel: &request.cancel,
        reporter,
    };
    let (tree, relocation) = cargo.stage(None, &lists)?;
    let relocated = relocation.changed().len() as u64;
    let _ = local.shrink();
    if request.cancel.is_cancelled() {
        return Err(InstallError::Cancelled);
    }
    let unpack = |source: hod_archive::UnpackError| InstallError::Unpack {
        spec: label.clone(),
        source: source.into(),
    };
    let contents = tree.publish().map_err(unpack)?;
    let original_prefix = original.into_inner().unwrap_or_default();
    Ok(PlainInstalled { prefix, original_prefix, relocated, contents })
}

/// Everything that says where the prefix was says where it is.
pub(crate) fn plain_moves(info: &BuildInfo, prefix: &Path) -> Moves {
    let new = prefix.as_os_str().as_encoded_bytes();
    let known = info.hash_to_prefix.iter().map(|(_, prefix)| prefix).chain([&info.buildpath]);
    known.map(|old| (old.clone().into_bytes(), new.to_vec())).collect()
}

/// The real path of what need not exist yet.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(below)) = (fs_err::canonicalize(above), path.strip_prefix(above)) {
            return if below.as_os_str().is_empty() { real } else { real.join(below) };
        }
    }
    path.to_owned()
}
