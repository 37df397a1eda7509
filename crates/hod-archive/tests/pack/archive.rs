//! Reads a tar stream block by block, with nothing of the code under test.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// One member with everything its blocks say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// From the extended header if there is one, else from the block; as stored.
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) mode: u64,
    pub(crate) mtime: u64,
    pub(crate) content: Vec<u8>,
    /// The header block itself.
    pub(crate) block: Vec<u8>,
    /// Records of the extended header, in order.
    pub(crate) records: Vec<(String, Vec<u8>)>,
    /// Where the first of its blocks begins.
    pub(crate) offset: usize,
}

impl Member {
    /// A line such as `f 644 bin/tool (8)`, names relative to `prefix`.
    fn line(&self, prefix: &[u8]) -> String {
        let short = |name: &[u8]| {
            let name = name.strip_prefix(prefix).unwrap_or(name);
            name.strip_prefix(b"/").unwrap_or(name).escape_ascii().to_string()
        };
        let (name, mode) = (short(&self.name), self.mode);
        match self.kind {
            b'0' => format!("f {mode:o} {name} ({})", self.content.len()),
            b'1' => format!("h {mode:o} {name} = {}", short(&self.link)),
            b'2' => format!("l {mode:o} {name} -> {}", self.link.escape_ascii()),
            b'5' => format!("d {mode:o} {name}"),
            other => format!("? {other}"),
        }
    }
}

/// What stands before the names of all members below the prefix.
pub(crate) fn stem(prefix: &Path) -> &[u8] {
    prefix.as_os_str().as_bytes().strip_prefix(b"/").unwrap()
}

/// The members below the prefix as lines, the first being the prefix itself.
pub(crate) fn lines(tar: &[u8], prefix: &Path) -> Vec<String> {
    // The root is no member, the prefix is not above itself.
    let above = prefix.components().count() - 2;
    members(tar)[above..].iter().map(|member| member.line(stem(prefix))).collect()
}

fn field(block: &[u8]) -> Vec<u8> {
    block.split(|&byte| byte == 0).next().unwrap().to_vec()
}

fn number(block: &[u8]) -> u64 {
    let (digits, end) = block.split_at(block.len() - 1);
    assert_eq!(end, b"\0", "numbers end with a NUL");
    let digits = std::str::from_utf8(digits).unwrap();
    u64::from_str_radix(digits, 8).unwrap_or_else(|_| panic!("`{digits}` fills its field"))
}

/// All members; whatever is not exactly as Spack's Python writes it fails the test.
pub(crate) fn members(tar: &[u8]) -> Vec<Member> {
    assert_eq!(tar.len() % 10240, 0, "the stream is whole records");
    let mut members = Vec::new();
    let mut records = Vec::new();
    let (mut at, mut offset) = (0, 0);
    loop {
        let block = &tar[at..at + 512];
        if block.iter().all(|&byte| byte == 0) {
            break;
        }
        check_block(block);
        let size = usize::try_from(number(&block[124..136])).unwrap();
        let content = &tar[at + 512..at + 512 + size];
        let end = at + 512 + size.next_multiple_of(512);
        assert!(tar[at + 512 + size..end].iter().all(|&byte| byte == 0), "padding is zeros");
        at = end;
        if block[156] == b'x' {
            assert_eq!(field(&block[..100]), b"././@PaxHeader");
            assert_eq!(number(&block[100..108]), 0, "an extended header has no mode");
            assert_eq!(number(&block[136..148]), 0, "an extended header has no time");
            records = extended(content);
            continue;
        }
        let record = |key: &str| {
            let found = records.iter().find(|(found, _): &&(String, Vec<u8>)| found == key);
            found.map(|(_, value)| value.clone())
        };
        let name = record("path").unwrap_or_else(|| field(&block[..100]));
        let link = record("linkpath").unwrap_or_else(|| field(&block[157..257]));
        members.push(Member {
            name,
            link,
            kind: block[156],
            mode: number(&block[100..108]),
            mtime: number(&block[136..148]),
            content: content.to_vec(),
            block: block.to_vec(),
            records: std::mem::take(&mut records),
            offset,
        });
        offset = at;
    }
    assert!(tar[at..].iter().all(|&byte| byte == 0), "nothing follows the end");
    assert!((1024..1024 + 10240).contains(&(tar.len() - at)), "two blocks, then one record's rest");
    members
}

/// What holds for every header block.
fn check_block(block: &[u8]) {
    assert_eq!(&block[108..116], b"0000000\0", "the owner is root");
    assert_eq!(&block[116..124], b"0000000\0", "the group is root");
    assert_eq!(&block[257..265], b"ustar\x0000");
    assert!(block[265..].iter().all(|&byte| byte == 0), "no owner names, devices or ustar prefix");
    let sum: u64 = block[..148].iter().chain(&block[156..]).map(|&byte| u64::from(byte)).sum();
    assert_eq!(block[148..156], format!("{:06o}\0 ", sum + 8 * u64::from(b' ')).into_bytes());
}

fn extended(mut content: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut records = Vec::new();
    while !content.is_empty() {
        let space = content.iter().position(|&byte| byte == b' ').unwrap();
        let length = std::str::from_utf8(&content[..space]).unwrap().parse().unwrap();
        let (record, rest) = content.split_at(length);
        let record = record[space + 1..].strip_suffix(b"\n").unwrap();
        let equals = record.iter().position(|&byte| byte == b'=').unwrap();
        let key = String::from_utf8(record[..equals].to_vec()).unwrap();
        records.push((key, record[equals + 1..].to_vec()));
        content = rest;
    }
    records
}
