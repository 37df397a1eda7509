//! From text to entries. Texts are read as bytes, since those of paths may hold halves of pairs of
//! surrogates, which no string can.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{ManifestEntry, ManifestError, ManifestKind, read_path};

pub(super) fn entries(bytes: &[u8]) -> Result<BTreeMap<PathBuf, ManifestEntry>, ManifestError> {
    let Entries(entries) = serde_json::from_slice(bytes)?;
    Ok(entries)
}

struct Entries(BTreeMap<PathBuf, ManifestEntry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("entries by path")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((Bytes(path), entry)) = map.next_entry::<Bytes, EntryText>()? {
                    // Of several of one path the last counts, as in Python.
                    let path = read_path(&path);
                    match entry.into_entry() {
                        Some(entry) => drop(entries.insert(path, entry)),
                        None => drop(entries.remove(&path)),
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// Of a file that was gone before Spack looked at it, nothing is written.
#[derive(Deserialize)]
struct EntryText {
    #[serde(default)]
    mode: Option<u32>,
    #[serde(default)]
    owner: Option<u32>,
    #[serde(default)]
    group: Option<u32>,
    #[serde(default)]
    dest: Option<Bytes>,
    #[serde(default)]
    hash: Option<String>,
    #[serde(default)]
    time: Option<f64>,
    #[serde(default)]
    size: Option<u64>,
}

impl EntryText {
    fn into_entry(self) -> Option<ManifestEntry> {
        let kind = match (self.dest, self.hash) {
            (Some(Bytes(target)), _) => ManifestKind::Symlink { target: read_path(&target) },
            (None, Some(hash)) => {
                ManifestKind::File { hash: hash.into(), time: self.time?, size: self.size? }
            }
            (None, None) => ManifestKind::Other,
        };
        Some(ManifestEntry { mode: self.mode?, owner: self.owner?, group: self.group?, kind })
    }
}

struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(BytesVisitor)
    }
}
