//! Zstandard, one frame per block.

use std::io;

use zstd::bulk::Compressor;

/// Writes one block as one frame with its content size in the header.
pub(super) struct FrameEncoder(Compressor<'static>);

impl FrameEncoder {
    pub(super) fn new(level: u8) -> io::Result<Self> {
        Ok(Self(Compressor::new(i32::from(level))?))
    }

    pub(super) fn encode(&mut self, block: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        out.reserve(zstd::zstd_safe::compress_bound(block.len()));
        self.0.compress_to_buffer(block, out)?;
        Ok(())
    }
}
