//! Why a verb did not do what it was asked for.

use std::path::PathBuf;

use std::fmt;

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
        source: Box<crate::PackageError>,
    },
    /// A package could not be packed.
    #[error("could not pack `{package}`")]
    Pack {
        /// The package.
        package: String,
        /// Why.
        source: Box<hod_archive::PackError>,
    },
    /// A mirror could not be read or written.
    #[error("could not use the mirror `{mirror}`")]
    Mirror {
        /// The mirror.
        mirror: String,
        /// Why.
        source: Box<hod_mirror::Error>,
    },
    /// The image of a package could not be described.
    #[error("could not describe `{package}`")]
    Document {
        /// The package.
        package: String,
        /// Why.
        source: Box<hod_mirror::ParseError>,
    },
    /// An image that others were to stand on is none for that.
    #[error("could not use the base image `{image}`")]
    BaseImage {
        /// The image.
        image: String,
        /// Why.
        source: Box<crate::ImageError>,
    },
    /// An image could not be made, or not get its name.
    #[error("could not make the image `{image}`")]
    Image {
        /// What it is of, or its tag.
        image: String,
        /// Why.
        source: Box<crate::ImageError>,
    },
    /// It could not be found out which environment a package needs.
    #[error("could not find out the environment of `{package}`")]
    Environment {
        /// The package, or all roots of an image.
        package: String,
        /// Why.
        source: Box<crate::SpackError>,
    },
    /// Packages are complete in a mirror, but could not be given their names.
    #[error("could not publish in the mirror `{mirror}`")]
    Publish {
        /// The mirror.
        mirror: String,
        /// Why; shared by all packages that were to be published together.
        source: std::sync::Arc<hod_mirror::Error>,
    },
    /// Text that is no query.
    #[error(transparent)]
    Query(Box<hod_spec::QueryError>),
    /// Nothing matches.
    #[error("no package matches `{query}` among {packages} in `{place}`")]
    NotFound {
        /// What was asked for.
        query: String,
        /// Packages in it.
        packages: usize,
        /// Where was looked.
        place: crate::Place,
        /// A name there that looks like it.
        similar: Option<String>,
        /// What could not be read, and may be it; one sentence each.
        unreadable: Vec<String>,
    },
    /// There is nowhere to look.
    #[error("no mirror was named that could have `{query}`")]
    NoSource {
        /// What was asked for.
        query: String,
    },
    /// Several packages match.
    #[error("`{query}` matches {} packages in `{place}`", matches.len())]
    Ambiguous {
        /// What was asked for.
        query: String,
        /// Where was looked.
        place: crate::Place,
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
        source: Box<hod_archive::UnpackError>,
    },
    /// What the store says of a spec is missing or wrong.
    #[error("could not use what the store has of `{package}`")]
    Installed {
        /// The spec.
        package: String,
        /// Why.
        source: Box<hod_store::Error>,
    },
    /// A build cache cannot hold a spec of this name.
    #[error("cannot name `{package}` in a build cache")]
    Name {
        /// The spec.
        package: String,
        /// Why.
        source: hod_mirror::spack::EntryNameError,
    },
    /// Spack cannot read such a blob.
    #[error("specs cannot be pushed with {codec}, which Spack does not read")]
    Codec {
        /// What was asked for.
        codec: hod_archive::Codec,
    },
    /// The base image could not be brought to the mirror; told by each image it concerns.
    #[error("could not bring the base image to the mirror")]
    BaseCopy {
        /// Why.
        source: std::sync::Arc<Error>,
    },
    /// An image of several packages lacks one.
    #[error("cannot make the image `{tag}` without `{package}`, which is not in the mirror")]
    TagLacks {
        /// Of the image.
        tag: String,
        /// What is missing.
        package: String,
    },
    /// An image can be of several specs, which know what belongs together, or of one prefix.
    #[error("cannot make one image `{tag}` of several prefixes")]
    TagOfPrefixes {
        /// Of the image.
        tag: String,
    },
    /// A blob that is to be sent could not be put down here.
    #[error("could not write to `{}`", path.display())]
    Spool {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An image could not be copied.
    #[error("could not copy `{tag}`")]
    Copy {
        /// Its tag.
        tag: String,
        /// Why; shared by all images that need the same blob.
        source: std::sync::Arc<hod_mirror::Error>,
    },
    /// What another tool published under a name that only a layout can hold.
    #[error(transparent)]
    Tag(hod_mirror::oci::TagError),
    /// A package is only an entry of Spack's build cache.
    #[error("`{package}` has no image that could be copied")]
    NoImage {
        /// The package.
        package: String,
    },
    /// Another package failed before this one's turn, and nothing new was to be begun then.
    #[error("not tried after the first failure")]
    NotTried,
    /// The caller's `Cancel` was set.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    pub(crate) fn mirror(mirror: impl fmt::Display, source: hod_mirror::Error) -> Self {
        match source {
            hod_mirror::Error::Cancelled => Self::Cancelled,
            source => Self::Mirror { mirror: mirror.to_string(), source: Box::new(source) },
        }
    }

    /// What was to be published could not be; told by each package it concerns.
    pub(crate) fn publish(
        mirror: impl fmt::Display,
        source: &std::sync::Arc<hod_mirror::Error>,
    ) -> Self {
        match **source {
            hod_mirror::Error::Cancelled => Self::Cancelled,
            _ => {
                Self::Publish { mirror: mirror.to_string(), source: std::sync::Arc::clone(source) }
            }
        }
    }
}
