//! Where a package goes in a store: Spack's projections (`spack-format` 1.1).
//!
//! Of what is installed already, the database says where it is. Only for what is not does one ask
//! here, and what takes a recipe or a table of processors to decide is refused, never guessed: a
//! package in another place than Spack's would be installed twice.

use std::path::{Path, PathBuf};

use hod_spec::{DagHash, Nodes, Query, QueryError, Spec};

#[cfg(test)]
mod tests;
mod token;

/// Spack's own projection since 1.0.
const DEFAULT: (&str, &str) =
    ("all", "{architecture.platform}-{architecture.target}/{name}-{version}-{hash}");

/// The database's directory, where no package may go.
const DATABASE: &str = ".spack-db";

/// The layout of a store: its root, and for which packages there is which path below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    /// Conditions and paths, in lower case, in the order in which they are tried.
    projections: Vec<(String, String)>,
}

/// Why there is no place for a package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The hash is to be cut short where a projection has no `{hash}`.
    #[error(
        "`config:install_hash_length` needs `{{hash}}` in the projection `{key}`, which is `{projection}`"
    )]
    HashLength {
        /// Its key.
        key: String,
        /// Its path.
        projection: String,
    },
    /// The key of a projection is more than can be asked of a spec that is built already.
    #[error("cannot decide whether the projection `{key}` is for `{spec}`")]
    Undecided {
        /// The key.
        key: String,
        /// The package.
        spec: String,
        /// Why.
        source: Box<QueryError>,
    },
    /// No projection is for the package, and there is none for `all`.
    #[error("no projection says where `{spec}` goes")]
    NoProjection {
        /// The package.
        spec: String,
    },
    /// A part of the path that cannot be known here, or not of this package.
    #[error("cannot tell what `{token}` of the projection `{key}` is for `{spec}`")]
    Token {
        /// The key of the projection.
        key: String,
        /// With its braces.
        token: String,
        /// The package.
        spec: String,
    },
    /// The path is no place for a package: nowhere, above the root, or among the database's files.
    #[error("the projection `{key}` puts `{spec}` at `{path}`, which is no place in the store")]
    Outside {
        /// The key of the projection.
        key: String,
        /// The package.
        spec: String,
        /// What became of the projection.
        path: String,
    },
}

impl Layout {
    /// The layout with these projections, as `config:install_tree:projections` has them, or with
    /// Spack's own if there are none. `hash_length` is `config:install_hash_length`.
    ///
    /// `root` is the root as recorded: what prefixes begin with.
    pub fn new(
        root: &Path,
        projections: &[(String, String)],
        hash_length: Option<u64>,
    ) -> Result<Self, LayoutError> {
        let own = [(DEFAULT.0.to_owned(), DEFAULT.1.to_owned())];
        let projections = if projections.is_empty() { &own } else { projections };
        let lowered = projections.iter().map(|(key, projection)| {
            // Spack does so for the sake of file systems that know no case.
            let mut projection = projection.to_lowercase();
            if let Some(length) = hash_length {
                if !projection.contains("{hash}") {
                    return Err(LayoutError::HashLength { key: key.clone(), projection });
                }
                projection = projection.replace("{hash}", &format!("{{hash:{length}}}"));
            }
            Ok((key.clone(), projection))
        });
        Ok(Self { root: root.to_owned(), projections: lowered.collect::<Result<_, _>>()? })
    }

    /// What all prefixes begin with.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a package is to be installed, always below the root; an external where it is, if it
    /// has a path. `nodes` has what it depends on.
    ///
    /// The first projection counts whose key is true of the spec, else that of `all`. A key that is
    /// a name is taken for a package's; Spack looks into its recipes whether it is a virtual one.
    pub fn prefix_of(
        &self,
        spec: &Spec,
        nodes: &dyn Nodes,
    ) -> Result<Option<PathBuf>, LayoutError> {
        if let Some(external) = &spec.external {
            return Ok(external.path.as_deref().map(PathBuf::from));
        }
        let (key, projection) = self.projection_for(spec, nodes)?;
        let relative = path(key, projection, spec, nodes)?;
        Ok(Some(self.root.join(relative)))
    }

    fn projection_for(&self, spec: &Spec, nodes: &dyn Nodes) -> Result<(&str, &str), LayoutError> {
        let mut fallback = None;
        for (key, projection) in &self.projections {
            if key == DEFAULT.0 {
                fallback = Some((&**key, &**projection));
                continue;
            }
            let query: Query =
                key.parse().map_err(|source: QueryError| LayoutError::Undecided {
                    key: key.clone(),
                    spec: spec.label(),
                    source: source.into(),
                })?;
            if query.matches(spec, nodes) {
                return Ok((key, projection));
            }
        }
        fallback.ok_or_else(|| LayoutError::NoProjection { spec: spec.label() })
    }
}

/// Puts the parts of the spec into a projection. What they are is kept from making directories of
/// its own (`format_path` in Spack's `spec.py`).
fn path(
    key: &str,
    projection: &str,
    spec: &Spec,
    nodes: &dyn Nodes,
) -> Result<PathBuf, LayoutError> {
    let outside =
        |path: String| LayoutError::Outside { key: key.to_owned(), spec: spec.label(), path };
    let unknown = |token: &str| LayoutError::Token {
        key: key.to_owned(),
        token: token.to_owned(),
        spec: spec.label(),
    };
    // Spack puts variables of its own and of the environment in their place.
    if let Some(at) = projection.find(['$', '~']) {
        return Err(unknown(&projection[at..]));
    }
    if projection.starts_with('/') {
        return Err(outside(projection.to_owned()));
    }
    let mut names = Vec::new();
    for part in projection.split('/').filter(|part| !matches!(*part, "" | ".")) {
        let name = token::replaced(part, spec, nodes).map_err(|token| unknown(&token))?;
        names.push(polite(name.trim()));
    }
    names.retain(|name| !matches!(&**name, "" | "."));
    let is_place = names.first().is_some_and(|first| first != DATABASE)
        && names.iter().all(|name| name != "..");
    if is_place { Ok(names.iter().collect()) } else { Err(outside(names.join("/"))) }
}

/// A name that needs no quotes anywhere (`polite_filename` in Spack's `filesystem.py`).
fn polite(name: &str) -> String {
    let is_polite = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | '-');
    name.chars().map(|c| if is_polite(c) { c } else { '_' }).collect()
}

/// The first characters of a hash.
fn cut(hash: &DagHash, length: usize) -> String {
    hash.to_string().chars().take(length).collect()
}
