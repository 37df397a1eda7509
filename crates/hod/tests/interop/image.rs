//! A mirror with one image, and where its parts are.

use std::path::{Path, PathBuf};

use crate::support::tree::listing;
use crate::support::{Place, ZLIB, succeed};

/// One package, pushed.
pub(crate) struct Image {
    pub(crate) place: Place,
    /// What was packed.
    pub(crate) prefix: PathBuf,
    /// What `hod show --json` says.
    pub(crate) shown: serde_json::Value,
}

impl Image {
    /// A small tree with one of everything.
    pub(crate) fn new(options: &str) -> Self {
        Self::of(options, |place| place.tree("zlib-1.3.1", ZLIB))
    }

    /// A prefix that `make` makes.
    pub(crate) fn of(options: &str, make: impl Fn(&Place) -> PathBuf) -> Self {
        let place = Place::new();
        let prefix = make(&place);
        let mut push = place.hod("push -q ./cache");
        push.arg(&prefix).args(options.split_whitespace());
        succeed(push);
        let listed = succeed(place.hod("list -m ./cache --json"));
        Self { place, prefix, shown: serde_json::from_str(listed.trim()).unwrap() }
    }

    /// A text of what is shown, by its JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.shown.pointer(pointer).and_then(serde_json::Value::as_str).unwrap()
    }

    /// As container tools name it, with an absolute path.
    pub(crate) fn reference(&self) -> String {
        format!("oci:{}", self.layout_and_tag())
    }

    pub(crate) fn layout_and_tag(&self) -> String {
        format!("{}:{}", self.place.at("cache/oci").display(), self.text("/tag"))
    }

    /// The file of the layer.
    pub(crate) fn layer(&self) -> PathBuf {
        let digest = self.text("/layers/0/digest").strip_prefix("sha256:").unwrap();
        self.place.at("cache/oci/blobs/sha256").join(digest)
    }

    /// Asserts that below `root` lies the prefix as it was packed, under its full path.
    pub(crate) fn assert_unpacked(&self, root: &Path) {
        let unpacked = root.join(self.prefix.strip_prefix("/").unwrap());
        let mut found = listing(&unpacked);
        assert!(found.iter().any(|line| line.starts_with(".spack/binary_distribution ")));
        found.retain(|line| !line.starts_with(".spack"));
        assert_eq!(found, listing(&self.prefix));
    }
}
