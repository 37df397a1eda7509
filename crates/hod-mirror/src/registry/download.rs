//! Blobs on their way out of a registry: verified while they are read, taken up again where a
//! connection broke.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hod_archive::Digest;
use sha2::{Digest as _, Sha256};

use super::client::Client;
use super::error::RegistryError;
use super::http::Request;
use crate::error::Error;

/// Slower than this, a server is not sending but holding on.
const LEAST_RATE: u64 = 1 << 10;

/// A blob being read. Reading it to its end says whether it is what its digest promises; what is
/// read before that is not to be trusted.
pub struct Download {
    client: Arc<Client>,
    digest: Digest,
    size: u64,
    offset: u64,
    hash: Sha256,
    body: Option<Box<dyn Read + Send>>,
    failed: u32,
    window: (Instant, u64),
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl Download {
    /// Asks for the blob; what is final (it is not there, nobody may have it) is an error here.
    pub(super) fn open(
        client: &Arc<Client>,
        digest: Digest,
        size: u64,
    ) -> Result<Self, RegistryError> {
        let mut download = Self {
            client: Arc::clone(client),
            digest,
            size,
            offset: 0,
            hash: Sha256::new(),
            body: None,
            failed: 0,
            window: (Instant::now(), 0),
        };
        client.repeatedly(|_| download.connect())?;
        Ok(download)
    }

    fn connect(&mut self) -> Result<(), RegistryError> {
        let mut request = Request::new("GET", self.client.url(&format!("blobs/{}", self.digest)));
        if self.offset > 0 {
            request = request.header("range", format!("bytes={}-", self.offset));
        }
        let response = self.client.send(request)?;
        let is_rest = match response.status {
            206 if self.offset > 0 => true,
            200 => false,
            _ => return Err(response.into_error()),
        };
        let mut body: Box<dyn Read + Send> = Box::new(response.into_reader());
        if !is_rest && self.offset > 0 {
            // It cannot send the rest alone.
            let skipped = io::copy(&mut (&mut body).take(self.offset), &mut io::sink());
            if skipped.ok() != Some(self.offset) {
                let url = self.client.url(&format!("blobs/{}", self.digest));
                let source = io::ErrorKind::UnexpectedEof.into();
                return Err(RegistryError::Broken { method: "GET", url, source });
            }
        }
        self.body = Some(body);
        self.window = (Instant::now(), self.offset);
        Ok(())
    }

    /// More than one byte every now and then must come.
    fn is_too_slow(&mut self) -> bool {
        let elapsed = self.window.0.elapsed();
        if elapsed < self.client.options.timeout.max(Duration::from_millis(100)) {
            return false;
        }
        let least = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) / 1000 * LEAST_RATE;
        let is_slow = self.offset - self.window.1 < least;
        self.window = (Instant::now(), self.offset);
        is_slow
    }

    fn broken(&mut self, source: io::Error) -> io::Result<()> {
        self.body = None;
        self.failed += 1;
        let url = self.client.url(&format!("blobs/{}", self.digest));
        let error = RegistryError::Broken { method: "GET", url, source };
        let attempts = self.client.options.attempts;
        if self.failed >= attempts {
            let source = Box::new(error);
            return Err(io::Error::other(RegistryError::Exhausted { attempts, source }));
        }
        let client = Arc::clone(&self.client);
        client.repeatedly(|_| self.connect()).map_err(io::Error::other)
    }

    fn end(&mut self) -> io::Result<usize> {
        let found = Digest::from_bytes(std::mem::take(&mut self.hash).finalize().into());
        if found != self.digest {
            let error = Error::DigestMismatch { expected: self.digest, found };
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(0)
    }
}

impl Read for Download {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.client.options.cancel.is_cancelled() {
                return Err(io::Error::other(RegistryError::Cancelled));
            }
            let Some(body) = &mut self.body else { return Ok(0) };
            let result = body.read(buf);
            if self.is_too_slow() {
                self.broken(io::Error::new(io::ErrorKind::TimedOut, "too slow"))?;
                continue;
            }
            match result {
                Ok(0) if self.offset == self.size => {
                    self.body = None;
                    return self.end();
                }
                Ok(0) => self.broken(io::ErrorKind::UnexpectedEof.into())?,
                Ok(read) if self.offset + read as u64 > self.size => {
                    let found = self.offset + read as u64;
                    let (digest, expected) = (self.digest, self.size);
                    let error = Error::SizeMismatch { digest, expected, found };
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
                Ok(read) => {
                    self.hash.update(&buf[..read]);
                    self.offset += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.broken(error)?,
            }
        }
    }
}
