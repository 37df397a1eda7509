//! A list of manifests: `index.json`, and the index of an image for several platforms.
//!
//! Everything in it that is not being replaced stays byte for byte: entries and keys are carried
//! as raw JSON text, so what another tool wrote survives Hod, whatever it means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::manifest::schema_version;
use super::{Descriptor, Kind, REF_NAME, Tag, media_type};
use crate::error::ParseError;

/// An image index (image-spec `image-index.md`).
#[derive(Debug, Clone)]
pub struct Index {
    /// Keys in the order of the document; `manifests` stands among them without a value.
    keys: Vec<(String, Option<Box<RawValue>>)>,
    entries: Vec<Box<RawValue>>,
}

impl Index {
    /// The index of an empty layout.
    pub fn empty() -> Self {
        Self {
            keys: vec![
                ("schemaVersion".to_owned(), Some(raw(&2))),
                ("mediaType".to_owned(), Some(raw(media_type::INDEX))),
                ("manifests".to_owned(), None),
            ],
            entries: Vec::new(),
        }
    }

    /// How many entries there are, understood or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in the order of the document, each parsed if it can be.
    pub fn descriptors(&self) -> impl Iterator<Item = Result<Descriptor, serde_json::Error>> + '_ {
        self.entries.iter().map(|entry| serde_json::from_str(entry.get()))
    }

    /// Gives each tag its descriptor. Entries that had one of the tags are replaced, all others
    /// kept as they are.
    ///
    /// Order: entries without a tag first, as they were; then by tag, byte by byte. Entries of
    /// one tag keep their order, which in an index decides between platforms. So the same set of
    /// publications gives the same document, in whatever order they came.
    pub fn put(&mut self, tagged: &BTreeMap<Tag, Descriptor>) -> Result<(), ParseError> {
        let replaced: BTreeSet<&str> = tagged.keys().map(Tag::as_str).collect();
        self.entries
            .retain(|entry| ref_name(entry).is_none_or(|name| !replaced.contains(name.as_str())));
        for (tag, descriptor) in tagged {
            let mut descriptor = descriptor.clone();
            descriptor.annotations.insert(REF_NAME.to_owned(), tag.to_string());
            self.entries.push(to_raw_value(&descriptor).map_err(ParseError::Json)?);
        }
        self.entries.sort_by_cached_key(|entry| ref_name(entry));
        Ok(())
    }

    /// The tag of the entry at `position`, as far as that can be understood.
    pub(crate) fn ref_name(&self, position: usize) -> Option<String> {
        ref_name(self.entries.get(position)?)
    }

    /// Whether the entry at `position` names its content by another algorithm than SHA-256, so
    /// that it is not understood here and still not wrong.
    pub(crate) fn is_foreign(&self, position: usize) -> bool {
        #[derive(Deserialize)]
        struct Addressed {
            digest: String,
        }
        self.entries.get(position).is_some_and(|entry| {
            serde_json::from_str(entry.get())
                .is_ok_and(|Addressed { digest }| is_other_algorithm(&digest))
        })
    }

    fn number(&self, wanted: &str) -> Option<u64> {
        serde_json::from_str(self.key(wanted)?.get()).ok()
    }

    fn text(&self, wanted: &str) -> Option<&str> {
        serde_json::from_str(self.key(wanted)?.get()).ok()
    }

    fn key(&self, wanted: &str) -> Option<&RawValue> {
        self.keys.iter().find(|(key, _)| key == wanted).and_then(|(_, value)| value.as_deref())
    }
}

impl Kind for Index {
    const NAME: &'static str = "an image index";
    /// Room for several hundred thousand entries.
    const LIMIT: u64 = 256 << 20;

    fn media_type(&self) -> &str {
        self.text("mediaType").unwrap_or(media_type::INDEX)
    }

    fn validate(&self) -> Result<(), ParseError> {
        schema_version(self.number("schemaVersion").unwrap_or_default())?;
        if !media_type::is_index(self.media_type()) {
            let found = self.media_type().to_owned();
            return Err(ParseError::MediaType { expected: Self::NAME, found });
        }
        for second in ["layers", "config"] {
            if self.keys.iter().any(|(key, _)| key == second) {
                return Err(ParseError::Ambiguous { first: "manifests", second });
            }
        }
        Ok(())
    }
}

impl Serialize for Index {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.keys.len()))?;
        for (key, value) in &self.keys {
            match value {
                Some(value) => map.serialize_entry(key, value)?,
                None => map.serialize_entry(key, &self.entries)?,
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(IndexVisitor)
    }
}

struct IndexVisitor;

impl<'de> Visitor<'de> for IndexVisitor {
    type Value = Index;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an image index")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Index, A::Error> {
        let mut index = Index { keys: Vec::new(), entries: Vec::new() };
        while let Some(key) = map.next_key::<String>()? {
            if index.keys.iter().any(|(known, _)| *known == key) {
                return Err(serde::de::Error::custom(format_args!("the key `{key}` comes twice")));
            }
            let value = if key == "manifests" {
                index.entries = map.next_value::<Option<_>>()?.unwrap_or_default();
                None
            } else {
                Some(map.next_value()?)
            };
            index.keys.push((key, value));
        }
        if index.keys.iter().any(|(_, value)| value.is_none()) {
            Ok(index)
        } else {
            Err(serde::de::Error::missing_field("manifests"))
        }
    }
}

/// The tag of an entry, as far as the entry is understood at all.
fn ref_name(entry: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Annotated {
        annotations: BTreeMap<String, serde_json::Value>,
    }
    let Annotated { mut annotations } = serde_json::from_str(entry.get()).ok()?;
    match annotations.remove(REF_NAME)? {
        serde_json::Value::String(name) => Some(name),
        _ => None,
    }
}

/// Whether `digest` follows the image spec's grammar with an algorithm other than SHA-256
/// (`descriptor.md`, "Digests").
pub(crate) fn is_other_algorithm(digest: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    digest.split_once(':').is_some_and(|(algorithm, encoded)| {
        algorithm != "sha256"
            && algorithm.bytes().next().is_some_and(is_word)
            && algorithm.bytes().all(|byte| is_word(byte) || b"+._-".contains(&byte))
            && !encoded.is_empty()
            && encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=_-".contains(&byte))
    })
}

fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).expect("numbers and strings render as JSON")
}

#[cfg(test)]
mod tests {
    use hod_archive::Digest;
    use rstest::rstest;

    use super::*;
    use crate::oci::Document;

    fn tagged(tags: &[&str]) -> BTreeMap<Tag, Descriptor> {
        let descriptor = |tag: &str| {
            Descriptor::new(media_type::MANIFEST, Digest::of(tag.as_bytes()), tag.len() as u64)
        };
        tags.iter().map(|tag| (Tag::new(*tag).unwrap(), descriptor(tag))).collect()
    }

    fn render(index: &Index) -> String {
        serde_json::to_string(index).unwrap()
    }

    #[test]
    fn an_empty_index_says_what_it_is() {
        let text =
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::INDEX);
        assert_eq!(render(&Index::empty()), text);
        assert!(Document::<Index>::parse(text.into_bytes()).unwrap().is_empty());
    }

    #[test]
    fn the_order_of_publications_does_not_show() {
        let (mut first, mut second) = (Index::empty(), Index::empty());
        for tag in ["b", "a", "c", "a"] {
            first.put(&tagged(&[tag])).unwrap();
        }
        second.put(&tagged(&["c", "b", "a"])).unwrap();
        assert_eq!(render(&first), render(&second));
        assert_eq!(first.len(), 3);
    }

    #[test]
    fn what_other_tools_wrote_survives_byte_for_byte() {
        let untagged = r#"{ "size": 1e2, "mediaType":"x/y", "new": {"z":1,"a":2.50} }"#;
        let foreign = r#"{"mediaType":"x/y","digest":"sha512:00","size":7,"annotations":{"org.opencontainers.image.ref.name":"zz/top:1"}}"#;
        let text = format!(
            r#"{{"annotations":{{"b":"1","a":"2"}},"manifests":[{foreign},{untagged}],"schemaVersion":2}}"#
        );
        let mut index = Document::<Index>::parse(text.into_bytes()).unwrap().into_view();
        index.put(&tagged(&["mine"])).unwrap();
        let mine = index.entries[1].get().to_owned();
        assert!(mine.contains(r#""annotations":{"org.opencontainers.image.ref.name":"mine"}"#));
        assert_eq!(
            render(&index),
            format!(
                r#"{{"annotations":{{"b":"1","a":"2"}},"manifests":[{untagged},{mine},{foreign}],"schemaVersion":2}}"#
            )
        );
    }

    #[rstest]
    #[case::no_json("garbage")]
    #[case::a_list("[]")]
    #[case::no_manifests(r#"{"schemaVersion":2}"#)]
    #[case::no_version(r#"{"manifests":[]}"#)]
    #[case::also_a_manifest(r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#)]
    #[case::twice(r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#)]
    #[case::says_it_is_a_manifest(
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}"#
    )]
    fn what_could_mislead_is_refused(#[case] text: &str) {
        assert!(Document::<Index>::parse(text.into()).is_err());
    }
}
