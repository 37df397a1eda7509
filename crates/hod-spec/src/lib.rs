//! Spack's concrete specs and their graph, as values.
//!
//! A [`Spec`] is one node: what a user would call a package that was built in one certain way. It
//! refers to its dependencies by [`DagHash`]; what such a hash stands for is found in [`Nodes`],
//! be it the `spec.json` of one prefix ([`SpecFile`]) or a database of many ([`Database`]).
//!
//! Everything read keeps its text ([`RawJson`]): hashes were computed by another program over
//! those bytes, so they are carried on as they are.
//!
//! What this crate does not do: no I/O, no locks, no concretization. Rules cite the reference
//! document "Spack binary build-cache format" by section.

mod database;
mod deptype;
mod describe;
mod file;
mod graph;
mod hash;
mod index;
mod parameter;
mod python;
mod query;
mod raw;
mod spec;
mod target;
mod text;
mod version;

pub use database::{Database, DatabaseError, Record};
pub use deptype::Deptypes;
pub use file::{NodeName, SpecFile, SpecFileError};
pub use graph::{
    Nodes, Selection, Topological, push_order, relocation_set, render_spec, runtime_closure,
};
pub use hash::{DagHash, DagHashError};
pub use index::render_buildcache_index;
pub use parameter::{Parameters, Variant};
pub use query::{Query, QueryError, QueryFault};
pub use raw::RawJson;
pub use spec::{Arch, Dependency, External, Spec};
pub use target::Target;
pub use version::Version;
