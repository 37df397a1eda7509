//! A file replaced in one step.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::EditMirrorsError;

/// Replaces what was `original` (`None` if there was no file) with `bytes`: a reader finds the one
/// or the other. The mode is kept, and so is a link to the file.
pub(super) fn replace(
    path: &Path,
    original: Option<&[u8]>,
    bytes: &[u8],
) -> Result<(), EditMirrorsError> {
    let write = |source| EditMirrorsError::Write { path: path.to_owned(), source };
    let file = target(path).map_err(write)?;
    let now = match fs::read(&file) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(EditMirrorsError::Read { path: path.to_owned(), source }),
    };
    if now.as_deref() != original {
        return Err(EditMirrorsError::Changed { path: path.to_owned() });
    }
    if now.as_deref() == Some(bytes) {
        return Ok(());
    }
    write_new(&file, now.is_some(), bytes).map_err(write)
}

/// What the path leads to: many have their configuration elsewhere, linked.
fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(path) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let directory = fs::canonicalize(directory)?;
    // A link to nothing stays one.
    match fs::read_link(path) {
        Ok(link) => Ok(directory.join(link)),
        Err(_) => Ok(directory.join(path.file_name().unwrap_or_default())),
    }
}

fn write_new(file: &Path, exists: bool, bytes: &[u8]) -> io::Result<()> {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = file.with_file_name(name);
    let written = (|| {
        let mut out = fs::File::create(&temporary)?;
        if exists {
            out.set_permissions(fs::metadata(file)?.permissions())?;
        }
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&temporary, file)
    })();
    if written.is_err() {
        // It may not have been made.
        let _ = fs::remove_file(&temporary);
    }
    written
}
