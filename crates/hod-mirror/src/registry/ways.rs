//! How a host wants blobs to be sent: found out once, remembered in a small file for the next run.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// How long what a host refused is believed: registries are replaced by newer ones.
const BELIEVED: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

/// How a blob of unknown length is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Streaming {
    /// In one `PATCH` of unknown length, as docker and podman do.
    #[default]
    Whole,
    /// In several, of no more than so many bytes.
    Chunks,
    /// Not at all: in one `PUT` when it is complete.
    Never,
}

/// What is known of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Way {
    pub(super) streaming: Streaming,
    /// Blobs larger than this are sent in chunks, because a `PUT` of that size was refused.
    pub(super) largest_put: Option<u64>,
}

impl Default for Way {
    fn default() -> Self {
        Self { streaming: Streaming::Whole, largest_put: None }
    }
}

/// What is known of one host, here and on disk.
#[derive(Debug)]
pub(super) struct Ways {
    path: Option<PathBuf>,
    way: Mutex<Way>,
}

impl Ways {
    /// What cannot be read counts as not known: the worst is one refused request.
    pub(super) fn open(directory: Option<&Path>, host: &str) -> Self {
        let name: String =
            host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let path = directory.map(|directory| directory.join(format!("{name}.json")));
        let is_believed = |path: &&PathBuf| {
            let age =
                fs_err::metadata(path).ok().and_then(|file| file.modified().ok()?.elapsed().ok());
            age.is_some_and(|age| age < BELIEVED)
        };
        let read = |path: &PathBuf| serde_json::from_slice(&fs_err::read(path).ok()?).ok();
        let way = path.as_ref().filter(is_believed).and_then(read).unwrap_or_default();
        Self { path, way: Mutex::new(way) }
    }

    pub(super) fn known(&self) -> Way {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what was found out.
    pub(super) fn learn(&self, change: impl FnOnce(&mut Way)) {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *way;
        change(&mut way);
        if let (Some(path), true) = (&self.path, before != *way) {
            // That it cannot be kept costs a request the next time.
            let write = || -> std::io::Result<()> {
                fs_err::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
                let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
                fs_err::write(&temporary, serde_json::to_vec(&*way)?)?;
                fs_err::rename(&temporary, path)
            };
            let _ = write();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_refused_is_remembered() {
        let place = tempfile::tempdir().unwrap();
        let ways = Ways::open(Some(place.path()), "ghcr.io:443");
        assert_eq!(ways.known(), Way::default());
        ways.learn(|way| way.streaming = Streaming::Chunks);
        let again = Ways::open(Some(place.path()), "ghcr.io:443");
        assert_eq!(again.known().streaming, Streaming::Chunks);
        assert_eq!(Ways::open(Some(place.path()), "other").known(), Way::default());
        fs_err::write(place.path().join("ghcr_io_443.json"), "garbage").unwrap();
        assert_eq!(Ways::open(Some(place.path()), "ghcr.io:443").known(), Way::default());
    }
}
