//! Tar: written in one dialect, read in all that layers come in, and strictly. Whatever two
//! readers could understand differently is an error, because the difference is how archives
//! smuggle members.

mod header;
mod pax;
mod read;
pub(crate) mod write;

pub use read::TarReader;

use std::io;

/// Everything in a tar stream comes in blocks of this many bytes.
pub(crate) const BLOCK: usize = 512;
/// A stream ends with zero blocks up to a multiple of this many bytes (POSIX record size; Python
/// and GNU tar pad to it too).
pub(crate) const RECORD: u64 = 10_240;

/// Bytes that follow content of `size` bytes up to the next block.
#[expect(clippy::cast_possible_truncation, reason = "less than a block")]
pub(crate) const fn padding(size: u64) -> usize {
    ((BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64) as usize
}

/// One member of an archive: its header with every extension applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name as written, without NUL; not yet checked for `..` or a leading `/`.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Bytes of content that follow; zero unless the kind is regular.
    pub size: u64,
    /// The mode field, setuid and file type bits included.
    pub mode: u32,
    /// Seconds since 1970; the fraction a PAX record may add is dropped.
    pub mtime: i64,
}

/// The kinds of member a layer of files may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A file with content.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link to this text.
    Symlink(Vec<u8>),
    /// Another name of an earlier member of this name.
    Hardlink(Vec<u8>),
}

/// Why a byte stream is not an archive this program reads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The stream below failed.
    #[error("reading the tar stream failed")]
    Read(#[source] io::Error),
    /// The stream ended without the zero block that ends an archive.
    #[error("the tar stream ends early, at byte {position}")]
    Truncated {
        /// Bytes of tar that were there.
        position: u64,
    },
    /// A header block whose checksum does not fit: damage, or content read as a header.
    #[error("no tar header at byte {position}: the checksum does not match")]
    Checksum {
        /// Where the block begins.
        position: u64,
    },
    /// Neither POSIX, GNU nor old tar.
    #[error("the tar header at byte {position} is of an unknown dialect")]
    Magic {
        /// Where the block begins.
        position: u64,
    },
    /// A numeric field without a number, or beyond what this field may hold.
    #[error("member `{member}` has no valid {field}")]
    Number {
        /// The member's name.
        member: String,
        /// Which field.
        field: &'static str,
    },
    /// A PAX size and a header size that differ: the way CVE-2025-62518 hid members.
    #[error("member `{member}` has two sizes: {header} in its header, {extended} in its extension")]
    ContradictorySize {
        /// The member's name.
        member: String,
        /// What the header block says.
        header: u64,
        /// What the PAX record says.
        extended: u64,
    },
    /// A link or directory that claims content.
    #[error("member `{member}` is a {kind} and yet claims {size} bytes of content")]
    UnexpectedContent {
        /// The member's name.
        member: String,
        /// What it is.
        kind: &'static str,
        /// What it claims.
        size: u64,
    },
    /// A device, a fifo, a sparse file or something no standard names.
    #[error("member `{member}` is {kind}, which no package may contain")]
    Unsupported {
        /// The member's name.
        member: String,
        /// What it is.
        kind: String,
    },
    /// An extension header with no member after it, or two of a kind before one member.
    #[error("the extended header at byte {position} is {problem}")]
    Extension {
        /// Where the extended header begins.
        position: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An extension header that claims more than may be read.
    #[error("the extended header at byte {position} claims {size} bytes, the limit is {limit}")]
    ExtensionTooLarge {
        /// Where the extended header begins.
        position: u64,
        /// What it claims.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A name or link target that is empty or contains NUL.
    #[error("member `{member}` has {problem}")]
    Name {
        /// The member's name, or what can be shown of it.
        member: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Something other than zeros after the end of the archive.
    #[error("data follows the end of the archive, at byte {position}")]
    TrailingData {
        /// Where the block with the data begins.
        position: u64,
    },
}

/// A member name as it may be shown: control characters escaped, what is not UTF-8 replaced, cut
/// where it would fill the screen.
pub(crate) fn shown(name: &[u8]) -> String {
    const MOST: usize = 300;
    let cut = &name[..name.len().min(MOST)];
    let mut text = String::with_capacity(cut.len());
    for character in String::from_utf8_lossy(cut).chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    if name.len() > MOST {
        text.push('…');
    }
    text
}
