//! Stores and mirrors to work with.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hod_archive::{Codec, decoder};
use hod_cache::{
    Event, LocalStore, Package, PushOptions, PushSummary, SelectOptions, Selected, Wanted,
    find_installed, push, select,
};
use hod_mirror::{DirectoryMirror, Mirror};
use hod_spec::{DagHash, Selection};
use hod_store::{OpenOptions, Store};
use hod_testing::golden::golden;

pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

/// A directory with a store that Spack made.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    /// The root of the store.
    pub(crate) root: PathBuf,
}

impl Place {
    /// `top`: the directory in the archive.
    pub(crate) fn of(archive: &str, top: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = fs_err::File::open(golden(archive)).unwrap();
        let stream = decoder(Codec::Zstd, std::io::BufReader::new(file)).unwrap();
        let mut archive = tar::Archive::new(stream);
        archive.set_preserve_permissions(true);
        archive.unpack(directory.path()).unwrap();
        let root = directory.path().join(top);
        Self { directory, root }
    }

    /// The store without padding: zlib, bzip2, libpng, hello, linkfarm, gcc-runtime.
    pub(crate) fn plain() -> Self {
        Self::of("store.tar.zst", "store")
    }

    /// The padded one, without libpng.
    pub(crate) fn padded() -> Self {
        Self::of("store-padded.tar.zst", "padded")
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn open(&self) -> Arc<Store> {
        Arc::new(Store::open(&self.root, &OpenOptions::default()).unwrap())
    }

    /// The prefix of a package, on this machine.
    pub(crate) fn prefix(&self, name: &str) -> PathBuf {
        let store = self.open();
        store.prefix(&hash(&store, name)).unwrap().location
    }

    pub(crate) fn mirror(&self) -> DirectoryMirror {
        DirectoryMirror::ensure(self.at("mirror")).unwrap()
    }

    /// The local store of what was packed.
    pub(crate) fn memory(&self) -> LocalStore {
        LocalStore::open(&self.at("memory"), LocalStore::DEFAULT_LIMIT).unwrap()
    }

    /// Pushes `names` and what they need at run time.
    pub(crate) fn push(&self, names: &[&str], options: &PushOptions) -> PushSummary {
        let packages = selected(&self.open(), names, Selection::WithoutBuildDependencies).packages;
        self.push_packages(&packages, options)
    }

    pub(crate) fn push_packages(&self, packages: &[Package], options: &PushOptions) -> PushSummary {
        let mirror = Mirror::Directory(self.mirror());
        push(&mirror, packages, &self.memory(), options, &|_: Event<'_>| {}).unwrap()
    }
}

pub(crate) fn hash(store: &Store, name: &str) -> DagHash {
    find_installed(store, &Wanted::new(name)).unwrap()
}

pub(crate) fn selected(store: &Arc<Store>, names: &[&str], which: Selection) -> Selected {
    let roots: Vec<DagHash> = names.iter().map(|name| hash(store, name)).collect();
    select(store, &roots, &SelectOptions { dependencies: which, ..SelectOptions::default() })
}

/// As the golden data were pushed: Spack was at `/opt/spack`.
pub(crate) fn options() -> PushOptions {
    PushOptions { spack_prefix: Some("/opt/spack".to_owned()), ..PushOptions::default() }
}

/// All of them in the mirror.
pub(crate) fn assert_pushed(summary: &PushSummary) {
    let failed: Vec<_> = summary.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A blob of a mirror, as it was before it was compressed with gzip.
pub(crate) fn gunzipped(path: &Path) -> Vec<u8> {
    let file = fs_err::File::open(path).unwrap();
    let mut bytes = Vec::new();
    let mut stream = decoder(Codec::Gzip, std::io::BufReader::new(file)).unwrap();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}
