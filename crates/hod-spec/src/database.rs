//! `index.json`: many specs, and what became of each. Spack has one in each store, of what is
//! installed, and one in each build cache, of what is to be had (`spack-format` 1.5, 4.5).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::spec::legacy::{LegacyNode, Single, Targets};
use crate::{DagHash, RawJson, Spec};

/// A database, by hash.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Database {
    version: u32,
    records: BTreeMap<DagHash, Record>,
}

/// A spec and what became of it. Fields that a kind of database does not have are at their
/// defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The spec.
    pub spec: Spec,
    /// How many records depend on it directly. May be absent in build caches.
    pub ref_count: u64,
    /// The prefix; `None` for externals without one.
    pub path: Option<Box<str>>,
    /// It is installed, and not only known because something refers to it.
    pub installed: bool,
    /// A user asked for it.
    pub explicit: bool,
    /// In seconds since 1970.
    pub installation_time: f64,
    /// The spec to use instead.
    pub deprecated_for: Option<DagHash>,
    /// Where the record comes from, if not from an installation: `external-db`.
    pub origin: Option<Box<str>>,
    /// It is in the build cache whose index this is.
    pub in_buildcache: bool,
}

/// Why some bytes are no database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// Not the JSON it should be.
    #[error("not a database of specs")]
    Json(#[from] serde_json::Error),
    /// The bytes are no text.
    #[error("a database is UTF-8")]
    NotUtf8(#[from] std::string::FromUtf8Error),
    /// A version this program does not know.
    #[error("the database has version {found}, and this program reads {oldest} to {newest}")]
    Version {
        /// As written.
        found: String,
        /// The oldest that can be read.
        oldest: u32,
        /// The newest.
        newest: u32,
    },
    /// One record is not what it should be.
    #[error("the record of `{hash}` in the database is damaged")]
    Record {
        /// Its key.
        hash: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    database: Inner<'a>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    version: String,
    #[serde(borrow, default)]
    installs: BTreeMap<DagHash, RecordText<'a>>,
}

#[derive(Deserialize)]
struct RecordText<'a> {
    #[serde(borrow)]
    spec: &'a RawValue,
    #[serde(default)]
    ref_count: u64,
    #[serde(default)]
    path: Option<Box<str>>,
    #[serde(default)]
    installed: bool,
    #[serde(default)]
    explicit: bool,
    #[serde(default)]
    installation_time: Option<f64>,
    #[serde(default)]
    deprecated_for: Option<DagHash>,
    #[serde(default)]
    origin: Option<Box<str>>,
    #[serde(default)]
    in_buildcache: bool,
}

impl Database {
    /// The oldest version that can be read.
    pub const OLDEST: u32 = 5;
    /// The newest version that can be read; the one that is written.
    pub const NEWEST: u32 = 8;

    /// Reads a database.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        let text = Arc::new(String::from_utf8(bytes)?);
        let Outer { database: Inner { version, installs } } = serde_json::from_str(&text)?;
        let number = version.parse().ok().filter(|n| (Self::OLDEST..=Self::NEWEST).contains(n));
        let Some(number) = number else {
            let (oldest, newest) = (Self::OLDEST, Self::NEWEST);
            return Err(DatabaseError::Version { found: version, oldest, newest });
        };
        let records = installs.into_iter().map(|(hash, record)| {
            let spec = parse_spec(&text, record.spec, number, hash)
                .map_err(|source| DatabaseError::Record { hash: hash.to_string(), source })?;
            Ok((
                hash,
                Record {
                    spec,
                    ref_count: record.ref_count,
                    // Old versions wrote the text of Python's None.
                    path: record.path.filter(|path| &**path != "None"),
                    installed: record.installed,
                    explicit: record.explicit,
                    installation_time: record.installation_time.unwrap_or_default(),
                    deprecated_for: record.deprecated_for,
                    origin: record.origin,
                    in_buildcache: record.in_buildcache,
                },
            ))
        });
        Ok(Self { version: number, records: records.collect::<Result<_, DatabaseError>>()? })
    }

    /// The version it was written in.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The record of this hash.
    pub fn get(&self, hash: &DagHash) -> Option<&Record> {
        self.records.get(hash)
    }

    /// All records, by hash.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &Record> {
        self.records.values()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// The versions of databases and of the nodes in them (`spack-format` 1.5).
fn parse_spec(
    text: &Arc<String>,
    node: &RawValue,
    database: u32,
    hash: DagHash,
) -> Result<Spec, serde_json::Error> {
    let node = match database {
        5 => {
            let single: Single<'_> = serde_json::from_str(node.get())?;
            let raw = RawJson::part(text, single.value);
            LegacyNode::parse(raw, Some(single.name.into()), 1, Some(hash))?
        }
        6 | 7 => LegacyNode::parse(RawJson::part(text, node), None, database - 3, Some(hash))?,
        _ => return Spec::parse_v5(RawJson::part(text, node), Some(hash)),
    };
    Ok(node.into_spec(&Targets::Keys).expect("every key leads somewhere"))
}
