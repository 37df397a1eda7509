//! What the list of files in an archive says of their content, and nothing else of it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::manifest::KnownHashes;

/// Sizes and hashes by path below the prefix that the list is about. Files with a name that is not
/// UTF-8 are left out: theirs are found another way.
pub(super) fn parse(bytes: &[u8]) -> Result<KnownHashes, serde_json::Error> {
    let List(listed) = serde_json::from_slice(bytes)?;
    // The prefix itself is listed, and everything else is below it.
    let Some(prefix) = listed.iter().map(|file| &file.path).min_by_key(|path| path.len()).cloned()
    else {
        return Ok(KnownHashes::new());
    };
    let known = listed.into_iter().filter_map(|Listed { path, content }| {
        let below = path.strip_prefix(&*prefix)?.strip_prefix('/')?;
        Some((below.as_bytes().to_vec(), content?))
    });
    // Of several of one path the last counts, as in Python.
    Ok(known.collect())
}

struct Listed {
    path: String,
    content: Option<(u64, Box<str>)>,
}

struct List(Vec<Listed>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("entries by path")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List, A::Error> {
                let mut listed = Vec::new();
                while let Some(Path(path)) = map.next_key()? {
                    let Entry { hash, size } = map.next_value()?;
                    let Some(path) = path else { continue };
                    listed.push(Listed { path, content: size.zip(hash) });
                }
                Ok(List(listed))
            }
        }
        deserializer.deserialize_map(ListVisitor)
    }
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    hash: Option<Box<str>>,
    #[serde(default)]
    size: Option<u64>,
}

/// `None` where halves of pairs of surrogates stand for bytes, as Python has it.
struct Path(Option<String>);

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathVisitor;
        impl Visitor<'_> for PathVisitor {
            type Value = Path;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Path, E> {
                Ok(Path(std::str::from_utf8(bytes).ok().map(str::to_owned)))
            }
        }
        deserializer.deserialize_bytes(PathVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spack_lists_is_known_by_the_path_below_the_prefix() {
        let text = r#"{"/s/x/a":{"mode":1,"hash":"A","time":3.5,"size":1},"/s/x":{"mode":1},
            "/s/x/l":{"dest":"a"},"/s/x/é/b":{"size":2,"hash":"B"},"/s/x/\udcff":{"size":3,"hash":"C"},
            "/s/x/a":{"hash":"D","size":4}}"#;
        let known = parse(text.as_bytes()).unwrap();
        assert_eq!(known.len(), 2);
        assert_eq!(known[&b"a"[..]], (4, "D".into()));
        assert_eq!(known["é/b".as_bytes()], (2, "B".into()));
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        assert!(parse(b"{}").unwrap().is_empty());
        assert!(parse(b"[]").is_err());
        assert!(parse(br#"{"/a":1}"#).is_err());
    }
}
