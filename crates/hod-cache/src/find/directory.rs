//! Packages in a directory: the entries of its Spack build cache, and images that are none.

use std::collections::{BTreeMap, HashMap, HashSet};

use hod_mirror::oci::Descriptor;
use hod_mirror::registry::{HOD_INDEX, SPACK_INDEX};
use hod_mirror::spack::{EntryName, SpackEntry};
use hod_mirror::{DirectoryMirror, SpackIndex};
use hod_spec::{DagHash, Nodes, Query, Spec};

use super::Wanted;
use super::image::{FoundImage, read};
use super::mirrored::{Found, Search, compiler, is_meant, told};
use crate::{Error, package};

/// How many entries are worth a thread.
const FEW: usize = 64;

/// Everything in the directory. What is no entry of the build cache is read in any case: an image
/// is known by what it holds.
pub(super) fn search(search: &mut Search<'_>, mirror: &DirectoryMirror) -> Result<(), Error> {
    let error = |source| Error::mirror(mirror, source);
    let mut tags: BTreeMap<String, Descriptor> = BTreeMap::new();
    for entry in mirror.entries().map_err(error)? {
        if let Some(tag) = entry.tag.filter(|tag| tag != SPACK_INDEX && tag != HOD_INDEX) {
            tags.insert(tag, entry.descriptor);
        }
    }
    entries(search, mirror, &mut tags)?;
    for (tag, descriptor) in tags {
        let image = FoundImage { tag, descriptor: Some(descriptor) };
        let Some((found, file)) = read(search.source, image).map_err(error)? else { continue };
        search.listing.total += 1;
        search.names.push(found.name.clone());
        if search.is_image_meant(&found, file.as_ref().map(|file| file as &dyn Nodes)) {
            search.listing.found.push(found);
        }
    }
    Ok(())
}

/// Where an entry is read from.
enum EntrySource {
    V3(EntryName),
    V2(Box<SpackEntry>),
}

/// The entries of the Spack build cache. Their images are taken out of `tags`.
fn entries(
    search: &mut Search<'_>,
    mirror: &DirectoryMirror,
    tags: &mut BTreeMap<String, Descriptor>,
) -> Result<(), Error> {
    let Search { wanted, listing, names, .. } = search;
    let wanted = *wanted;
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
        let image =
            tags.remove(&tag).map(|descriptor| FoundImage { tag, descriptor: Some(descriptor) });
        // Whatever can be told from the name saves reading the entry.
        let is_meant = wanted.is_none_or(|wanted| {
            image.as_ref().is_some_and(|image| image.tag == wanted.as_str())
                || wanted.query().is_ok_and(|query| may_match(query, &name))
        });
        if is_meant {
            images.extend(image.map(|image| (name.hash(), image)));
            sources.push(EntrySource::V3(name));
        }
    }
    // Of a package that was migrated, Spack installs the one of layout 3.
    for name in v2.names.into_iter().filter(|name| !migrated.contains(&name.hash())) {
        match mirror.read_spack_v2_entry(&name) {
            Ok(Some(entry)) => {
                listing.total += 1;
                names.push(entry.name.name().to_owned());
                sources.push(EntrySource::V2(Box::new(entry)));
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
    fn all(&self, sources: &[EntrySource]) -> Vec<Result<Option<Found>, hod_mirror::Error>> {
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
    fn one(&self, source: &EntrySource) -> Result<Option<Found>, hod_mirror::Error> {
        let entry = match source {
            EntrySource::V2(entry) => (**entry).clone(),
            EntrySource::V3(name) => match self.mirror.read_spack_entry(name)? {
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
        if !is_tagged && !is_meant(self.wanted, spec, nodes) {
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
}
