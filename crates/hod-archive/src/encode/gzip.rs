//! Gzip, as independent members (libdeflate) or as one member of primed runs (zlib).

use std::io;

use flate2::{Compress, Compression, FlushCompress};
use libdeflater::{CompressionLvl, Compressor};

use super::Block;

/// Header of a member without name, time or extra field: as Python's `GzipFile(filename="",
/// mtime=0)` writes it.
pub(super) const PLAIN_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const FLAG_EXTRA: u8 = 4;
const WINDOW: usize = 32 << 10;

/// `HD`: the size of the member it stands in.
const MEMBER_SIZE: [u8; 2] = *b"HD";
/// `HF`: where the last entry begins; only in the footer.
const FOOTER: [u8; 2] = *b"HF";
const MEMBER_HEADER: usize = 10 + 2 + 4 + 4;
const TRAILER: usize = 8;
const FOOTER_SIZE: usize = MEMBER_HEADER + 4 + 24 + 2 + TRAILER;

/// Writes one block as one member.
pub(super) struct MemberEncoder(Compressor);

impl MemberEncoder {
    pub(super) fn new(level: u8) -> Self {
        let level = CompressionLvl::new(i32::from(level)).expect("checked by Encoding::new");
        Self(Compressor::new(level))
    }

    /// Returns how many bytes of `out` the member takes. What is behind them stays: clearing it
    /// would cost a pass over the buffer for each block.
    pub(super) fn encode(&mut self, block: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let bound = self.0.deflate_compress_bound(block.len());
        if out.len() < MEMBER_HEADER + bound + TRAILER {
            out.resize(MEMBER_HEADER + bound + TRAILER, 0);
        }
        let deflated = self
            .0
            .deflate_compress(block, &mut out[MEMBER_HEADER..MEMBER_HEADER + bound])
            .map_err(|error| io::Error::other(format!("libdeflate: {error}")))?;
        let size = MEMBER_HEADER + deflated + TRAILER;
        member_header(out, size, &[]);
        let trailer = MEMBER_HEADER + deflated;
        out[trailer..trailer + 4].copy_from_slice(&libdeflater::crc32(block).to_le_bytes());
        let length = u32::try_from(block.len()).expect("blocks are a few MiB");
        out[trailer + 4..size].copy_from_slice(&length.to_le_bytes());
        Ok(size)
    }
}

/// Fills the header of a member of `size` bytes, with `more` subfields after the size.
fn member_header(out: &mut [u8], size: usize, more: &[u8]) {
    out[..10].copy_from_slice(&PLAIN_HEADER);
    out[3] = FLAG_EXTRA;
    let extra = u16::try_from(8 + more.len()).expect("subfields are a few bytes");
    out[10..12].copy_from_slice(&extra.to_le_bytes());
    out[12..14].copy_from_slice(&MEMBER_SIZE);
    out[14..16].copy_from_slice(&4_u16.to_le_bytes());
    let size = u32::try_from(size).expect("blocks are a few MiB");
    out[16..20].copy_from_slice(&size.to_le_bytes());
    out[20..20 + more.len()].copy_from_slice(more);
}

/// The empty member after the last one; see `docs/formats/gzip-members.md`.
pub(super) fn footer(tar_offset: u64, blob_offset: u64, members: u64) -> Vec<u8> {
    let mut more = Vec::with_capacity(28);
    more.extend_from_slice(&FOOTER);
    more.extend_from_slice(&24_u16.to_le_bytes());
    for number in [tar_offset, blob_offset, members] {
        more.extend_from_slice(&number.to_le_bytes());
    }
    let mut out = vec![0; FOOTER_SIZE];
    member_header(&mut out, FOOTER_SIZE, &more);
    // An empty deflate stream: one final block with fixed codes that holds nothing.
    out[MEMBER_HEADER + more.len()] = 3;
    out
}

/// Writes one block as a run of deflate blocks that ends on a byte boundary, primed with the
/// window before it: runs concatenated are one deflate stream.
///
/// Each run gets a new compressor: one that is reset keeps its old input in the window, and the
/// last strings of the priming are hashed together with one byte of that. The bytes written would
/// depend on which thread encoded what before.
pub(super) struct RunEncoder(Compression);

impl RunEncoder {
    pub(super) fn new(level: u8) -> Self {
        Self(Compression::new(u32::from(level)))
    }

    /// Returns the CRC-32 of the block.
    pub(super) fn encode(&self, block: &Block, out: &mut Vec<u8>) -> io::Result<u32> {
        let mut compress = Compress::new(self.0, false);
        if !block.window.is_empty() {
            compress.set_dictionary(&block.window).map_err(io::Error::other)?;
        }
        out.clear();
        // Beyond deflate's worst case, so one call takes all: a second flush of a full buffer
        // could add an empty block, and bytes must not depend on a buffer's history.
        out.reserve(block.bytes.len() + block.bytes.len() / 8 + 1024);
        compress.compress_vec(&block.bytes, out, FlushCompress::Sync).map_err(io::Error::other)?;
        if compress.total_in() != block.bytes.len() as u64 || out.len() == out.capacity() {
            return Err(io::Error::other("deflate needed more room than its worst case"));
        }
        Ok(libdeflater::crc32(&block.bytes))
    }
}

/// The last 32 KiB of a block: what the next run is primed with.
pub(crate) fn window_of(block: &[u8]) -> &[u8] {
    &block[block.len().saturating_sub(WINDOW)..]
}

/// An empty final deflate block, then CRC and length of the whole.
pub(super) fn single_trailer(crc32: u32, bytes: u64) -> Vec<u8> {
    let mut out = vec![3, 0];
    out.extend_from_slice(&crc32.to_le_bytes());
    // ISIZE is the length modulo 2^32 (RFC 1952).
    #[expect(clippy::cast_possible_truncation, reason = "RFC 1952 asks for the low 32 bits")]
    out.extend_from_slice(&(bytes as u32).to_le_bytes());
    out
}
