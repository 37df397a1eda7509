//! Manifests and their names.

use std::collections::HashSet;

use hod_archive::Digest;
use serde::Deserialize;

use super::Registry;
use super::client::resolved;
use super::error::RegistryError;
use super::http::{Content, Request};
use crate::error::Error;
use crate::oci::{Descriptor, Document, Index, Kind, Manifest, Tag, media_type};

/// All that this program reads, in the order in which it likes them.
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";
/// Tags on one page of a listing; some registries refuse more (ECR).
const PAGE: usize = 1000;
const PAGE_LIMIT: u64 = 64 << 20;
/// A listing of more pages than that has no end.
const MOST_PAGES: usize = 10_000;

/// What stands behind a tag or a digest, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// Its kind.
    pub media_type: String,
    /// Its digest, computed here.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl RawManifest {
    /// Media type, digest and size.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(&*self.media_type, self.digest, self.bytes.len() as u64)
    }

    /// As the manifest of one image.
    pub fn into_manifest(self) -> Result<Document<Manifest>, Error> {
        self.parse(media_type::is_manifest)
    }

    /// As an index of several.
    pub fn into_index(self) -> Result<Document<Index>, Error> {
        self.parse(media_type::is_index)
    }

    fn parse<T: Kind>(self, is_kind: fn(&str) -> bool) -> Result<Document<T>, Error> {
        let digest = self.digest;
        if !is_kind(&self.media_type) {
            return Err(Error::MediaType { digest, expected: T::NAME, found: self.media_type });
        }
        Document::parse(self.bytes).map_err(|source| Error::Document { digest, source })
    }
}

impl Registry {
    /// All tags, sorted. Of a repository that does not exist yet, none.
    pub fn tags(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut url = self.0.url(&format!("tags/list?n={PAGE}"));
        let mut seen = HashSet::new();
        let mut tags = Vec::new();
        while seen.insert(url.clone()) && seen.len() <= MOST_PAGES {
            let (next, page) = self.0.repeatedly(|_| {
                let response = self.0.send(Request::new("GET", &url))?;
                match response.status {
                    200 => {}
                    404 => return Ok((None, Page { tags: None })),
                    _ => return Err(response.into_error()),
                }
                let next = response.header("link").and_then(next_of).map(str::to_owned);
                let unreadable = response.protocol("is no list of tags");
                let page = serde_json::from_slice(&response.bytes(PAGE_LIMIT)?);
                Ok((next, page.map_err(|_| unreadable)?))
            })?;
            tags.extend(page.tags.unwrap_or_default());
            // Never to another host: the list would be somebody else's.
            let Some(next) = next.and_then(|next| resolved(&url, &next)) else { break };
            if !next.starts_with(&self.0.url("")) {
                break;
            }
            url = next;
        }
        tags.sort();
        tags.dedup();
        Ok(tags)
    }

    /// What stands behind a tag; `None` if there is no such tag.
    pub fn manifest(&self, tag: &str) -> Result<Option<RawManifest>, Error> {
        Ok(self.0.repeatedly(|_| self.fetch(tag, None))?)
    }

    /// A manifest by its digest, verified.
    pub fn manifest_by_digest(&self, digest: &Digest) -> Result<Option<RawManifest>, Error> {
        Ok(self.0.repeatedly(|_| self.fetch(&digest.to_string(), Some(*digest)))?)
    }

    /// The digest behind a tag, without fetching what it is of.
    pub fn resolve(&self, tag: &str) -> Result<Option<Digest>, Error> {
        let url = self.0.url(&format!("manifests/{tag}"));
        let found = self.0.repeatedly(|_| {
            let response = self.0.send(Request::new("HEAD", &url).header("accept", ACCEPT))?;
            match response.status {
                200 => Ok(Some(response.header("docker-content-digest").map(str::to_owned))),
                404 => Ok(None),
                _ => Err(response.into_error()),
            }
        })?;
        match found {
            None => Ok(None),
            Some(Some(text)) if text.parse::<Digest>().is_ok() => Ok(text.parse().ok()),
            // It need not say so (distribution-spec: SHOULD).
            Some(_) => Ok(self.manifest(tag)?.map(|manifest| manifest.digest)),
        }
    }

    fn fetch(
        &self,
        name: &str,
        expected: Option<Digest>,
    ) -> Result<Option<RawManifest>, RegistryError> {
        let url = self.0.url(&format!("manifests/{name}"));
        let response = self.0.send(Request::new("GET", &url).header("accept", ACCEPT))?;
        match response.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(response.into_error()),
        }
        let content_type = response.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_owned();
        let said = response.header("docker-content-digest").and_then(|text| text.parse().ok());
        let wrong = response.protocol("does not have the digest it says it has");
        let bytes = response.bytes(Manifest::LIMIT)?;
        let digest = Digest::of(&bytes);
        if expected.or(said).is_some_and(|expected: Digest| expected != digest)
            || said.is_some_and(|said| said != digest)
        {
            return Err(wrong);
        }
        Ok(Some(RawManifest { media_type, digest, bytes }))
    }

    /// Gives a manifest its name. All that it names must be there.
    pub fn put_manifest(&self, tag: &Tag, manifest: &RawManifest) -> Result<(), Error> {
        self.put_manifest_as(tag.as_str(), manifest)
    }

    /// Stores a manifest under its digest alone, for an index that names it.
    pub fn put_untagged(&self, manifest: &RawManifest) -> Result<(), Error> {
        self.put_manifest_as(&manifest.digest.to_string(), manifest)
    }

    fn put_manifest_as(&self, name: &str, manifest: &RawManifest) -> Result<(), Error> {
        let url = self.0.url(&format!("manifests/{name}"));
        Ok(self.0.repeatedly(|_| {
            let request = Request::new("PUT", &url)
                .header("content-type", &*manifest.media_type)
                .content(Content::Bytes(&manifest.bytes));
            let response = self.0.send(request)?;
            match response.status {
                200 | 201 | 202 | 204 => {
                    response.finish();
                    Ok(())
                }
                _ => Err(response.into_error()),
            }
        })?)
    }

    /// A document by its descriptor, verified.
    pub fn read_document<T: Kind>(&self, descriptor: &Descriptor) -> Result<Document<T>, Error> {
        let digest = descriptor.digest;
        let bytes = self.read_blob(descriptor, T::LIMIT)?;
        Document::parse(bytes).map_err(|source| Error::Document { digest, source })
    }

    /// A small blob by its descriptor, verified.
    pub fn read_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        let Descriptor { digest, size, .. } = *descriptor;
        if size > limit {
            return Err(Error::TooLarge { digest, size, limit });
        }
        Ok(self.0.repeatedly(|_| {
            let url = self.0.url(&format!("blobs/{digest}"));
            let response = self.0.send(Request::new("GET", url))?;
            if response.status != 200 {
                return Err(response.into_error());
            }
            let wrong = response.protocol("does not have the digest it should have");
            let bytes = response.bytes(limit)?;
            if Digest::of(&bytes) == digest { Ok(bytes) } else { Err(wrong) }
        })?)
    }
}

/// The target of `Link: <…>; rel="next"` (RFC 8288).
fn next_of(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim();
            parameter.eq_ignore_ascii_case("rel=next")
                || parameter.eq_ignore_ascii_case("rel=\"next\"")
        });
        let target = target.trim().strip_prefix('<')?;
        is_next.then_some(target)
    })
}

/// A manifest that was made here.
impl<T: Kind> From<&Document<T>> for RawManifest {
    fn from(document: &Document<T>) -> Self {
        Self {
            media_type: document.descriptor().media_type,
            digest: document.digest(),
            bytes: document.bytes().to_vec(),
        }
    }
}

/// So that what parses says where it came from.
impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Cancelled => Self::Cancelled,
            error => Self::Registry(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        assert_eq!(
            next_of(r#"</v2/a/tags/list?n=2&last=b>; rel="next""#),
            Some("/v2/a/tags/list?n=2&last=b")
        );
        assert_eq!(next_of(r#"<x>; rel="prev", <y>; rel=next"#), Some("y"));
        assert_eq!(next_of("x; rel=next"), None);
    }
}
