//! The few OCI documents Hod reads and writes (image-spec 1.1), each as raw bytes with a parsed
//! view beside them.

mod config;
mod descriptor;
mod document;
mod facts;
mod index;
mod manifest;
mod platform;
mod tag;
mod text;

pub use config::{ImageConfig, RootFs, RunConfig};
pub use descriptor::Descriptor;
pub use document::{Document, Kind};
pub use facts::{PackageFacts, RelocationFacts, RoomNeeded, decode_path, encode_path};
pub use index::Index;
pub use manifest::Manifest;
pub use platform::{Platform, go_arch, go_os};
pub use tag::{Tag, TagError};

pub(crate) use index::is_other_algorithm;
pub(crate) use tag::{is_reference, is_tag};

/// Media types of image-spec 1.1 (`media-types.md`) and their Docker elders.
pub mod media_type {
    /// An image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An image config.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// Docker's image manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's image config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

    /// Whether `media_type` is that of an image manifest.
    pub fn is_manifest(media_type: &str) -> bool {
        matches!(media_type, MANIFEST | DOCKER_MANIFEST)
    }

    /// Whether `media_type` is that of an index of manifests.
    pub fn is_index(media_type: &str) -> bool {
        matches!(media_type, INDEX | DOCKER_LIST)
    }

    /// Whether `media_type` is that of an image config with diff ids.
    pub fn is_config(media_type: &str) -> bool {
        matches!(media_type, CONFIG | DOCKER_CONFIG)
    }

    /// Whether a blob of this type may lawfully be absent: layers that licences forbid to
    /// distribute (image-spec `layer.md`, "Non-Distributable Layers").
    pub fn may_be_absent(media_type: &str) -> bool {
        media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
            || media_type == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    }
}

/// The annotation that holds the tag of an entry in `index.json` (image-spec `annotations.md`).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
