//! A layer blob becomes its tar stream again.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use crate::{Codec, DiffId, Digest, DigestWriter};

/// Reads the tar stream inside a blob of `codec`. Concatenated gzip members and zstd frames are
/// read as one stream.
pub fn decoder<'a>(codec: Codec, source: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match codec {
        Codec::Gzip => Box::new(MultiGzDecoder::new(source)),
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

/// Reads a whole layer blob and derives both digests and sizes. A truncated or corrupt stream is
/// an error of kind `InvalidData` or `UnexpectedEof`.
pub fn layer_digests(codec: Codec, source: impl Read) -> io::Result<LayerDigests> {
    let mut tee = Tee { source, seen: DigestWriter::new(io::sink()) };
    let mut tar = DigestWriter::new(io::sink());
    {
        let buffered = io::BufReader::with_capacity(256 << 10, &mut tee);
        io::copy(&mut decoder(codec, buffered)?, &mut tar)?;
    }
    io::copy(&mut tee, &mut io::sink())?;
    let (_, digest, size) = tee.seen.complete();
    let (_, diff_id, uncompressed_size) = tar.complete();
    Ok(LayerDigests { digest, size, diff_id: DiffId(diff_id), uncompressed_size })
}

struct Tee<R> {
    source: R,
    seen: DigestWriter<io::Sink>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buf)?;
        io::Write::write_all(&mut self.seen, &buf[..read])?;
        Ok(read)
    }
}
