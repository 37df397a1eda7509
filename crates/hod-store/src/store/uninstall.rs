//! What stands in the way of removing a package.

use std::collections::BTreeSet;

use hod_spec::{DagHash, Deptypes, Record};

use super::Store;

impl Store {
    /// The installed packages of this store that need one of `hashes` to work, directly or through
    /// others, over link and run edges; those are not among them. `spack uninstall` refuses to
    /// leave them behind (`installed_dependents` in its `cmd/uninstall.py`).
    ///
    /// What was built with a package and does not need it since stands in nobody's way; the record
    /// of the package stays for it, as of one that is not installed. A deprecated package is a link
    /// to the one that is used instead, so what needs the one needs the other; Spack lets that go.
    pub fn dependents(&self, hashes: &[DagHash]) -> Vec<&Record> {
        let mut needing: BTreeSet<DagHash> = hashes.iter().copied().collect();
        let mut found: BTreeSet<DagHash> = BTreeSet::new();
        // A record may be reached before what it depends on: hashes are in no order.
        loop {
            let before = needing.len();
            for record in self.records() {
                let needs = |edge: &hod_spec::Dependency| {
                    edge.deptypes.intersects(Deptypes::RUNTIME) && needing.contains(&edge.hash)
                };
                let spec = &record.spec;
                let is_link = record.deprecated_for.is_some_and(|hash| needing.contains(&hash));
                if !needing.contains(&spec.hash) && (is_link || spec.dependencies.iter().any(needs))
                {
                    needing.insert(spec.hash);
                    found.insert(spec.hash);
                }
            }
            if needing.len() == before {
                break;
            }
        }
        let is_found = |record: &&Record| record.installed && found.contains(&record.spec.hash);
        self.records().filter(is_found).collect()
    }

    /// The installed packages of this store that have a direct edge of any type to this one, and
    /// none to link or run it: they were built or tested with it.
    pub fn built_with(&self, hash: &DagHash) -> Vec<&Record> {
        let is_built_with = |record: &&Record| {
            let mut edges = record.spec.dependencies.iter().filter(|edge| edge.hash == *hash);
            record.installed
                && edges.clone().next().is_some()
                && edges.all(|edge| !edge.deptypes.intersects(Deptypes::RUNTIME))
        };
        self.records().filter(is_built_with).collect()
    }
}
