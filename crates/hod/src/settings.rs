//! What the environment says. Commands and libraries do not read it.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;
use hod_cache::LocalStore;

use crate::error::UsageError;
use crate::ui::Printer;

/// Where Hod keeps what it can do without: in `$HOD_CACHE_DIR`, else `$XDG_CACHE_HOME/hod`, else
/// `~/.cache/hod`.
pub(crate) fn cache_directory() -> Option<PathBuf> {
    let directory = std::env::var_os("HOD_CACHE_DIR").filter(|directory| !directory.is_empty());
    directory.map(PathBuf::from).or_else(|| {
        let base = etcetera::choose_base_strategy().ok()?;
        Some(base.cache_dir().join("hod"))
    })
}

/// The local store: in the cache directory, of `$HOD_CACHE_SIZE` bytes. Without one everything works, only not as fast the second time.
pub(crate) fn local_store(printer: &Printer) -> Result<LocalStore, UsageError> {
    let limit = match std::env::var("HOD_CACHE_SIZE") {
        Ok(text) => text.trim().parse().map_err(|_| {
            UsageError(format!("HOD_CACHE_SIZE is `{text}`, not a number of bytes"))
        })?,
        Err(_) => LocalStore::DEFAULT_LIMIT,
    };
    let Some(directory) = cache_directory() else {
        printer.warn("nothing will be remembered for the next time: there is no home directory");
        return Ok(LocalStore::none());
    };
    Ok(LocalStore::open(&directory, limit).unwrap_or_else(|error| {
        printer.warn(format_args!(
            "nothing will be remembered for the next time (HOD_CACHE_DIR names another place): \
             {error}"
        ));
        LocalStore::none()
    }))
}

/// `SOURCE_DATE_EPOCH`: seconds since 1970 (reproducible-builds.org).
pub(crate) fn source_date_epoch() -> Result<u64, UsageError> {
    let text = std::env::var("SOURCE_DATE_EPOCH").map_err(|_| {
        UsageError("`--mtime source-date-epoch` needs the variable SOURCE_DATE_EPOCH".into())
    })?;
    let error = || UsageError(format!("SOURCE_DATE_EPOCH is `{text}`, not a number of seconds"));
    text.trim().parse().map_err(|_| error())
}
