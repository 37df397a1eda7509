//! Why a package could not be installed.

use std::path::PathBuf;

use hod_archive::UnpackError;

use crate::Error;

/// Why a package could not be installed. Nothing of it is left then, neither files under its name
/// nor a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// A mirror could not be read, or what it has is not what it should be.
    #[error(transparent)]
    Cache(#[from] Error),
    /// The store could not be read or written.
    #[error("could not use the store")]
    Store(#[from] hod_store::Error),
    /// The configuration does not say where a package goes.
    #[error("cannot say where `{spec}` is to be installed")]
    Layout {
        /// The package.
        spec: String,
        /// Why.
        source: Box<hod_store::LayoutError>,
    },
    /// No mirror has it.
    #[error("no mirror has `{spec}`")]
    Nowhere {
        /// The package.
        spec: String,
    },
    /// A mirror whose packages must be signed.
    #[error(
        "`{spec}` in `{mirror}` {}",
        if *is_signed { "is signed, and hod verifies no signatures yet" } else { "is not signed" }
    )]
    Signature {
        /// The package.
        spec: String,
        /// The mirror.
        mirror: String,
        /// Whether there is a signature.
        is_signed: bool,
    },
    /// A name leads to another package.
    #[error("what is named `{spec}` is `{found}`")]
    AnotherSpec {
        /// What was looked for.
        spec: String,
        /// What is there.
        found: String,
    },
    /// The tree of a package does not say which package it is.
    #[error("the tree of `{spec}` has no spec that could be read")]
    NoSpec {
        /// The package.
        spec: String,
        /// Why, if there is one.
        source: Option<Box<hod_spec::SpecFileError>>,
    },
    /// The blob could not be unpacked.
    #[error("could not unpack `{spec}`")]
    Unpack {
        /// The package.
        spec: String,
        /// Why.
        source: Box<hod_archive::UnpackError>,
    },
    /// A blob in a format that is none of the known ones.
    #[error("the blob of `{spec}` is packed with {codec}, which cannot be read")]
    Codec {
        /// The package.
        spec: String,
        /// How it is packed.
        codec: &'static str,
    },
    /// The tree does not say what in it is to be relocated.
    #[error("the tree of `{spec}` has no `.spack/binary_distribution`")]
    NoBuildInfo {
        /// The package.
        spec: String,
    },
    /// What it says cannot be understood.
    #[error("the `.spack/binary_distribution` of `{spec}` cannot be read")]
    BuildInfo {
        /// The package.
        spec: String,
        /// Why.
        source: Box<hod_store::ParseBuildInfoError>,
    },
    /// Two places say different things of one archive.
    #[error("the last entry of `{spec}` is not the one that its blob said it is")]
    LastEntry {
        /// The package.
        spec: String,
    },
    /// A file to be relocated is not there.
    #[error("`{spec}` lists `{file}` to be relocated, and has no such file")]
    ListedFile {
        /// The package.
        spec: String,
        /// The file.
        file: String,
    },
    /// A path does not fit.
    #[error("cannot relocate `{spec}`")]
    Relocate {
        /// The package.
        spec: String,
        /// Why.
        source: Box<crate::RelocationError>,
    },
    /// Something in the private tree could not be read or written.
    #[error("cannot finish `{file}` of `{spec}`")]
    Finish {
        /// The package.
        spec: String,
        /// The file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something else is where a package is to be.
    #[error("`{}` is in the way of `{spec}`", path.display())]
    Occupied {
        /// The package.
        spec: String,
        /// What is there.
        path: PathBuf,
    },
    /// Two packages of one plan would be in one place.
    #[error("`{spec}` and `{other}` both go to `{}`", path.display())]
    SamePrefix {
        /// One package.
        spec: String,
        /// The other.
        other: String,
        /// Where the projections put both.
        path: PathBuf,
    },
    /// A package could not take its place.
    #[error("cannot {action} `{}`", path.display())]
    Place {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database could not be written, so that the package was taken away again.
    #[error("could not record it in the store")]
    Record {
        /// Why; shared by all packages that were to be recorded together.
        source: std::sync::Arc<hod_store::Error>,
    },
    /// A package of Spack where a prefix of somebody else was expected.
    #[error("`{spec}` is a package of Spack, which belongs into a store")]
    OfSpack {
        /// The package.
        spec: String,
    },
    /// It needs what could not be installed.
    #[error("held back, depends on `{dependency}`")]
    HeldBack {
        /// What it needs.
        dependency: String,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl InstallError {
    /// Whether another mirror may have what this one has not, or not as it should be.
    pub(super) fn is_of_mirror(&self) -> bool {
        match self {
            Self::Cache(error) => !matches!(error, Error::Cancelled),
            Self::Unpack { source, .. } => !matches!(
                **source,
                UnpackError::Staging { .. }
                    | UnpackError::Member { .. }
                    | UnpackError::DestinationExists { .. }
                    | UnpackError::DestinationNameless { .. }
                    | UnpackError::Limit { .. }
                    | UnpackError::Ratio { .. }
                    | UnpackError::Cancelled
            ),
            Self::AnotherSpec { .. }
            | Self::NoSpec { .. }
            | Self::Codec { .. }
            | Self::NoBuildInfo { .. }
            | Self::BuildInfo { .. }
            | Self::LastEntry { .. }
            | Self::ListedFile { .. } => true,
            _ => false,
        }
    }
}
