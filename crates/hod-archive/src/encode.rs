//! Blocks of the tar stream become members or frames of a layer blob.
//!
//! The stream is cut at fixed input offsets, so every block can be encoded by any thread and the
//! bytes that come out depend on the stream and on [`Encoding`] alone.

mod gzip;
mod pool;
mod zstandard;

use std::fmt;
use std::io;

use crate::Codec;
pub(crate) use gzip::window_of;
pub use pool::Encoders;
pub(crate) use pool::{Pending, Sequence};

/// How hard the codec works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Level {
    /// The cheapest named level: gzip 1, zstd 1.
    Fast,
    /// Smaller than what Spack writes, and several times faster: gzip 6, zstd 3.
    #[default]
    Default,
    /// As small as is sensible for something that is written once: gzip 9, zstd 12.
    Best,
    /// The codec's own number: gzip 1 to 12, zstd 1 to 19.
    Number(u8),
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fast => f.write_str("fast"),
            Self::Default => f.write_str("default"),
            Self::Best => f.write_str("best"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fast" => Ok(Self::Fast),
            "default" => Ok(Self::Default),
            "best" => Ok(Self::Best),
            number => number
                .parse()
                .map(Self::Number)
                .map_err(|_| format!("`{text}` is neither a number nor fast, default or best")),
        }
    }
}

/// Whether a gzip blob is one member or one member per block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Members {
    /// Independent members, which can also be decompressed in parallel. Format:
    /// `docs/formats/gzip-members.md`.
    #[default]
    Multi,
    /// One member, for readers that stop at the first.
    Single,
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Multi => "multi",
            Self::Single => "single",
        })
    }
}

/// A codec, its level as a number, and the member layout: all that decides the encoded bytes of a
/// stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Encoding {
    codec: Codec,
    level: u8,
    members: Members,
}

/// A level or a member layout the codec does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// The number is outside the codec's levels.
    #[error("{codec} has levels {lowest} to {highest}, not {level}")]
    Level {
        /// The codec asked for.
        codec: Codec,
        /// The level asked for.
        level: u8,
        /// The codec's first level.
        lowest: u8,
        /// The codec's last level.
        highest: u8,
    },
    /// A level asked of no compression.
    #[error("without compression there is no level {level} to choose")]
    NoLevels {
        /// The level asked for.
        level: u8,
    },
    /// `Members::Single` asked of a codec other than gzip.
    #[error("only gzip can be written as a single member, not {codec}")]
    Members {
        /// The codec asked for.
        codec: Codec,
    },
}

impl Default for Encoding {
    fn default() -> Self {
        Self { codec: Codec::Gzip, level: GZIP_DEFAULT, members: Members::Multi }
    }
}

/// libdeflate 6: smaller than zlib's level 6, which Spack uses, at three times its speed on one
/// core. `docs/decisions/0002-gzip-members.md` has the curve.
const GZIP_DEFAULT: u8 = 6;

impl Encoding {
    /// Checks that `codec` has this level and member layout.
    pub fn new(codec: Codec, level: Level, members: Members) -> Result<Self, EncodingError> {
        // (fast, default, best, first, last)
        let (fast, default, best, lowest, highest) = match (codec, members) {
            (Codec::Gzip, Members::Multi) => (1, GZIP_DEFAULT, 9, 1, 12),
            (Codec::Gzip, Members::Single) => (1, 6, 9, 1, 9),
            (Codec::Zstd, _) => (1, 3, 12, 1, 19),
            (Codec::None, _) => (0, 0, 0, 0, 0),
        };
        if codec != Codec::Gzip && members == Members::Single {
            return Err(EncodingError::Members { codec });
        }
        let level = match level {
            Level::Fast => fast,
            Level::Default => default,
            Level::Best => best,
            Level::Number(level) if (lowest..=highest).contains(&level) => level,
            Level::Number(level) if codec == Codec::None && level != 0 => {
                return Err(EncodingError::NoLevels { level });
            }
            Level::Number(level) => {
                return Err(EncodingError::Level { codec, level, lowest, highest });
            }
        };
        Ok(Self { codec, level, members })
    }

    /// The codec.
    pub const fn codec(self) -> Codec {
        self.codec
    }

    /// The codec's own level number; 0 for no compression.
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The member layout.
    pub const fn members(self) -> Members {
        self.members
    }

    /// Bytes of the tar stream in one block. A format constant: changing it changes every digest.
    pub const fn block_size(self) -> usize {
        match self.codec {
            Codec::Gzip | Codec::None => 1 << 20,
            // Its window reaches over the whole block, so smaller ones cost more.
            Codec::Zstd => 2 << 20,
        }
    }
}

/// A block of the tar stream on its way to an encoder.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// The bytes to encode.
    pub(crate) bytes: Vec<u8>,
    /// The last 32 KiB before them, for a codec that wants a window over its blocks.
    pub(crate) window: Vec<u8>,
}

/// A block after encoding.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    buffer: Vec<u8>,
    length: usize,
    /// The input buffer, to be used again.
    spent: Block,
    /// CRC-32 of the input, where the framing needs it.
    crc32: u32,
}

impl Encoded {
    /// What goes into the blob.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Both buffers, to be used again.
    pub(crate) fn into_buffers(self) -> (Block, Vec<u8>) {
        (self.spent, self.buffer)
    }
}

/// A thread's encoder for one [`Encoding`]: holds the codec's working memory between blocks.
enum BlockEncoder {
    Multi(gzip::MemberEncoder),
    Single(gzip::RunEncoder),
    Zstd(zstandard::FrameEncoder),
    Plain,
}

impl BlockEncoder {
    fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match (encoding.codec, encoding.members) {
            (Codec::Gzip, Members::Multi) => Self::Multi(gzip::MemberEncoder::new(encoding.level)),
            (Codec::Gzip, Members::Single) => Self::Single(gzip::RunEncoder::new(encoding.level)),
            (Codec::Zstd, _) => Self::Zstd(zstandard::FrameEncoder::new(encoding.level)?),
            (Codec::None, _) => Self::Plain,
        })
    }

    /// Encodes `block`, using the memory of `out` where it suffices.
    fn encode(&mut self, block: Block, mut out: Vec<u8>) -> io::Result<Encoded> {
        let mut crc32 = 0;
        let mut length = None;
        match self {
            Self::Multi(encoder) => length = Some(encoder.encode(&block.bytes, &mut out)?),
            Self::Single(encoder) => crc32 = encoder.encode(&block, &mut out)?,
            Self::Zstd(encoder) => encoder.encode(&block.bytes, &mut out)?,
            // Nothing to do but pass the bytes on: the two buffers change places.
            Self::Plain => {
                out.clear();
                let length = block.bytes.len();
                let spent = Block { bytes: out, window: block.window };
                return Ok(Encoded { buffer: block.bytes, length, spent, crc32 });
            }
        }
        Ok(Encoded { length: length.unwrap_or(out.len()), buffer: out, spent: block, crc32 })
    }
}

/// What stands before, between and after the blocks of a blob; fed in stream order.
#[derive(Debug)]
pub(crate) enum Framing {
    /// Members, then the footer.
    Multi { members: u64, blob: u64, mark: Option<(u64, u64)> },
    /// One header, the runs, one trailer.
    Single { crc: crc32fast::Hasher, bytes: u64 },
    /// The blocks alone.
    Bare,
}

impl Framing {
    pub(crate) fn new(encoding: Encoding) -> Self {
        match (encoding.codec, encoding.members) {
            (Codec::Gzip, Members::Multi) => Self::Multi { members: 0, blob: 0, mark: None },
            (Codec::Gzip, Members::Single) => {
                Self::Single { crc: crc32fast::Hasher::new(), bytes: 0 }
            }
            _ => Self::Bare,
        }
    }

    /// Whether blocks carry the 32 KiB before them.
    pub(crate) const fn wants_window(&self) -> bool {
        matches!(self, Self::Single { .. })
    }

    pub(crate) fn begin(&self) -> Vec<u8> {
        match self {
            Self::Single { .. } => gzip::PLAIN_HEADER.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Takes note of the next block. `last_entry` is its offset in the tar stream if the last
    /// entry begins with it.
    pub(crate) fn block(&mut self, encoded: &Encoded, last_entry: Option<u64>) {
        match self {
            Self::Multi { members, blob, mark } => {
                if let Some(offset) = last_entry {
                    *mark = Some((offset, *blob));
                }
                *members += 1;
                *blob += encoded.bytes().len() as u64;
            }
            Self::Single { crc, bytes } => {
                let length = encoded.spent.bytes.len() as u64;
                crc.combine(&crc32fast::Hasher::new_with_initial_len(encoded.crc32, length));
                *bytes += length;
            }
            Self::Bare => {}
        }
    }

    pub(crate) fn end(self) -> Vec<u8> {
        match self {
            Self::Multi { members, mark, .. } => {
                let (tar_offset, blob_offset) = mark.unwrap_or_default();
                gzip::footer(tar_offset, blob_offset, members)
            }
            Self::Single { crc, bytes } => gzip::single_trailer(crc.finalize(), bytes),
            Self::Bare => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names_and_bounds() {
        let new = |codec, level, members| Encoding::new(codec, level, members);
        assert_eq!(new(Codec::Gzip, Level::Default, Members::Multi).unwrap(), Encoding::default());
        assert_eq!(new(Codec::Zstd, Level::Fast, Members::Multi).unwrap().level(), 1);
        let error = new(Codec::Gzip, Level::Number(13), Members::Multi).unwrap_err();
        assert_eq!(error.to_string(), "gzip has levels 1 to 12, not 13");
        let error = new(Codec::Zstd, Level::Fast, Members::Single).unwrap_err();
        assert_eq!(error.to_string(), "only gzip can be written as a single member, not zstd");
    }
}
