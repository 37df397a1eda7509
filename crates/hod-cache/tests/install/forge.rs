//! Build caches whose packages were changed by somebody: well formed, and not what they should be.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hod_archive::Digest;
use serde_json::Value;

/// A member of a tarball.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) header: tar::Header,
    pub(crate) path: String,
    /// Of a link.
    pub(crate) target: Option<String>,
    pub(crate) content: Vec<u8>,
}

impl Member {
    /// A file that anybody may read.
    pub(crate) fn file(path: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        Self { header, path: path.to_owned(), target: None, content: content.to_vec() }
    }

    pub(crate) fn link(path: &str, target: &str) -> Self {
        let mut member = Self::file(path, b"");
        member.header.set_entry_type(tar::EntryType::Symlink);
        member.target = Some(target.to_owned());
        member
    }
}

/// The one file below a directory whose name has this in it.
pub(crate) fn file_named(directory: &Path, part: &str) -> PathBuf {
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs_err::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().unwrap().to_string_lossy().contains(part) {
                return path;
            }
        }
    }
    panic!("no file `{part}`");
}

/// The manifest of a package in a cache of layout 3: where it is, and what it says.
pub(crate) fn manifest(mirror: &Path, name: &str) -> (PathBuf, Value) {
    let path = file_named(&mirror.join("v3/manifests/spec").join(name), ".spec.manifest.json");
    let text = fs_err::read_to_string(&path).unwrap();
    let begin = text.find('{').unwrap();
    let end = text.find("-----BEGIN PGP SIGNATURE").unwrap_or(text.len());
    (path, serde_json::from_str(&text[begin..end]).unwrap())
}

/// Where a blob is: the tarball's is the first of a manifest, the spec's the second.
pub(crate) fn blob(mirror: &Path, manifest: &Value, index: usize) -> PathBuf {
    let digest = manifest["data"][index]["checksum"].as_str().unwrap();
    mirror.join("blobs/sha256").join(&digest[..2]).join(digest)
}

/// Puts other bytes in the place of a blob, and says so in the manifest, without a signature.
pub(crate) fn put_blob(mirror: &Path, name: &str, index: usize, bytes: &[u8]) {
    let (path, mut manifest) = manifest(mirror, name);
    let digest = Digest::of(bytes).to_string();
    let digest = digest.strip_prefix("sha256:").unwrap();
    manifest["data"][index]["checksum"] = digest.into();
    manifest["data"][index]["contentLength"] = bytes.len().into();
    let to = blob(mirror, &manifest, index);
    fs_err::create_dir_all(to.parent().unwrap()).unwrap();
    fs_err::write(to, bytes).unwrap();
    fs_err::write(path, manifest.to_string()).unwrap();
}

/// Changes the tree of a package, whose prefix in the tarball is told as well.
pub(crate) fn forge(mirror: &Path, name: &str, change: impl FnOnce(&str, &mut Vec<Member>)) {
    let (_, manifest) = manifest(mirror, name);
    let file = fs_err::File::open(blob(mirror, &manifest, 0)).unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let mut members = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(entry.header().entry_type());
        header.set_mode(entry.header().mode().unwrap());
        let target =
            entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        members.push(Member { header, path, target, content });
    }
    let info = members.iter().find(|m| m.path.ends_with(".spack/binary_distribution")).unwrap();
    let prefix = info.path.strip_suffix("/.spack/binary_distribution").unwrap().to_owned();
    change(&prefix, &mut members);
    let mut out = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for Member { mut header, path, target, content } in members {
        header.set_size(content.len() as u64);
        if let Some(target) = target {
            out.append_link(&mut header, &path, &target).unwrap();
            continue;
        }
        // Names that `tar` would refuse, too.
        if path.len() < 100 {
            header.as_old_mut().name = [0; 100];
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            out.append(&header, &content[..]).unwrap();
        } else {
            out.append_data(&mut header, &path, &content[..]).unwrap();
        }
    }
    let bytes = out.into_inner().unwrap().finish().unwrap();
    put_blob(mirror, name, 0, &bytes);
}

/// Changes what the tree of a package says of itself.
pub(crate) fn forge_info(mirror: &Path, name: &str, change: impl FnOnce(String) -> String) {
    forge(mirror, name, |prefix, members| {
        let path = format!("{prefix}/.spack/binary_distribution");
        let info = members.iter_mut().find(|member| member.path == path).unwrap();
        info.content = change(String::from_utf8(info.content.clone()).unwrap()).into_bytes();
    });
}
