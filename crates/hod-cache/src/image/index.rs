//! One name for images of several platforms: what becomes of a tag when an image is put under it.

use hod_archive::Digest;
use hod_mirror::oci::{Descriptor, Platform, media_type};
use hod_mirror::registry::RawManifest;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::object::Object;
use super::{Rendered, platform_text};

/// What stands behind the tag.
pub(super) enum Current {
    /// Nothing, or nothing that runs anywhere.
    Nothing,
    /// An image of one platform.
    Image(Descriptor),
    /// An index of several.
    Index(RawManifest),
}

/// What the tag is to lead to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It leads there already.
    Same,
    /// To the image.
    Image,
    /// To an index that names the image among others.
    Index(RawManifest),
}

/// An entry of an index as it was written.
struct Entry {
    text: Box<RawValue>,
    /// As far as it can be understood.
    descriptor: Option<Descriptor>,
}

impl Entry {
    fn platform(&self) -> Option<&Platform> {
        self.descriptor.as_ref()?.platform.as_ref()
    }

    /// By operating system and architecture; what has no platform comes last.
    fn order(&self) -> (bool, String) {
        (self.platform().is_none(), self.platform().map(platform_text).unwrap_or_default())
    }
}

/// The entries of an index.
fn entries(index: &Object) -> Result<Vec<Entry>, serde_json::Error> {
    let texts: Vec<Box<RawValue>> =
        serde_json::from_str::<Option<_>>(index.get("manifests").unwrap_or("null"))?
            .unwrap_or_default();
    let entry = |text: Box<RawValue>| {
        let descriptor = serde_json::from_str(text.get()).ok();
        Entry { text, descriptor }
    };
    Ok(texts.into_iter().map(entry).collect())
}

/// Whether the manifest of this digest is the one, or one of those, that `raw` is or names.
pub(super) fn names(raw: &RawManifest, digest: Digest) -> bool {
    let named = || {
        let entries = Object::parse(&raw.bytes).and_then(|index| entries(&index));
        entries.unwrap_or_default().iter().any(|entry| {
            entry.descriptor.as_ref().is_some_and(|descriptor| descriptor.digest == digest)
        })
    };
    raw.digest == digest || (media_type::is_index(&raw.media_type) && named())
}

/// Puts `image` where `current` is: in the place of the image of its own platform, beside all
/// others, which stay as they were written.
pub(super) fn next(current: Current, image: &Rendered) -> Result<Next, serde_json::Error> {
    let own = Descriptor { platform: Some(image.platform.clone()), ..image.manifest.descriptor() };
    let is_own = |platform: &Platform| is_same(platform, &image.platform);
    let (mut index, others) = match current {
        Current::Nothing => return Ok(Next::Image),
        Current::Image(other) if other.digest == own.digest => return Ok(Next::Same),
        Current::Image(other) if other.platform.as_ref().is_some_and(is_own) => {
            return Ok(Next::Image);
        }
        Current::Image(other) => {
            let mut index = Object::default();
            index.set("schemaVersion", &2)?;
            index.set("mediaType", media_type::INDEX)?;
            let entry = Entry { text: to_raw_value(&other)?, descriptor: Some(other) };
            (index, vec![entry])
        }
        Current::Index(raw) => {
            let index = Object::parse(&raw.bytes)?;
            let mut others = entries(&index)?;
            let is_there = |entry: &Entry| {
                let found = entry.descriptor.as_ref();
                found.is_some_and(|found| found.digest == own.digest)
                    && entry.platform().is_some_and(is_own)
            };
            if others.iter().any(is_there) {
                return Ok(Next::Same);
            }
            others.retain(|entry| !entry.platform().is_some_and(is_own));
            (index, others)
        }
    };
    if others.is_empty() {
        return Ok(Next::Image);
    }
    let mut all = others;
    all.push(Entry { text: to_raw_value(&own)?, descriptor: Some(own) });
    all.sort_by_cached_key(Entry::order);
    let is_dockers = |entry: &Entry| {
        let found = entry.descriptor.as_ref();
        found.is_some_and(|found| found.media_type == media_type::DOCKER_MANIFEST)
    };
    let is_list = all.iter().all(is_dockers);
    let media_type = if is_list { media_type::DOCKER_LIST } else { media_type::INDEX };
    index.set("mediaType", media_type)?;
    let texts: Vec<Box<RawValue>> = all.into_iter().map(|entry| entry.text).collect();
    index.set("manifests", &texts)?;
    let bytes = serde_json::to_vec(&index)?;
    let digest = Digest::of(&bytes);
    Ok(Next::Index(RawManifest { media_type: media_type.to_owned(), digest, bytes }))
}

/// Whether images of both run on the same machines. The variant of arm64 is `v8` where none is
/// named (image-spec `image-index.md`, "Platform Variants").
fn is_same(a: &Platform, b: &Platform) -> bool {
    let variant = |platform: &Platform| {
        let said = platform.other.get("variant").and_then(Value::as_str).unwrap_or_default();
        let implied = if platform.architecture == "arm64" { "v8" } else { "" };
        (if said.is_empty() { implied } else { said }).to_owned()
    };
    (&a.os, &a.architecture) == (&b.os, &b.architecture) && variant(a) == variant(b)
}
