//! A reference to a blob: what it is, its digest, its size.

use std::collections::BTreeMap;

use hod_archive::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::text::{digest, null_as_default};
use super::{Platform, REF_NAME};

/// A content descriptor (image-spec `descriptor.md`). `urls` and other keys are kept in `other`
/// and never followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Its address.
    #[serde(with = "digest")]
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What machine it is for; of use in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Notes, in the order of their keys.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// Keys this program does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Descriptor {
    /// A descriptor that says no more than it must.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// The tag this descriptor has in an `index.json`, not checked against any grammar.
    pub fn ref_name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }
}
