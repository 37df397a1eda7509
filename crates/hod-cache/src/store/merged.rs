//! What layers became when they were merged:
//!
//! ```text
//! <cache>/merged/<64 hex>.json     the result, for one list of layers and one encoding
//! ```
//!
//! The layers are named by their digests, so a record is never out of date.

use std::path::PathBuf;

use hod_archive::{DiffId, Digest, Encoding};
use hod_mirror::registry::Spool;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{FORMAT, LocalStore};
use crate::image::Layer;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    format: u32,
    digest: String,
    diff_id: String,
    size: u64,
}

impl LocalStore {
    /// What these layers became in this encoding, if that was ever done here.
    pub(crate) fn merged(&self, layers: &[Layer], encoding: Encoding) -> Option<Layer> {
        let text = fs_err::read(self.merged_path(layers, encoding)?).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        let (digest, diff_id) = (record.digest.parse().ok()?, record.diff_id.parse().ok()?);
        (record.format == FORMAT).then_some(Layer {
            codec: encoding.codec(),
            digest,
            size: record.size,
            diff_id: DiffId(diff_id),
        })
    }

    /// Remembers what layers became, and keeps the blob if it costs no room of its own. The store
    /// only ever saves work: what it cannot write is nobody's failure.
    pub(crate) fn remember_merged(
        &self,
        layers: &[Layer],
        encoding: Encoding,
        merged: &Layer,
        blob: &Spool,
    ) {
        let Some(path) = self.merged_path(layers, encoding) else { return };
        let record = Record {
            format: FORMAT,
            digest: merged.digest.to_string(),
            diff_id: merged.diff_id.to_string(),
            size: merged.size,
        };
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let write = || -> std::io::Result<()> {
            fs_err::create_dir_all(path.parent().unwrap_or(&path))?;
            fs_err::write(&temporary, serde_json::to_vec(&record)?)?;
            fs_err::rename(&temporary, &path)
        };
        let _ = write();
        if let Some(path) = self.blob_path(&merged.digest) {
            let _ = blob.keep(&path);
        }
    }

    fn merged_path(&self, layers: &[Layer], encoding: Encoding) -> Option<PathBuf> {
        let mut key = Sha256::new();
        key.update(format!("{}\0{}\0", encoding.codec(), encoding.level()));
        key.update(format!("{}\0", encoding.members()));
        for layer in layers {
            key.update(layer.digest.as_bytes());
        }
        let name = Digest::from_bytes(key.finalize().into()).hex();
        Some(self.directory.as_ref()?.join("merged").join(name).with_extension("json"))
    }
}
