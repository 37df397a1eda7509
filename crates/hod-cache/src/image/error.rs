//! Why there is no image.

use std::io;

use hod_archive::{Codec, Digest, MergeError};

/// Why an image could not be made, or is none to build upon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Nothing stands behind the name.
    #[error("there is no such image")]
    Missing,
    /// What stands behind a digest has another one.
    #[error("it should have the digest {expected}, found {found}")]
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// It is there for other machines only.
    #[error("it is not made for {wanted}, but for {}", if found.is_empty() { "nothing that is known".to_owned() } else { found.join(", ") })]
    Platform {
        /// `os/architecture`.
        wanted: String,
        /// What there is, as `os/architecture`.
        found: Vec<String>,
    },
    /// A part of it is not of the kind that the others are of. Some runtimes refuse such mixtures
    /// (Apptainer), so none is built upon.
    #[error("its {part} has the media type `{media_type}`, which has no place in {family} images")]
    MediaType {
        /// `manifest`, `config` or `layer`.
        part: &'static str,
        /// What it says it is.
        media_type: String,
        /// `OCI` or `Docker`.
        family: &'static str,
    },
    /// One of its layers may not be passed on, so a registry need not have it.
    #[error("its layer {digest} is one that may not be distributed")]
    NotDistributable {
        /// Which layer.
        digest: Digest,
    },
    /// Its config speaks of other layers than its manifest.
    #[error("its manifest has {layers} layers, its config {diff_ids}")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// Its config is not what it should be.
    #[error("its config cannot be understood")]
    Config(#[source] serde_json::Error),
    /// Layers of this codec have no name among Docker's media types.
    #[error("a layer compressed with {codec} cannot stand on a Docker image")]
    Codec {
        /// Of the layer.
        codec: Codec,
    },
    /// The roots are for different kinds of machine.
    #[error("its roots are built for {} and {}", first.1, second.1)]
    Architectures {
        /// A root and its architecture.
        first: (String, String),
        /// Another.
        second: (String, String),
    },
    /// An image of nothing.
    #[error("there is nothing to put into it")]
    Empty,
    /// The base image alone has as many layers as an image may have.
    #[error("it may have no more layers than {limit}, and its base image has {base} already")]
    TooManyLayers {
        /// Most layers.
        limit: usize,
        /// Layers of the base image.
        base: usize,
    },
    /// Layers could not be merged.
    #[error("could not merge {layers} layers")]
    Merge {
        /// How many.
        layers: usize,
        /// Why.
        source: MergeError,
    },
    /// A blob on its way between two mirrors could not be kept for a moment.
    #[error("could not keep a blob in `{}`", directory.display())]
    Spool {
        /// Where.
        directory: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others kept replacing the tag.
    #[error("others replace it at the same time: it was written {rounds} times and is not there")]
    Contended {
        /// How often.
        rounds: u32,
    },
}
