//! Packages in a mirror: the entries of its build cache, and images that are none.

use hod_mirror::Mirror;
use hod_mirror::oci::PackageFacts;
use hod_mirror::spack::SpackEntry;
use hod_spec::{Nodes, Spec};

use super::image::FoundImage;
use super::{Place, Wanted, directory, registry};
use crate::source::Source;
use crate::{Error, LocalStore, package};

/// A package in a mirror.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its 32-character hash; for an image that Hod did not make, the manifest's digest in hex.
    pub hash: String,
    /// What Spack knows of it.
    pub spec: Option<Spec>,
    /// Its entry in the Spack build cache of a directory.
    pub entry: Option<SpackEntry>,
    /// Its image.
    pub image: Option<FoundImage>,
    /// What Hod knew of it when it was packed; of a spec, its image's config knows.
    pub facts: Option<PackageFacts>,
    /// `name@version` of the compiler it was built with, if Spack knows.
    pub compiler: Option<String>,
    /// `os/architecture` of an image that Spack knows nothing of.
    pub platform: Option<String>,
    /// Bytes of its layers, of a spec of its own alone; `None` if there is no tarball, or if only
    /// an index was asked, which does not say.
    pub size: Option<u64>,
}

impl Found {
    /// `name@version/1234567`.
    pub fn label(&self) -> String {
        package::label(&self.name, &self.version, &self.hash)
    }

    /// Whether its tag is `text`.
    pub(super) fn is_tagged(&self, text: &str) -> bool {
        self.image.as_ref().is_some_and(|image| image.tag == text)
    }

    fn key(&self) -> (&str, &str, &str) {
        (&self.name, &self.version, &self.hash)
    }
}

/// What is in a mirror.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listing {
    /// What matches, by name, version and hash.
    pub found: Vec<Found>,
    /// How many packages there are in all.
    pub total: usize,
    /// What is odd, in one sentence each.
    pub warnings: Vec<String>,
    /// Packages that could not be read and are missing here, in one sentence each.
    pub unreadable: Vec<String>,
}

/// A search in one mirror.
pub(super) struct Search<'a> {
    pub(super) source: Source<'a>,
    pub(super) wanted: Option<&'a Wanted>,
    pub(super) listing: Listing,
    /// Of all packages, for a word to look like.
    pub(super) names: Vec<String>,
}

impl Search<'_> {
    pub(super) fn is_meant(&self, spec: &Spec, nodes: &dyn Nodes) -> bool {
        is_meant(self.wanted, spec, nodes)
    }

    /// Whether an image is meant whose spec is `nodes`, if it has one.
    pub(super) fn is_image_meant(&self, found: &Found, nodes: Option<&dyn Nodes>) -> bool {
        self.wanted.is_none_or(|wanted| {
            found.is_tagged(wanted.as_str())
                || wanted.query().is_ok_and(|query| match (&found.spec, nodes) {
                    (Some(spec), Some(nodes)) => query.matches(spec, nodes),
                    // What Spack does not know has no more than these three.
                    _ => query.matches_plain(&found.name, &found.version, &found.hash),
                })
        })
    }
}

pub(super) fn is_meant(wanted: Option<&Wanted>, spec: &Spec, nodes: &dyn Nodes) -> bool {
    wanted.is_none_or(|wanted| wanted.query().is_ok_and(|query| query.matches(spec, nodes)))
}

/// All packages of `mirror` that match. Of a registry with an index, only what is newer than that
/// is read, through `store`.
///
/// # Errors
/// [`Error::NotFound`] if nothing matches; an image of a directory that cannot be read is an error
/// too: a list that silently lacks something is worse than none.
pub fn packages(
    mirror: &Mirror,
    store: &LocalStore,
    wanted: Option<&Wanted>,
) -> Result<Listing, Error> {
    let source = Source::new(mirror, store);
    let mut search = Search { source, wanted, listing: Listing::default(), names: Vec::new() };
    match mirror {
        Mirror::Directory(found) => directory::search(&mut search, found)?,
        Mirror::Registry(found) => registry::search(&mut search, found)?,
    }
    let _ = store.shrink();
    let Search { mut listing, names, .. } = search;
    match wanted {
        Some(wanted) if listing.found.is_empty() => {
            let place = Place::Mirror(mirror.to_string());
            Err(wanted.not_found(place, listing.total, names, listing.unreadable))
        }
        _ => {
            listing.found.sort_by(|a, b| a.key().cmp(&b.key()));
            Ok(listing)
        }
    }
}

/// The one package that `wanted` means.
///
/// # Errors
/// [`Error::NotFound`] and [`Error::Ambiguous`].
pub fn find(mirror: &Mirror, store: &LocalStore, wanted: &Wanted) -> Result<Found, Error> {
    let mut matches = packages(mirror, store, Some(wanted))?.found;
    if let Some(exact) = matches.iter().position(|found| found.is_tagged(wanted.as_str())) {
        return Ok(matches.swap_remove(exact));
    }
    if matches.len() > 1 {
        return Err(Error::Ambiguous {
            query: wanted.as_str().to_owned(),
            place: Place::Mirror(mirror.to_string()),
            matches: matches.iter().map(Found::label).collect(),
        });
    }
    Ok(matches.swap_remove(0))
}

/// An error and its causes in one sentence.
pub(super) fn told(error: &hod_mirror::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// `name@version` of the compiler of a spec.
pub(super) fn compiler(spec: &Spec, nodes: &dyn Nodes) -> Option<String> {
    let (name, version) = spec.compiler_of(nodes)?;
    Some(format!("{name}@{version}"))
}
