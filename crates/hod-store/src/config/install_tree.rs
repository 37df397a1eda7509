//! `config:install_tree` (`parse_install_tree` in `spack/store.py`, `spack-format` 1.1).

use std::path::{Path, PathBuf};

use nix::unistd::PathconfVar;

use super::{ConfigWarning, Variables, mapping, mismatch, text};
use crate::Error;
use crate::padding::pad;
use crate::yaml::{Place, Yaml};

/// Where packages go that no projection says anything about.
const PROJECTION: &str = "{architecture.platform}-{architecture.target}/{name}-{version}-{hash}";
/// The same before Spack 1.0.
const OLD_PROJECTION: &str =
    "{architecture}/{compiler.name}-{compiler.version}/{name}-{version}-{hash}";
/// What Spack leaves of the longest path for what is below the root.
const BELOW_ROOT: usize = 300;

/// Where packages are installed: `config:install_tree`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstallTree {
    /// The root, padded.
    pub root: PathBuf,
    /// The root without padding.
    pub unpadded_root: PathBuf,
    /// Which specs are installed where in it: an abstract spec or `all`, and a path with tokens.
    /// In the order in which they are tried.
    pub projections: Vec<(String, String)>,
    /// How many characters of the hash `{hash}` stands for, if not all.
    pub hash_length: Option<u64>,
    /// The file, line and column that set the root; `None` for the default.
    pub place: Option<String>,
}

/// Where a Spack puts packages by default.
pub(super) fn projection(is_before_1_0: bool) -> &'static str {
    if is_before_1_0 { OLD_PROJECTION } else { PROJECTION }
}

/// Its value in a merged configuration. `None` if there is neither a root nor a Spack.
pub(super) fn read(
    config: Option<&Yaml>,
    projection: &str,
    variables: &Variables<'_>,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<Option<InstallTree>, Error> {
    let setting = |name: &str| config.and_then(|config| config.get(name));
    let tree = setting("install_tree");
    let old_scheme = setting("install_path_scheme").and_then(Yaml::text);
    let hash_length = setting("install_hash_length").map(|value| {
        value.number().ok_or_else(|| mismatch(value, "config:install_hash_length", "a number"))
    });
    let hash_length = hash_length.transpose()?;

    let mut projections = vec![("all".to_owned(), projection.to_owned())];
    let mut length = None;
    // Up to 1.1, a bare path.
    let root = if let Some(tree) = tree.filter(|tree| tree.text().is_some()) {
        let place = tree.place.to_string();
        warnings.push(ConfigWarning::Deprecated { place, setting: "config:install_tree" });
        if let Some(scheme) = old_scheme {
            projections = vec![("all".to_owned(), scheme.to_owned())];
        }
        Some(tree)
    } else if let Some(tree) = tree {
        for (key, value) in mapping(tree, "config:install_tree")? {
            if key.text == "root+" || key.text == "root-" {
                let (place, key) = (value.place.to_string(), key.text.clone());
                warnings.push(ConfigWarning::NotExtended { place, key });
            }
        }
        if let Some(value) = tree.get("projections") {
            projections.clear();
            for (key, value) in mapping(value, "config:install_tree:projections")? {
                let path = text(value, "config:install_tree:projections")?;
                projections.push((key.text.clone(), path.to_owned()));
            }
        }
        length = tree.get("padded_length").map(padded_length).transpose()?.flatten();
        tree.get("root")
    } else {
        None
    };

    let (text, place) = match (root, variables.spack_root) {
        (Some(root), _) => (text(root, "config:install_tree:root")?, Some(&root.place)),
        (None, Some(_)) => ("$spack/opt/spack", None),
        (None, None) => return Ok(None),
    };
    let nowhere = Place { file: Path::new("").into(), line: 0, column: 0 };
    let path = variables.path(text, place.unwrap_or(&nowhere), warnings);
    let path = match (path, root) {
        (Some(path), _) => path.to_string_lossy().into_owned(),
        (None, Some(root)) => return Err(mismatch(root, "config:install_tree:root", "a path")),
        (None, None) => return Ok(None),
    };
    // Where both ways are used, Spack leaves the older one in the path.
    let (path, length) = if length.is_some() { (path, length) } else { without_old_padding(&path) };
    let unpadded = if path == "/" { &*path } else { path.trim_end_matches('/') };
    let root = length.map_or_else(|| unpadded.to_owned(), |length| pad(unpadded, length));
    if let Some(length) = length.filter(|length| root.chars().count() != *length) {
        warnings.push(ConfigWarning::NotPadded { root: root.clone(), length });
    }
    Ok(Some(InstallTree {
        root: root.into(),
        unpadded_root: unpadded.into(),
        projections,
        hash_length,
        place: place.map(ToString::to_string),
    }))
}

fn padded_length(value: &Yaml) -> Result<Option<usize>, Error> {
    let error = || mismatch(value, "config:install_tree:padded_length", "a number, true or false");
    match (value.boolean(), value.number()) {
        (Some(is_padded), _) => Ok(is_padded.then(longest)),
        (_, Some(0)) => Ok(None),
        (_, Some(length)) => possible(length).map(Some).ok_or_else(error),
        _ => Err(error()),
    }
}

/// The length of a root that is padded as far as it can be.
fn longest() -> usize {
    let most = nix::unistd::pathconf("/", PathconfVar::PATH_MAX).ok().flatten();
    most.and_then(|most| usize::try_from(most).ok()).unwrap_or(256).saturating_sub(BELOW_ROOT)
}

/// A length no path can have is a slip.
fn possible(length: u64) -> Option<usize> {
    usize::try_from(length).ok().filter(|length| *length <= longest() + BELOW_ROOT)
}

/// An older way to ask for padding, within the path: `$padding`, `${padding:128}`.
fn without_old_padding(path: &str) -> (String, Option<usize>) {
    for (open, close) in [("$padding", ""), ("${padding", "}")] {
        let Some(at) = path.find(open) else { continue };
        let rest = &path[at + open.len()..];
        let digits = rest.strip_prefix(':').unwrap_or("");
        let digits = &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())];
        let taken = if digits.is_empty() { 0 } else { digits.len() + 1 };
        if !rest[taken..].starts_with(close) {
            continue;
        }
        let length =
            if taken == 0 { Some(longest()) } else { digits.parse().ok().and_then(possible) };
        let path = format!("{}{}", &path[..at], &rest[taken + close.len()..]);
        return (path, length);
    }
    (path.to_owned(), None)
}
