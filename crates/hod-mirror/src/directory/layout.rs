//! Which directories are mirrors, and how one comes to be.
//!
//! `hod.json` is written first: from then on the directory is ours, and what is still missing of
//! it reads as empty. `oci-layout` comes after `index.json`, so where it exists and the index
//! does not, something was lost.

use std::ffi::OsString;
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

/// What a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Hod's own: an image layout in `oci`, Spack's build cache around it.
    Mirror,
    /// An image layout and nothing else.
    Layout,
}

/// A directory and what it is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) root: PathBuf,
    pub(super) shape: Shape,
}

impl Place {
    /// Where the image layout is.
    pub(super) fn layout(&self) -> PathBuf {
        match self.shape {
            Shape::Mirror => self.root.join("oci"),
            Shape::Layout => self.root.clone(),
        }
    }

    /// Refuses what is no mirror this program can read.
    pub(super) fn open(&self) -> Result<(), Error> {
        match self.examine()? {
            State::Marked | State::Spack => self.check_oci_layout().map(drop),
            State::Begun => Err(self.not_a_mirror(Found::Empty)),
            State::Other(found) => Err(self.not_a_mirror(found)),
        }
    }

    /// Makes it a mirror unless it is one or belongs to somebody else. Writes nothing where
    /// everything is in place.
    pub(super) fn ensure(&self) -> Result<(), Error> {
        let state = match self.examine() {
            Err(Error::DoesNotExist { .. }) => State::Other(Found::Empty),
            state => state?,
        };
        let is_complete = match state {
            State::Marked => {
                self.check_oci_layout()?
                    && self.layout().join("blobs/sha256").is_dir()
                    && self.root.join(".hod/tmp").is_dir()
            }
            State::Spack | State::Begun | State::Other(Found::Empty) => false,
            State::Other(found) => return Err(self.not_a_mirror(found)),
        };
        if is_complete {
            return Ok(());
        }
        self.check_oci_layout()?;
        create(&self.root).map_err(|source| self.write_error(source))?;
        self.create_files()
    }

    fn not_a_mirror(&self, found: Found) -> Error {
        Error::NotAMirror { path: self.root.clone(), found }
    }

    fn write_error(&self, source: io::Error) -> Error {
        Error::Write { what: Written::Layout, path: self.root.clone(), source }
    }

    /// Whether the OCI layout is complete; an error if it is of a kind this program does not know.
    fn check_oci_layout(&self) -> Result<bool, Error> {
        let path = self.layout().join("oci-layout");
        let Some(OciLayout { image_layout_version: found }) = read_marker(&path)? else {
            return Ok(false);
        };
        match found.split('.').next() {
            Some("1") => Ok(true),
            _ => Err(Error::UnsupportedOciLayout { path, found, supported: OCI_LAYOUT_VERSION }),
        }
    }

    fn examine(&self) -> Result<State, Error> {
        match self.shape {
            Shape::Mirror => examine(&self.root),
            Shape::Layout => examine_layout(&self.root),
        }
    }

    /// Under the lock, so that no process replaces an index another has already published into.
    fn create_files(&self) -> Result<(), Error> {
        let _lock = lock::acquire(&self.root, lock::Method::Flock, &Patience::default())?;
        let error = |source| self.write_error(source);
        let place = |path: PathBuf, content: &[u8]| {
            if path.exists() { Ok(()) } else { write(&self.root, &path, content) }
        };

        let layout = self.layout();
        if self.shape == Shape::Mirror {
            let marker = format!("{{\"layoutVersion\":{LAYOUT_VERSION}}}");
            place(self.root.join("hod.json"), marker.as_bytes()).map_err(error)?;
        }
        fs::create_dir_all(layout.join("blobs/sha256")).map_err(error)?;
        fault::step();
        if !layout.join("oci-layout").exists() {
            let index = serde_json::to_vec(&Index::empty()).map_err(|error| Error::Unparsable {
                path: self.root.clone(),
                source: ParseError::Json(error),
            })?;
            place(layout.join("index.json"), &index).map_err(error)?;
        }
        let version = format!("{{\"imageLayoutVersion\":\"{OCI_LAYOUT_VERSION}\"}}");
        place(layout.join("oci-layout"), version.as_bytes()).map_err(error)?;
        for directory in [&layout.join("blobs"), &layout, &self.root] {
            durable::sync_directory(directory).map_err(error)?;
        }
        Ok(())
    }
}

enum State {
    Marked,
    Spack,
    /// A layout that somebody began to make and has not completed.
    Begun,
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

fn require_directory(root: &Path) -> Result<(), Error> {
    let path = || root.to_owned();
    match fs::metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::DoesNotExist { path: path() })
        }
        Err(source) => Err(Error::Read { path: path(), source }),
        Ok(metadata) if !metadata.is_dir() => Err(Error::NotADirectory { path: path() }),
        Ok(_) => Ok(()),
    }
}

/// What is in the directory, sorted. Without `.hod`, which is what a mirror has in its first
/// moments, and without the `lost+found` that every fresh file system has.
fn names(root: &Path) -> Result<Vec<OsString>, Error> {
    let error = |source| Error::Read { path: root.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(error)? {
        names.push(entry.map_err(error)?.file_name());
    }
    names.retain(|name| name != ".hod" && name != "lost+found");
    names.sort();
    Ok(names)
}

fn unknown(names: &[OsString]) -> Found {
    match names.first() {
        Some(first) => Found::Files { count: names.len(), first: PathBuf::from(first) },
        None => Found::Empty,
    }
}

/// What `root` is, seen as a bare image layout.
fn examine_layout(root: &Path) -> Result<State, Error> {
    require_directory(root)?;
    if root.join("oci-layout").exists() {
        return Ok(State::Marked);
    }
    let names = names(root)?;
    // Another process may have completed it while the names were being read.
    if root.join("oci-layout").exists() {
        return Ok(State::Marked);
    }
    let is_ours = |name: &OsString| name == "blobs" || name == "index.json";
    Ok(if names.iter().any(|name| name == "hod.json" || name == "v3") {
        State::Other(Found::Mirror)
    } else if !names.is_empty() && root.join(".hod").is_dir() && names.iter().all(is_ours) {
        State::Begun
    } else {
        State::Other(unknown(&names))
    })
}

fn examine(root: &Path) -> Result<State, Error> {
    require_directory(root)?;
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

    let names = names(root)?;
    // Another process may have written it while the names were being read.
    if marker.exists() {
        return examine(root);
    }
    // A build cache of either layout; Spack's `migrate` puts the newer beside the older.
    let is_there = |wanted: &str| names.iter().any(|name| name == wanted);
    Ok(if is_there("v3") || (is_there("build_cache") && is_v2(&root.join("build_cache"))) {
        State::Spack
    } else if names.iter().any(|name| name == "oci-layout") {
        State::Other(Found::OciLayout)
    } else {
        State::Other(unknown(&names))
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

fn write(root: &Path, target: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = Temporary::create(&root.join(".hod/tmp"))?;
    temporary.file.write_all(content)?;
    temporary.rename_to(target)
}

impl DirectoryMirror {
    /// Whether the layout was completed once, so that a missing index is a loss.
    pub(super) fn has_oci_layout(&self) -> bool {
        self.layout_path().join("oci-layout").exists()
    }
}
