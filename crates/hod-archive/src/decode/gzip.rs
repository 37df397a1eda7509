//! Gzip, member by member: Hod's own, whose size their header tells, are inflated whole and in
//! parallel; all others as a stream. See `docs/formats/gzip-members.md`.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use libdeflater::Decompressor;
use memchr::memmem;

/// Members of a larger size, packed or unpacked, are read as a stream: whole, they would hold too
/// much memory. Hod's own are 1 MiB.
pub(super) const MOST_MEMBER: usize = 8 << 20;
/// Fixed header, extra length, the `HD` subfield, an empty deflate body and the trailer.
const LEAST_MEMBER: usize = 10 + 2 + 8 + 2 + TRAILER;
const TRAILER: usize = 8;
const FEXTRA: u8 = 4;

/// What stands at the beginning of a member.
#[derive(Debug)]
pub(super) enum Start {
    /// A member that says its own size, of which `read` was read so far.
    Sized { read: Vec<u8>, header: usize, size: usize },
    /// Anything else, of which these bytes were read.
    Stream(Vec<u8>),
}

/// Reads the header of a member as far as it takes to see whether it says its size.
pub(super) fn read_start(source: &mut impl Read) -> io::Result<Start> {
    let mut read = Vec::with_capacity(64);
    let mut more = |read: &mut Vec<u8>, count: usize| {
        let before = read.len();
        source.by_ref().take(count as u64).read_to_end(read)?;
        io::Result::Ok(read.len() == before + count)
    };
    if !more(&mut read, 10)? || read[..4] != [0x1f, 0x8b, 8, FEXTRA] || !more(&mut read, 2)? {
        return Ok(Start::Stream(read));
    }
    let extra = usize::from(u16::from_le_bytes([read[10], read[11]]));
    if !more(&mut read, extra)? {
        return Ok(Start::Stream(read));
    }
    let header = read.len();
    match member_size(&read[12..]) {
        Some(size) if (LEAST_MEMBER.max(header + 2 + TRAILER)..=MOST_MEMBER).contains(&size) => {
            Ok(Start::Sized { read, header, size })
        }
        _ => Ok(Start::Stream(read)),
    }
}

/// The size in the `HD` subfield, where there is one.
fn member_size(mut extra: &[u8]) -> Option<usize> {
    while let [id1, id2, low, high, rest @ ..] = extra {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let value = rest.get(..length)?;
        if (id1, id2) == (&b'H', &b'D') {
            return usize::try_from(u32::from_le_bytes(value.try_into().ok()?)).ok();
        }
        extra = &rest[length..];
    }
    None
}

/// Bytes of the footer, a member that ends every blob Hod cuts into members.
pub(super) const FOOTER_SIZE: usize = 58;

/// Where in the blob the member of its last entry begins, if these bytes are the footer.
pub(super) fn last_entry_offset(footer: &[u8; FOOTER_SIZE]) -> Option<u64> {
    if footer[..4] != [0x1f, 0x8b, 8, FEXTRA] || member_size(&footer[12..48])? != FOOTER_SIZE {
        return None;
    }
    let mut value = [0; 8];
    let offsets = footer[20..].strip_prefix(b"HF\x18\0")?;
    value.copy_from_slice(&offsets[8..16]);
    Some(u64::from_le_bytes(value))
}

/// The uncompressed size a whole member claims in its trailer.
pub(super) fn claimed_size(member: &[u8]) -> usize {
    let (_, size) = member.split_at(member.len() - 4);
    u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize
}

/// Inflates a whole member into `room`, which has the size the member claims. `None` where the
/// member is damaged or not exactly what its header says.
pub(super) fn inflate(
    decompressor: &mut Decompressor,
    member: &[u8],
    header: usize,
    room: &mut [u8],
) -> Option<()> {
    let body = &member[header..];
    let (deflated, trailer) = body.split_at(body.len() - TRAILER);
    // libdeflate does not say where the deflate stream ended. If that was not where the member
    // ends, a reader that ignores `HD` takes the next eight bytes for the trailer, and what
    // follows for more members. It can accept that only if those eight bytes are a right trailer,
    // that is, equal to ours: where they occur but once, at the end, both readers see the same.
    if memmem::find(body, trailer) != Some(deflated.len()) {
        let mut stream = GzDecoder::new(member);
        stream.read_exact(room).ok()?;
        let is_end = stream.read(&mut [0]).ok()? == 0;
        return (is_end && stream.into_inner().is_empty()).then_some(());
    }
    let crc = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]);
    let inflated = decompressor.deflate_decompress(deflated, room).ok()?;
    (inflated == room.len() && crc32fast::hash(room) == crc).then_some(())
}

/// All members of a gzip stream as one stream of bytes. Zeros after the last member are padding,
/// anything else is an error; `flate2`'s `MultiGzDecoder` refuses both alike.
#[derive(Debug)]
pub(super) struct Members<R> {
    /// `None` only while the reader passes from one member to the next.
    member: Option<GzDecoder<R>>,
    is_ended: bool,
}

/// Why a stream is not gzip to its end.
#[derive(Debug, thiserror::Error)]
#[error("bytes after the last gzip member are neither a member nor padding")]
pub(super) struct Garbage;

impl<R: BufRead> Members<R> {
    pub(super) fn new(source: R) -> Self {
        Self { member: Some(GzDecoder::new(source)), is_ended: false }
    }

    /// Goes to the next member, if there is one.
    fn advance(&mut self) -> io::Result<()> {
        let Some(ended) = self.member.take() else { return Ok(()) };
        let mut source = ended.into_inner();
        let next = loop {
            match source.fill_buf() {
                Ok(buffer) => break buffer.first().copied(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        match next {
            None => self.is_ended = true,
            Some(0x1f) => self.member = Some(GzDecoder::new(source)),
            Some(0) if skip_padding(&mut source)? => self.is_ended = true,
            Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, Garbage)),
        }
        Ok(())
    }
}

/// Reads to the end; whether all of it was zeros.
pub(super) fn skip_padding(source: &mut impl Read) -> io::Result<bool> {
    let mut buffer = [0; 8 << 10];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(read) if buffer[..read].iter().all(|&byte| byte == 0) => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_ended && !buffer.is_empty() {
            let Some(member) = &mut self.member else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, Garbage));
            };
            match member.read(buffer)? {
                0 => self.advance()?,
                read => return Ok(read),
            }
        }
        Ok(0)
    }
}
