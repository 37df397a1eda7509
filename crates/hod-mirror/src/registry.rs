//! A mirror that is a repository of a container registry (distribution-spec 1.1).

mod agent;
mod auth;
mod challenge;
mod check;
mod client;
mod download;
mod error;
mod http;
mod index;
mod manifest;
mod options;
mod reference;
mod source;
mod spool;
mod upload;
mod ways;

use std::sync::{Arc, PoisonError};

use hod_archive::Digest;

pub use check::CheckDepth;
pub use download::Download;
pub use error::{Refusal, RegistryError};
pub use index::{HOD_INDEX, ReadBlob, RegistryIndexOptions, SPACK_INDEX, hash_of_tag};
pub use manifest::RawManifest;
pub use options::{Access, OnWait, RegistryOptions, RetryWait};
pub use reference::{Reference, ReferenceError};
pub use source::BlobSource;
pub use spool::{Spool, SpoolReader, SpoolWriter};
pub use upload::{UploadOptions, Uploaded};

use client::Client;
use http::Request;

use crate::error::Error;

/// A handle on a repository. Clones are cheap and share its connections, its token and what it
/// knows; any number of threads may use it at the same time.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Client>);

impl Registry {
    /// Nothing is sent yet: the first request finds out whether there is a registry.
    pub fn open(
        reference: Reference,
        access: Access,
        options: RegistryOptions,
    ) -> Result<Self, Error> {
        Ok(Self(Arc::new(Client::new(reference, access, options)?)))
    }

    /// Which repository.
    pub fn reference(&self) -> &Reference {
        &self.0.reference
    }

    /// Most requests at the same time.
    pub fn connections(&self) -> usize {
        self.0.options.connections.max(1)
    }

    /// How many requests were sent, those for tokens not among them.
    pub fn requests(&self) -> u64 {
        self.0.requests()
    }

    /// Whether nobody has said who asks.
    pub fn is_anonymous(&self) -> bool {
        self.0.is_anonymous()
    }

    /// Ends all requests that are under way; for when somebody wants to stop.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether the registry answers, and lets in who asks.
    pub fn greet(&self) -> Result<(), Error> {
        let response = self.0.repeatedly(|_| {
            let Reference { host, .. } = &self.0.reference;
            let url = format!("{}://{host}/v2/", self.0.reference.scheme());
            self.0.send(Request::new("GET", url))
        })?;
        match response.status {
            200 => {
                response.finish();
                Ok(())
            }
            _ => Err(response.into_error().into()),
        }
    }

    /// Whether the blob is there.
    pub fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        if self.0.is_known(digest) {
            return Ok(true);
        }
        Ok(self.0.repeatedly(|_| self.0.has_blob(digest, Some(size)))?)
    }

    /// The size of a blob, as far as the registry tells it; `None` if there is no such blob.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<Option<u64>>, Error> {
        Ok(self.0.repeatedly(|_| {
            let url = self.0.url(&format!("blobs/{digest}"));
            let response = self.0.send(Request::new("HEAD", url))?;
            match response.status {
                200 => {
                    let size = response.header("content-length");
                    Ok(Some(size.and_then(|text| text.parse().ok())))
                }
                404 => Ok(None),
                _ => Err(response.into_error()),
            }
        })?)
    }

    /// Brings a blob in.
    pub fn upload(
        &self,
        source: BlobSource<'_>,
        options: UploadOptions<'_>,
    ) -> Result<(Uploaded, Digest, u64), Error> {
        Ok(upload::upload(&self.0, source, options)?)
    }

    /// Has a blob mounted from one of the repositories `from`, of the same registry. `false` if
    /// none of them can give it: then it must be sent.
    pub fn mount(&self, digest: Digest, size: u64, from: &[String]) -> Result<bool, Error> {
        Ok(upload::mount(&self.0, digest, size, from)?)
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: Digest, size: u64) -> Result<Download, Error> {
        Ok(Download::open(&self.0, digest, size)?)
    }
}

impl Client {
    fn is_known(&self, digest: &Digest) -> bool {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    fn remember(&self, digest: Digest) {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    /// Only 404 is a no: whoever may not look has not seen that it is missing.
    fn has_blob(&self, digest: &Digest, size: Option<u64>) -> Result<bool, RegistryError> {
        let response = self.send(Request::new("HEAD", self.url(&format!("blobs/{digest}"))))?;
        match response.status {
            200 => {
                let found = response.header("content-length").and_then(|text| text.parse().ok());
                let is_same = size.is_none() || found.is_none() || found == size;
                if is_same {
                    self.remember(*digest);
                }
                Ok(is_same)
            }
            404 => Ok(false),
            _ => Err(response.into_error()),
        }
    }
}
