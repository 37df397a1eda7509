//! Blobs on their way into a registry (distribution-spec, "Pushing blobs"), by the cheapest way the
//! registry takes:
//!
//! known to be there ─▶ asked whether it is there ─▶ mounted from another repository ─▶ streamed
//! while it is being written ─▶ in chunks ─▶ in one piece

use std::io::{self, Read};

use hod_archive::Digest;

use super::auth::percent;
use super::client::{Client, resolved};
use super::error::RegistryError;
use super::http::{Content, Request, Response, SourceFailed};
use super::source::BlobSource;
use super::ways::{Streaming, Way};

/// The largest body of a `PATCH` that every registry known takes (ghcr.io refuses more).
const CHUNK: u64 = 4 << 20;
/// How often one upload is taken up again where it broke off.
const MOST_RESUMES: u32 = 4;

/// How to go about an upload.
#[derive(Debug, Clone, Copy, Default)]
pub struct UploadOptions<'a> {
    /// Ask first whether the blob is there. Not worth a request for what was never seen before.
    pub ask_first: bool,
    /// Repositories of the same registry that may have the blob.
    pub mount_from: &'a [String],
}

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// It was there.
    Present,
    /// From another repository, without being sent.
    Mounted,
    /// It was sent.
    Sent,
}

/// Reads what is sent; marks its errors as our own, and ends when the caller wants to.
struct Sent<'a> {
    reader: Box<dyn Read + 'a>,
    client: &'a Client,
}

impl Read for Sent<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.client.options.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        self.reader.read(buf).map_err(|error| SourceFailed::wrap(&error))
    }
}

/// Brings a blob into the repository.
pub(super) fn upload(
    client: &Client,
    source: BlobSource<'_>,
    options: UploadOptions<'_>,
) -> Result<(Uploaded, Digest, u64), RegistryError> {
    let mut upload = Upload { client, source, session: None };
    let result = client.repeatedly(|failed| upload.attempt(options, failed));
    if result.is_err() {
        upload.withdraw();
    }
    result
}

/// Has a blob mounted from another repository of the registry, without a byte of it at hand.
pub(super) fn mount(
    client: &Client,
    digest: Digest,
    size: u64,
    from: &[String],
) -> Result<bool, RegistryError> {
    if client.is_known(&digest) {
        return Ok(true);
    }
    // What is not mounted is answered with a session that nobody will use.
    let mut upload = Upload { client, source: BlobSource::Bytes(&[]), session: None };
    for repository in from {
        let mounted = client.repeatedly(|failed| {
            // The answer to a successful attempt may have been lost.
            if failed > 0 && client.has_blob(&digest, Some(size))? {
                return Ok(true);
            }
            match upload.begin(Some((&digest, repository))) {
                Ok(chunk) => Ok(chunk.is_none()),
                // Whether it cannot mount, may not or has nothing to mount: it must be sent.
                Err(error) if error.status().is_some_and(|code| (400..429).contains(&code)) => {
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        })?;
        upload.withdraw();
        if mounted {
            client.remember(digest);
            return Ok(true);
        }
    }
    Ok(false)
}

struct Upload<'a> {
    client: &'a Client,
    source: BlobSource<'a>,
    /// Where the registry waits for bytes.
    session: Option<String>,
}

impl Upload<'_> {
    fn attempt(
        &mut self,
        options: UploadOptions<'_>,
        failed: u32,
    ) -> Result<(Uploaded, Digest, u64), RegistryError> {
        let way = self.client.ways.known();
        let stream_from = self.client.options.stream_from;
        if stream_from == 0
            && failed == 0
            && way.streaming != Streaming::Never
            && matches!(self.source, BlobSource::Spool(_))
        {
            return self.stream(way);
        }
        let enough = if way.streaming == Streaming::Never { u64::MAX } else { stream_from };
        let known = self.source.known_or(enough).map_err(RegistryError::Source)?;
        let Some((digest, size)) = known else {
            return self.stream(way);
        };
        let present = |uploaded| {
            self.client.remember(digest);
            Ok((uploaded, digest, size))
        };
        if self.client.is_known(&digest) {
            return Ok((Uploaded::Present, digest, size));
        }
        // The answer to a successful attempt may have been lost.
        if (options.ask_first || failed > 0) && self.client.has_blob(&digest, Some(size))? {
            return present(if failed > 0 { Uploaded::Sent } else { Uploaded::Present });
        }
        let from = options.mount_from.get(failed as usize).map(|from| (&digest, &**from));
        let Some(chunk) = self.begin(from)? else { return present(Uploaded::Mounted) };
        if way.largest_put.is_none_or(|largest| size <= largest) {
            match self.put(&digest, Some(size)) {
                Err(error) if error.status() == Some(413) => {
                    // Some say so after reading all of it: then the session is gone as well.
                    let largest = size.saturating_sub(1);
                    self.client.ways.learn(|way| way.largest_put = Some(largest));
                    self.begin(None)?;
                }
                done => return done.and_then(|()| present(Uploaded::Sent)),
            }
        }
        self.chunks(0, chunk)?;
        self.put(&digest, None)?;
        present(Uploaded::Sent)
    }

    /// Sends what is still being written.
    fn stream(&mut self, way: Way) -> Result<(Uploaded, Digest, u64), RegistryError> {
        let mut streaming = way.streaming;
        loop {
            let chunk = self.begin(None)?.unwrap_or(CHUNK);
            let next = match streaming {
                Streaming::Whole => match self.patch_all() {
                    Err(error) if is_refusal(&error) => Streaming::Chunks,
                    Err(error @ (RegistryError::Broken { .. } | RegistryError::Refused { .. })) => {
                        let Some(offset) = self.received() else { return Err(error) };
                        self.chunks(offset, chunk)?;
                        break;
                    }
                    done => {
                        done?;
                        break;
                    }
                },
                Streaming::Chunks => match self.chunks(0, chunk) {
                    Err(error) if is_refusal(&error) => Streaming::Never,
                    done => {
                        done?;
                        break;
                    }
                },
                Streaming::Never => {
                    let (digest, size) = self.source.known()?;
                    self.put(&digest, Some(size))?;
                    self.client.remember(digest);
                    return Ok((Uploaded::Sent, digest, size));
                }
            };
            self.client.ways.learn(|way| way.streaming = next);
            streaming = next;
        }
        let (digest, size) = self.source.known()?;
        self.put(&digest, None)?;
        self.client.remember(digest);
        Ok((Uploaded::Sent, digest, size))
    }

    /// Opens a session. The size of a chunk in it; `None` if the blob was mounted instead.
    fn begin(&mut self, mount: Option<(&Digest, &str)>) -> Result<Option<u64>, RegistryError> {
        let url = match mount {
            Some((digest, from)) => {
                let (digest, from) = (percent(&digest.to_string()), percent(from));
                self.client.url(&format!("blobs/uploads/?mount={digest}&from={from}"))
            }
            None => self.client.url("blobs/uploads/"),
        };
        self.session = None;
        let response = self.client.send(Request::new("POST", &url))?;
        match response.status {
            201 if mount.is_some() => {
                response.finish();
                Ok(None)
            }
            202 => {
                let least = response.header("oci-chunk-min-length");
                let least = least.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
                self.follow(&url, response)?;
                Ok(Some(CHUNK.max(least)))
            }
            _ => Err(response.into_error()),
        }
    }

    /// Goes on where the registry says.
    fn follow(&mut self, from: &str, response: Response) -> Result<(), RegistryError> {
        let Some(url) = response.header("location").and_then(|to| resolved(from, to)) else {
            return Err(response.protocol("names no place to upload to"));
        };
        if !self.client.reference.is_plain && !url.starts_with("https://") {
            return Err(response.protocol("names a place to upload to without encryption"));
        }
        response.finish();
        self.session = Some(url);
        Ok(())
    }

    fn session(&self) -> String {
        self.session.clone().expect("a session was opened before")
    }

    /// All of the source in one request of unknown length.
    fn patch_all(&mut self) -> Result<(), RegistryError> {
        let url = self.session();
        let mut sent = Sent { reader: self.source.reader(0)?, client: self.client };
        let request = Request::new("PATCH", &url)
            .header("content-type", "application/octet-stream")
            .content(Content::Stream(&mut sent));
        self.accepted(&url, request)
    }

    /// The source from `offset` on, in requests of `chunk` bytes.
    fn chunks(&mut self, mut offset: u64, chunk: u64) -> Result<(), RegistryError> {
        let mut resumes = 0;
        loop {
            let known = self.source.known_or(offset + chunk).map_err(RegistryError::Source)?;
            let length = known.map_or(chunk, |(_, size)| (size - offset).min(chunk));
            if length == 0 {
                return Ok(());
            }
            let url = self.session();
            let mut sent = Sent { reader: self.source.reader(offset)?, client: self.client };
            let request = Request::new("PATCH", &url)
                .header("content-type", "application/octet-stream")
                .header("content-range", format!("{offset}-{}", offset + length - 1))
                .content(Content::Sized(&mut sent, length));
            match self.accepted(&url, request) {
                Ok(()) => offset += length,
                Err(error)
                    if resumes < MOST_RESUMES
                        && (error.is_transient() || error.status() == Some(416)) =>
                {
                    resumes += 1;
                    match self.received().filter(|&at| at <= offset + length) {
                        Some(received) => offset = received,
                        None => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn accepted(&mut self, url: &str, request: Request<'_>) -> Result<(), RegistryError> {
        let response = self.client.send(request)?;
        match response.status {
            // Some say 204 or 201 (distribution-spec 1.0 has 202).
            201 | 202 | 204 => self.follow(url, response),
            _ => Err(response.into_error()),
        }
    }

    /// How many bytes the registry has of what broke off, if it can say so.
    fn received(&mut self) -> Option<u64> {
        let url = self.session();
        let response = self.client.send(Request::new("GET", &url)).ok()?;
        if !matches!(response.status, 202 | 204) {
            return None;
        }
        // `0-9` are ten bytes; `0-0` is said for none as well as for one.
        let (first, last) =
            response.header("range")?.trim_start_matches("bytes=").split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        self.follow(&url, response).ok()?;
        (first == 0 && last > 0).then_some(last + 1)
    }

    /// Ends the session: all of the blob, or nothing if it was sent before.
    fn put(&mut self, digest: &Digest, whole: Option<u64>) -> Result<(), RegistryError> {
        let session = self.session();
        let separator = if session.contains('?') { '&' } else { '?' };
        let url = format!("{session}{separator}digest={}", percent(&digest.to_string()));
        let mut sent;
        let request = Request::new("PUT", &url).header("content-type", "application/octet-stream");
        let request = match (whole, self.source) {
            // What is in memory can be sent again if only the token was too old.
            (Some(_), BlobSource::Bytes(bytes)) => request.content(Content::Bytes(bytes)),
            (Some(size), _) => {
                sent = Sent { reader: self.source.reader(0)?, client: self.client };
                request.content(Content::Sized(&mut sent, size))
            }
            (None, _) => request,
        };
        let response = self.client.send(request)?;
        match response.status {
            201 | 204 => {
                let said = response.header("docker-content-digest").map(str::to_owned);
                if said.as_ref().is_some_and(|said| *said != digest.to_string()) {
                    let said = said.unwrap_or_default();
                    return Err(response.protocol(format!("names another digest, {said}")));
                }
                response.finish();
                self.session = None;
                Ok(())
            }
            _ => Err(response.into_error()),
        }
    }

    /// Tells the registry that nothing more will come. It would find out by itself, days later.
    fn withdraw(&mut self) {
        if let Some(url) = self.session.take()
            && let Ok(response) = self.client.send(Request::new("DELETE", url))
        {
            response.finish();
        }
    }
}

/// Whether a registry does not like the way in which bytes are sent, whatever they are.
fn is_refusal(error: &RegistryError) -> bool {
    let RegistryError::Refused { status, codes, .. } = error else { return false };
    let is_lost = codes.iter().any(|(code, _)| code == "BLOB_UPLOAD_UNKNOWN");
    matches!(status, 400 | 404 | 405 | 411 | 413 | 415 | 416 | 501) && !is_lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_of_the_way_changes_the_way() {
        let refused = |status, code: &str| RegistryError::Refused {
            method: "PATCH",
            url: String::new(),
            status,
            codes: vec![(code.to_owned(), String::new())],
            text: String::new(),
            retry_after: None,
            is_anonymous: false,
            lacks_scope: false,
        };
        assert!(is_refusal(&refused(416, "RANGE_INVALID")));
        assert!(is_refusal(&refused(405, "UNSUPPORTED")));
        assert!(!is_refusal(&refused(404, "BLOB_UPLOAD_UNKNOWN")));
        assert!(!is_refusal(&refused(403, "DENIED")));
        assert!(!is_refusal(&refused(503, "")));
    }
}
