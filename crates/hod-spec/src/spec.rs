//! One node of the graph.

mod digest;
mod field;
pub(crate) mod legacy;
mod render;
mod v5;

use std::borrow::Cow;

use crate::{DagHash, Deptypes, RawJson};

pub(crate) use render::{Direct, field, render, write_list};

/// One concrete spec. The text it was read from is beside the view (`spack-format` 2.1).
///
/// The view is the same whatever version of the format the text has; [`v5_text`](Self::v5_text)
/// is the text in the newest one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The package's name.
    pub name: Box<str>,
    /// The version, as written.
    pub version: Box<str>,
    /// The hash it is known by. Taken as stored, never computed: old hashes cannot be.
    pub hash: DagHash,
    /// What it was built for.
    pub arch: Arch,
    /// The recipe repository it comes from.
    pub namespace: Box<str>,
    /// Edges to what it needs, sorted by name and then by types, each hash once.
    pub dependencies: Box<[Dependency]>,
    /// Set if Spack did not install it but found it.
    pub external: Option<External>,
    /// Of a spliced spec: the one whose binary this is.
    pub build_spec: Option<DagHash>,
    /// `name@=version` of the compiler, where it is no dependency: in specs first written before
    /// specfile version 5.
    pub compiler: Option<Box<str>>,
    pub(crate) format: u32,
    pub(crate) original_format: u32,
    pub(crate) raw: RawJson,
}

/// What a spec was built for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arch {
    /// `linux`, `darwin` …
    pub platform: Box<str>,
    /// `ubuntu24.04` …
    pub os: Box<str>,
    /// The microarchitecture's name, such as `x86_64_v3`.
    pub target: Box<str>,
}

/// An edge of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The name of what is depended on.
    pub name: Box<str>,
    /// Its hash.
    pub hash: DagHash,
    /// What for.
    pub deptypes: Deptypes,
    /// The virtual packages it provides on this edge, such as `mpi`.
    pub virtuals: Box<[Box<str>]>,
    /// The edge says that it is a direct one. All edges are; Spack marks those it read from old
    /// formats.
    pub direct: bool,
}

/// A package Spack found on the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Where.
    pub path: Option<Box<str>>,
    /// The environment modules that bring it.
    pub modules: Box<[Box<str>]>,
}

impl Spec {
    /// The JSON object this was read from. Of specfile version 1, where the name is the key of the
    /// object, what is under the name.
    pub fn text(&self) -> &str {
        self.raw.as_str()
    }

    /// The specfile version whose form [`text`](Self::text) has.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// The specfile version in which this spec was first written.
    pub fn original_format(&self) -> u32 {
        self.original_format
    }

    /// The node as specfile version 5 has it: the text itself if it has that form already, else
    /// what Spack 1.x makes of it when it writes a spec it read from an older file
    /// (`spack-format` 2.3).
    ///
    /// Two things differ from Spack, since both need data this crate does not have. An object in
    /// `arch.target` stays as it is in the file, while Spack writes that microarchitecture as its
    /// own table has it (more features, other parents, `cpupart`). And the virtual packages on the
    /// edges of versions 1 to 3, which did not record them, stay unknown, while Spack finds them
    /// with the recipes, where it has those.
    pub fn v5_text(&self) -> Cow<'_, str> {
        if self.format >= 5 {
            Cow::Borrowed(self.text())
        } else {
            Cow::Owned(render::render(self, Direct::Written))
        }
    }

    /// `name@version/1234567`.
    pub fn label(&self) -> String {
        format!("{}@{}/{}", self.name, self.version, self.hash.short())
    }
}

/// Sorts edges as Spack walks them, and joins those to the same spec, as Spack does on reading.
fn settle(mut edges: Vec<Dependency>) -> Box<[Dependency]> {
    let is_settled = edges.windows(2).all(|pair| pair[0].name < pair[1].name);
    if !is_settled {
        edges.sort_by_key(|edge| edge.hash);
        edges.dedup_by(|later, first| {
            let is_same = later.hash == first.hash;
            if is_same {
                first.deptypes |= later.deptypes;
                let both = first.virtuals.iter().chain(&later.virtuals).cloned();
                first.virtuals =
                    both.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
            }
            is_same
        });
        edges.sort_by(|a, b| {
            let by_name = a.name.cmp(&b.name).then(a.deptypes.bits().cmp(&b.deptypes.bits()));
            by_name.then_with(|| a.virtuals.cmp(&b.virtuals)).then(a.direct.cmp(&b.direct))
        });
    }
    edges.into()
}
