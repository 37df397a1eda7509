//! What a push would do.

use hod_mirror::Mirror;
use hod_mirror::oci::PackageFacts;

use super::PushOptions;
use super::describe::Contents;
use super::destination::{self, Destination, Probe};
use super::layer::Workshop;
use crate::image::{self, Ground, Layer};
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
    mirror: Option<&Mirror>,
    packages: &[Package],
    store: &LocalStore,
    options: &PushOptions,
) -> Result<Vec<Planned>, Error> {
    options.suit(packages)?;
    let workshop = Workshop { store, options, shares: 1, reporter: &|_: Event<'_>| {} };
    let destination =
        mirror.map(|mirror| destination::open(mirror, store, options.connections)).transpose()?;
    let destination = destination.as_deref();
    let probes = match destination {
        Some(destination) => destination::probe_all(destination, packages, options.only)?,
        None => vec![Probe::default(); packages.len()],
    };
    let planned = packages.iter().zip(&probes).map(|(package, probe)| {
        if probe.there(package, options.force).is_some() {
            let hash = package.as_installed().map(|installed| installed.hash().to_string());
            return Ok(Planned { package: package.clone(), hash, is_there: true, contents: None });
        }
        one(destination, &workshop, package)
    });
    planned.collect()
}

fn one(
    destination: Option<&dyn Destination>,
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
    let is_there = match (destination, &record) {
        (Some(destination), Some(record)) if package.as_installed().is_none() => {
            is_named(destination, package, record, workshop.options)?
        }
        _ => false,
    };
    let contents = Some(Contents::from(&facts));
    Ok(Planned { package: package.clone(), hash, is_there, contents })
}

/// Whether the mirror has the packed tree of `record` under the name of `package`.
fn is_named(
    destination: &dyn Destination,
    package: &Package,
    record: &Record,
    options: &PushOptions,
) -> Result<bool, Error> {
    let tag = package::tag(package.name(), package.version(), &record.facts.hash);
    let (Some(digest), Some(diff_id)) = (record.digest(), record.diff_id()) else {
        return Ok(false);
    };
    let codec = record.facts.codec.parse().unwrap_or_default();
    let layer = Layer { codec, digest, size: record.size, diff_id };
    let name = package.name().to_owned();
    let version = package.version().to_owned();
    // Of a base image nothing is asked here: with one, the image counts as new.
    let ground = Ground { base: None, run: &options.images.run };
    let image = image::render_plain(
        ground,
        package,
        &layer,
        PackageFacts { name, version, ..record.facts.clone() },
    )?;
    destination.is_named(&tag, &image.manifest.digest)
}
