//! The document that names an image's config and layers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::text::null_as_default;
use super::{Descriptor, Kind, media_type};
use crate::error::ParseError;

/// An image manifest (image-spec `manifest.md`), which artifacts use as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u64,
    /// What this document says it is; optional in the spec, always written by Hod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What an artifact is, when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// Another manifest this one speaks of: a weak link, whose target may be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
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

impl Manifest {
    /// The manifest of an image.
    pub fn image(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }
}

impl Kind for Manifest {
    const NAME: &'static str = "an image manifest";
    /// Registries take at least 4 MiB (distribution-spec, "Pushing Manifests").
    const LIMIT: u64 = 4 << 20;

    fn media_type(&self) -> &str {
        self.media_type.as_deref().unwrap_or(media_type::MANIFEST)
    }

    fn validate(&self) -> Result<(), ParseError> {
        schema_version(self.schema_version)?;
        if !media_type::is_manifest(self.media_type()) {
            let found = self.media_type().to_owned();
            return Err(ParseError::MediaType { expected: Self::NAME, found });
        }
        // CVE-2021-41190: the same bytes must not be a manifest to one reader, an index to another.
        if self.other.contains_key("manifests") {
            Err(ParseError::Ambiguous { first: "layers", second: "manifests" })
        } else {
            Ok(())
        }
    }
}

pub(super) fn schema_version(found: u64) -> Result<(), ParseError> {
    match found {
        2 => Ok(()),
        _ => Err(ParseError::Number { key: "schemaVersion", expected: 2, found }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::oci::Document;

    const CONFIG: &str = r#"{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;

    fn parse(rest: &str) -> Result<Document<Manifest>, ParseError> {
        Document::parse(format!(r#"{{"config":{CONFIG}{rest}}}"#).into_bytes())
    }

    #[rstest]
    #[case::nothing_but_what_must_be(r#","schemaVersion":2"#)]
    #[case::layers_of_go_null(r#","schemaVersion":2,"layers":null,"annotations":null"#)]
    #[case::docker(
        r#","schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json""#
    )]
    #[case::keys_of_the_future(r#","schemaVersion":2,"layers":[],"nonsense":{"a":1.5e3}"#)]
    fn a_manifest_is_read_and_its_bytes_are_kept(#[case] rest: &str) {
        let manifest = parse(rest).unwrap();
        assert_eq!(manifest.bytes(), format!(r#"{{"config":{CONFIG}{rest}}}"#).as_bytes());
        assert_eq!(manifest.config.size, 2);
    }

    #[rstest]
    #[case::also_an_index(r#","schemaVersion":2,"layers":[],"manifests":[]"#)]
    #[case::says_it_is_an_index(
        r#","schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json""#
    )]
    #[case::schema_1(r#","schemaVersion":1"#)]
    #[case::a_layer_digest_that_climbs(
        r#","schemaVersion":2,"layers":[{"mediaType":"x","digest":"sha256:../../x","size":1}]"#
    )]
    #[case::a_negative_size(
        r#","schemaVersion":2,"layers":[{"mediaType":"x","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":-1}]"#
    )]
    fn what_could_mislead_is_refused(#[case] rest: &str) {
        assert!(parse(rest).is_err());
    }

    #[test]
    fn a_manifest_renders_compactly_and_in_a_fixed_order() {
        let manifest = parse(r#","schemaVersion":2,"layers":[]"#).unwrap().into_view();
        let again = Document::render(Manifest::image(manifest.config, manifest.layers)).unwrap();
        let expected = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{CONFIG},"layers":[]}}"#,
            media_type::MANIFEST
        );
        assert_eq!(String::from_utf8_lossy(again.bytes()), expected);
    }
}
