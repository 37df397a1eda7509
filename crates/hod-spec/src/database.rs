//! `index.json`: many specs, and what became of each. Spack has one in each store, of what is
//! installed, and one in each build cache, of what is to be had (`spack-format` 1.5, 4.5).

mod parse;
mod render;

use std::collections::BTreeMap;

use crate::{DagHash, Spec};

/// A database, by hash.
#[derive(Debug, Clone, PartialEq)]
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

impl Database {
    /// The oldest version that can be read.
    pub const OLDEST: u32 = 5;
    /// The newest version that can be read; the one that is written.
    pub const NEWEST: u32 = 8;

    /// Reads a database.
    ///
    /// Large ones are read by several threads. What is kept of a record besides its text is small,
    /// so that a database takes about twice the size of its file.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        let (version, records) = parse::parse(bytes)?;
        Ok(Self { version, records })
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

    /// Adds a record, and gives back the one of the same hash that was there.
    pub fn insert(&mut self, record: Record) -> Option<Record> {
        self.records.insert(record.spec.hash, record)
    }

    /// The record of this hash, to be changed. Its spec must keep its hash.
    pub fn get_mut(&mut self, hash: &DagHash) -> Option<&mut Record> {
        self.records.get_mut(hash)
    }

    /// Takes out the record of this hash.
    pub fn remove(&mut self, hash: &DagHash) -> Option<Record> {
        self.records.remove(hash)
    }

    /// The text of a store's database in the newest version, as Spack writes it: compact, in ASCII,
    /// with the fields that records of a store have and no other, since one that Spack does not
    /// know makes the database unreadable to it (`spack-format` 1.5). Nodes keep their text.
    ///
    /// Spack writes the records in the order in which it came by them. Here they are sorted by
    /// hash, so that the bytes are a function of the records.
    pub fn render(&self) -> String {
        render::render(&self.records)
    }
}

/// An empty one of the newest version.
impl Default for Database {
    fn default() -> Self {
        Self { version: Self::NEWEST, records: BTreeMap::new() }
    }
}

/// One of the newest version; of records of one hash the last counts.
impl FromIterator<Record> for Database {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let records = records.into_iter().map(|record| (record.spec.hash, record));
        Self { records: records.collect(), ..Self::default() }
    }
}

impl From<Spec> for Record {
    /// A record that says nothing but that there is such a spec.
    fn from(spec: Spec) -> Self {
        Self {
            spec,
            ref_count: 0,
            path: None,
            installed: false,
            explicit: false,
            installation_time: 0.0,
            deprecated_for: None,
            origin: None,
            in_buildcache: false,
        }
    }
}
