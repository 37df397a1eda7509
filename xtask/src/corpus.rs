//! Named corpora: trees that are made the same way on every machine, so that numbers can be
//! compared. A corpus is known by the digest of its listing, committed in `benches/corpora.json`.

mod cpython;
mod listing;
mod store;
mod synthetic;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use listing::Listing;

/// One record of `benches/corpora.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    listing: Listing,
    /// What the corpus was made from, where that differs between machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_from: Option<String>,
}

type Records = BTreeMap<String, Record>;

/// What a recipe says when it has made its tree, or why it could not.
enum Made {
    /// The same everywhere.
    Fixed,
    /// A function of something found on this machine.
    From(String),
    /// Not possible here, for this reason.
    Skipped(String),
}

struct Recipe {
    name: &'static str,
    /// Made when no name is given.
    usual: bool,
    make: fn(&Path) -> anyhow::Result<Made>,
}

const RECIPES: &[Recipe] = &[
    Recipe { name: "cpython", usual: true, make: cpython::make },
    Recipe { name: "tiny", usual: true, make: synthetic::tiny },
    Recipe { name: "small-3000", usual: true, make: synthetic::small_3000 },
    Recipe { name: "spack-store", usual: true, make: store::make },
    Recipe { name: "million", usual: false, make: synthetic::million },
    Recipe { name: "huge", usual: false, make: synthetic::huge },
];

/// Makes the corpora called `names` (the usual ones when empty) below `to`.
pub(crate) fn run(names: &[String], to: &Path, bless: bool) -> anyhow::Result<()> {
    for name in names {
        if !RECIPES.iter().any(|recipe| recipe.name == name) {
            let known: Vec<_> = RECIPES.iter().map(|recipe| recipe.name).collect();
            bail!("unknown corpus `{name}`, expected one of {}", known.join(", "));
        }
    }
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/corpora.json");
    let mut records: Records = if committed.exists() {
        serde_json::from_slice(&fs_err::read(&committed)?).context("benches/corpora.json")?
    } else {
        Records::new()
    };
    let mut faults = 0;
    for recipe in RECIPES {
        let is_wanted = if names.is_empty() {
            recipe.usual
        } else {
            names.iter().any(|name| name == recipe.name)
        };
        if !is_wanted {
            continue;
        }
        let Some(found) = make(recipe, &to.join(recipe.name))? else { continue };
        if bless {
            records.insert(recipe.name.to_owned(), found);
        } else {
            faults += usize::from(!is_as_committed(recipe.name, &found, records.get(recipe.name)));
        }
    }
    if bless {
        let mut text = serde_json::to_string_pretty(&records)?;
        text.push('\n');
        fs_err::write(&committed, text)?;
    }
    if faults > 0 {
        bail!("{faults} corpora differ from benches/corpora.json");
    }
    Ok(())
}

/// Makes one corpus and describes it. The tree appears under its name only when it is complete, so
/// a tree that is already there was completed once and is verified as it is.
fn make(recipe: &Recipe, root: &Path) -> anyhow::Result<Option<Record>> {
    let origin = root.with_extension("made-from");
    let made_from = if root.exists() {
        println!("{}: already there", recipe.name);
        origin.exists().then(|| fs_err::read_to_string(&origin)).transpose()?
    } else {
        let staging = root.with_extension("partial");
        if staging.exists() {
            fs_err::remove_dir_all(&staging)?;
        }
        fs_err::create_dir_all(&staging)?;
        let made_from = match (recipe.make)(&staging)? {
            Made::Fixed => None,
            Made::From(origin) => Some(origin),
            Made::Skipped(reason) => {
                println!("{}: skipped: {reason}", recipe.name);
                fs_err::remove_dir_all(&staging)?;
                return Ok(None);
            }
        };
        if let Some(text) = &made_from {
            fs_err::write(&origin, text)?;
        }
        fs_err::rename(&staging, root)?;
        made_from
    };
    let listing = Listing::read(root)?;
    println!("{}: {listing}", recipe.name);
    Ok(Some(Record { listing, made_from }))
}

fn is_as_committed(name: &str, found: &Record, committed: Option<&Record>) -> bool {
    let Some(committed) = committed else {
        println!("{name}: not in benches/corpora.json, nothing to compare with");
        return true;
    };
    if found.made_from != committed.made_from {
        println!(
            "{name}: NOT VERIFIED: made from {}, but the committed digest is for {}; \
             quote numbers with this origin",
            found.made_from.as_deref().unwrap_or("nothing"),
            committed.made_from.as_deref().unwrap_or("nothing"),
        );
        return true;
    }
    if found.listing == committed.listing {
        println!("{name}: as committed");
        return true;
    }
    eprintln!("{name}: differs from what is committed: {}", committed.listing);
    eprintln!("{name}: if this tree was changed by hand, remove it and make it again");
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sha256: &str, made_from: Option<&str>) -> Record {
        let listing = Listing { sha256: sha256.to_owned(), ..Listing::default() };
        Record { listing, made_from: made_from.map(str::to_owned) }
    }

    #[test]
    fn a_digest_binds_only_trees_of_the_same_origin() {
        let committed = record("aa", Some("Python 3.11.7"));
        assert!(is_as_committed("x", &record("aa", Some("Python 3.11.7")), Some(&committed)));
        assert!(!is_as_committed("x", &record("bb", Some("Python 3.11.7")), Some(&committed)));
        assert!(is_as_committed("x", &record("bb", Some("Python 3.12.0")), Some(&committed)));
        assert!(is_as_committed("x", &record("bb", None), None));
    }

    #[test]
    fn the_committed_file_is_readable() {
        let text = include_str!("../../benches/corpora.json");
        let records: Records = serde_json::from_str(text).unwrap();
        for name in records.keys() {
            assert!(RECIPES.iter().any(|recipe| recipe.name == name), "{name}");
        }
    }
}
