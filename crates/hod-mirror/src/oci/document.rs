//! A JSON document as it is stored, with its parsed view beside it: what was fetched is never
//! serialised again, because digests and signatures are over the bytes.

use std::ops::Deref;

use hod_archive::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Descriptor;
use crate::error::ParseError;

/// A kind of document: what it is called, how large it may be, and what JSON alone cannot say.
pub trait Kind: DeserializeOwned + Serialize {
    /// For messages: "an image manifest".
    const NAME: &'static str;
    /// The most bytes an honest document of this kind has.
    const LIMIT: u64;

    /// The media type of a document with this content.
    fn media_type(&self) -> &str;

    /// Refuses what parses but must not be trusted.
    fn validate(&self) -> Result<(), ParseError>;
}

/// Raw bytes and the view of them. Dereferences to the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<T> {
    bytes: Vec<u8>,
    view: T,
}

impl<T: Kind> Document<T> {
    /// Parses and validates `bytes` and keeps them.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ParseError> {
        let view: T = serde_json::from_slice(&bytes).map_err(ParseError::Json)?;
        view.validate()?;
        Ok(Self { bytes, view })
    }

    /// Renders `view` as compact JSON, keys in the order of its fields.
    pub fn render(view: T) -> Result<Self, ParseError> {
        view.validate()?;
        Ok(Self { bytes: serde_json::to_vec(&view).map_err(ParseError::Json)?, view })
    }

    /// The bytes as stored.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The address of the bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// A descriptor of the document.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.view.media_type(), self.digest(), self.bytes.len() as u64)
    }

    /// The view alone.
    pub fn into_view(self) -> T {
        self.view
    }
}

impl<T> Deref for Document<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.view
    }
}
