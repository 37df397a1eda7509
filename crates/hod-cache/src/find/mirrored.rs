//! Packages in a mirror: the entries of its Spack build cache, and images that are none.

use std::collections::{BTreeMap, HashMap, HashSet};

use hod_mirror::oci::{Descriptor, Document, ImageConfig, Manifest, PackageFacts};
use hod_mirror::spack::{EntryName, SpackEntry};
use hod_mirror::{DirectoryMirror, SpackIndex};
use hod_spec::{DagHash, Nodes, Query, Spec, SpecFile};

use super::{Place, Wanted};
use crate::{Error, package};

/// How many entries are worth a thread.
const FEW: usize = 64;

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
    /// Its entry in the Spack build cache.
    pub entry: Option<SpackEntry>,
    /// Its image.
    pub image: Option<FoundImage>,
    /// What Hod knew of it when it was packed; of a spec, its image's config knows.
    pub facts: Option<PackageFacts>,
    /// `name@version` of the compiler it was built with, if Spack knows.
    pub compiler: Option<String>,
    /// `os/architecture` of an image that Spack knows nothing of.
    pub platform: Option<String>,
    /// Bytes of its layers, of a spec of its own alone; `None` if there is no tarball.
    pub size: Option<u64>,
}

/// An image in a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    /// Its tag.
    pub tag: String,
    /// Of its manifest.
    pub descriptor: Descriptor,
}

impl FoundImage {
    /// Reads its documents.
    pub fn read(
        &self,
        mirror: &DirectoryMirror,
    ) -> Result<(Document<Manifest>, Document<ImageConfig>), Error> {
        let error = |source| Error::mirror(mirror, source);
        let manifest = mirror.read_manifest(&self.descriptor).map_err(error)?;
        let config = mirror.read_config(&manifest.config).map_err(error)?;
        Ok((manifest, config))
    }
}

impl Found {
    /// `name@version/1234567`.
    pub fn label(&self) -> String {
        package::label(&self.name, &self.version, &self.hash)
    }

    /// Whether its tag is `text`.
    fn is_tagged(&self, text: &str) -> bool {
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

/// All packages of `mirror` that match.
///
/// # Errors
/// [`Error::NotFound`] if nothing matches; an image that cannot be read is an error too: a list
/// that silently lacks something is worse than none.
pub fn packages(mirror: &DirectoryMirror, wanted: Option<&Wanted>) -> Result<Listing, Error> {
    let error = |source| Error::mirror(mirror, source);
    let mut listing = Listing::default();
    let mut tags: BTreeMap<String, Descriptor> = BTreeMap::new();
    for entry in mirror.entries().map_err(error)? {
        if let Some(tag) = entry.tag {
            tags.insert(tag, entry.descriptor);
        }
    }

    let mut names = Vec::new();
    entries(mirror, wanted, &mut tags, &mut listing, &mut names)?;
    for (tag, descriptor) in tags {
        let Some(found) = plain(mirror, tag, descriptor)? else { continue };
        listing.total += 1;
        let is_meant = wanted.is_none_or(|wanted| {
            // What Spack does not know has no more than these three.
            found.is_tagged(wanted.as_str())
                || wanted.query().is_ok_and(|query| {
                    query.matches_plain(&found.name, &found.version, &found.hash)
                })
        });
        names.push(found.name.clone());
        if is_meant {
            listing.found.push(found);
        }
    }
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
pub fn find(mirror: &DirectoryMirror, wanted: &Wanted) -> Result<Found, Error> {
    let mut matches = packages(mirror, Some(wanted))?.found;
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

/// Where an entry is read from.
enum Source {
    V3(EntryName),
    V2(Box<SpackEntry>),
}

/// The entries of the Spack build cache. Their images are taken out of `tags`.
fn entries(
    mirror: &DirectoryMirror,
    wanted: Option<&Wanted>,
    tags: &mut BTreeMap<String, Descriptor>,
    listing: &mut Listing,
    names: &mut Vec<String>,
) -> Result<(), Error> {
    let error = |source| Error::mirror(mirror, source);
    let all = mirror.spack_names().map_err(error)?;
    let v2 = mirror.spack_v2_names().map_err(error)?;
    for path in all.unknown.iter().chain(&v2.unknown) {
        let message = format!("`{}` is under a name where Spack does not look", path.display());
        listing.warnings.push(message);
    }
    let mut sources = Vec::new();
    let mut images = HashMap::new();
    let migrated: HashSet<DagHash> = all.names.iter().map(EntryName::hash).collect();
    for name in all.names {
        listing.total += 1;
        names.push(name.name().to_owned());
        let tag = package::spack_tag_of(name.name(), name.version(), &name.hash());
        let image = tags.remove(&tag).map(|descriptor| FoundImage { tag, descriptor });
        // Whatever can be told from the name saves reading the entry.
        let is_meant = wanted.is_none_or(|wanted| {
            image.as_ref().is_some_and(|image| image.tag == wanted.as_str())
                || wanted.query().is_ok_and(|query| may_match(query, &name))
        });
        if is_meant {
            images.extend(image.map(|image| (name.hash(), image)));
            sources.push(Source::V3(name));
        }
    }
    // Of a package that was migrated, Spack installs the one of layout 3.
    for name in v2.names.into_iter().filter(|name| !migrated.contains(&name.hash())) {
        match mirror.read_spack_v2_entry(&name) {
            Ok(Some(entry)) => {
                listing.total += 1;
                names.push(entry.name.name().to_owned());
                sources.push(Source::V2(Box::new(entry)));
            }
            Ok(None) => {}
            Err(error) => listing.unreadable.push(told(&error)),
        }
    }
    if sources.is_empty() {
        return Ok(());
    }
    let index = match mirror.read_spack_index() {
        Ok(index) => index,
        Err(error) => {
            listing.warnings.push(told(&error));
            None
        }
    };
    let reader = Reader { mirror, wanted, index: index.as_ref(), images: &images };
    for result in reader.all(&sources) {
        match result {
            Ok(found) => listing.found.extend(found),
            Err(error) => listing.unreadable.push(told(&error)),
        }
    }
    Ok(())
}

fn told(error: &hod_mirror::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn may_match(query: &Query, name: &EntryName) -> bool {
    query.name().is_none_or(|wanted| wanted == name.name())
        && query.hash_prefix().is_none_or(|hash| name.hash().to_string().starts_with(hash))
}

/// Reads entries, many at a time.
struct Reader<'a> {
    mirror: &'a DirectoryMirror,
    wanted: Option<&'a Wanted>,
    index: Option<&'a SpackIndex>,
    images: &'a HashMap<DagHash, FoundImage>,
}

impl Reader<'_> {
    fn all(&self, sources: &[Source]) -> Vec<Result<Option<Found>, hod_mirror::Error>> {
        // A thread costs more than a few reads on a local disk.
        let threads = sources.len().div_ceil(FEW).min(16);
        let share = sources.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let threads: Vec<_> = sources
                .chunks(share)
                .map(|chunk| {
                    let read = |source| self.one(source);
                    scope.spawn(move || chunk.iter().map(read).collect::<Vec<_>>())
                })
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
                thread.join().expect("reading does not panic")
            };
            threads.into_iter().flat_map(join).collect()
        })
    }

    /// The package, if it is meant.
    fn one(&self, source: &Source) -> Result<Option<Found>, hod_mirror::Error> {
        let entry = match source {
            Source::V2(entry) => (**entry).clone(),
            Source::V3(name) => match self.mirror.read_spack_entry(name)? {
                Some(entry) => entry,
                // Removed a moment ago.
                None => return Ok(None),
            },
        };
        let hash = entry.name.hash();
        let indexed = self.index.and_then(|index| Some((index, index.database.node(&hash)?)));
        let file;
        let (spec, nodes): (&Spec, &dyn Nodes) = if let Some((index, spec)) = indexed {
            (spec, &index.database)
        } else {
            file = self.mirror.read_spec(&entry)?;
            (file.root(), &file)
        };
        let image = self.images.get(&hash).cloned();
        let is_tagged = image.as_ref().zip(self.wanted).is_some_and(|(i, w)| i.tag == w.as_str());
        if !is_tagged && !self.is_meant(spec, nodes) {
            return Ok(None);
        }
        Ok(Some(Found {
            name: spec.name.to_string(),
            version: spec.version.to_string(),
            hash: hash.to_string(),
            compiler: compiler(spec, nodes),
            spec: Some(spec.clone()),
            image,
            facts: None,
            platform: None,
            size: entry.layer.size,
            entry: Some(entry),
        }))
    }

    fn is_meant(&self, spec: &Spec, nodes: &dyn Nodes) -> bool {
        self.wanted
            .is_none_or(|wanted| wanted.query().is_ok_and(|query| query.matches(spec, nodes)))
    }
}

/// The spec in the config of an image that Spack would take for one of its packages.
fn spec_of(tag: &str, config: &Document<ImageConfig>) -> Option<SpecFile> {
    SpecFile::parse(config.bytes().to_vec()).ok().filter(|_| tag.as_bytes().ends_with(b".spack"))
}

/// `name@version` of the compiler of a spec.
pub(super) fn compiler(spec: &Spec, nodes: &dyn Nodes) -> Option<String> {
    let (name, version) = spec.compiler_of(nodes)?;
    Some(format!("{name}@{version}"))
}

/// An image that is no entry of the build cache; `None` for what is no package.
fn plain(
    mirror: &DirectoryMirror,
    tag: String,
    descriptor: Descriptor,
) -> Result<Option<Found>, Error> {
    let image = FoundImage { tag, descriptor };
    let (manifest, config) = match image.read(mirror) {
        // Indexes of several images and artifacts are no packages.
        Err(Error::Mirror { source, .. })
            if matches!(*source, hod_mirror::Error::MediaType { .. }) =>
        {
            return Ok(None);
        }
        other => other?,
    };
    let size = Some(manifest.layers.iter().map(|layer| layer.size).sum());
    let facts = config.hod.clone();
    let (name, version, hash) = match &facts {
        Some(facts) => (facts.name.clone(), facts.version.clone(), facts.hash.clone()),
        // An image of another tool is known by its tag.
        None => (image.tag.clone(), "image".to_owned(), image.descriptor.digest.hex()),
    };
    let platform = Some(format!("{}/{}", config.os, config.architecture));
    // What Spack pushed to a registry, or what was pruned from the build cache.
    if let Some(file) = spec_of(&image.tag, &config) {
        let spec = file.root();
        return Ok(Some(Found {
            name: spec.name.to_string(),
            version: spec.version.to_string(),
            hash: spec.hash.to_string(),
            compiler: compiler(spec, &file),
            spec: Some(spec.clone()),
            size: manifest.layers.last().map(|layer| layer.size),
            entry: None,
            image: Some(image),
            facts: None,
            platform: None,
        }));
    }
    let (spec, entry, compiler, image) = (None, None, None, Some(image));
    Ok(Some(Found { name, version, hash, spec, entry, image, facts, compiler, platform, size }))
}
