//! Packages in a repository: what its index says, and behind which tags there is more.

use hod_archive::Cancel;
use hod_mirror::oci::Descriptor;
use hod_mirror::registry::{HOD_INDEX, Registry, SPACK_INDEX, hash_of_tag};
use hod_spec::{DagHash, Database, Nodes, Query};

use super::image::{FoundImage, read};
use super::mirrored::{Found, Search, compiler, told};
use crate::source::{Source, map};
use crate::{Error, package};

/// Room for several hundred thousand specs.
const INDEX_LIMIT: u64 = 2 << 30;

/// Everything under the tags of the repository. What the index has costs no request; of what it
/// lacks, the manifest and the config are read, many at the same time.
pub(super) fn search(search: &mut Search<'_>, registry: &Registry) -> Result<(), Error> {
    let source = search.source;
    let tags = registry.tags().map_err(|error| source.error(error))?;
    let index = if tags.iter().any(|tag| tag == SPACK_INDEX) {
        index(source, registry).unwrap_or_else(|error| {
            search.listing.warnings.push(told(&error));
            None
        })
    } else {
        None
    };
    let mut images = Vec::new();
    for tag in tags.into_iter().filter(|tag| tag != SPACK_INDEX && tag != HOD_INDEX) {
        let Some(hash) = hash_of_tag(&tag) else {
            // An image is known by what it holds.
            images.push(FoundImage { tag, descriptor: None });
            continue;
        };
        search.listing.total += 1;
        if let Some(found) = index.as_ref().and_then(|index| indexed(index, &hash, &tag)) {
            search.names.push(found.name.clone());
            let is_tagged = search.wanted.is_some_and(|wanted| found.is_tagged(wanted.as_str()));
            let spec = found.spec.as_ref().expect("an index holds specs");
            if let Some(index) = &index
                && (is_tagged || search.is_meant(spec, index))
            {
                search.listing.found.push(found);
            }
            continue;
        }
        // Whatever can be told from the tag saves reading what it is of.
        let is_meant = search.wanted.is_none_or(|wanted| {
            wanted.as_str() == tag
                || wanted.query().is_ok_and(|query| may_match(query, &tag, &hash))
        });
        if is_meant {
            images.push(FoundImage { tag, descriptor: None });
        } else {
            search.names.extend(name_of_tag(&tag));
        }
    }
    let read =
        |image: &FoundImage| (hash_of_tag(&image.tag).is_some(), read(source, image.clone()));
    for (is_counted, result) in map(&images, source.threads(), &Cancel::default(), read) {
        match result {
            Ok(None) => search.listing.total -= usize::from(is_counted),
            Ok(Some((found, file))) => {
                search.listing.total += usize::from(!is_counted);
                search.names.push(found.name.clone());
                if search.is_image_meant(&found, file.as_ref().map(|file| file as &dyn Nodes)) {
                    search.listing.found.push(found);
                }
            }
            Err(error @ hod_mirror::Error::Cancelled) => return Err(source.error(error)),
            // Removed a moment ago.
            Err(hod_mirror::Error::MissingTag { .. }) => {
                search.listing.total -= usize::from(is_counted);
            }
            Err(error) => {
                search.listing.total += usize::from(!is_counted);
                search.listing.unreadable.push(told(&error));
            }
        }
    }
    Ok(())
}

/// The index, through the local store.
fn index(source: Source<'_>, registry: &Registry) -> Result<Option<Database>, hod_mirror::Error> {
    registry.read_index(&|_: &Registry, descriptor: &Descriptor| {
        source.read_blob(descriptor, INDEX_LIMIT)
    })
}

/// What the index says of the package behind a tag.
fn indexed(index: &Database, hash: &DagHash, tag: &str) -> Option<Found> {
    let record = index.get(hash).filter(|record| record.in_buildcache)?;
    let spec = &record.spec;
    if package::spack_tag(spec) != tag {
        return None;
    }
    Some(Found {
        name: spec.name.to_string(),
        version: spec.version.to_string(),
        hash: spec.hash.to_string(),
        compiler: compiler(spec, index),
        spec: Some(spec.clone()),
        entry: None,
        image: Some(FoundImage { tag: tag.to_owned(), descriptor: None }),
        facts: None,
        platform: None,
        size: None,
    })
}

fn may_match(query: &Query, tag: &str, hash: &DagHash) -> bool {
    let is_name = |name: &str| {
        let beginning = package::spack_tag_start(name);
        tag.starts_with(&beginning)
    };
    query.name().is_none_or(is_name)
        && query.hash_prefix().is_none_or(|prefix| hash.to_string().starts_with(prefix))
}

/// The name in a tag, as far as it can be told: versions may hold dashes as well as names do.
fn name_of_tag(tag: &str) -> Option<String> {
    let mut words = tag.split('-');
    let name: Vec<&str> =
        words.by_ref().take_while(|word| !word.starts_with(|c: char| c.is_ascii_digit())).collect();
    (!name.is_empty()).then(|| name.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_whether_it_may_be_meant() {
        let hash = "aaa6aqt6lel4yuslexphxskbqhlvjtck";
        let tag = format!("gcc-runtime-12.2.0-{hash}.spack");
        let may = |query: &str| may_match(&query.parse().unwrap(), &tag, &hash.parse().unwrap());
        assert!(may("gcc-runtime") && may("/aaa6") && may("gcc-runtime@12") && may("%gcc"));
        // `gcc@runtime-12.2.0` would have this tag as well.
        assert!(may("gcc"));
        assert!(!may("zlib") && !may("/bbb") && !may("gcc-runtime/bbb"));
        assert_eq!(name_of_tag(&tag).as_deref(), Some("gcc-runtime"));
    }
}
