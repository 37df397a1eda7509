//! Which directories are mirrors, and how one comes to be.
//!
//! `hod.json` is written first: from then on the directory is ours, and what is still missing of
//! it reads as empty. `oci-layout` comes after `index.json`, so where it exists and the index
//! does not, something was lost.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fs_err::{self as fs, File};
use serde::Deserialize;

use super::durable::{self, Temporary};
use super::lock::{self, Patience};
use super::{DirectoryMirror, fault};
use crate::error::{Error, Found, ParseError, Written};
use crate::oci::Index;
use crate::spack::V2Name;

const LAYOUT_VERSION: u64 = 1;
const OCI_LAYOUT_VERSION: &str = "1.0.0";
/// No honest marker file comes near this size.
const MARKER_LIMIT: u64 = 64 << 10;

/// Refuses what is no mirror this program can read.
pub(super) fn open(root: &Path) -> Result<(), Error> {
    match examine(root)? {
        State::Marked | State::Spack => check_oci_layout(root).map(drop),
        State::Other(found) => Err(Error::NotAMirror { path: root.to_owned(), found }),
    }
}

/// Makes `root` a mirror unless it is one or belongs to somebody else. Writes nothing where
/// everything is in place.
pub(super) fn ensure(root: &Path) -> Result<(), Error> {
    let state = match examine(root) {
        Err(Error::DoesNotExist { .. }) => State::Other(Found::Empty),
        state => state?,
    };
    let is_complete = match state {
        State::Marked => check_oci_layout(root)? && root.join("oci/blobs/sha256").is_dir(),
        State::Spack | State::Other(Found::Empty) => false,
        State::Other(found) => return Err(Error::NotAMirror { path: root.to_owned(), found }),
    };
    if is_complete {
        return Ok(());
    }
    check_oci_layout(root)?;
    create(root).map_err(|source| Error::Write {
        what: Written::Layout,
        path: root.to_owned(),
        source,
    })?;
    create_files(root)
}

/// Whether the directory `path` names the OCI layout completely; an error if it is of a kind this
/// program does not know.
fn check_oci_layout(root: &Path) -> Result<bool, Error> {
    let path = root.join("oci/oci-layout");
    let Some(OciLayout { image_layout_version: found }) = read_marker(&path)? else {
        return Ok(false);
    };
    match found.split('.').next() {
        Some("1") => Ok(true),
        _ => Err(Error::UnsupportedOciLayout { path, found, supported: OCI_LAYOUT_VERSION }),
    }
}

enum State {
    Marked,
    Spack,
    Other(Found),
}

/// `hod.json`. Keys of the future are for the version number to announce.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HodLayout {
    layout_version: u64,
}

/// `oci-layout` (image-spec `image-layout.md`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OciLayout {
    image_layout_version: String,
}

fn examine(root: &Path) -> Result<State, Error> {
    let path = || root.to_owned();
    match fs::metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::DoesNotExist { path: path() });
        }
        Err(source) => return Err(Error::Read { path: path(), source }),
        Ok(metadata) if !metadata.is_dir() => return Err(Error::NotADirectory { path: path() }),
        Ok(_) => {}
    }

    let marker = root.join("hod.json");
    match read_marker(&marker)? {
        Some(HodLayout { layout_version: LAYOUT_VERSION }) => return Ok(State::Marked),
        Some(HodLayout { layout_version: found @ 0 }) => {
            let key = "layoutVersion";
            let source = ParseError::Number { key, expected: LAYOUT_VERSION, found };
            return Err(Error::Unparsable { path: marker, source });
        }
        Some(HodLayout { layout_version: found }) => {
            return Err(Error::NewerLayout { path: marker, found, supported: LAYOUT_VERSION });
        }
        None => {}
    }

    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(|source| Error::Read { path: path(), source })? {
        names.push(entry.map_err(|source| Error::Read { path: path(), source })?.file_name());
    }
    // Another process may have written it while the names were being read.
    if marker.exists() {
        return examine(root);
    }
    // Or it may be about to; `.hod` alone is what it has by then. And
    // a fresh file system is empty in spite of its `lost+found`.
    names.retain(|name| name != ".hod" && name != "lost+found");
    names.sort();
    // A build cache of either layout; Spack's `migrate` puts the newer beside the older.
    let is_there = |wanted: &str| names.iter().any(|name| name == wanted);
    Ok(if is_there("v3") || (is_there("build_cache") && is_v2(&root.join("build_cache"))) {
        State::Spack
    } else if names.iter().any(|name| name == "oci-layout") {
        State::Other(Found::OciLayout)
    } else if let Some(first) = names.first() {
        State::Other(Found::Files { count: names.len(), first: PathBuf::from(first) })
    } else {
        State::Other(Found::Empty)
    })
}

/// Whether a directory of this name has something of Spack's in it. It is a likely name for a
/// mirror as well, and then the directory around it is none.
fn is_v2(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| {
        let name = name.to_string_lossy();
        name == "index.json" || name == "_pgp" || V2Name::is_spec_file(&name)
    })
}

fn read_marker<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, Error> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MARKER_LIMIT).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
        Ok(_) => {}
    }
    match serde_json::from_slice(&bytes) {
        Ok(marker) => Ok(Some(marker)),
        Err(error) => {
            Err(Error::Unparsable { path: path.to_owned(), source: ParseError::Json(error) })
        }
    }
}

fn create(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    fault::step();
    fs::create_dir_all(root.join(".hod/tmp"))?;
    fault::step();
    if let Some(parent) = root.parent() {
        // Not ours, and perhaps not even readable.
        let _ = durable::sync_directory(parent);
    }
    Ok(())
}

/// Under the lock, so that no process replaces an index another has already published into.
fn create_files(root: &Path) -> Result<(), Error> {
    let _lock = lock::acquire(root, lock::Method::Flock, &Patience::default())?;
    let error = |source| Error::Write { what: Written::Layout, path: root.to_owned(), source };
    let place = |name: &str, content: &[u8]| {
        if root.join(name).exists() { Ok(()) } else { write(root, name, content) }
    };

    place("hod.json", format!("{{\"layoutVersion\":{LAYOUT_VERSION}}}").as_bytes())
        .map_err(error)?;
    fs::create_dir_all(root.join("oci/blobs/sha256")).map_err(error)?;
    fault::step();
    if !root.join("oci/oci-layout").exists() {
        let index = serde_json::to_vec(&Index::empty()).map_err(|error| Error::Unparsable {
            path: root.to_owned(),
            source: ParseError::Json(error),
        })?;
        place("oci/index.json", &index).map_err(error)?;
    }
    let version = format!("{{\"imageLayoutVersion\":\"{OCI_LAYOUT_VERSION}\"}}");
    place("oci/oci-layout", version.as_bytes()).map_err(error)?;
    for directory in ["oci/blobs", "oci", "."] {
        durable::sync_directory(&root.join(directory)).map_err(error)?;
    }
    Ok(())
}

fn write(root: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let mut temporary = Temporary::create(&root.join(".hod/tmp"))?;
    temporary.file.write_all(content)?;
    temporary.rename_to(&root.join(name))
}

impl DirectoryMirror {
    /// Whether the layout was completed once, so that a missing index is a loss.
    pub(super) fn has_oci_layout(&self) -> bool {
        self.path().join("oci/oci-layout").exists()
    }
}
