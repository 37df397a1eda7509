//! One install tree: a root and what is known of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hod_spec::{DagHash, Database, Record};

use super::Prefix;

#[derive(Debug)]
pub(super) struct Tree {
    /// As recorded.
    pub(super) root: PathBuf,
    /// On this machine.
    pub(super) location: PathBuf,
    pub(super) records: Records,
}

/// Where the records come from.
#[derive(Debug)]
pub(super) enum Records {
    Database(Database),
    Walk(BTreeMap<DagHash, Record>),
}

impl Records {
    pub(super) fn get(&self, hash: &DagHash) -> Option<&Record> {
        match self {
            Self::Database(database) => database.get(hash),
            Self::Walk(records) => records.get(hash),
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = &Record> + '_> {
        match self {
            Self::Database(database) => Box::new(database.records()),
            Self::Walk(records) => Box::new(records.values()),
        }
    }
}

impl Tree {
    pub(super) fn record(&self, hash: &DagHash) -> Option<&Record> {
        self.records.get(hash)
    }

    pub(super) fn records(&self) -> Box<dyn Iterator<Item = &Record> + '_> {
        self.records.iter()
    }

    pub(super) fn prefix(&self, record: &Record) -> Option<Prefix> {
        let recorded = Path::new(record.path.as_deref()?);
        // An external keeps its path even if the store it is recorded in was moved over it.
        if record.spec.external.is_some() {
            return Some(Prefix::in_place(recorded.to_owned()));
        }
        Some(Prefix { recorded: recorded.to_owned(), location: self.locate(recorded) })
    }

    /// Where a recorded path is on this machine. What is outside the root stays.
    pub(super) fn locate(&self, recorded: &Path) -> PathBuf {
        match recorded.strip_prefix(&self.root) {
            Ok(relative) if !relative.as_os_str().is_empty() => self.location.join(relative),
            Ok(_) => self.location.clone(),
            Err(_) => recorded.to_owned(),
        }
    }
}
