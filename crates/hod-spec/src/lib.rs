//! Spack's concrete specs and their graph, as values.
//!
//! A [`Spec`] is one node: what a user would call a package that was built in one certain way. It
//! refers to its dependencies by [`DagHash`]; what such a hash stands for is found in [`Nodes`],
//! be it the `spec.json` of one prefix ([`SpecFile`]) or a database of many ([`Database`]).
//!
//! Everything read keeps its text ([`RawJson`]): hashes were computed by another program over
//! those bytes, so they are carried on as they are. All versions of the format give the same view,
//! and what is written is always the newest.
//!
//! ```
//! use hod_spec::{Query, SpecFile, Topological};
//!
//! let text = r#"{"spec":{"_meta":{"version":5},"nodes":[
//!     {"name":"hello","version":"2.10","namespace":"builtin","parameters":{"nls":true},
//!      "dependencies":[{"name":"zlib","hash":"yox7nsrab6dhdlxlapu6hg33h4atwgrx",
//!                       "parameters":{"deptypes":["build","link"],"virtuals":[]}}],
//!      "hash":"arbvturvzrczc6dyodbycjav7qqhraus"},
//!     {"name":"zlib","version":"1.2.13","hash":"yox7nsrab6dhdlxlapu6hg33h4atwgrx"}]}}"#;
//! let file = SpecFile::parse(text.as_bytes().to_vec())?;
//! assert_eq!(file.root().describe(), "hello@=2.10+nls");
//!
//! // What an image of it holds, the lowest layer first.
//! let order = Topological::new(&file, [file.root()]);
//! let layers: Vec<String> = order.dependencies_first().map(|spec| spec.label()).collect();
//! assert_eq!(layers, ["zlib@1.2.13/yox7nsr", "hello@2.10/arbvtur"]);
//!
//! let query: Query = "hello@2: +nls ^zlib@1.2".parse()?;
//! assert!(query.matches(file.root(), &file));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What this crate does not do: no I/O, no locks, no concretization, nothing that takes a recipe.
//! Rules cite the reference document "Spack binary build-cache format" by section.

mod database;
mod deptype;
mod describe;
mod file;
mod graph;
mod hash;
mod index;
mod parameter;
pub mod python;
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
