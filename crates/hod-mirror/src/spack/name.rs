//! How packages are called in the file names of a build cache.

use std::fmt;
use std::path::{Path, PathBuf};

use hod_spec::{DagHash, Spec};

use super::Signature;

const MANIFEST_SUFFIX: &str = ".spec.manifest.json";
const SIGNED_SUFFIX: &str = ".spec.json.sig";
const UNSIGNED_SUFFIX: &str = ".spec.json";

/// What an entry of a build cache is called: name, version and hash. The version has the form it
/// takes in file names, where everything but `A-Za-z0-9_+.-` is `_` (`spack-format` 1.1).
///
/// A name is safe as a path, whatever document it came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName {
    name: Box<str>,
    version: Box<str>,
    hash: DagHash,
}

/// A name or version that cannot be one of a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}@{version}` is not the name and version of a package")]
pub struct EntryNameError {
    /// The name, cut to 100 characters.
    pub name: String,
    /// The version, cut to 100 characters.
    pub version: String,
}

impl EntryName {
    /// Checks the name and brings the version into its form for file names.
    pub fn new(name: &str, version: &str, hash: DagHash) -> Result<Self, EntryNameError> {
        // Spack's own names are narrower; these are all that are one safe component of a path.
        let is_safe = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && name.chars().all(is_polite);
        if !is_safe || version.is_empty() {
            let cut = |text: &str| text.chars().take(100).collect();
            return Err(EntryNameError { name: cut(name), version: cut(version) });
        }
        Ok(Self { name: name.into(), version: polite(version).into(), hash })
    }

    /// The name of a spec's entry.
    pub fn of(spec: &Spec) -> Result<Self, EntryNameError> {
        Self::new(&spec.name, &spec.version, spec.hash)
    }

    /// The package's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version, as it is in file names.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The hash.
    pub fn hash(&self) -> DagHash {
        self.hash
    }

    /// `name@version/1234567`.
    pub fn label(&self) -> String {
        format!("{}@{}/{}", self.name, self.version, self.hash.short())
    }

    /// What an entry of this spec would be called, be that safe or not: for messages.
    pub(crate) fn text_of(spec: &Spec) -> String {
        format!("{}-{}-{}", spec.name, polite(&spec.version), spec.hash)
    }

    /// From the two last components of a manifest's path. The directory tells where the name ends:
    /// both name and version may have dashes.
    pub(crate) fn parse(directory: &str, file: &str) -> Option<Self> {
        let stem = file.strip_suffix(MANIFEST_SUFFIX)?;
        let (rest, hash) = split_hash(stem)?;
        let version = rest.strip_prefix(directory)?.strip_prefix('-')?;
        // What Spack would look for is exactly this file.
        Self::new(directory, version, hash).ok().filter(|name| *name.version == *version)
    }

    /// Whether a file of this name should be parsable at all.
    pub(crate) fn is_manifest(file: &str) -> bool {
        file.ends_with(MANIFEST_SUFFIX)
    }

    /// `<name>/<name>-<version>-<hash>.spec.manifest.json` (`spack-format` 4.1).
    pub(crate) fn manifest_path(&self) -> PathBuf {
        Path::new(&*self.name).join(format!("{self}{MANIFEST_SUFFIX}"))
    }
}

impl fmt::Display for EntryName {
    /// `<name>-<version>-<hash>`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.name, self.version, self.hash)
    }
}

/// The name of a spec file of layout 2: `<arch>-<compiler>-<version>-<name>-<version>-<hash>`. Only
/// the hash can be told from it; the rest is known when the file is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V2Name {
    stem: Box<str>,
    hash: DagHash,
    is_signed: bool,
}

impl V2Name {
    /// The hash.
    pub fn hash(&self) -> DagHash {
        self.hash
    }

    /// Whether the file's name says that it is signed.
    pub fn signature(&self) -> Signature {
        if self.is_signed { Signature::NotVerified } else { Signature::None }
    }

    /// The name without `.spec.json` or `.spec.json.sig`.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    pub(crate) fn parse(file: &str) -> Option<Self> {
        let (stem, is_signed) = match file.strip_suffix(SIGNED_SUFFIX) {
            Some(stem) => (stem, true),
            None => (file.strip_suffix(UNSIGNED_SUFFIX)?, false),
        };
        let (_, hash) = split_hash(stem)?;
        stem.chars().all(is_polite).then(|| Self { stem: stem.into(), hash, is_signed })
    }

    pub(crate) fn is_spec_file(file: &str) -> bool {
        file.ends_with(SIGNED_SUFFIX) || file.ends_with(UNSIGNED_SUFFIX)
    }

    pub(crate) fn file_name(&self) -> String {
        let suffix = if self.is_signed { SIGNED_SUFFIX } else { UNSIGNED_SUFFIX };
        format!("{}{suffix}", self.stem)
    }

    /// Where the tarball of `spec` is, below `build_cache`, if this is a name of its spec file:
    /// `<arch>/<compiler>-<version>/<name>-<version>/<stem>.spack` (`spack-format` 4.8). The compiler is
    /// taken from the name, so that it need not be known which of a spec's dependencies it is.
    pub(crate) fn tarball_path(&self, spec: &Spec) -> Option<PathBuf> {
        let arch = &spec.arch;
        let arch = polite(&format!("{}-{}-{}", arch.platform, arch.os, arch.target));
        let package = polite(&format!("{}-{}", spec.name, spec.version));
        let compiler = (self.stem.strip_prefix(arch.as_str())?.strip_prefix('-')?)
            .strip_suffix(&spec.hash.to_string())?
            .strip_suffix('-')?
            .strip_suffix(package.as_str())?
            .strip_suffix('-')?;
        // A compiler and its version.
        compiler.contains('-').then(|| {
            [arch.as_str(), compiler, &package, &format!("{}.spack", self.stem)].iter().collect()
        })
    }
}

/// Spack's `polite_filename`: the version `git.a/b=1` becomes `git.a_b_1`.
fn polite(text: &str) -> String {
    text.chars().map(|c| if is_polite(c) { c } else { '_' }).collect()
}

fn is_polite(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | '-')
}

fn split_hash(stem: &str) -> Option<(&str, DagHash)> {
    let (rest, hash) = stem.split_at_checked(stem.len().checked_sub(DagHash::LENGTH)?)?;
    Some((rest.strip_suffix('-')?, hash.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const HASH: &str = "fclvz4q65y4iejarrijycs22dpdzpnqj";

    #[rstest]
    #[case::plain("zlib", "1.3.1", "zlib/zlib-1.3.1-")]
    #[case::dashes("gcc-runtime", "12-beta-1", "gcc-runtime/gcc-runtime-12-beta-1-")]
    #[case::characters("a", "git.b/c=1.2+d ü", "a/a-git.b_c_1.2+d__-")]
    fn a_name_is_rendered_and_parsed_as_spack_does(
        #[case] name: &str,
        #[case] version: &str,
        #[case] path: &str,
    ) {
        let entry = EntryName::new(name, version, HASH.parse().unwrap()).unwrap();
        let rendered = entry.manifest_path();
        assert_eq!(rendered.to_str().unwrap(), format!("{path}{HASH}.spec.manifest.json"));
        let file = rendered.file_name().unwrap().to_str().unwrap();
        assert_eq!(EntryName::parse(name, file).unwrap(), entry);
    }

    #[rstest]
    #[case::another_directory(
        "zlib-ng",
        "zlib-1-fclvz4q65y4iejarrijycs22dpdzpnqj.spec.manifest.json"
    )]
    #[case::no_version("zlib", "zlib--fclvz4q65y4iejarrijycs22dpdzpnqj.spec.manifest.json")]
    #[case::no_hash("zlib", "zlib-1-0.spec.manifest.json")]
    #[case::no_dash("zlib", "zlib-1.fclvz4q65y4iejarrijycs22dpdzpnqj.spec.manifest.json")]
    #[case::not_ascii("zlib", "zlib-1-üclvz4q65y4iejarrijycs22dpdzpnq.spec.manifest.json")]
    #[case::not_polite("zlib", "zlib-1=-fclvz4q65y4iejarrijycs22dpdzpnqj.spec.manifest.json")]
    #[case::a_signature("zlib", "zlib-1-fclvz4q65y4iejarrijycs22dpdzpnqj.spec.manifest.json.sig")]
    #[case::a_dot(".", ".-1-fclvz4q65y4iejarrijycs22dpdzpnqj.spec.manifest.json")]
    fn other_files_have_no_name(#[case] directory: &str, #[case] file: &str) {
        assert_eq!(EntryName::parse(directory, file), None);
    }

    #[rstest]
    #[case::up("..", "1")]
    #[case::a_path("a/b", "1")]
    #[case::empty("", "1")]
    #[case::no_version("a", "")]
    fn what_is_no_safe_path_is_no_name(#[case] name: &str, #[case] version: &str) {
        EntryName::new(name, version, HASH.parse().unwrap()).unwrap_err();
    }
}
