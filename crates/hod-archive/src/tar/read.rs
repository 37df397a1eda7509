//! From a tar stream to its members, one after another.

use std::io::{self, Read};

use super::BLOCK;
use super::header::{Dialect, Header};
use super::pax::Extension;
use super::{Member, MemberKind, TarError, shown};

/// Reads members from a plain tar stream. After [`next_member`](Self::next_member) the reader
/// itself yields that member's content; what is left of it is skipped by the next call.
#[derive(Debug)]
pub struct TarReader<R> {
    source: R,
    most_extension: u64,
    position: u64,
    /// Content of the current member not yet read.
    remaining: u64,
    /// Zeros after it, up to the next block.
    padding: u64,
    is_ended: bool,
}

/// What extension headers said of the member that must follow them.
#[derive(Default)]
struct Pending {
    position: u64,
    pax: Option<Extension>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> TarReader<R> {
    /// Reads from `source`; an extension header (long names) may claim `most_extension` bytes.
    pub fn new(source: R, most_extension: u64) -> Self {
        Self { source, most_extension, position: 0, remaining: 0, padding: 0, is_ended: false }
    }

    /// The next member, or `None` after the archive's end *and* the stream's: what follows the
    /// end must be zeros, or the archive has a second meaning for readers that go on.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        if self.is_ended {
            return Ok(None);
        }
        self.skip_content()?;
        let mut pending = Pending::default();
        loop {
            let position = self.position;
            let mut block = [0; BLOCK];
            self.read_exact(&mut block)?;
            if block.iter().all(|&byte| byte == 0) {
                if pending.is_any() {
                    return Err(pending.dangling());
                }
                self.read_to_the_end()?;
                self.is_ended = true;
                return Ok(None);
            }
            let header = Header(&block);
            if !header.checksum_holds() {
                return Err(TarError::Checksum { position });
            }
            let dialect = header.dialect().ok_or(TarError::Magic { position })?;
            if !self.read_extension(header, position, &mut pending)? {
                let member = member(header, dialect, pending)?;
                self.remaining = member.size;
                self.padding = member.size.next_multiple_of(BLOCK as u64) - member.size;
                return Ok(Some(member));
            }
        }
    }

    /// Content of the current member that was not yet read.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The stream below, for a caller that takes content by other means than copying.
    pub(crate) fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// Accounts for `count` bytes of content that were taken from the stream below.
    pub(crate) fn content_taken(&mut self, count: u64) {
        self.remaining -= count;
        self.position += count;
    }

    /// The error for a stream that ended here.
    pub(crate) fn truncated(&self) -> TarError {
        TarError::Truncated { position: self.position }
    }

    /// Reads the payload if `header` is of an extension, and says whether it was.
    fn read_extension(
        &mut self,
        header: Header<'_>,
        position: u64,
        pending: &mut Pending,
    ) -> Result<bool, TarError> {
        let extension = |problem| TarError::Extension { position, problem };
        let flag = header.type_flag();
        if !matches!(flag, b'x' | b'g' | b'L' | b'K') {
            return Ok(false);
        }
        if flag == b'g' && pending.is_any() {
            return Err(pending.dangling());
        }
        let size = header.size().ok_or_else(|| extension("without a valid size"))?;
        let payload = self.payload(size, position)?;
        pending.position = position;
        let is_repeated = match flag {
            b'x' => pending.pax.replace(Extension::parse(&payload).map_err(extension)?).is_some(),
            b'L' => pending.long_name.replace(gnu_name(payload).map_err(extension)?).is_some(),
            b'K' => pending.long_link.replace(gnu_name(payload).map_err(extension)?).is_some(),
            _ => {
                Extension::check_global(&payload).map_err(extension)?;
                false
            }
        };
        if is_repeated {
            return Err(extension("the second of its kind for one member"));
        }
        if let Some(pax) = &pending.pax
            && ((pax.path.is_some() && pending.long_name.is_some())
                || (pax.link_path.is_some() && pending.long_link.is_some()))
        {
            return Err(extension("a second name for one member, in another dialect"));
        }
        Ok(true)
    }

    /// Bounded before it is read, and grown as it is read: what a header claims costs nothing.
    fn payload(&mut self, size: u64, position: u64) -> Result<Vec<u8>, TarError> {
        if size > self.most_extension {
            return Err(TarError::ExtensionTooLarge { position, size, limit: self.most_extension });
        }
        let mut payload = Vec::new();
        let read =
            (&mut self.source).take(size).read_to_end(&mut payload).map_err(TarError::Read)? as u64;
        self.position += read;
        if read < size {
            return Err(self.truncated());
        }
        self.skip(size.next_multiple_of(BLOCK as u64) - size)?;
        Ok(payload)
    }

    fn skip_content(&mut self) -> Result<(), TarError> {
        let count = self.remaining + self.padding;
        (self.remaining, self.padding) = (0, 0);
        self.skip(count)
    }

    fn skip(&mut self, count: u64) -> Result<(), TarError> {
        let mut source = (&mut self.source).take(count);
        let skipped = io::copy(&mut source, &mut io::sink()).map_err(TarError::Read)?;
        self.position += skipped;
        if skipped < count { Err(self.truncated()) } else { Ok(()) }
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.source.read(&mut buffer[filled..]) {
                Ok(0) => return Err(self.truncated()),
                Ok(read) => {
                    filled += read;
                    self.position += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        }
        Ok(())
    }

    fn read_to_the_end(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 16 * BLOCK];
        loop {
            let read = match self.source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(TarError::Read(error)),
            };
            if let Some(at) = buffer[..read].iter().position(|&byte| byte != 0) {
                return Err(TarError::TrailingData { position: self.position + at as u64 });
            }
            self.position += read as u64;
        }
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.source.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, self.truncated()));
        }
        self.content_taken(read as u64);
        Ok(read)
    }
}

impl Pending {
    fn is_any(&self) -> bool {
        self.pax.is_some() || self.long_name.is_some() || self.long_link.is_some()
    }

    fn dangling(&self) -> TarError {
        TarError::Extension { position: self.position, problem: "followed by no member" }
    }
}

/// A GNU long name: its terminating NUL is of the format, any other is of an attack.
fn gnu_name(mut payload: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if payload.last() == Some(&0) {
        payload.pop();
    }
    if payload.is_empty() {
        return Err("malformed: a name is empty");
    }
    if payload.contains(&0) {
        return Err("malformed: a name contains NUL");
    }
    Ok(payload)
}

/// Joins a header block and its extensions to one member.
fn member(header: Header<'_>, dialect: Dialect, pending: Pending) -> Result<Member, TarError> {
    let pax = pending.pax.unwrap_or_default();
    let name = match pax.path.or(pending.long_name) {
        Some(name) => name,
        None if dialect == Dialect::Ustar && !header.prefix().is_empty() => {
            [header.prefix(), b"/", header.name()].concat()
        }
        None => header.name().to_vec(),
    };
    let shown = || shown(&name);
    let number = |field| TarError::Number { member: shown(), field };
    if name.is_empty() {
        return Err(TarError::Name { member: shown(), problem: "an empty name" });
    }
    let header_size = header.size().ok_or_else(|| number("size"))?;
    let size = match pax.size {
        // Zero is what writers put where the field cannot hold the number.
        Some(extended) if header_size != 0 && header_size != extended => {
            return Err(TarError::ContradictorySize {
                member: shown(),
                header: header_size,
                extended,
            });
        }
        // So a size in an extension of a member that could have said it is a lie, or meant for
        // readers that would see other members behind it (CVE-2025-62518).
        Some(extended) if header_size == 0 && extended != 0 && extended < 1 << 33 => {
            return Err(TarError::ContradictorySize { member: shown(), header: 0, extended });
        }
        Some(extended) => extended,
        None => header_size,
    };
    if i64::try_from(size).is_err() {
        return Err(number("size"));
    }
    let link = || {
        let target =
            pax.link_path.or(pending.long_link).unwrap_or_else(|| header.link_name().to_vec());
        if target.is_empty() {
            return Err(TarError::Name { member: shown(), problem: "an empty link target" });
        }
        Ok(target)
    };
    let kind = match header.type_flag() {
        0 if name.ends_with(b"/") => MemberKind::Directory,
        b'0' | b'7' | 0 => MemberKind::Regular,
        b'1' => MemberKind::Hardlink(link()?),
        b'2' => MemberKind::Symlink(link()?),
        b'5' => MemberKind::Directory,
        flag => {
            return Err(TarError::Unsupported { member: shown(), kind: unsupported(flag) });
        }
    };
    if size != 0 && kind != MemberKind::Regular {
        let kind = match kind {
            MemberKind::Directory => "directory",
            _ => "link",
        };
        return Err(TarError::UnexpectedContent { member: shown(), kind, size });
    }
    let mode = header.mode().ok_or_else(|| number("mode"))?;
    let mtime = match pax.mtime {
        Some(mtime) => mtime,
        None => header.mtime().ok_or_else(|| number("mtime"))?,
    };
    Ok(Member { name, kind, size, mode, mtime })
}

fn unsupported(flag: u8) -> String {
    match flag {
        b'3' => "a character device".to_owned(),
        b'4' => "a block device".to_owned(),
        b'6' => "a fifo".to_owned(),
        b'S' => "a sparse file".to_owned(),
        b'M' => "the continuation of another volume".to_owned(),
        b'V' => "a volume label".to_owned(),
        _ => format!("of the unknown type `{}`", flag.escape_ascii()),
    }
}
