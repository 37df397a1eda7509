//! What a push would do.

use hod_mirror::DirectoryMirror;

use super::describe::Contents;
use super::layer::Workshop;
use super::probe::{self, Tags};
use super::{PushOptions, probe::Probe};
use crate::store::Record;
use crate::{Error, Event, LocalStore, Package, package};

/// What a push would do with one package.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Planned {
    /// The package.
    pub package: Package,
    /// Its hash, if it is a spec or the tree looks as it did when it was last packed.
    pub hash: Option<String>,
    /// It is in the mirror already.
    pub is_there: bool,
    /// Counted by looking at metadata alone; not counted for a spec that is there.
    pub contents: Option<Contents>,
}

/// Says what [`push`](super::push) would do, and changes nothing. `mirror` is `None` where none
/// exists yet.
pub fn plan(
    mirror: Option<&DirectoryMirror>,
    packages: &[Package],
    store: &LocalStore,
    options: &PushOptions,
) -> Result<Vec<Planned>, Error> {
    options.suit(packages)?;
    let workshop = Workshop { store, options, shares: 1, reporter: &|_: Event<'_>| {} };
    let tags = mirror.map(probe::tags).transpose()?.unwrap_or_default();
    let probes = match mirror {
        Some(mirror) => probe::all(mirror, &tags, packages, options)?,
        None => vec![Probe::default(); packages.len()],
    };
    let planned = packages.iter().zip(&probes).map(|(package, probe)| {
        if probe.there(package, options.force).is_some() {
            let hash = package.as_installed().map(|installed| installed.hash().to_string());
            return Ok(Planned { package: package.clone(), hash, is_there: true, contents: None });
        }
        one(mirror, &tags, &workshop, package)
    });
    planned.collect()
}

fn one(
    mirror: Option<&DirectoryMirror>,
    tags: &Tags,
    workshop: &Workshop<'_>,
    package: &Package,
) -> Result<Planned, Error> {
    let (fingerprint, facts) = workshop.survey(package)?;
    let record = workshop.record(package, &workshop.frame(package));
    let record = record.filter(|record| record.matches(&fingerprint));
    let hash = match package.as_installed() {
        Some(installed) => Some(installed.hash().to_string()),
        None => record.as_ref().map(|record| record.facts.hash.clone()),
    };
    let is_there = match (mirror, &record) {
        (Some(mirror), Some(record)) if package.as_installed().is_none() => {
            is_named(mirror, tags, package, record)
        }
        _ => false,
    };
    let contents = Some(Contents::from(&facts));
    Ok(Planned { package: package.clone(), hash, is_there, contents })
}

/// Whether the mirror has the packed tree of `record` under the name of `package`.
fn is_named(mirror: &DirectoryMirror, tags: &Tags, package: &Package, record: &Record) -> bool {
    let tag = package::tag(package.name(), package.version(), &record.facts.hash);
    let manifest = tags.get(&tag).and_then(|descriptor| mirror.read_manifest(descriptor).ok());
    let layer = manifest.and_then(|manifest| manifest.layers.first().map(|layer| layer.digest));
    layer.is_some() && layer == record.digest()
}
