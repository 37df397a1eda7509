//! Unpack: a package's layer becomes a tree again.

use std::path::{Path, PathBuf};

use hod_archive::{
    Cancel, DecodeError, DiffIdCheck, Limits, UnpackError, UnpackOptions, read_layer,
};
use hod_mirror::Mirror;
use hod_mirror::spack::packed_prefix;

use crate::layer::Layer;
use crate::source::Source;
use crate::{Error, Event, Found, LocalStore, Reporter};

/// What to unpack, and how.
#[derive(Debug, Clone)]
pub struct UnpackRequest<'a> {
    /// The package.
    pub found: &'a Found,
    /// Where to. Must not exist or be empty.
    pub to: &'a Path,
    /// Keep the members' full names below `to` instead of making `to` the prefix.
    pub rootfs: bool,
    /// Threads that decompress and that write.
    pub jobs: usize,
    /// What no archive may exceed.
    pub limits: Limits,
    /// Stops the work; nothing is left behind.
    pub cancel: Cancel,
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unpacked {
    /// Absolute: the prefix, or the root of the file system.
    pub to: PathBuf,
    /// Where the package was installed when it was packed, if that is known.
    pub original_prefix: Option<PathBuf>,
    /// Counted and verified.
    pub contents: hod_archive::Unpacked,
}

/// Unpacks the package: verified against its manifest and config while it is read, and renamed to
/// `to` only when all of it is there. From a registry it is read through `store`.
pub fn unpack(
    mirror: &Mirror,
    store: &LocalStore,
    request: &UnpackRequest<'_>,
    reporter: &dyn Reporter,
) -> Result<Unpacked, Error> {
    let UnpackRequest { found, .. } = *request;
    let source = Source::new(mirror, store);
    let package = found.label();
    let layer = Layer::of(source, found)?;
    let to = std::path::absolute(request.to)
        .map_err(|source| Error::Destination { path: request.to.to_owned(), source })?;
    // What is not there is told before the blob is read to find a prefix in it.
    let (strip_prefix, original_prefix) = match (&layer.original_prefix, request.rootfs) {
        (known, true) => (None, known.clone()),
        (Some(prefix), false) => {
            let bytes = prefix.as_os_str().as_encoded_bytes();
            (Some(bytes.strip_prefix(b"/").unwrap_or(bytes).to_vec()), Some(prefix.clone()))
        }
        (None, false) => {
            let Some(prefix) = prefix_in(&layer, source, &package)? else {
                return Err(Error::NoPrefix { package });
            };
            let original = original(&prefix);
            (Some(prefix), original)
        }
    };
    let Layer { codec, digest, size, diff_id, .. } = layer;
    let progress = |bytes| {
        reporter.report(Event::Progress { package: &package, bytes, total: size });
    };
    let options = UnpackOptions {
        strip_prefix,
        limits: request.limits,
        jobs: request.jobs,
        cancel: request.cancel.clone(),
        expected: size.map(|size| (digest, size)),
        diff_id: diff_id.map_or(DiffIdCheck::Derive, DiffIdCheck::Expect),
        progress: Some(&progress),
        ..UnpackOptions::default()
    };
    let blob = layer.open(source)?;
    let unpacked = hod_archive::unpack(blob, codec, &to, &options);
    let _ = store.shrink();
    let contents = unpacked.map_err(|error| failed(error, source, &package))?;
    Ok(Unpacked { to, original_prefix, contents })
}

/// What a mirror says while a blob is being read is the mirror's error.
pub(crate) fn failed(error: UnpackError, source: Source<'_>, package: &str) -> Error {
    match error {
        UnpackError::Cancelled => Error::Cancelled,
        error => {
            let is_cancelled = {
                let first: &dyn std::error::Error = &error;
                std::iter::successors(Some(first), |error| error.source()).any(|cause| {
                    matches!(
                        cause.downcast_ref(),
                        Some(hod_mirror::registry::RegistryError::Cancelled)
                    )
                })
            };
            if is_cancelled {
                return source.error(hod_mirror::Error::Cancelled);
            }
            Error::Unpack { package: package.to_owned(), source: Box::new(error) }
        }
    }
}

/// Where a package was installed whose tree is under `prefix` in its archive; `None` if that is no
/// whole path, as Spack before 0.21 wrote them (`spack-format` 3.8).
fn original(prefix: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = Path::new(std::ffi::OsStr::from_bytes(prefix));
    prefix.contains(&b'/').then(|| Path::new("/").join(path))
}

/// Where the package is in its archive; the blob is read to its end to find out, because
/// Spack's mark is its last member.
fn prefix_in(layer: &Layer, source: Source<'_>, package: &str) -> Result<Option<Vec<u8>>, Error> {
    let blob = layer.open(source)?;
    let read = read_layer(layer.codec, blob, |tar| packed_prefix(tar));
    let unpack = |error| failed(error, source, package);
    let (_, prefix) = read.map_err(|error| {
        let error = error.downcast().unwrap_or_else(DecodeError::Read);
        unpack(UnpackError::Decode(error))
    })?;
    // What is no archive is told by the unpacking itself, in its own words.
    Ok(prefix.unwrap_or_default())
}
