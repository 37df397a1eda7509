//! A prefix on this machine and the name it is to have in a mirror.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use hod_spec::{DagHash, Spec};
use hod_store::Store;

/// A package to push: an install prefix with a name and a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    prefix: PathBuf,
    location: PathBuf,
    name: String,
    version: String,
    installed: Option<Installed>,
}

/// A spec in a store, which knows its dependencies.
#[derive(Debug, Clone)]
pub struct Installed {
    store: Arc<Store>,
    hash: DagHash,
}

impl Installed {
    /// The store it is in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its hash.
    pub fn hash(&self) -> DagHash {
        self.hash
    }

    /// The spec itself.
    pub fn spec(&self) -> &Spec {
        &self.store.record(&self.hash).expect("it was made of a record of this store").spec
    }
}

impl PartialEq for Installed {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && Arc::ptr_eq(&self.store, &other.store)
    }
}

impl Eq for Installed {}

/// Why a path is no package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// There is nothing at the path.
    #[error("there is no prefix at `{}`", path.display())]
    Missing {
        /// As it was given, made absolute.
        path: PathBuf,
    },
    /// The path names a file.
    #[error("`{}` is a file, not an install prefix", path.display())]
    NotADirectory {
        /// As it was given, made absolute.
        path: PathBuf,
    },
    /// The directory holds nothing.
    #[error("the prefix `{}` is empty", path.display())]
    Empty {
        /// As it was given, made absolute.
        path: PathBuf,
    },
    /// `/` is no install prefix.
    #[error("the root of the file system cannot be packed as a prefix")]
    FileSystemRoot,
    /// The prefix becomes text that relocation reads later, which must be UTF-8.
    #[error("the path of the prefix `{}` is not UTF-8", path.display())]
    NotUtf8 {
        /// As it was given, made absolute.
        path: PathBuf,
    },
    /// The path could not be looked at.
    #[error("could not look at `{}`", path.display())]
    Look {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A name or version that cannot be told from the rest of `name@version/hash`.
    #[error("`{text}` cannot be a package's {what}")]
    BadText {
        /// `name` or `version`.
        what: &'static str,
        /// As it was given.
        text: String,
    },
}

/// The version of a prefix whose directory does not tell one.
const UNVERSIONED: &str = "unversioned";

impl Package {
    /// The package at `path`, which is made absolute. Name and version are read from the
    /// directory's name: `zlib-1.3.1` is `zlib` at `1.3.1`, as is
    /// `zlib-1.3.1-<32 characters of a Spack hash>`.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, PackageError> {
        let prefix = absolute(path.as_ref())?;
        let error = |source| PackageError::Look { path: prefix.clone(), source };
        let metadata = match fs_err::metadata(&prefix) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(PackageError::Missing { path: prefix });
            }
            other => other.map_err(error)?,
        };
        if !metadata.is_dir() {
            return Err(PackageError::NotADirectory { path: prefix });
        }
        // The files name the real place, so that is what their archive must say.
        let is_link = fs_err::symlink_metadata(&prefix).map_err(error)?.is_symlink();
        let prefix = if is_link { fs_err::canonicalize(&prefix).map_err(error)? } else { prefix };
        if prefix.parent().is_none() {
            return Err(PackageError::FileSystemRoot);
        }
        let Some(text) = prefix.to_str() else {
            return Err(PackageError::NotUtf8 { path: prefix });
        };
        let error = |source| PackageError::Look { path: prefix.clone(), source };
        if fs_err::read_dir(&prefix).map_err(error)?.next().is_none() {
            return Err(PackageError::Empty { path: prefix });
        }
        let directory = text.rsplit('/').next().unwrap_or(text);
        let (name, version) = split(directory);
        let (name, version) = (presentable(name), presentable(version));
        Ok(Self { location: prefix.clone(), prefix, name, version, installed: None })
    }

    /// A spec of a store. Nothing of its prefix is looked at; `None` if the store knows no prefix
    /// of it.
    pub fn installed(store: &Arc<Store>, hash: DagHash) -> Option<Self> {
        let spec = &store.record(&hash)?.spec;
        let prefix = store.prefix(&hash)?;
        Some(Self {
            prefix: prefix.recorded,
            location: prefix.location,
            name: spec.name.to_string(),
            version: spec.version.to_string(),
            installed: Some(Installed { store: Arc::clone(store), hash }),
        })
    }

    /// Another name.
    pub fn with_name(self, name: &str) -> Result<Self, PackageError> {
        Ok(Self { name: checked("name", name)?, ..self })
    }

    /// Another version.
    pub fn with_version(self, version: &str) -> Result<Self, PackageError> {
        Ok(Self { version: checked("version", version)?, ..self })
    }

    /// Where the package belongs: the path its files know. Absolute, without `.`, `..` or a link
    /// at its end.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Where it lies on this machine; the same, unless its store was moved.
    pub fn location(&self) -> &Path {
        &self.location
    }

    /// Set if it is a spec of a store.
    pub fn as_installed(&self) -> Option<&Installed> {
        self.installed.as_ref()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `name@version`, and the hash where it is known beforehand.
    pub fn label(&self) -> String {
        match &self.installed {
            Some(installed) => self.label_with(&installed.hash.to_string()),
            None => format!("{}@{}", self.name, self.version),
        }
    }

    /// `name@version/1234567`, as everywhere in Hod.
    pub fn label_with(&self, hash: &str) -> String {
        label(&self.name, &self.version, hash)
    }

    /// `.spack/spec.json` says that Spack made this prefix.
    pub fn is_from_spack(&self) -> bool {
        self.prefix.join(".spack/spec.json").exists()
    }
}

pub(crate) fn label(name: &str, version: &str, hash: &str) -> String {
    format!("{name}@{version}/{}", short(hash))
}

/// The first seven characters of a hash, by which people know it.
pub(crate) fn short(hash: &str) -> &str {
    hash.get(..7).unwrap_or(hash)
}

/// Absolute and without `.` or `..`, links in the middle left as they are: a prefix is known by
/// the path it was configured with.
fn absolute(path: &Path) -> Result<PathBuf, PackageError> {
    let error = |source| PackageError::Look { path: path.to_owned(), source };
    let full = std::path::absolute(path).map_err(error)?;
    if full.components().any(|component| component == Component::ParentDir) {
        // `a/../b` is `b` only if `a` is no link: the system knows.
        return match fs_err::canonicalize(&full) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                Err(PackageError::Missing { path: full })
            }
            other => other.map_err(error),
        };
    }
    Ok(full.components().collect())
}

/// Name and version of a directory's name.
fn split(directory: &str) -> (&str, &str) {
    let digit = |at: usize| directory.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit);
    let Some((at, _)) = directory.match_indices('-').find(|&(at, _)| at > 0 && digit(at)) else {
        return (directory, UNVERSIONED);
    };
    let version = &directory[at + 1..];
    let version = match version.rsplit_once('-') {
        Some((version, hash)) if is_dag_hash(hash) => version,
        _ => version,
    };
    (&directory[..at], version)
}

fn is_dag_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
}

/// A directory may have any name; a package's must stay readable in `name@version/hash`.
fn presentable(text: &str) -> String {
    let replaced = |c: char| if is_plain(c) { c } else { '_' };
    text.chars().map(replaced).collect()
}

fn is_plain(c: char) -> bool {
    !(c.is_whitespace() || c.is_control() || matches!(c, '@' | '/' | '\\' | ':'))
}

fn checked(what: &'static str, text: &str) -> Result<String, PackageError> {
    if text.is_empty() || text.len() > 255 || !text.chars().all(is_plain) {
        return Err(PackageError::BadText { what, text: text.to_owned() });
    }
    Ok(text.to_owned())
}

/// The tag of a package: `<name>-<version>-<7 of the hash>` in the characters a tag may have
/// (distribution-spec: 128 of `[A-Za-z0-9_.-]`, the first neither `.` nor `-`).
pub(crate) fn tag(name: &str, version: &str, hash: &str) -> String {
    let ending = format!("-{}", short(hash));
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' }
    };
    let mut tag: String = format!("{name}-{version}").chars().map(plain).collect();
    if tag.starts_with(['.', '-']) {
        tag.replace_range(..1, "_");
    }
    tag.truncate(128 - ending.len());
    tag + &ending
}

/// The tag of a spec, by which Spack knows it in a registry: `<name>-<version>-<hash>.spack`, with
/// `_` for what a tag may not have; of a longer one, the first 64 and the last 64 characters
/// (`spack-format` 5.2).
pub(crate) fn spack_tag(spec: &Spec) -> String {
    spack_tag_of(&spec.name, &spec.version, &spec.hash)
}

pub(crate) fn spack_tag_of(name: &str, version: &str, hash: &DagHash) -> String {
    let tag = in_tag(&format!("{name}-{version}-{hash}.spack"));
    if tag.len() <= 128 { tag } else { format!("{}{}", &tag[..64], &tag[tag.len() - 64..]) }
}

/// How the tags of packages of this name begin.
pub(crate) fn spack_tag_start(name: &str) -> String {
    let mut start = in_tag(name);
    start.push('-');
    start.truncate(64);
    start
}

fn in_tag(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' }
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("zlib-1.3.1", "zlib", "1.3.1")]
    #[case::name_with_dashes("gcc-runtime-12.2.0", "gcc-runtime", "12.2.0")]
    #[case::spack("python-3.11.2-r7z36soglftdwvsrspdzr5nyzvlb4ujf", "python", "3.11.2")]
    #[case::no_version(
        "stable-x86_64-unknown-linux-gnu",
        "stable-x86_64-unknown-linux-gnu",
        UNVERSIONED
    )]
    #[case::only_a_number("-3", "-3", UNVERSIONED)]
    #[case::version_with_a_word("foo-2024-beta", "foo", "2024-beta")]
    fn a_directory_names_its_package(
        #[case] directory: &str,
        #[case] name: &str,
        #[case] version: &str,
    ) {
        assert_eq!(split(directory), (name, version));
    }

    #[rstest]
    #[case::plain("zlib", "1.3.1", "zlib-1.3.1-abcdefg")]
    #[case::plus("a", "1.0+b", "a-1.0_b-abcdefg")]
    #[case::dot_first(".hidden", "1", "_hidden-1-abcdefg")]
    #[case::not_ascii("é", "1", "_-1-abcdefg")]
    fn a_tag_has_the_characters_a_registry_takes(
        #[case] name: &str,
        #[case] version: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(tag(name, version, "abcdefghijklmnop"), expected);
    }

    #[test]
    fn a_long_tag_keeps_its_hash() {
        let tag = tag(&"n".repeat(300), "1", "abcdefghijklmnop");
        assert_eq!(tag.len(), 128);
        assert!(tag.ends_with("-abcdefg"));
    }

    #[test]
    fn what_cannot_be_packed_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs_err::write(path("file"), "").unwrap();
        fs_err::create_dir(path("empty")).unwrap();
        let error = |path: PathBuf| Package::at(path).unwrap_err();
        assert!(matches!(error(path("none")), PackageError::Missing { .. }));
        assert!(matches!(error(path("file")), PackageError::NotADirectory { .. }));
        assert!(matches!(error(path("empty")), PackageError::Empty { .. }));
        assert!(matches!(error("/".into()), PackageError::FileSystemRoot));
    }

    #[test]
    fn a_link_to_a_prefix_is_packed_under_its_real_name() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("tool-2.0");
        fs_err::create_dir(&real).unwrap();
        fs_err::write(real.join("file"), "").unwrap();
        std::os::unix::fs::symlink("tool-2.0", dir.path().join("current")).unwrap();
        let package = Package::at(dir.path().join("current")).unwrap();
        assert_eq!(package.prefix(), real);
        assert_eq!(package.label(), "tool@2.0");
    }
}
