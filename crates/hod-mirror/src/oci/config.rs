//! How an image is run, what its layers unpack to, and what Hod knows of the package.

use std::collections::BTreeMap;

use hod_archive::DiffId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::text::{diff_ids, is_default, null_as_default};
use super::{Kind, PackageFacts, Platform, media_type};
use crate::error::ParseError;

/// An image config (image-spec `config.md`). No clock is in it: `created` is optional in the spec,
/// and the same tree must give the same bytes tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// GOARCH.
    pub architecture: String,
    /// GOOS.
    pub os: String,
    /// How a container of the image starts.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub config: RunConfig,
    /// What the layers unpack to.
    pub rootfs: RootFs,
    /// What Hod knows of the package; extra keys are allowed and ignored by runtimes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hod: Option<PackageFacts>,
    /// Keys this program does not know: `history`, `created`, Spack's `spec` …
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How a container of an image starts. Every key is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    /// User and group, by name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `NAME=value`, in the order in which they are set.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The command, if it is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The arguments, or the command when there is no entry point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Where the command starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Notes, in the order of their keys.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// Keys this program does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The layers of an image by what they unpack to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(with = "diff_ids")]
    pub diff_ids: Vec<DiffId>,
}

impl ImageConfig {
    /// The config of an image for this machine that says no more than it must.
    pub fn new(diff_ids: Vec<DiffId>) -> Self {
        let Platform { architecture, os, .. } = Platform::host();
        Self {
            architecture,
            os,
            config: RunConfig::default(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids },
            hod: None,
            other: Map::new(),
        }
    }
}

impl Kind for ImageConfig {
    const NAME: &'static str = "an image config";
    /// The config of a Spack package holds its whole spec; of a large environment, all of them.
    const LIMIT: u64 = 64 << 20;

    fn media_type(&self) -> &str {
        media_type::CONFIG
    }

    fn validate(&self) -> Result<(), ParseError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hod_archive::Digest;

    use super::*;
    use crate::oci::Document;

    #[test]
    fn a_config_holds_what_is_said_and_nothing_else() {
        let mut config = ImageConfig::new(vec![DiffId(Digest::of(b"tar"))]);
        config.architecture = "amd64".to_owned();
        config.os = "linux".to_owned();
        let diff_id = Digest::of(b"tar");
        let rootfs = format!(r#""rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}"#);
        let bare = Document::render(config.clone()).unwrap();
        assert_eq!(
            String::from_utf8_lossy(bare.bytes()),
            format!(r#"{{"architecture":"amd64","os":"linux",{rootfs}}}"#)
        );

        config.config.env = vec!["PATH=/bin".to_owned()];
        config.config.cmd = Some(vec!["sh".to_owned()]);
        let said = Document::render(config).unwrap();
        assert_eq!(
            String::from_utf8_lossy(said.bytes()),
            format!(
                r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["PATH=/bin"],"Cmd":["sh"]}},{rootfs}}}"#
            )
        );
    }

    #[test]
    fn a_config_of_docker_is_read_with_all_its_keys() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Hostname":"","Env":null,"Cmd":["/bin/sh"],"Labels":null},"created":"2024-01-01T00:00:00Z","history":[{"empty_layer":true}],"rootfs":{"type":"layers","diff_ids":null}}"#;
        let config: Document<ImageConfig> = Document::parse(text.into()).unwrap();
        assert!(config.rootfs.diff_ids.is_empty());
        assert_eq!(config.other.keys().collect::<Vec<_>>(), ["created", "history"]);
        assert!(config.config.other.contains_key("Hostname"));
    }
}
