//! What people type to name specs, such as `hdf5@1.14: +mpi ^openmpi`: the part of Spack's spec
//! syntax that asks about specs that are there. What needs recipes or a configuration to decide is
//! refused with its place, never guessed.

mod matching;
mod parse;
mod show;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::version::VersionRange;

/// A condition on a spec and what it depends on.
///
/// ```
/// use hod_spec::Query;
///
/// let query: Query = "hdf5@1.14: +mpi %gcc@12 ^zlib@=1.3".parse()?;
/// assert_eq!(query.name(), Some("hdf5"));
/// assert_eq!("/k3x7qpl".parse::<Query>()?.hash_prefix(), Some("k3x7qpl"));
///
/// let error = "hdf5@".parse::<Query>().unwrap_err();
/// assert_eq!(error.range, 5..5);
/// # Ok::<(), hod_spec::QueryError>(())
/// ```
///
/// | written | asks for |
/// | --- | --- |
/// | `zlib`, `builtin.zlib` | the package, of this repository |
/// | `@1.2`, `@=1.2`, `@1.2:1.4`, `@:1.4,2:` | 1.2 and what begins with it, exactly 1.2, ranges, lists |
/// | `@git.main`, a commit, each also with `=1.2` | this git reference |
/// | `+x`, `~x` or ` -x`, `x=a,b`, `x:=a,b`, `x=*` | a variant on, off, with these values, with no others, with any |
/// | `cflags="-O2 -g"` and others | at least these flags |
/// | `platform=`, `os=`, `target=`, `arch=p-o-t`, `namespace=` | where it runs, where it comes from |
/// | `/abc` | a hash that begins so |
/// | `%gcc@12`, `%c,cxx=gcc` | a direct dependency; in specs older than version 5 of the format, the compiler |
/// | `^mpich@4`, `^mpi` | a dependency, direct or over link and run edges, by its name or by what it provides |
///
/// A virtual package is known by the edges that say they provide it. So `^mpi` finds specs with any
/// MPI, `^mpi@3:` finds none, as only recipes know what versions are provided, and `mpi` is the
/// package of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    root: Node,
    transitive: Vec<Edge>,
}

/// Conditions on one spec and on what it depends on directly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    namespace: Option<Box<str>>,
    name: Option<Box<str>>,
    hash: Option<Box<str>>,
    /// Any of these; all versions if there are none.
    versions: Vec<VersionRange>,
    variants: BTreeMap<Box<str>, Wanted>,
    flags: BTreeMap<Box<str>, Vec<Box<str>>>,
    platform: Option<Box<str>>,
    os: Option<Box<str>>,
    target: Option<Box<str>>,
    direct: Vec<Edge>,
}

/// What the value of a variant should be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Bool(bool),
    Anything,
    /// Sorted, as all values are.
    Contains(Vec<Box<str>>),
    Equals(Vec<Box<str>>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    /// What the dependency is to provide.
    virtuals: Vec<Box<str>>,
    node: Node,
}

/// Text that is no query, with the place that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{text}` as a query: {fault}{}", self.found())]
pub struct QueryError {
    /// The whole text.
    pub text: Box<str>,
    /// Which bytes of it; empty where something is missing.
    pub range: Range<usize>,
    /// What is wrong.
    pub fault: QueryFault,
}

/// What is wrong with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryFault {
    /// Something else stands where a package or a constraint should.
    #[error("expected a package, `@version`, `+variant`, `key=value`, `/hash`, `%` or `^`")]
    ExpectedConstraint,
    /// Nothing, or something else, behind `@`, `,` or `:`.
    #[error("expected a version, such as `1.2`, `=1.2`, `1.2:1.4` or `1.2:`")]
    ExpectedVersion,
    /// Nothing, or something else, behind `+`, `~` or `-`.
    #[error("expected the name of a variant")]
    ExpectedVariant,
    /// Nothing, or something else, behind `=`, or something that is no value here.
    #[error("expected a value")]
    ExpectedValue,
    /// A quote that is not closed.
    #[error("expected the end of the quotes")]
    ExpectedQuote,
    /// Nothing, or something else, behind `/`.
    #[error(
        "expected the beginning of a hash: at most 32 characters from `a` to `z` and `2` to `7`"
    )]
    ExpectedHash,
    /// Nothing, or something else, behind `^` or `%`.
    #[error("expected a dependency")]
    ExpectedDependency,
    /// A second package without `^` or `%`.
    #[error("expected one spec; a dependency begins with `^`")]
    SecondSpec,
    /// The same thing was asked before.
    #[error("given twice")]
    Repeated,
    /// The end of a range is before its beginning.
    #[error("no version is in this range")]
    EmptyRange,
    /// This key takes a value, and is not on or off.
    #[error("this takes a value, as in `os=ubuntu24.04`")]
    NoVariant,
    /// `++`, `~~`, `--`, `==`, `%%`.
    #[error("propagation is for building, and cannot be asked for")]
    Propagation,
    /// `^[` or `%[`.
    #[error("attributes of dependencies are not supported")]
    EdgeAttributes,
    /// A file instead of a spec.
    #[error("a spec file is not supported here")]
    File,
    /// `target=x86_64_v3:`.
    #[error("ranges of targets are not supported")]
    TargetRange,
    /// `os=default_os`, `target=fe` and the like.
    #[error("what is the default on some machine is not supported")]
    HostDefault,
}

impl QueryError {
    fn found(&self) -> String {
        match self.text.get(self.range.clone()) {
            None | Some("") => String::new(),
            Some(found) => format!(", found `{found}`"),
        }
    }
}

impl Query {
    /// The name of the package, if it is asked for.
    pub fn name(&self) -> Option<&str> {
        self.root.name.as_deref()
    }

    /// What the hash should begin with.
    pub fn hash_prefix(&self) -> Option<&str> {
        self.root.hash.as_deref()
    }
}

/// The package of a compiler that had another name before it was one (Spack's `spack.aliases`).
fn package_of(compiler: &str) -> &str {
    match compiler {
        "clang" => "llvm",
        "oneapi" => "intel-oneapi-compilers",
        "rocmcc" => "llvm-amdgpu",
        "intel" => "intel-oneapi-compilers-classic",
        "arm" => "acfl",
        package => package,
    }
}

#[cfg(test)]
mod tests;
