//! `spack-store`: a store that the real Spack built, from an archive kept outside the repository.

use std::path::{Path, PathBuf};

use super::Made;

/// Unpacks the archive named by `HOD_CORPUS`, if it is there. The top directory of the archive is
/// `corpus`, with the prefixes below `corpus/linux-x86_64/`.
pub(super) fn make(root: &Path) -> anyhow::Result<Made> {
    let archive = std::env::var_os("HOD_CORPUS")
        .map_or_else(|| PathBuf::from("../shared/corpus/store-python.tar.zst"), PathBuf::from);
    if !archive.exists() {
        return Ok(Made::Skipped(format!(
            "no archive at {} (set HOD_CORPUS to a store-python.tar.zst)",
            archive.display()
        )));
    }
    let mut decoder = zstd::Decoder::new(fs_err::File::open(&archive)?)?;
    decoder.window_log_max(27)?;
    let mut tar = tar::Archive::new(decoder);
    tar.set_preserve_permissions(true);
    tar.set_preserve_mtime(true);
    tar.unpack(root)?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Made::From(name))
}
