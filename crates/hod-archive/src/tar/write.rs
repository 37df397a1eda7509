//! Member headers, byte for byte as Python's `tarfile` (3.9 and later) writes them for Spack, so
//! that a packed tree has the diff id Spack would give it.

use super::BLOCK;

/// Sizes of at least this many bytes do not fit the ustar field (11 octal digits): 8 GiB.
const USTAR_SIZE_LIMIT: u64 = 1 << 33;
const NAME_LENGTH: usize = 100;

/// What a member is, with what only that kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// A file whose `size` bytes follow the header.
    Regular { size: u64, executable: bool },
    /// Another name of the member whose full name is `target`.
    HardLink { target: &'a [u8], executable: bool },
    /// A symbolic link to `target`, carried verbatim.
    Symlink { target: &'a [u8] },
    /// A directory. Its name is given without the trailing `/`, which is added here.
    Directory,
}

/// Appends the header (preceded by a pax extended header where ustar cannot hold the member).
///
/// `name` is the member name: absolute path without the leading `/`. Modes are normalised as git
/// does, owner is 0 without names: nothing of the machine's users enters the archive.
pub(crate) fn header(out: &mut Vec<u8>, name: &[u8], kind: Kind<'_>, mtime: u64) {
    let (flag, size, mode, link): (u8, u64, u32, &[u8]) = match kind {
        Kind::Regular { size, executable } => (b'0', size, mode_of(executable), b""),
        Kind::HardLink { target, executable } => (b'1', 0, mode_of(executable), target),
        Kind::Symlink { target } => (b'2', 0, 0o755, target),
        Kind::Directory => (b'5', 0, 0o755, b""),
    };
    let slash = matches!(kind, Kind::Directory);
    let with_slash;
    let name = if slash {
        with_slash = [name, b"/"].concat();
        &with_slash[..]
    } else {
        name
    };

    let records = pax_records(name, link, size, mtime);
    if !records.is_empty() {
        ustar(out, b"././@PaxHeader", b'x', 0, records.len() as u64, 0, b"");
        let padding = super::padding(records.len() as u64);
        out.extend_from_slice(&records);
        out.resize(out.len() + padding, 0);
    }
    let size = if size < USTAR_SIZE_LIMIT { size } else { 0 };
    let mtime = if mtime < USTAR_SIZE_LIMIT { mtime } else { 0 };
    ustar(out, name, flag, mode, size, mtime, link);
}

const fn mode_of(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

/// The records of the extended header a member needs, empty if it needs none.
fn pax_records(name: &[u8], link: &[u8], size: u64, mtime: u64) -> Vec<u8> {
    let too_much = |text: &[u8]| !text.is_ascii() || text.len() > NAME_LENGTH;
    let mut fields: Vec<(&str, Vec<u8>)> = Vec::new();
    if too_much(name) {
        fields.push(("path", name.to_vec()));
    }
    if too_much(link) {
        fields.push(("linkpath", link.to_vec()));
    }
    if size >= USTAR_SIZE_LIMIT {
        fields.push(("size", size.to_string().into_bytes()));
    }
    if mtime >= USTAR_SIZE_LIMIT {
        fields.push(("mtime", mtime.to_string().into_bytes()));
    }
    let mut records = Vec::new();
    if fields.iter().any(|(_, value)| std::str::from_utf8(value).is_err()) {
        record(&mut records, "hdrcharset", b"BINARY");
    }
    for (key, value) in &fields {
        record(&mut records, key, value);
    }
    records
}

/// One `<length> <key>=<value>\n`, where the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    loop {
        let next = rest + length.to_string().len();
        if next == length {
            break;
        }
        length = next;
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn ustar(out: &mut Vec<u8>, name: &[u8], flag: u8, mode: u32, size: u64, mtime: u64, link: &[u8]) {
    let mut block = [0_u8; BLOCK];
    text(&mut block[..100], name);
    octal(&mut block[100..108], u64::from(mode));
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[124..136], size);
    octal(&mut block[136..148], mtime);
    block[148..156].fill(b' ');
    block[156] = flag;
    text(&mut block[157..257], link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    octal(&mut block[148..155], sum);
    out.extend_from_slice(&block);
}

/// The field holds an ASCII rendering, cut to its length: one `?` for each character that is not
/// ASCII, and for each byte that is not part of any character.
fn text(field: &mut [u8], value: &[u8]) {
    if value.is_ascii() {
        let length = value.len().min(field.len());
        field[..length].copy_from_slice(&value[..length]);
        return;
    }
    let mut rendered = value.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' });
        valid.chain(chunk.invalid().iter().map(|_| b'?'))
    });
    for byte in field {
        let Some(next) = rendered.next() else { break };
        *byte = next;
    }
}

/// Zero-padded octal digits and a final NUL.
fn octal(field: &mut [u8], mut value: u64) {
    let digits = field.len() - 1;
    field[digits] = 0;
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(name: &[u8], kind: Kind<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        header(&mut out, name, kind, 0);
        out
    }

    #[test]
    fn a_short_name_needs_one_block() {
        let out = blocks(b"opt/bin/tool", Kind::Regular { size: 8, executable: true });
        assert_eq!(out.len(), 512);
        assert_eq!(&out[..13], b"opt/bin/tool\0");
        assert_eq!(&out[100..108], b"0000755\0");
        assert_eq!(&out[124..136], b"00000000010\0");
        assert_eq!(&out[257..265], b"ustar\x0000");
        assert!(out[329..].iter().all(|&b| b == 0), "no device numbers, as Python 3.9 and later");
    }

    #[test]
    fn a_directory_of_a_hundred_bytes_is_too_long_because_of_its_slash() {
        let name = [b'd'; 100];
        assert_eq!(blocks(&name[..99], Kind::Directory).len(), 512);
        let out = blocks(&name, Kind::Directory);
        assert_eq!(out.len(), 3 * 512);
        assert_eq!(&out[..14], b"././@PaxHeader");
        assert!(out[512..].starts_with(b"111 path=ddd"));
        assert_eq!(out[512 + 110], b'\n');
    }

    #[test]
    fn a_name_that_is_not_utf8_says_so_first() {
        let out = blocks(b"a/\xff\xe4", Kind::Regular { size: 0, executable: false });
        assert!(out[512..].starts_with(b"21 hdrcharset=BINARY\n13 path=a/\xff\xe4\n"));
        assert_eq!(&out[1024..1029], b"a/??\0");
    }

    #[test]
    fn eight_gibibytes_move_the_size_into_the_extended_header() {
        let out = blocks(b"huge", Kind::Regular { size: 1 << 33, executable: false });
        assert!(out[512..].starts_with(b"19 size=8589934592\n"));
        assert_eq!(&out[1024 + 124..1024 + 136], b"00000000000\0");
    }

    #[test]
    fn record_lengths_count_their_own_digits() {
        for length in 80..120 {
            let mut out = Vec::new();
            record(&mut out, "path", &vec![b'x'; length]);
            let text = String::from_utf8(out).unwrap();
            let stated: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(stated, text.len());
        }
    }
}
