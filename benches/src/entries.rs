//! What a mirror holds as a Spack build cache, whoever pushed it: the entries by their manifests,
//! and the tar streams in their layers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The layer of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    digest: String,
}

#[cfg(test)]
impl Layer {
    /// A blob that no manifest names.
    pub(crate) fn of_file(path: &Path) -> Self {
        Self { path: path.to_owned(), size: 0, digest: String::new() }
    }
}

/// Layers by the name of their manifest, `NAME-VERSION-HASH`.
pub(crate) type Entries = BTreeMap<String, Layer>;

#[derive(Deserialize)]
struct Manifest {
    data: Vec<Blob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    content_length: u64,
    media_type: String,
    checksum: String,
}

/// Reads the manifests of all entries; every layer must be there in its full length.
pub(crate) fn read(mirror: &Path) -> anyhow::Result<Entries> {
    let mut entries = Entries::new();
    for package in fs_err::read_dir(mirror.join("v3/manifests/spec"))? {
        for manifest in fs_err::read_dir(package?.path())? {
            let manifest = manifest?;
            let name = manifest.file_name().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".spec.manifest.json") else { continue };
            let layer = layer(mirror, &manifest.path()).with_context(|| name.to_owned())?;
            entries.insert(name.to_owned(), layer);
        }
    }
    Ok(entries)
}

fn layer(mirror: &Path, manifest: &Path) -> anyhow::Result<Layer> {
    let manifest: Manifest = serde_json::from_slice(&fs_err::read(manifest)?)?;
    let is_layer = |blob: &Blob| blob.media_type.ends_with(".tar+gzip");
    let blob = manifest.data.into_iter().find(is_layer).context("it names no layer")?;
    let start = blob.checksum.get(..2).context("a digest is longer")?;
    let path = mirror.join("blobs/sha256").join(start).join(&blob.checksum);
    let size = fs_err::metadata(&path)?.len();
    ensure!(size == blob.content_length, "{} has {size} bytes", path.display());
    Ok(Layer { path, size, digest: blob.checksum })
}

/// The digest of each entry's tar stream. That of its blob is checked on the way.
pub(crate) fn diff_ids(entries: &Entries) -> anyhow::Result<BTreeMap<String, String>> {
    let one = |(name, layer): (&String, &Layer)| {
        let blob = fs_err::read(&layer.path)?;
        let found = hex(&Sha256::digest(&blob));
        ensure!(found == layer.digest, "{name}: the layer's digest is {found}");
        let mut stream = Sha256::new();
        io::copy(&mut MultiGzDecoder::new(&blob[..]), &mut Hashed(&mut stream))?;
        Ok((name.clone(), hex(&stream.finalize())))
    };
    entries.iter().map(one).collect()
}

/// Says how two sets of streams differ, or nothing if they do not.
pub(crate) fn difference(
    ours: &BTreeMap<String, String>,
    theirs: &BTreeMap<String, String>,
) -> Option<String> {
    let names = ours.keys().chain(theirs.keys());
    let wrong = names.filter(|name| ours.get(*name) != theirs.get(*name)).min()?;
    Some(match (ours.contains_key(wrong), theirs.contains_key(wrong)) {
        (true, true) => format!("{wrong} is another stream"),
        (true, false) => format!("{wrong} is too much"),
        _ => format!("{wrong} is missing"),
    })
}

struct Hashed<'a>(&'a mut Sha256);

impl io::Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A mirror of one entry whose stream is `content`.
    fn mirror(content: &[u8]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(content).unwrap();
        let blob = gzip.finish().unwrap();
        let digest = hex(&Sha256::digest(&blob));
        let directory = place.path().join("blobs/sha256").join(&digest[..2]);
        fs_err::create_dir_all(&directory).unwrap();
        fs_err::write(directory.join(&digest), &blob).unwrap();
        let manifests = place.path().join("v3/manifests/spec/zlib");
        fs_err::create_dir_all(&manifests).unwrap();
        let manifest = serde_json::json!({"data": [
            {"contentLength": 7, "mediaType": "application/vnd.spack.spec.v5+json",
             "checksum": "00"},
            {"contentLength": blob.len(), "mediaType": "application/vnd.spack.install.v2.tar+gzip",
             "checksum": digest},
        ]});
        fs_err::write(manifests.join("zlib-1-abc.spec.manifest.json"), manifest.to_string())
            .unwrap();
        place
    }

    #[test]
    fn streams_are_compared_by_entry() {
        let ids = |mirror: &tempfile::TempDir| diff_ids(&read(mirror.path()).unwrap()).unwrap();
        let (one, two) = (ids(&mirror(b"one")), ids(&mirror(b"two")));
        assert_eq!(one["zlib-1-abc"], hex(&Sha256::digest(b"one")));
        assert_eq!(difference(&one, &one), None);
        assert_eq!(difference(&one, &two).unwrap(), "zlib-1-abc is another stream");
        assert_eq!(difference(&one, &BTreeMap::new()).unwrap(), "zlib-1-abc is too much");
        assert_eq!(difference(&BTreeMap::new(), &one).unwrap(), "zlib-1-abc is missing");
    }

    #[test]
    fn a_damaged_layer_is_an_error() {
        let place = mirror(b"content");
        let mut entries = read(place.path()).unwrap();
        let layer = entries.get_mut("zlib-1-abc").unwrap();
        let mut bytes = fs_err::read(&layer.path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs_err::write(&layer.path, &bytes).unwrap();
        assert!(diff_ids(&entries).is_err());
        fs_err::write(&entries["zlib-1-abc"].path, &bytes[1..]).unwrap();
        assert!(read(place.path()).is_err());
    }
}
