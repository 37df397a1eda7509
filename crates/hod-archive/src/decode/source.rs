//! The blob as it is read: hashed, counted, cancellable.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::DecodeError;
use super::gzip::Garbage;
use super::pipeline::Pipeline;
use crate::{Codec, Digest};

/// Reads a blob, and remembers why it failed: decoders pass only an `io::Error` on.
pub(super) struct BlobReader<'a, R> {
    source: R,
    pipeline: &'a Pipeline<'a>,
    count: &'a AtomicU64,
    sha256: Sha256,
    read: u64,
    failure: Option<DecodeError>,
}

impl<'a, R: Read> BlobReader<'a, R> {
    pub(super) fn new(source: R, pipeline: &'a Pipeline<'a>, count: &'a AtomicU64) -> Self {
        Self { source, pipeline, count, sha256: Sha256::new(), read: 0, failure: None }
    }

    /// What really went wrong where a decoder reported `error`.
    pub(super) fn classify(&mut self, error: io::Error, codec: Codec, offset: u64) -> DecodeError {
        if let Some(failure) = self.failure.take() {
            return failure;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => DecodeError::Truncated { codec, size: self.read },
            _ => match error.downcast::<Garbage>() {
                Ok(Garbage) => DecodeError::Garbage { size: self.read },
                Err(error) => DecodeError::Damaged { codec, offset, source: Some(error) },
            },
        }
    }

    pub(super) fn complete(self) -> (Digest, u64) {
        (Digest::from_bytes(self.sha256.finalize().into()), self.read)
    }

    fn fail(&mut self, failure: DecodeError) -> io::Error {
        let error = io::Error::new(failure.io_kind(), failure.to_string());
        self.failure = Some(failure);
        error
    }
}

impl<R: Read> Read for BlobReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pipeline.cancel.is_cancelled() {
            return Err(self.fail(DecodeError::Cancelled));
        }
        let read = match self.source.read(buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(self.fail(DecodeError::Read(error))),
        };
        self.sha256.update(&buffer[..read]);
        self.read += read as u64;
        if let Some(expected) = self.pipeline.most_bytes.filter(|&most| self.read > most) {
            return Err(self.fail(DecodeError::TooLong { expected }));
        }
        self.count.store(self.read, Ordering::Relaxed);
        if let Some(progress) = self.pipeline.progress.filter(|_| read > 0) {
            progress(self.read);
        }
        Ok(read)
    }
}
