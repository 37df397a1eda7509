//! What a regular file is and whether it holds a prefix, decided while its bytes pass by.
//!
//! The rules are Spack's (`file_type` and `get_buildinfo_file_manifest` in
//! `binary_distribution.py`); only the buffering is ours: a file is never held in memory, and how
//! it is cut into chunks has no influence on the answer.

use crate::prefixes::Prefixes;
use crate::search::Context;

#[cfg(test)]
mod tests;

/// What relocation can do with a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// An ELF or Mach-O object; listed whether or not it holds a prefix.
    Binary,
    /// UTF-8, or by the absence of control bytes ISO-8859-1.
    Text {
        /// Whether a prefix stands in a place where relocation would replace it.
        holds_prefix: bool,
    },
    /// Anything else, such as archives and byte code; never relocated.
    Unknown,
}

impl FileKind {
    /// The list of `.spack/binary_distribution` that such a file belongs in, if any.
    pub fn relocate_list(self) -> Option<RelocateList> {
        match self {
            Self::Binary => Some(RelocateList::Binaries),
            Self::Text { holds_prefix: true } => Some(RelocateList::TextFiles),
            Self::Text { holds_prefix: false } | Self::Unknown => None,
        }
    }
}

/// The lists of regular files in `.spack/binary_distribution`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelocateList {
    /// `relocate_binaries`
    Binaries,
    /// `relocate_textfiles`
    TextFiles,
}

/// Files shorter than this are unknown, even if they are text.
const MAGIC_LENGTH: usize = 8;

/// Bytes looked at by all three searches before the next ones, so that only the first of them
/// waits for memory.
const BLOCK: usize = 32 << 10;

/// Classifies one file. Memory is bounded by the longest prefix.
///
/// Feed it the content with [`push`](Self::push), in chunks of any size, and ask for the answer
/// with [`finish`](Self::finish). When [`is_decided`](Self::is_decided), further content is ignored.
#[derive(Debug)]
pub struct Scanner<'p> {
    state: State,
    utf8: Utf8,
    latin1: Latin1,
    seeker: Seeker<'p>,
}

#[derive(Debug)]
enum State {
    /// Fewer than [`MAGIC_LENGTH`] bytes were seen; they are kept here.
    Magic {
        seen: [u8; MAGIC_LENGTH],
        length: usize,
    },
    /// Not an object file, and at least one encoding is still possible.
    Text,
    Decided(FileKind),
}

impl<'p> Scanner<'p> {
    /// A scanner for one file.
    pub fn new(prefixes: &'p Prefixes) -> Self {
        Self {
            state: State::Magic { seen: [0; MAGIC_LENGTH], length: 0 },
            utf8: Utf8::Valid { open: [0; 4], length: 0 },
            latin1: Latin1::Possible,
            seeker: Seeker::new(prefixes),
        }
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        if let State::Magic { seen, length } = &mut self.state {
            let taken = rest.len().min(MAGIC_LENGTH - *length);
            seen[*length..*length + taken].copy_from_slice(&rest[..taken]);
            *length += taken;
            rest = &rest[taken..];
            if *length < MAGIC_LENGTH {
                return;
            }
            let magic = *seen;
            if is_object(magic) {
                self.state = State::Decided(FileKind::Binary);
            } else {
                self.state = State::Text;
                self.push_text(&magic);
            }
        }
        for block in rest.chunks(BLOCK) {
            if self.is_decided() {
                return;
            }
            self.push_text(block);
        }
    }

    /// Whether the answer is known before the end of the file. A text is only known to be one at
    /// its end, so this is early for objects and for what is no text.
    pub fn is_decided(&self) -> bool {
        self.decided().is_some()
    }

    /// The answer, if it is known before the end of the file.
    pub fn decided(&self) -> Option<FileKind> {
        match self.state {
            State::Decided(kind) => Some(kind),
            State::Magic { .. } | State::Text => None,
        }
    }

    /// The answer, once all bytes were pushed or the scanner has decided.
    pub fn finish(self) -> FileKind {
        match self.state {
            State::Decided(kind) => kind,
            State::Text if self.utf8.is_complete() || self.latin1 == Latin1::Possible => {
                FileKind::Text { holds_prefix: self.seeker.found }
            }
            State::Magic { .. } | State::Text => FileKind::Unknown,
        }
    }

    fn push_text(&mut self, block: &[u8]) {
        self.utf8.push(block);
        self.latin1.push(block);
        if self.latin1 == Latin1::Impossible && matches!(self.utf8, Utf8::Invalid) {
            self.state = State::Decided(FileKind::Unknown);
            return;
        }
        self.seeker.push(block);
    }
}

/// ELF or Mach-O, by the first eight bytes. Universal Mach-O files share their magic with Java
/// classes, whose next word is a version of 45 and more; here it is a number of architectures.
pub(crate) fn is_object(magic: [u8; MAGIC_LENGTH]) -> bool {
    let [first @ .., w, x, y, z] = magic;
    let word = [w, x, y, z];
    match u32::from_be_bytes(first) {
        // "\x7fELF", then Mach-O of 64 and 32 bits in both byte orders.
        0x7f45_4c46 | 0xcffa_edfe | 0xfeed_facf | 0xcefa_edfe | 0xfeed_face => true,
        0xcafe_babe => u32::from_be_bytes(word) < 10,
        0xbeba_feca => u32::from_le_bytes(word) < 10,
        _ => false,
    }
}

/// Strict UTF-8 over chunks: NUL is allowed, encoded surrogates are not.
#[derive(Debug)]
enum Utf8 {
    /// All valid so far, but for `length` bytes of a character whose end is still to come.
    Valid {
        open: [u8; 4],
        length: usize,
    },
    Invalid,
}

impl Utf8 {
    fn push(&mut self, block: &[u8]) {
        let Self::Valid { open, mut length } = *self else { return };
        let mut character = open;
        let mut rest = block;
        while length > 0 {
            let Some((&byte, after)) = rest.split_first() else {
                *self = Self::Valid { open: character, length };
                return;
            };
            // A character is at most four bytes long and complete then, so this is in bounds.
            character[length] = byte;
            length += 1;
            rest = after;
            match std::str::from_utf8(&character[..length]) {
                Ok(_) => length = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => {
                    *self = Self::Invalid;
                    return;
                }
            }
        }
        *self = match std::str::from_utf8(rest) {
            Ok(_) => Self::Valid { open: character, length: 0 },
            Err(error) if error.error_len().is_none() => {
                let unfinished = &rest[error.valid_up_to()..];
                character[..unfinished.len()].copy_from_slice(unfinished);
                Self::Valid { open: character, length: unfinished.len() }
            }
            Err(_) => Self::Invalid,
        };
    }

    /// Whether the file may end here.
    fn is_complete(&self) -> bool {
        matches!(self, Self::Valid { length: 0, .. })
    }
}

/// Spack's guess at ISO-8859-1: text without the bytes 00 and 7f to 9f.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Latin1 {
    Possible,
    Impossible,
}

impl Latin1 {
    fn push(&mut self, block: &[u8]) {
        // Without an early exit the inner loop becomes vector instructions.
        let is_control = |byte: u8| byte == 0 || byte.wrapping_sub(0x7f) <= 0x9f - 0x7f;
        let holds_control =
            |part: &[u8]| part.iter().fold(false, |found, &byte| found | is_control(byte));
        if *self == Self::Possible && block.chunks(1 << 10).any(holds_control) {
            *self = Self::Impossible;
        }
    }
}

/// Looks for a prefix across chunks.
#[derive(Debug)]
struct Seeker<'p> {
    prefixes: &'p Prefixes,
    /// The last bytes seen, one fewer than the longest prefix: occurrences may start in them.
    tail: Vec<u8>,
    before_tail: Context,
    found: bool,
}

impl<'p> Seeker<'p> {
    fn new(prefixes: &'p Prefixes) -> Self {
        Self { prefixes, tail: Vec::new(), before_tail: Context::Open, found: false }
    }

    fn push(&mut self, block: &[u8]) {
        if self.found || self.prefixes.is_empty() {
            return;
        }
        let reach = self.prefixes.longest() - 1;
        let tail_length = self.tail.len();
        let before_block = self.before_tail.after(&self.tail);

        // Occurrences that start in the tail end within `reach` bytes of the block.
        self.tail.extend_from_slice(&block[..block.len().min(reach)]);
        self.found = self.prefixes.occur_in(&self.tail, tail_length, self.before_tail)
            || self.prefixes.occur_in(block, block.len(), before_block);
        if self.found {
            return;
        }

        if block.len() >= reach {
            let (passed, kept) = block.split_at(block.len() - reach);
            self.before_tail = before_block.after(passed);
            self.tail.clear();
            self.tail.extend_from_slice(kept);
        } else {
            let excess = self.tail.len().saturating_sub(reach);
            self.before_tail = self.before_tail.after(&self.tail[..excess]);
            self.tail.drain(..excess);
        }
    }
}
