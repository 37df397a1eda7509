//! A pushed blob taken apart again: the tar stream, and the blocks in which it was compressed.

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;

/// A blob in memory, decoded.
pub(crate) struct Stream {
    pub(crate) compressed: Vec<u8>,
    pub(crate) tar: Vec<u8>,
    /// The ranges of `tar` that were compressed on their own.
    pub(crate) blocks: Vec<Range<usize>>,
    /// What each of them is in `compressed`.
    pub(crate) units: Vec<Range<usize>>,
}

impl Stream {
    pub(crate) fn read(blob: &Path) -> anyhow::Result<Self> {
        let compressed = fs_err::read(blob)?;
        let mut tar = Vec::with_capacity(compressed.len() * 4);
        let (mut blocks, mut units) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < compressed.len() {
            let part = &compressed[at..];
            let length = unit(part)?;
            let start = tar.len();
            decode(&part[..length], &mut tar)
                .with_context(|| format!("{}, unit at {at}", blob.display()))?;
            if tar.len() > start {
                blocks.push(start..tar.len());
                units.push(at..at + length);
            }
            at += length;
        }
        Ok(Self { compressed, tar, blocks, units })
    }
}

/// The length of the first independent unit of `blob`: a gzip member that says its own length (see
/// docs/formats/gzip-members.md), a zstd frame, or all that is left.
fn unit(blob: &[u8]) -> anyhow::Result<usize> {
    match blob {
        [0x1f, 0x8b, 8, 4, _, _, _, _, _, _, _, _, b'H', b'D', 4, 0, a, b, c, d, ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            if length < 20 || length > blob.len() {
                bail!("a gzip member claims {length} of {} bytes", blob.len());
            }
            Ok(length)
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::zstd_safe::find_frame_compressed_size(blob)
            .map_err(|code| anyhow::anyhow!("{}", zstd::zstd_safe::get_error_name(code))),
        _ => Ok(blob.len()),
    }
}

fn decode(unit: &[u8], tar: &mut Vec<u8>) -> std::io::Result<()> {
    match unit {
        [0x1f, 0x8b, ..] => MultiGzDecoder::new(unit).read_to_end(tar).map(drop),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::Decoder::new(unit)?.read_to_end(tar).map(drop),
        _ => {
            tar.extend_from_slice(unit);
            Ok(())
        }
    }
}

/// One member of a tar stream: where its header (with the extended one before it) begins, and where
/// its data lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) start: usize,
    pub(crate) kind: u8,
    pub(crate) data: Range<usize>,
}

/// The members of a stream as we and the peer write them: ustar headers, pax extensions only for
/// names (a member of 8 GiB or more would need the size record and is refused).
pub(crate) fn members(tar: &[u8]) -> anyhow::Result<Vec<Member>> {
    let mut members = Vec::new();
    let (mut at, mut start) = (0, None);
    while let Some(header) = tar.get(at..at + 512) {
        if header[0] == 0 {
            break;
        }
        let digits = header[124..136].split(|&byte| byte == 0 || byte == b' ').next();
        let digits = std::str::from_utf8(digits.unwrap_or_default())?;
        let size = usize::from_str_radix(digits, 8)
            .with_context(|| format!("size {digits:?} in the header at {at}"))?;
        let data = at + 512..at + 512 + size;
        let next = data.end.next_multiple_of(512);
        if data.end > tar.len() {
            bail!("the stream ends inside the member at {at}");
        }
        if header[156] == b'x' {
            start = Some(at);
        } else {
            let kind = if header[156] == 0 { b'0' } else { header[156] };
            members.push(Member { start: start.take().unwrap_or(at), kind, data });
        }
        at = next;
    }
    Ok(members)
}

/// Says how two streams differ before their last member (the buildinfo, which names the packer), or
/// nothing if they do not.
pub(crate) fn difference(ours: &[u8], theirs: &[u8]) -> anyhow::Result<Option<String>> {
    let head =
        |tar: &[u8]| Ok::<_, anyhow::Error>(members(tar)?.last().context("an empty stream")?.start);
    let (ours, theirs) = (&ours[..head(ours)?], &theirs[..head(theirs)?]);
    if ours == theirs {
        return Ok(None);
    }
    let at = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    Ok(Some(format!(
        "they part at byte {at} of {} and {}: {} against {}",
        ours.len(),
        theirs.len(),
        name_at(ours, at),
        name_at(theirs, at)
    )))
}

/// The name in the header block that `at` lies in.
fn name_at(tar: &[u8], at: usize) -> String {
    let block = at / 512 * 512;
    let name = tar.get(block..(block + 100).min(tar.len())).unwrap_or_default();
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    format!("{:?}", String::from_utf8_lossy(&name[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[156] = kind;
        header.extend_from_slice(data);
        header.resize(header.len().next_multiple_of(512), 0);
        header
    }

    #[test]
    fn members_are_found_with_their_extended_headers() {
        let tar = [
            member("a/", b'5', b""),
            member("././@PaxHeader", b'x', b"20 path=x\n"),
            member("b", b'0', b"data"),
            vec![0; 1024],
        ]
        .concat();
        let expected = [
            Member { start: 0, kind: b'5', data: 512..512 },
            Member { start: 512, kind: b'0', data: 2048..2052 },
        ];
        assert_eq!(members(&tar).unwrap(), expected);
    }

    #[test]
    fn the_last_member_may_differ() {
        let one = [member("a", b'0', b"x"), member("info", b'0', b"1")].concat();
        let two = [member("a", b'0', b"x"), member("info", b'0', b"22")].concat();
        let three = [member("a", b'0', b"y"), member("info", b'0', b"1")].concat();
        assert_eq!(difference(&one, &two).unwrap(), None);
        assert!(difference(&one, &three).unwrap().unwrap().contains("byte 512"));
    }

    #[test]
    fn blocks_are_those_of_the_members() {
        let mut blob = Vec::new();
        for data in [&b"first block"[..], b"second"] {
            let mut member = flate2::GzBuilder::new()
                .extra(b"HD\x04\0\0\0\0\0".to_vec())
                .write(Vec::new(), flate2::Compression::new(6));
            member.write_all(data).unwrap();
            let mut member = member.finish().unwrap();
            let length = u32::try_from(member.len()).unwrap().to_le_bytes();
            member[16..20].copy_from_slice(&length);
            blob.extend(member);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), &blob).unwrap();
        let stream = Stream::read(file.path()).unwrap();
        assert_eq!(stream.tar, b"first blocksecond");
        assert_eq!(stream.blocks, [0..11, 11..17]);
        assert_eq!(stream.units[1], stream.units[0].end..blob.len());
    }
}
