//! Unpack: a package's layer becomes a tree again.

use std::io;
use std::path::{Path, PathBuf};

use hod_archive::{Cancel, Codec, DiffId, Digest, Limits, UnpackError, UnpackOptions};
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
    let Layer { blob, codec, digest, size, diff_id, original_prefix } = layer(mirror, found)?;
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
        reporter.report(Event::Progress { package: &package, bytes, total: size });
    };
    let options = UnpackOptions {
        strip_prefix,
        limits: request.limits,
        jobs: request.jobs,
        cancel: request.cancel.clone(),
        expected: size.map(|size| (digest, size)),
        expected_diff_id: diff_id,
        progress: Some(&progress),
    };
    let blob = fs_err::File::open(&blob).map_err(|source| {
        let path = blob.clone();
        let source = match source.kind() {
            io::ErrorKind::NotFound => hod_mirror::Error::MissingBlob { digest, path },
            _ => hod_mirror::Error::Read { path, source },
        };
        Error::mirror(mirror, source)
    })?;
    let contents =
        hod_archive::unpack(blob, codec, &to, &options).map_err(|source| match source {
            UnpackError::Cancelled => Error::Cancelled,
            source => Error::Unpack { package: package.clone(), source: Box::new(source) },
        })?;
    Ok(Unpacked { to, original_prefix, contents })
}

/// What of a package is to be unpacked.
struct Layer {
    blob: PathBuf,
    codec: Codec,
    digest: Digest,
    /// `None` if the blob is not there.
    size: Option<u64>,
    diff_id: Option<DiffId>,
    original_prefix: Option<PathBuf>,
}

fn layer(mirror: &DirectoryMirror, found: &Found) -> Result<Layer, Error> {
    let package = found.label();
    let Some(image) = &found.image else {
        let entry = found.entry.as_ref().expect("what is found has an entry or an image");
        return Ok(Layer {
            blob: entry.layer.path.clone(),
            codec: Codec::Gzip,
            digest: entry.layer.digest,
            size: entry.layer.size,
            diff_id: None,
            original_prefix: None,
        });
    };
    let (manifest, config) = image.read(mirror)?;
    // The image of a spec holds all it needs, and the spec itself last (`spack-format` 5.4).
    let is_package = found.spec.is_some() || manifest.layers.len() == 1;
    let (Some(own), Some(diff_id), true) =
        (manifest.layers.last(), config.rootfs.diff_ids.last(), is_package)
    else {
        return Err(Error::ManyLayers { package, layers: manifest.layers.len() });
    };
    let Some(codec) = Codec::from_media_type(&own.media_type) else {
        return Err(Error::UnknownLayer { package, media_type: own.media_type.clone() });
    };
    Ok(Layer {
        blob: mirror.blob_path(&own.digest),
        codec,
        digest: own.digest,
        size: Some(own.size),
        diff_id: Some(*diff_id),
        original_prefix: config.hod.as_ref().map(|facts| decode_path(&facts.prefix)),
    })
}
