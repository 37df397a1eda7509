//! The last entry of a blob, read before all others (`docs/formats/gzip-members.md`).

use std::io::{self, Read, Seek, SeekFrom};

use super::gzip::{self, Members};
use crate::{MemberKind, TarReader};

/// A regular file that is the last entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFile {
    /// Its whole name in the archive.
    pub name: Vec<u8>,
    /// What it holds.
    pub content: Vec<u8>,
}

/// No name of a file takes more than this in extension headers.
const MOST_EXTENSION: u64 = 1 << 20;

/// Reads the last entry of a gzip blob that Hod made, if it is a regular file of up to `limit`
/// bytes. `None` for all other blobs: without the footer, nobody knows where the last entry begins
/// but who has read everything before.
///
/// Nothing here is verified. Whoever acts on it must find the same when the blob is read as a
/// whole.
pub fn last_file(mut blob: impl Read + Seek, limit: u64) -> io::Result<Option<LastFile>> {
    let size = blob.seek(SeekFrom::End(0))?;
    let Some(start) = size.checked_sub(gzip::FOOTER_SIZE as u64) else { return Ok(None) };
    blob.seek(SeekFrom::Start(start))?;
    let mut footer = [0; gzip::FOOTER_SIZE];
    blob.read_exact(&mut footer)?;
    let offset = gzip::last_entry_offset(&footer).filter(|offset| *offset < start);
    let Some(offset) = offset else { return Ok(None) };
    blob.seek(SeekFrom::Start(offset))?;
    // Compressed, it takes no more than it does otherwise, up to a few bytes in each member.
    let part = blob.take((start - offset).min(2 * limit + (8 << 20)));
    let mut tar = TarReader::new(Members::new(io::BufReader::new(part)), MOST_EXTENSION);
    // What cannot be read here cannot be read later either, and is told then.
    let Ok(Some(member)) = tar.next_member() else { return Ok(None) };
    if member.kind != MemberKind::Regular || member.size > limit {
        return Ok(None);
    }
    let mut content = Vec::new();
    if tar.read_to_end(&mut content).is_err() || !matches!(tar.next_member(), Ok(None)) {
        return Ok(None);
    }
    Ok(Some(LastFile { name: member.name, content }))
}
