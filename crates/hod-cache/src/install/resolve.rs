//! What queries mean, among the packages of mirrors and those of the store.

use hod_store::Store;

use super::locate::Locator;
use super::{Graph, InstallSource};
use crate::find::{Found, Listing, Wanted, packages};
use crate::source::Source;
use crate::{Error, LocalStore, Place, installed};

/// Adds what `wanted` means to `graph`, with all it depends on.
///
/// The first mirror that has a match says what is meant. Of several matches there, the one that is
/// in `store` is. What no mirror has may be in the store.
///
/// # Errors
/// [`Error::NotFound`] of the last mirror, [`Error::Ambiguous`], and what a mirror says that
/// cannot be read.
pub fn resolve(
    graph: &mut Graph,
    wanted: &Wanted,
    sources: &[InstallSource<'_>],
    local: &LocalStore,
    store: Option<&Store>,
) -> Result<(), Error> {
    wanted.query()?;
    let mut not_found = None;
    for InstallSource { mirror, .. } in sources {
        let source = Source::new(mirror, local);
        let Listing { mut found, .. } = match packages(mirror, local, Some(wanted)) {
            Err(error @ Error::NotFound { .. }) => {
                not_found = Some(error);
                continue;
            }
            listing => listing?,
        };
        found.retain(|found| found.spec.is_some());
        if found.len() > 1
            && let Some(installed) = found.iter().position(|found| is_installed(found, store))
        {
            found = vec![found.swap_remove(installed)];
        }
        match &found[..] {
            [] => {}
            [one] => {
                let file = Locator::spec_file(source, one)?;
                graph.want(file.root().hash);
                graph.add(&file);
                return Ok(());
            }
            _ => {
                return Err(Error::Ambiguous {
                    query: wanted.as_str().to_owned(),
                    place: Place::Mirror(mirror.to_string()),
                    matches: found.iter().map(Found::label).collect(),
                });
            }
        }
    }
    let Some(store) = store else {
        return Err(not_found.unwrap_or_else(|| nowhere(wanted)));
    };
    // It may be there without being in any mirror. What it is not is told of the mirror.
    let there = match installed(store, Some(wanted)) {
        Err(error @ Error::NotFound { .. }) => return Err(not_found.unwrap_or(error)),
        there => there?,
    };
    match &there[..] {
        [] => Err(not_found.unwrap_or_else(|| nowhere(wanted))),
        [one] => {
            graph.want(one.spec.hash);
            graph.add_from(store, one.spec.hash);
            Ok(())
        }
        several => Err(Error::Ambiguous {
            query: wanted.as_str().to_owned(),
            place: Place::Store(store.location().to_owned()),
            matches: several.iter().map(|record| record.spec.label()).collect(),
        }),
    }
}

fn nowhere(wanted: &Wanted) -> Error {
    Error::NoSource { query: wanted.as_str().to_owned() }
}

fn is_installed(found: &Found, store: Option<&Store>) -> bool {
    let spec = found.spec.as_ref();
    spec.zip(store).is_some_and(|(spec, store)| store.installed_prefix(&spec.hash).is_ok())
}
