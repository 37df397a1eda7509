//! One node of the graph.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{DagHash, Deptypes, RawJson};

/// One concrete spec. The text it was read from is beside the view (`spack-format` 2.1).
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
    /// Edges to what it needs, sorted by name.
    pub dependencies: Box<[Dependency]>,
    /// Set if Spack did not install it but found it.
    pub external: Option<External>,
    /// Of a spliced spec: the one whose binary this is.
    pub build_spec: Option<DagHash>,
    /// `name@=version` of the compiler, where it is no dependency: in specs first written before
    /// specfile version 5.
    pub compiler: Option<Box<str>>,
    pub(crate) format: u32,
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
}

/// A package Spack found on the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Where.
    pub path: Option<Box<str>>,
}

impl Spec {
    /// The JSON object this was read from.
    pub fn text(&self) -> &str {
        self.raw.as_str()
    }

    /// The specfile version whose form [`text`](Self::text) has.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// `name@version/1234567`.
    pub fn label(&self) -> String {
        format!("{}@{}/{}", self.name, self.version, self.hash.short())
    }

    /// From a node of specfile version 5.
    pub(crate) fn parse_v5(raw: RawJson) -> Result<Self, serde_json::Error> {
        let node: NodeV5<'_> = serde_json::from_str(raw.as_str())?;
        let arch = node.arch.unwrap_or_default();
        Ok(Self {
            name: node.name.into(),
            version: node.version.into(),
            hash: node.hash,
            arch: Arch {
                platform: arch.platform.into(),
                os: arch.platform_os.into(),
                target: arch.target.name().into(),
            },
            namespace: node.namespace.into(),
            dependencies: node.dependencies.into_iter().map(EdgeV5::into_dependency).collect(),
            external: node
                .external
                .map(|external| External { path: external.path.map(Into::into) }),
            build_spec: node.build_spec.map(|build_spec| build_spec.hash),
            compiler: node.annotations.and_then(|notes| notes.compiler).map(Into::into),
            format: 5,
            raw,
        })
    }
}

#[derive(Deserialize)]
struct NodeV5<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    arch: Option<ArchText<'a>>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    external: Option<ExternalText<'a>>,
    #[serde(borrow, default)]
    dependencies: Vec<EdgeV5<'a>>,
    #[serde(default)]
    build_spec: Option<Reference>,
    #[serde(borrow, default)]
    annotations: Option<Annotations<'a>>,
    hash: DagHash,
}

#[derive(Deserialize, Default)]
pub(crate) struct ArchText<'a> {
    #[serde(borrow, default)]
    pub(crate) platform: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) platform_os: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) target: TargetText<'a>,
}

/// A name for generic targets, an object for all others.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum TargetText<'a> {
    Name(#[serde(borrow)] Cow<'a, str>),
    Object {
        #[serde(borrow)]
        name: Cow<'a, str>,
    },
}

impl Default for TargetText<'_> {
    fn default() -> Self {
        Self::Name(Cow::Borrowed(""))
    }
}

impl TargetText<'_> {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Object { name } => name,
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct ExternalText<'a> {
    #[serde(borrow, default)]
    pub(crate) path: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct EdgeV5<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    hash: DagHash,
    #[serde(borrow)]
    parameters: EdgeParameters<'a>,
}

#[derive(Deserialize)]
struct EdgeParameters<'a> {
    #[serde(borrow, default)]
    deptypes: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    virtuals: Vec<Cow<'a, str>>,
}

impl EdgeV5<'_> {
    fn into_dependency(self) -> Dependency {
        let types = self.parameters.deptypes.iter();
        Dependency {
            name: self.name.into(),
            hash: self.hash,
            deptypes: types
                .filter_map(|name| Deptypes::from_name(name))
                .fold(Deptypes::NONE, |all, one| all | one),
            virtuals: self.parameters.virtuals.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Deserialize)]
struct Reference {
    hash: DagHash,
}

#[derive(Deserialize)]
struct Annotations<'a> {
    #[serde(borrow, default)]
    compiler: Option<Cow<'a, str>>,
}
