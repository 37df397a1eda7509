//! Packages in a mirror, and which of them a name means.

use std::fmt;
use std::str::FromStr;

use hod_mirror::oci::{Descriptor, Document, ImageConfig, Manifest};
use hod_mirror::{DirectoryMirror, Entry};

use crate::{Error, package};

/// What a user types for a package: `name`, `name@version`, `name@version/hash`, `/hash`, or a
/// whole tag. A hash may be cut to any length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    text: String,
    name: Option<String>,
    version: Option<String>,
    hash: Option<String>,
}

impl Query {
    /// Whether a package with these properties is meant.
    fn matches(&self, found: &Found) -> bool {
        if found.tag == self.text {
            return true;
        }
        let is = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|w| w == has);
        is(&self.name, &found.name)
            && is(&self.version, &found.version)
            && self.hash.as_deref().is_none_or(|hash| found.hash.starts_with(hash))
    }
}

impl FromStr for Query {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rest, hash) = match text.split_once('/') {
            Some((rest, hash)) => (rest, Some(hash)),
            None => (text, None),
        };
        let (name, version) = match rest.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (rest, None),
        };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Self {
            text: text.to_owned(),
            name: some(name),
            version: version.and_then(|v| some(v.strip_prefix('=').unwrap_or(v))),
            hash: hash.and_then(some),
        })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A package in a mirror.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its 32-character hash; for an image that Hod did not make, the manifest's digest in hex.
    pub hash: String,
    /// The tag in the OCI layout.
    pub tag: String,
    /// Of the manifest.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Document<Manifest>,
    /// The image config.
    pub config: Document<ImageConfig>,
}

impl Found {
    /// `name@version/1234567`.
    pub fn label(&self) -> String {
        package::label(&self.name, &self.version, &self.hash)
    }

    /// Bytes of all layers.
    pub fn size(&self) -> u64 {
        self.manifest.layers.iter().map(|layer| layer.size).sum()
    }

    fn read(mirror: &DirectoryMirror, entry: Entry) -> Result<Option<Self>, hod_mirror::Error> {
        let Some(tag) = entry.tag else { return Ok(None) };
        let manifest = match mirror.read_manifest(&entry.descriptor) {
            // Indexes of several images and artifacts are no packages.
            Err(hod_mirror::Error::MediaType { .. }) => return Ok(None),
            other => other?,
        };
        let config = match mirror.read_config(&manifest.config) {
            Err(hod_mirror::Error::MediaType { .. }) => return Ok(None),
            other => other?,
        };
        let (name, version, hash) = match &config.hod {
            Some(facts) => (facts.name.clone(), facts.version.clone(), facts.hash.clone()),
            // An image of another tool is known by its tag.
            None => (tag.clone(), "image".to_owned(), entry.descriptor.digest.hex()),
        };
        let descriptor = entry.descriptor;
        Ok(Some(Self { name, version, hash, tag, descriptor, manifest, config }))
    }
}

/// All packages of `mirror` that match, by name, version and hash. One that cannot be read is an
/// error: a list that silently lacks something is worse than none.
pub fn packages(mirror: &DirectoryMirror, query: Option<&Query>) -> Result<Vec<Found>, Error> {
    let error = |source| Error::Mirror { mirror: mirror.path().to_owned(), source };
    let mut all = Vec::new();
    for entry in mirror.entries().map_err(error)? {
        all.extend(Found::read(mirror, entry).map_err(error)?);
    }
    let total = all.len();
    let mut names: Vec<String> = all.iter().map(|found| found.name.clone()).collect();
    if let Some(query) = query {
        all.retain(|found| query.matches(found));
        if all.is_empty() {
            names.sort();
            names.dedup();
            let similar = query.name.as_deref().and_then(|name| closest(name, names));
            return Err(Error::NotFound {
                query: query.to_string(),
                packages: total,
                mirror: mirror.path().to_owned(),
                similar,
            });
        }
    }
    all.sort_by(|a, b| (&a.name, &a.version, &a.hash).cmp(&(&b.name, &b.version, &b.hash)));
    Ok(all)
}

/// The one package that `query` means.
pub fn find(mirror: &DirectoryMirror, query: &Query) -> Result<Found, Error> {
    let mut matches = packages(mirror, Some(query))?;
    if let Some(exact) = matches.iter().position(|found| found.tag == query.text) {
        return Ok(matches.swap_remove(exact));
    }
    if matches.len() > 1 {
        return Err(Error::Ambiguous {
            query: query.to_string(),
            mirror: mirror.path().to_owned(),
            matches: matches.iter().map(Found::label).collect(),
        });
    }
    Ok(matches.swap_remove(0))
}

/// The name most like `wanted`, if it is like it at all.
fn closest(wanted: &str, names: Vec<String>) -> Option<String> {
    let most = wanted.len().div_ceil(3).max(1);
    names
        .into_iter()
        .map(|name| (distance(wanted, &name), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// Edits (insert, delete, replace) from one text to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::name("zlib", Some("zlib"), None, None)]
    #[case::version("zlib@1.3", Some("zlib"), Some("1.3"), None)]
    #[case::exact_version("zlib@=1.3", Some("zlib"), Some("1.3"), None)]
    #[case::label("zlib@1.3/abc", Some("zlib"), Some("1.3"), Some("abc"))]
    #[case::hash("/abc", None, None, Some("abc"))]
    #[case::name_and_hash("zlib/abc", Some("zlib"), None, Some("abc"))]
    fn a_query_is_read(
        #[case] text: &str,
        #[case] name: Option<&str>,
        #[case] version: Option<&str>,
        #[case] hash: Option<&str>,
    ) {
        let query: Query = text.parse().unwrap();
        let read = (query.name.as_deref(), query.version.as_deref(), query.hash.as_deref());
        assert_eq!(read, (name, version, hash));
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let names = || vec!["hdf5".to_owned(), "zlib".to_owned()];
        assert_eq!(closest("hdff5", names()).as_deref(), Some("hdf5"));
        assert_eq!(closest("python", names()), None);
    }
}
