//! Why a verb did not do what it was asked for.

use std::path::PathBuf;

/// Why a verb did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A path is no package.
    #[error("cannot push `{}`", path.display())]
    Package {
        /// As it was given.
        path: PathBuf,
        /// Why.
        source: crate::PackageError,
    },
    /// A package could not be packed.
    #[error("could not pack `{package}`")]
    Pack {
        /// The package.
        package: String,
        /// Why.
        source: hod_archive::PackError,
    },
    /// A mirror could not be read or written.
    #[error("could not use the mirror `{}`", mirror.display())]
    Mirror {
        /// The mirror.
        mirror: PathBuf,
        /// Why.
        source: hod_mirror::Error,
    },
    /// The image of a package could not be described.
    #[error("could not describe `{package}`")]
    Document {
        /// The package.
        package: String,
        /// Why.
        source: hod_mirror::ParseError,
    },
    /// Packages are complete in a mirror, but could not be given their names.
    #[error("could not publish in the mirror `{}`", mirror.display())]
    Publish {
        /// The mirror.
        mirror: PathBuf,
        /// Why; shared by all packages that were to be published together.
        source: std::sync::Arc<hod_mirror::Error>,
    },
    /// The local store of packed blobs could not be used.
    #[error("could not use the local store `{}`", path.display())]
    Store {
        /// Its directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing in the mirror matches.
    #[error("no package matches `{query}` among {packages} in `{}`", mirror.display())]
    NotFound {
        /// What was asked for.
        query: String,
        /// Packages in the mirror.
        packages: usize,
        /// The mirror.
        mirror: PathBuf,
        /// A name in the mirror that looks like it.
        similar: Option<String>,
    },
    /// Several packages match.
    #[error("`{query}` matches {} packages in `{}`", matches.len(), mirror.display())]
    Ambiguous {
        /// What was asked for.
        query: String,
        /// The mirror.
        mirror: PathBuf,
        /// What matches, as `name@version/hash`.
        matches: Vec<String>,
    },
    /// An image that Hod did not make has no prefix to take out.
    #[error("`{package}` does not say which of its directories is the prefix")]
    NoPrefix {
        /// The image.
        package: String,
    },
    /// An image of several layers is not one package.
    #[error("`{package}` is an image of {layers} layers, not a package")]
    ManyLayers {
        /// The image.
        package: String,
        /// How many.
        layers: usize,
    },
    /// A layer is of a kind that cannot be unpacked.
    #[error("`{package}` has a layer of the unknown type `{media_type}`")]
    UnknownLayer {
        /// The package.
        package: String,
        /// Of its layer.
        media_type: String,
    },
    /// A path to unpack to makes no sense.
    #[error("cannot unpack to `{}`", path.display())]
    Destination {
        /// As it was given.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A package could not be unpacked.
    #[error("could not unpack `{package}`")]
    Unpack {
        /// The package.
        package: String,
        /// Why.
        source: hod_archive::UnpackError,
    },
    /// The caller's `Cancel` was set.
    #[error("interrupted")]
    Cancelled,
}
