//! Changing the database while nobody else does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hod_spec::{DagHash, Database, Deptypes, Nodes, Record, Spec};

use super::super::tree::Records;
use super::super::{DATABASE, Store};
use super::commit;
use crate::{Error, Layout, Lock, SpecMetadata};

/// Exclusive use of the database. What was done in it counts from [`commit`](Self::commit) on;
/// without that, nothing has happened.
#[derive(Debug)]
#[must_use = "nothing is written before it is committed"]
pub struct Transaction {
    store: Store,
    layout: Layout,
    is_changed: bool,
    lock: Option<Lock>,
}

/// What the database is to say of a package besides its spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Installation {
    /// The prefix as recorded, if it is not where the layout puts the package.
    pub path: Option<PathBuf>,
    /// Whether a user asked for it; `None` leaves that as it is, and is no for a new record.
    pub explicit: Option<bool>,
    /// In seconds since 1970.
    pub time: f64,
}

/// What became of a package that was to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It is recorded as installed.
    Installed,
    /// It is recorded as one that is not installed: the prefix is not there or of another spec.
    Missing,
    /// An upstream store has it installed, so that it needs no record here.
    Upstream,
}

/// What became of a record that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Gone,
    /// It says now that the package is not installed; others depend on it.
    Kept,
}

impl Transaction {
    pub(super) fn new(store: Store, layout: Layout, lock: Option<Lock>) -> Self {
        Self { store, layout, is_changed: false, lock }
    }

    /// The store with all changes so far.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The records with all changes so far; not those of upstream stores.
    pub fn database(&self) -> &Database {
        match &self.store.tree.records {
            Records::Database(database) => database,
            Records::Walk(_) => unreachable!("a store is opened for writing with its database"),
        }
    }

    pub(super) fn database_mut(&mut self) -> &mut Database {
        self.is_changed = true;
        match &mut self.store.tree.records {
            Records::Database(database) => database,
            Records::Walk(_) => unreachable!("a store is opened for writing with its database"),
        }
    }

    /// Records a package, and all it depends on that has no record, in the way of Spack
    /// (`Database._add`): what is in its place on disk counts as installed. `nodes` has the specs.
    pub fn add(
        &mut self,
        nodes: &dyn Nodes,
        hash: &DagHash,
        installation: &Installation,
    ) -> Result<Registered, Error> {
        let store = || self.store.location().to_owned();
        let root =
            nodes.node(hash).ok_or_else(|| Error::NoRecord { hash: *hash, store: store() })?;
        if self.is_installed_upstream(hash) {
            return Ok(Registered::Upstream);
        }
        // First all that can fail, so that the records stay in order.
        let mut new = Vec::new();
        for spec in self.unknown(nodes, root)? {
            let is_root = spec.hash == *hash;
            let path = installation.path.as_deref().filter(|_| is_root);
            let (path, installed) = self.look(spec, nodes, path)?;
            new.push(Record {
                ref_count: self.references(&spec.hash),
                path,
                installed,
                explicit: is_root && installation.explicit.unwrap_or_default(),
                installation_time: installation.time,
                ..spec.clone().into()
            });
        }
        let is_new = new.last().is_some_and(|record| record.spec.hash == *hash);
        let installed = match new.last().filter(|_| is_new) {
            Some(record) => record.installed,
            None => self.look(root, nodes, installation.path.as_deref())?.1,
        };
        for record in new {
            let dependencies: Vec<DagHash> =
                record.spec.dependencies.iter().map(|edge| edge.hash).collect();
            let database = self.database_mut();
            database.insert(record);
            for dependency in dependencies {
                if let Some(record) = database.get_mut(&dependency) {
                    record.ref_count += 1;
                }
            }
        }
        if !is_new && let Some(record) = self.database_mut().get_mut(hash) {
            record.installed = installed;
            record.installation_time = installation.time;
            record.explicit = installation.explicit.unwrap_or(record.explicit);
        }
        Ok(if installed { Registered::Installed } else { Registered::Missing })
    }

    /// The specs below and with `root` that get a record, dependencies first. What is known is not
    /// looked below.
    fn unknown<'n>(&'n self, nodes: &'n dyn Nodes, root: &'n Spec) -> Result<Vec<&'n Spec>, Error> {
        enum Step<'n> {
            Enter(&'n Spec),
            Leave(&'n Spec),
        }
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        let mut steps = vec![Step::Enter(root)];
        while let Some(step) = steps.pop() {
            let spec = match step {
                Step::Enter(spec) => spec,
                Step::Leave(spec) => {
                    order.push(spec);
                    continue;
                }
            };
            let is_known = self.database().get(&spec.hash).is_some();
            // The root's dependencies may be missing even if it is there.
            if is_known && spec.hash != root.hash || !seen.insert(spec.hash) {
                continue;
            }
            if !is_known {
                steps.push(Step::Leave(spec));
            }
            let tracked = spec.dependencies.iter();
            for edge in tracked.rev().filter(|edge| edge.deptypes.intersects(Deptypes::ALL)) {
                if self.is_installed_upstream(&edge.hash) {
                    continue;
                }
                match nodes.node(&edge.hash).or_else(|| self.store.node(&edge.hash)) {
                    Some(child) => steps.push(Step::Enter(child)),
                    None => {
                        return Err(Error::UnknownDependency {
                            spec: spec.label(),
                            dependency: format!("{}/{}", edge.name, edge.hash.short()),
                        });
                    }
                }
            }
        }
        Ok(order)
    }

    /// How many records refer to a spec that has none yet. That happens if it was upstream until
    /// now; Spack takes nought for granted, and counts right with `spack reindex`.
    fn references(&self, hash: &DagHash) -> u64 {
        if self.store.upstreams.is_empty() {
            return 0;
        }
        let refers = |record: &Record| {
            let mut edges = record.spec.dependencies.iter();
            u64::from(edges.any(|edge| edge.hash == *hash))
                + u64::from(record.deprecated_for == Some(*hash))
        };
        self.database().records().map(refers).sum()
    }

    /// Whether the spec has no record here and is installed upstream.
    fn is_installed_upstream(&self, hash: &DagHash) -> bool {
        self.store.is_upstream(hash)
            && self.store.record(hash).is_some_and(|record| record.installed)
    }

    /// Where a spec is or would be, and whether it is there (`ensure_installed` in Spack's
    /// `directory_layout.py`). Externals always are.
    fn look(
        &self,
        spec: &Spec,
        nodes: &dyn Nodes,
        path: Option<&Path>,
    ) -> Result<(Option<Box<str>>, bool), Error> {
        if let Some(external) = &spec.external {
            return Ok((external.path.clone(), true));
        }
        let path = match path {
            Some(path) => Some(path.to_owned()),
            None => self
                .layout
                .prefix_of(spec, nodes)
                .map_err(|source| Error::Layout { spec: spec.label(), source: source.into() })?,
        };
        let Some(path) = path else { return Ok((None, true)) };
        let location = self.store.tree.locate(&path);
        let installed = SpecMetadata::read(&location, Some(&spec.hash)).is_ok();
        match path.to_str() {
            Some(text) => Ok((Some(text.into()), installed)),
            None => Err(Error::NotUtf8 { path }),
        }
    }

    /// Says whether a user asked for a package that has a record here.
    pub fn set_explicit(&mut self, hash: &DagHash, explicit: bool) -> Result<(), Error> {
        if self.own(hash)?.explicit != explicit
            && let Some(record) = self.database_mut().get_mut(hash)
        {
            record.explicit = explicit;
        }
        Ok(())
    }

    /// Removes the record of a package, and of what it depends on if that is not installed and
    /// nothing else refers to it (`Database._remove`). One that others refer to stays, and says
    /// that the package is not installed.
    pub fn remove(&mut self, hash: &DagHash) -> Result<Removed, Error> {
        let is_needed = self.own(hash)?.ref_count > 0;
        let database = self.database_mut();
        if is_needed {
            if let Some(record) = database.get_mut(hash) {
                record.installed = false;
            }
            return Ok(Removed::Kept);
        }
        let mut gone: Vec<Record> = database.remove(hash).into_iter().collect();
        while let Some(record) = gone.pop() {
            let dependencies = record.spec.dependencies.iter().map(|edge| edge.hash);
            // Spack forgets the replacement of a record that goes because its last dependent did,
            // and counts again with `spack reindex`.
            for referred in dependencies.chain(record.deprecated_for) {
                let Some(record) = database.get_mut(&referred) else { continue };
                record.ref_count = record.ref_count.saturating_sub(1);
                if record.ref_count == 0 && !record.installed {
                    gone.extend(database.remove(&referred));
                }
            }
        }
        Ok(Removed::Gone)
    }

    fn own(&self, hash: &DagHash) -> Result<&Record, Error> {
        let store = || self.store.location().to_owned();
        self.database().get(hash).ok_or_else(|| Error::NoRecord { hash: *hash, store: store() })
    }

    /// Writes the database if anything changed. If that fails, the old one is still there.
    pub fn commit(self) -> Result<(), Error> {
        self.commit_and_hold().map(drop)
    }

    /// As [`commit`](Self::commit); nobody else uses the database before what this returns is
    /// dropped. For what must be done before anybody looks at packages that lost their records:
    /// `spack reindex` would record them again.
    pub fn commit_and_hold(self) -> Result<Option<Lock>, Error> {
        if self.is_changed {
            commit::commit(&self.store.location().join(DATABASE), self.database())?;
        }
        Ok(self.lock)
    }
}
