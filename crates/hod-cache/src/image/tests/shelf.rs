//! A mirror in memory that counts and that can be interfered with.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::sync::{Mutex, MutexGuard};

use hod_archive::Digest;
use hod_mirror::oci::{Descriptor, Document, Kind, Manifest, Tag, media_type};
use hod_mirror::registry::{BlobSource, RawManifest, UploadOptions, Uploaded};
use hod_mirror::{Error, ImageMirror, NamedManifest};

#[derive(Debug, Default)]
pub(super) struct Shelf {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<Digest, Vec<u8>>,
    manifests: HashMap<Digest, RawManifest>,
    tags: BTreeMap<String, Digest>,
    /// What other repositories would give.
    mountable: HashMap<Digest, Vec<u8>>,
    /// What happened, in order.
    log: Vec<String>,
    /// What others give a tag to, one after each write of ours.
    rivals: Vec<RawManifest>,
}

impl Shelf {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn add_blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.state().blobs.insert(digest, bytes.to_vec());
        digest
    }

    /// Under the name of other bytes.
    pub(super) fn add_wrong_blob(&self, digest: Digest, bytes: &[u8]) {
        self.state().blobs.insert(digest, bytes.to_vec());
    }

    pub(super) fn offer_mount(&self, bytes: &[u8]) {
        self.state().mountable.insert(Digest::of(bytes), bytes.to_vec());
    }

    pub(super) fn add_rival(&self, manifest: RawManifest) {
        self.add_manifest(None, manifest.clone());
        self.state().rivals.push(manifest);
    }

    pub(super) fn add_manifest(&self, tag: Option<&str>, manifest: RawManifest) {
        let mut state = self.state();
        if let Some(tag) = tag {
            state.tags.insert(tag.to_owned(), manifest.digest);
        }
        state.manifests.insert(manifest.digest, manifest);
    }

    pub(super) fn add_document<T: Kind>(&self, tag: Option<&str>, text: String) -> Descriptor {
        let document: Document<T> = Document::parse(text.into_bytes()).unwrap();
        self.add_manifest(tag, RawManifest::from(&document));
        document.descriptor()
    }

    pub(super) fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.state().blobs.get(digest).cloned()
    }

    pub(super) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// An image of one layer, config included.
    pub(super) fn add_image(&self, tag: &str, architecture: &str, os: &str) -> Descriptor {
        let layer = self.add_blob(format!("layer of {tag} for {architecture}").as_bytes());
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"{os}","rootfs":{{"type":"layers","diff_ids":["{layer}"]}}}}"#
        );
        let (size, config_size) = (self.blob(&layer).unwrap().len(), config.len());
        let config = self.add_blob(config.as_bytes());
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{config}","size":{config_size}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{size}}}]}}"#,
            media_type::MANIFEST,
            media_type::CONFIG,
        );
        self.add_document::<Manifest>(Some(tag), text)
    }
}

impl ImageMirror for Shelf {
    fn location(&self) -> String {
        "oci://example.org/shelf".to_owned()
    }

    fn tags(&self) -> Result<Vec<String>, Error> {
        Ok(self.state().tags.keys().cloned().collect())
    }

    fn manifest(&self, tag: &str) -> Result<Option<RawManifest>, Error> {
        let state = self.state();
        let digest = state.tags.get(tag).copied().or_else(|| tag.parse().ok());
        Ok(digest.and_then(|digest| state.manifests.get(&digest).cloned()))
    }

    fn manifest_by_digest(&self, descriptor: &Descriptor) -> Result<Option<RawManifest>, Error> {
        Ok(self.state().manifests.get(&descriptor.digest).cloned())
    }

    fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        let digest = descriptor.digest;
        let bytes = self.blob(&digest);
        let bytes = bytes.ok_or_else(|| Error::MissingBlob { digest, path: "shelf".into() })?;
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        let state = self.state();
        Ok(state.blobs.get(digest).is_some_and(|bytes| bytes.len() as u64 == size))
    }

    fn put_blob(
        &self,
        source: BlobSource<'_>,
        _options: UploadOptions<'_>,
    ) -> Result<Uploaded, Error> {
        let mut bytes = Vec::new();
        let read = match source {
            BlobSource::Bytes(content) => {
                bytes.extend_from_slice(content);
                Ok(())
            }
            BlobSource::File { path, .. } => fs_err::read(path).map(|content| bytes = content),
            BlobSource::Spool(spool) => {
                spool.reader(0).and_then(|mut reader| reader.read_to_end(&mut bytes)).map(|_| ())
            }
        };
        read.map_err(|source| Error::Read { path: "spool".into(), source })?;
        self.state().log.push(format!("sent {}", Digest::of(&bytes)));
        self.add_blob(&bytes);
        Ok(Uploaded::Sent)
    }

    fn mount_blob(&self, descriptor: &Descriptor, from: &[String]) -> Result<bool, Error> {
        let mut state = self.state();
        let Some(bytes) = state.mountable.get(&descriptor.digest).cloned() else {
            return Ok(false);
        };
        if from.is_empty() {
            return Ok(false);
        }
        state.log.push(format!("mounted {}", descriptor.digest));
        state.blobs.insert(descriptor.digest, bytes);
        Ok(true)
    }

    fn put_manifests(&self, manifests: &[NamedManifest]) -> Result<(), Error> {
        for NamedManifest { tag, manifest, .. } in manifests {
            let name = tag.as_ref().map_or("no tag", |tag| tag.as_str());
            self.state().log.push(format!("{name} {}", manifest.digest));
            self.add_manifest(tag.as_ref().map(Tag::as_str), manifest.clone());
        }
        let mut state = self.state();
        if let (Some(rival), Some(tag)) =
            (state.rivals.pop(), manifests.iter().find_map(|manifest| manifest.tag.clone()))
        {
            state.tags.insert(tag.to_string(), rival.digest);
        }
        Ok(())
    }
}
