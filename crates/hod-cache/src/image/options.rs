//! What is asked of images besides their packages.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hod_archive::Digest;
use hod_mirror::oci::Tag;
use hod_mirror::registry::{Reference, ReferenceError};

use crate::SpackCommand;

/// What is asked of the images of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOptions {
    /// What the images stand on.
    pub base: Option<BaseReference>,
    /// The name of one more image, of all that was asked for.
    pub tag: Option<Tag>,
    /// Most layers of that image; those of the base count.
    pub max_layers: usize,
    /// How containers start.
    pub run: RunOptions,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self { base: None, tag: None, max_layers: Self::MAX_LAYERS, run: RunOptions::default() }
    }
}

impl ImageOptions {
    /// Docker's overlay2 and containers-storage mount 125 to 128 layers; a container adds one or
    /// two of its own.
    pub const MAX_LAYERS: usize = 120;
}

/// How containers of an image start. What is not said is as the base image has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// The command, if it is fixed. As in Docker, it takes a base image's `cmd` away.
    pub entrypoint: Option<Vec<String>>,
    /// The arguments, or the command where there is no entry point.
    pub cmd: Option<Vec<String>>,
    /// Variables and their values; these count more than all others.
    pub env: Vec<(String, String)>,
    /// Where the command starts.
    pub workdir: Option<String>,
    /// Labels; those of the base image stay.
    pub labels: BTreeMap<String, String>,
    /// User and group, by name or number.
    pub user: Option<String>,
    /// Where the sources are: a URL for `org.opencontainers.image.source`, by which some
    /// registries link an image to a repository.
    pub source: Option<String>,
    /// Who knows the environment that the packages need.
    pub env_source: EnvSource,
}

/// Who knows the environment that packages need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EnvSource {
    /// The directories in their prefixes tell.
    #[default]
    Inspections,
    /// `spack load`, which asks the recipes as well.
    Spack(SpackCommand),
}

/// Where a base image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseReference {
    /// In a registry.
    Registry(Reference),
    /// In a directory mirror.
    Directory {
        /// The mirror.
        path: PathBuf,
        /// The image.
        tag: String,
    },
    /// In an OCI image layout.
    Layout {
        /// The layout.
        path: PathBuf,
        /// The image.
        tag: String,
    },
}

/// Text that names no base image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseReferenceError {
    /// A path without a tag.
    #[error("`{text}` names a directory and no image in it: write `{text}:TAG`")]
    NoTag {
        /// As it was given.
        text: String,
    },
    /// Not the name of an image in a registry.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl BaseReference {
    /// The tag, or the digest, which counts more; without either, `latest`.
    pub fn name(&self) -> String {
        match self {
            Self::Registry(Reference { digest: Some(digest), .. }) => digest.to_string(),
            Self::Registry(reference) => reference.tag.as_deref().unwrap_or("latest").to_owned(),
            Self::Directory { tag, .. } | Self::Layout { tag, .. } => tag.clone(),
        }
    }
}

impl FromStr for BaseReference {
    type Err = BaseReferenceError;

    /// `ubuntu:24.04`, `oci://host/name:tag`, `oci+http://…`, `oci-layout:DIR:TAG`, or `DIR:TAG`
    /// where the directory begins with `/`, `./` or `../`, as no image's name does.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = |rest: &str| {
            let (path, tag) = match rest.rsplit_once(':') {
                Some((path, tag)) if !path.is_empty() && !tag.is_empty() && !tag.contains('/') => {
                    (path, tag)
                }
                _ => return Err(BaseReferenceError::NoTag { text: text.to_owned() }),
            };
            // A digest has a colon of its own.
            let (path, tag) = match path.strip_suffix("@sha256") {
                Some(path) if Digest::from_hex(tag).is_ok() => (path, format!("sha256:{tag}")),
                _ => (path, tag.to_owned()),
            };
            Ok((PathBuf::from(path), tag))
        };
        if let Some(rest) = text.strip_prefix("oci-layout:") {
            let (path, tag) = place(rest)?;
            return Ok(Self::Layout { path, tag });
        }
        if ["/", "./", "../"].iter().any(|start| text.starts_with(start)) {
            let (path, tag) = place(text)?;
            return Ok(Self::Directory { path, tag });
        }
        Ok(Self::Registry(Reference::parse(text)?))
    }
}

impl fmt::Display for BaseReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |f: &mut fmt::Formatter<'_>, path: &PathBuf, tag: &str| {
            let between = if tag.starts_with("sha256:") { "@" } else { ":" };
            write!(f, "{}{between}{tag}", path.display())
        };
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Directory { path, tag } => place(f, path, tag),
            Self::Layout { path, tag } => {
                f.write_str("oci-layout:")?;
                place(f, path, tag)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::bare("ubuntu:23.04", "oci://index.docker.io/library/ubuntu:23.04", "23.04")]
    #[case::no_tag("ghcr.io/user/image", "oci://ghcr.io/user/image", "latest")]
    #[case::tls("oci://host:5000/a/b:1", "oci://host:5000/a/b:1", "1")]
    #[case::plain("oci+http://localhost:5000/a:1", "oci+http://localhost:5000/a:1", "1")]
    #[case::directory("./cache:base-1", "./cache:base-1", "base-1")]
    #[case::absolute("/srv/cache:v:2:base", "/srv/cache:v:2:base", "base")]
    #[case::layout("oci-layout:images:base", "oci-layout:images:base", "base")]
    fn base_images_are_told_apart(#[case] text: &str, #[case] shown: &str, #[case] name: &str) {
        let reference: BaseReference = text.parse().unwrap();
        assert_eq!((reference.to_string().as_str(), reference.name().as_str()), (shown, name));
    }

    #[test]
    fn a_digest_counts_more_than_a_tag() {
        let digest = Digest::of(b"x").to_string();
        for start in ["host/a:1@", "./cache@", "oci-layout:cache@"] {
            let reference: BaseReference = format!("{start}{digest}").parse().unwrap();
            assert_eq!(reference.name(), digest);
        }
    }

    #[rstest]
    #[case("./cache")]
    #[case("/srv:x/cache")]
    #[case("oci-layout:cache")]
    #[case("oci-layout::tag")]
    #[case("https://host/a:1")]
    #[case("a b")]
    fn what_names_no_image_is_refused(#[case] text: &str) {
        assert!(text.parse::<BaseReference>().is_err());
    }
}
