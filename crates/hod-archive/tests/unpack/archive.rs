//! Archives as an attacker writes them: header by header, every field at will.

/// A tar stream in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Archive(Vec<u8>);

/// One header block, and what follows it.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    block: [u8; 512],
    content: Vec<u8>,
    is_sealed: bool,
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Any member, described by `describe`.
    pub(crate) fn member(mut self, describe: impl FnOnce(Header) -> Header) -> Self {
        self.0.extend(describe(Header::new()).bytes());
        self
    }

    pub(crate) fn file(self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.member(|member| member.name(name).content(content))
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.member(|member| member.name(name).kind(b'5').mode(0o755))
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.member(|member| member.name(name).kind(b'2').link(target).mode(0o777))
    }

    pub(crate) fn hardlink(self, name: &str, target: &str) -> Self {
        self.member(|member| member.name(name).kind(b'1').link(target))
    }

    /// A PAX header with these records.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let payload = records.iter().flat_map(|(key, value)| record(key, value));
        self.extension(b'x', payload.collect::<Vec<_>>())
    }

    /// An extension header of any kind with any payload.
    pub(crate) fn extension(self, kind: u8, payload: impl Into<Vec<u8>>) -> Self {
        self.member(|member| member.name("././@Extension").kind(kind).content(payload))
    }

    /// Bytes as they are, for what no header describes.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Without the blocks that end an archive.
    pub(crate) fn unfinished(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// A PAX record with a right length.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

impl Header {
    fn new() -> Self {
        let header = Self { block: [0; 512], content: Vec::new(), is_sealed: false };
        header.field(257, b"ustar\x0000").mode(0o644).mtime(0).kind(b'0')
    }

    /// Any bytes at any place of the header.
    pub(crate) fn field(mut self, at: usize, bytes: &[u8]) -> Self {
        self.block[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn name(self, name: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        self.field(0, &[0; 100]).field(0, &name[..name.len().min(100)])
    }

    pub(crate) fn kind(self, flag: u8) -> Self {
        self.field(156, &[flag])
    }

    pub(crate) fn link(self, target: &str) -> Self {
        self.field(157, target.as_bytes())
    }

    pub(crate) fn mode(self, mode: u32) -> Self {
        self.field(100, format!("{mode:07o}\0").as_bytes())
    }

    pub(crate) fn mtime(self, mtime: u64) -> Self {
        self.field(136, format!("{mtime:011o}\0").as_bytes())
    }

    /// A size that need not be that of the content.
    pub(crate) fn size(self, size: u64) -> Self {
        self.field(124, format!("{size:011o}\0").as_bytes())
    }

    pub(crate) fn content(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.content = content.into();
        let size = self.content.len() as u64;
        self.size(size)
    }

    /// Content that the size field does not tell of; set after it.
    pub(crate) fn unannounced(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.content = content.into();
        self
    }

    /// A checksum of the attacker's choice.
    pub(crate) fn checksum(mut self, text: &[u8]) -> Self {
        self.is_sealed = true;
        self.field(148, text)
    }

    fn bytes(mut self) -> Vec<u8> {
        if !self.is_sealed {
            self.block[148..156].fill(b' ');
            let sum: u32 = self.block.iter().map(|&byte| u32::from(byte)).sum();
            self = self.field(148, format!("{sum:06o}\0 ").as_bytes());
        }
        let mut bytes = self.block.to_vec();
        bytes.extend(&self.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}
