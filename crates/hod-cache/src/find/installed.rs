//! Packages in a store.

use hod_spec::{DagHash, Record};
use hod_store::Store;

use super::{Place, Wanted};
use crate::Error;

/// The installed packages of `store` that match, by name, version and hash; externals are among
/// them.
///
/// # Errors
/// [`Error::NotFound`] if `wanted` matches none.
pub fn installed<'a>(store: &'a Store, wanted: Option<&Wanted>) -> Result<Vec<&'a Record>, Error> {
    let mut all: Vec<&Record> = store.records().filter(|record| record.installed).collect();
    let total = all.len();
    if let Some(wanted) = wanted {
        let query = wanted.query()?;
        let names: Vec<String> = all.iter().map(|record| record.spec.name.to_string()).collect();
        all.retain(|record| query.matches(&record.spec, store));
        if all.is_empty() {
            let place = Place::Store(store.location().to_owned());
            return Err(wanted.not_found(place, total, names, Vec::new()));
        }
    }
    all.sort_by(|a, b| {
        let key = |record: &'a Record| (&record.spec.name, &record.spec.version, record.spec.hash);
        key(a).cmp(&key(b))
    });
    Ok(all)
}

/// The one installed package that `wanted` means.
///
/// # Errors
/// [`Error::NotFound`] and [`Error::Ambiguous`].
pub fn find_installed(store: &Store, wanted: &Wanted) -> Result<DagHash, Error> {
    // A whole hash needs no search: scripts name thousands of specs so.
    let whole = wanted.query()?.hash_prefix().and_then(|hash| hash.parse::<DagHash>().ok());
    if let Some(record) = whole.and_then(|hash| store.record(&hash))
        && record.installed
        && wanted.query()?.matches(&record.spec, store)
    {
        return Ok(record.spec.hash);
    }
    let matches = installed(store, Some(wanted))?;
    match &matches[..] {
        [one] => Ok(one.spec.hash),
        _ => Err(Error::Ambiguous {
            query: wanted.as_str().to_owned(),
            place: Place::Store(store.location().to_owned()),
            matches: matches.iter().map(|record| record.spec.label()).collect(),
        }),
    }
}
