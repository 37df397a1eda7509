//! What a check found.

use std::path::PathBuf;

use super::graph::Graph;
use super::spack::Spack;
use super::v2::V2;
use super::{Problem, Tags};

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckProgress {
    /// Blobs read.
    pub blobs_done: u64,
    /// Blobs there.
    pub blobs: u64,
    /// Bytes read.
    pub bytes_done: u64,
    /// Bytes there.
    pub bytes: u64,
}

/// What a check counted and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Entries of the index.
    pub entries: u64,
    /// Different manifests of images.
    pub manifests: u64,
    /// Packages of the Spack half, in either layout.
    pub packages: u64,
    /// Packages that are signed; whether the signatures are good was not looked at.
    pub signed: u64,
    /// Packages that the index of the Spack half does not have: Spack installs them, but does not
    /// list them. No damage, since an index is brought up to date when somebody asks for it.
    pub unindexed: Vec<String>,
    /// Packages that only the index has.
    pub withdrawn: Vec<String>,
    /// Blobs read, documents included.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Things of other tools that could not be checked: entries with other digest algorithms,
    /// content that may lawfully be absent.
    pub unchecked: u64,
    /// Whether everything that may name blobs was understood. Otherwise none is called orphaned:
    /// what an unreadable manifest names must not be taken for waste.
    pub are_orphans_known: bool,
    /// Everything found, by path.
    pub findings: Vec<Finding>,
}

/// One thing a check found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
    /// The tags that lead to it.
    pub tags: Vec<String>,
}

impl CheckReport {
    /// Whether everything published is whole. Orphans do not count.
    pub fn is_undamaged(&self) -> bool {
        self.damaged().next().is_none()
    }

    /// The findings that are damage.
    pub fn damaged(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.problem.is_damage())
    }

    /// The findings that only take up room.
    pub fn orphaned(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.problem.is_damage())
    }

    pub(super) fn find(&mut self, path: PathBuf, problem: Problem, tags: &Tags) {
        self.findings.push(Finding { path, problem, tags: tags.iter().cloned().collect() });
    }

    pub(super) fn count(&mut self, graph: &Graph, entries: usize) {
        self.entries = entries as u64 + self.unchecked;
        self.manifests = graph.manifest_count();
        self.unchecked += graph.unchecked;
        self.are_orphans_known &= graph.is_complete;
    }

    pub(super) fn count_spack(&mut self, spack: Spack, v2: &V2) {
        self.packages = spack.packages.len() as u64 + v2.packages;
        self.signed = spack.signed + v2.signed;
        self.unindexed = spack.unindexed().chain(v2.unindexed.iter().cloned()).collect();
        self.withdrawn = spack.withdrawn().chain(v2.withdrawn.iter().cloned()).collect();
        self.are_orphans_known &= spack.is_complete;
        for (path, problem, tags) in spack.findings {
            self.find(path, problem, &tags);
        }
    }
}
