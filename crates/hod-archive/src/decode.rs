//! A layer blob becomes its tar stream again.

mod chunk;
mod gzip;
mod last;
mod pipeline;
mod source;

pub(crate) use chunk::{Budget, Slice};
pub use last::{LastFile, last_file};
pub(crate) use pipeline::{Chunks, Decoded, Pipeline};

use std::io::{self, BufRead, Read};
use std::thread;

use crate::{Cancel, Codec, DiffId, Digest};

/// Reads the tar stream inside a blob of `codec`. Concatenated gzip members and zstd frames are
/// read as one stream; zeros after the last gzip member are padding.
pub fn decoder<'a>(codec: Codec, source: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match codec {
        Codec::Gzip => Box::new(gzip::Members::new(source)),
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        Codec::None => Box::new(source),
    })
}

/// What reading a layer blob to its end says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerDigests {
    /// Of the blob as it is stored.
    pub digest: Digest,
    /// Bytes as stored.
    pub size: u64,
    /// Of the tar stream inside.
    pub diff_id: DiffId,
    /// Bytes of the tar stream.
    pub uncompressed_size: u64,
}

/// Reads a whole layer blob and derives both digests and sizes, on all cores where the blob's
/// members allow it. A truncated or corrupt stream is an error of kind `InvalidData` or
/// `UnexpectedEof`.
pub fn layer_digests(codec: Codec, source: impl Read) -> io::Result<LayerDigests> {
    read_layer(codec, source, |_| ()).map(|(digests, ())| digests)
}

/// As [`layer_digests`], and hands the tar stream to `look` on the way. It need not read to the
/// end. What it makes of the stream counts only if the stream was whole, or else is an error as
/// there.
pub fn read_layer<T: Send>(
    codec: Codec,
    source: impl Read,
    look: impl FnOnce(&mut dyn Read) -> T + Send,
) -> io::Result<(LayerDigests, T)> {
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let pipeline = Pipeline {
        codec,
        jobs,
        budget: Budget::new(jobs),
        cancel: Cancel::default(),
        most_bytes: None,
        progress: None,
        hashes_tar: true,
    };
    let (seen, decoded) = pipeline.run(source, |chunks| {
        let mut stream = Watched { chunks, failure: None };
        let seen = look(&mut stream);
        if let Some(failure) = stream.failure {
            return Err(failure);
        }
        let _ = chunks.take(u64::MAX);
        while chunks.advance()? {
            let _ = chunks.take(u64::MAX);
        }
        Ok(seen)
    });
    match seen {
        Ok(seen) => {
            let Decoded { digest, size, diff_id, uncompressed_size } = decoded;
            let diff_id = diff_id.expect("the pipeline was told to hash");
            Ok((LayerDigests { digest, size, diff_id, uncompressed_size }, seen))
        }
        Err(DecodeError::Read(error)) => Err(error),
        Err(error) => Err(io::Error::new(error.io_kind(), error)),
    }
}

/// Keeps the failure of a stream, whatever its reader does about it: the members after a damaged
/// one could be read.
struct Watched<'a> {
    chunks: &'a mut Chunks,
    failure: Option<DecodeError>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.failure.is_none() && self.chunks.available() == 0 {
            match self.chunks.advance() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(failure) => self.failure = Some(failure),
            }
        }
        match &self.failure {
            None => self.chunks.read(buffer),
            Some(failure) => Err(failure.io_kind().into()),
        }
    }
}

/// Why a blob does not yield its tar stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The source of the blob failed.
    #[error("reading the blob failed")]
    Read(#[source] io::Error),
    /// The blob ends in the middle.
    #[error("the {codec} blob is cut short after {size} bytes")]
    Truncated {
        /// How the blob is packed.
        codec: Codec,
        /// Bytes that were there.
        size: u64,
    },
    /// A checksum or the encoding is wrong.
    #[error("the {codec} blob is damaged, in what begins at byte {offset}")]
    Damaged {
        /// How the blob is packed.
        codec: Codec,
        /// Where the damaged member begins.
        offset: u64,
        /// What the decoder says, where it says anything.
        source: Option<io::Error>,
    },
    /// Something follows the last gzip member that is no padding.
    #[error("bytes after the last gzip member are neither a member nor padding (before {size})")]
    Garbage {
        /// Bytes of the blob read when it was seen.
        size: u64,
    },
    /// More bytes than the blob was said to have.
    #[error("the blob is longer than the {expected} bytes it should have")]
    TooLong {
        /// The size it should have.
        expected: u64,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl DecodeError {
    pub(crate) fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Self::Cancelled => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        }
    }
}
