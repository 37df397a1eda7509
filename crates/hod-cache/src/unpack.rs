//! Unpack: a package's layer becomes a tree again.

use std::path::{Path, PathBuf};

use hod_archive::{Cancel, Codec, Limits, UnpackError, UnpackOptions};
use hod_mirror::DirectoryMirror;
use hod_mirror::oci::decode_path;

use crate::{Error, Event, Found, Reporter};

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
/// `to` only when all of it is there.
pub fn unpack(
    mirror: &DirectoryMirror,
    request: &UnpackRequest<'_>,
    reporter: &dyn Reporter,
) -> Result<Unpacked, Error> {
    let UnpackRequest { found, .. } = *request;
    let package = found.label();
    let mirror_error = |source| Error::Mirror { mirror: mirror.path().to_owned(), source };
    let ([layer], [diff_id]) = (&found.manifest.layers[..], &found.config.rootfs.diff_ids[..])
    else {
        return Err(Error::ManyLayers { package, layers: found.manifest.layers.len() });
    };
    let Some(codec) = Codec::from_media_type(&layer.media_type) else {
        return Err(Error::UnknownLayer { package, media_type: layer.media_type.clone() });
    };
    let original_prefix = found.config.hod.as_ref().map(|facts| decode_path(&facts.prefix));
    let strip_prefix = match (&original_prefix, request.rootfs) {
        (_, true) => None,
        (Some(prefix), false) => {
            let bytes = prefix.as_os_str().as_encoded_bytes();
            Some(bytes.strip_prefix(b"/").unwrap_or(bytes).to_vec())
        }
        (None, false) => return Err(Error::NoPrefix { package }),
    };
    let to = std::path::absolute(request.to)
        .map_err(|source| Error::Destination { path: request.to.to_owned(), source })?;
    let progress = |bytes| {
        reporter.report(Event::Progress { package: &package, bytes, total: Some(layer.size) });
    };
    let options = UnpackOptions {
        strip_prefix,
        limits: request.limits,
        jobs: request.jobs,
        cancel: request.cancel.clone(),
        expected: Some((layer.digest, layer.size)),
        expected_diff_id: Some(*diff_id),
        progress: Some(&progress),
    };
    let blob = mirror.open_blob(&layer.digest).map_err(mirror_error)?;
    let contents =
        hod_archive::unpack(blob, codec, &to, &options).map_err(|source| match source {
            UnpackError::Cancelled => Error::Cancelled,
            source => Error::Unpack { package: package.clone(), source },
        })?;
    Ok(Unpacked { to, original_prefix, contents })
}
