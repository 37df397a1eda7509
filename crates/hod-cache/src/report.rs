//! What happens while a verb works.

use hod_mirror::Waiting;

/// One thing that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Work on a package began.
    Started {
        /// The package, as `name@version` or with its hash where it is known.
        package: &'a str,
    },
    /// Bytes of a package's tar stream are done. Comes often.
    Progress {
        /// The package.
        package: &'a str,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
    },
    /// Work on a package ended, in whatever order packages end.
    Ended {
        /// The package.
        package: &'a str,
        /// How.
        outcome: &'a crate::Outcome,
    },
    /// The installation of a package ended.
    Installed {
        /// The package.
        package: &'a str,
        /// How.
        result: &'a crate::InstallResult,
    },
    /// Something was left out or done differently than one might think.
    Warning {
        /// The package it concerns.
        package: &'a str,
        /// What, in one sentence.
        message: String,
    },
    /// What is in the mirror already is known.
    Probed {
        /// Specs that are there completely.
        there: usize,
        /// Packages that need work.
        left: usize,
    },
    /// Entries are read for the index.
    Indexing {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
    },
    /// Another process holds a lock.
    Waiting {
        /// Who holds it.
        waiting: &'a Waiting,
    },
}

/// Listens to [`Event`]s. Called from many threads.
pub trait Reporter: Sync {
    /// Something happened.
    fn report(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>) + Sync> Reporter for F {
    fn report(&self, event: Event<'_>) {
        self(event);
    }
}
