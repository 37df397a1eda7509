//! Spack's ELF parser: what it accepts, and what it finds.
//!
//! Sizes and offsets in a file are claims. They are compared with its length before anything is
//! read, tables are read in pieces, and only texts that are really there are held.

use std::io;

use crate::view::View;

const EXECUTABLE: u16 = 2;
const SHARED: u16 = 3;
pub(super) const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
pub(super) const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
pub(super) const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
pub(super) const DT_RPATH: u64 = 15;
pub(super) const DT_RUNPATH: u64 = 29;
pub(super) const SHT_STRTAB: u32 = 3;

/// Bytes of a table or a text that are read together.
const PIECE: usize = 4 << 10;

/// A text in the file, without the NUL that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) offset: u64,
    pub(crate) text: Vec<u8>,
}

/// What relocation needs to know of an ELF file.
#[derive(Debug)]
pub(crate) struct Elf {
    pub(crate) interpreter: Option<Text>,
    pub(crate) rpath: Option<Text>,
    pub(crate) is_runpath: bool,
}

/// Why a file is not looked at further.
#[derive(Debug)]
pub(super) enum Stop {
    /// Spack's parser would refuse it.
    Refused,
    /// It could not be read.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        // What a table claims is beyond the end of the file.
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Refused,
            _ => Self::Io(error),
        }
    }
}

impl Elf {
    /// Reads all of it; `None` for what Spack leaves alone.
    pub(crate) fn parse(view: &View<'_>) -> io::Result<Option<Self>> {
        known(parse(view, true))
    }

    /// Reads all but the interpreter, so that a broken one is no reason to refuse the file.
    pub(crate) fn parse_dynamic(view: &View<'_>) -> io::Result<Option<Self>> {
        known(parse(view, false))
    }
}

pub(super) fn known<T>(parsed: Result<T, Stop>) -> io::Result<Option<T>> {
    match parsed {
        Ok(value) => Ok(Some(value)),
        Err(Stop::Refused) => Ok(None),
        Err(Stop::Io(error)) => Err(error),
    }
}

fn parse(view: &View<'_>, with_interpreter: bool) -> Result<Elf, Stop> {
    let header = Header::read(view)?;
    if header.kind != EXECUTABLE && header.kind != SHARED {
        return Err(Stop::Refused);
    }
    let segments = Segments::read(view, &header)?;
    let interpreter = match segments.interpreter {
        Some(span) if with_interpreter => {
            Some(Text { offset: span.offset, text: text_within(view, span, 0)? })
        }
        _ => None,
    };
    let mut elf = Elf { interpreter, rpath: None, is_runpath: false };
    if let Some(dynamic) = segments.dynamic
        && !segments.loads.is_empty()
    {
        (elf.rpath, elf.is_runpath) = read_rpath(view, &header, &segments, dynamic)?;
    }
    Ok(elf)
}

/// Width and order of numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub(super) is_wide: bool,
    is_big: bool,
}

impl Format {
    /// One of two places or sizes, by the class of the file.
    pub(super) fn of<T>(self, wide: T, narrow: T) -> T {
        if self.is_wide { wide } else { narrow }
    }

    /// The number in `N` bytes at `at`, which is within the record.
    fn number<const N: usize>(self, record: &[u8], at: usize) -> u64 {
        let digit = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let bytes = &record[at..at + N];
        if self.is_big { bytes.iter().fold(0, digit) } else { bytes.iter().rev().fold(0, digit) }
    }

    pub(super) fn half(self, record: &[u8], at: usize) -> u16 {
        u16::try_from(self.number::<2>(record, at)).unwrap_or(u16::MAX)
    }

    pub(super) fn word(self, record: &[u8], at: usize) -> u32 {
        u32::try_from(self.number::<4>(record, at)).unwrap_or(u32::MAX)
    }

    /// An address, offset or size.
    pub(super) fn long(self, record: &[u8], wide: usize, narrow: usize) -> u64 {
        if self.is_wide { self.number::<8>(record, wide) } else { self.number::<4>(record, narrow) }
    }

    /// Puts a number into `N` bytes at `at`, which is within the record.
    pub(super) fn put<const N: usize>(self, record: &mut [u8], at: usize, value: u64) {
        let bytes = &mut record[at..at + N];
        bytes.copy_from_slice(&value.to_le_bytes()[..N]);
        if self.is_big {
            bytes.reverse();
        }
    }

    pub(super) fn put_word(self, record: &mut [u8], at: usize, value: u64) {
        self.put::<4>(record, at, value);
    }

    pub(super) fn put_long(self, record: &mut [u8], wide: usize, narrow: usize, value: u64) {
        if self.is_wide {
            self.put::<8>(record, wide, value);
        } else {
            self.put::<4>(record, narrow, value);
        }
    }
}

#[derive(Debug)]
pub(super) struct Header {
    pub(super) format: Format,
    kind: u16,
    pub(super) segments_at: u64,
    pub(super) segments: u16,
    pub(super) sections_at: u64,
    pub(super) sections: u16,
}

impl Header {
    pub(super) fn read(view: &View<'_>) -> Result<Self, Stop> {
        let mut ident = [0; 16];
        view.read_at(0, &mut ident)?;
        let is_wide = match ident[4] {
            1 => false,
            2 => true,
            _ => return Err(Stop::Refused),
        };
        let is_big = match ident[5] {
            1 => false,
            2 => true,
            _ => return Err(Stop::Refused),
        };
        if !ident.starts_with(b"\x7fELF") {
            return Err(Stop::Refused);
        }
        let format = Format { is_wide, is_big };
        let mut record = [0; 64];
        let record = &mut record[..format.of(64, 52)];
        view.read_at(0, record)?;
        Ok(Self {
            format,
            kind: format.half(record, 16),
            segments_at: format.long(record, 32, 28),
            sections_at: format.long(record, 40, 32),
            segments: format.half(record, format.of(56, 44)),
            sections: format.half(record, format.of(60, 48)),
        })
    }
}

/// A part of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The segments that matter; empty ones do not.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Offset in the file and address, in order of addresses.
    pub(super) loads: Vec<(u64, u64)>,
    interpreter: Option<Span>,
    pub(super) dynamic: Option<Span>,
}

impl Segments {
    pub(super) fn read(view: &View<'_>, header: &Header) -> Result<Self, Stop> {
        let format = header.format;
        let mut segments = Self::default();
        let size = format.of(56, 32);
        // Spack reads the table in one go, so all of it must be there.
        let length = u64::from(header.segments) * size as u64;
        is_there(view, Span { offset: header.segments_at, length })?;
        each_record(view, header.segments_at, size, header.segments.into(), |record| {
            let length = format.long(record, 32, 16);
            if length == 0 {
                return Ok(true);
            }
            let offset = format.long(record, 8, 4);
            match format.word(record, 0) {
                PT_LOAD => segments.loads.push((offset, format.long(record, 16, 8))),
                PT_INTERP => segments.interpreter = Some(Span { offset, length }),
                PT_DYNAMIC => segments.dynamic = Some(Span { offset, length }),
                _ => {}
            }
            Ok(true)
        })?;
        segments.loads.sort_by_key(|(_, address)| *address);
        Ok(segments)
    }

    /// Where in the file an address is: in the segment that begins at or before it, whose end is not
    /// looked at. For one before all segments Spack takes the last of them.
    pub(super) fn offset_of(&self, address: u64) -> Option<u64> {
        let after = self.loads.partition_point(|(_, start)| *start <= address);
        let (offset, start) = self.loads.get(after.wrapping_sub(1)).or(self.loads.last())?;
        let offset = i128::from(*offset) - i128::from(*start) + i128::from(address);
        u64::try_from(offset).ok()
    }
}

/// The search path that the dynamic section names, and whether it is a `DT_RUNPATH`.
fn read_rpath(
    view: &View<'_>,
    header: &Header,
    segments: &Segments,
    dynamic: Span,
) -> Result<(Option<Text>, bool), Stop> {
    let format = header.format;
    let size = format.of(16, 8);
    let mut rpaths = Vec::new();
    let mut tables = Vec::new();
    // Of all other strings it only matters that they have an end, so the last one tells.
    let mut furthest_string = None;
    each_record(view, dynamic.offset, size, dynamic.length / size as u64, |record| {
        let value = format.long(record, 8, 4);
        match format.long(record, 0, 0) {
            0 => return Ok(false),
            tag @ (DT_RPATH | DT_RUNPATH) => {
                rpaths.push((value, tag == DT_RUNPATH));
                furthest_string = furthest_string.max(Some(value));
            }
            DT_STRTAB => tables.push(value),
            DT_NEEDED | DT_SONAME => furthest_string = furthest_string.max(Some(value)),
            _ => {}
        }
        // Two are as wrong as a million, and not worth their memory.
        if rpaths.len() > 1 || tables.len() > 1 { Err(Stop::Refused) } else { Ok(true) }
    })?;
    let [table] = tables[..] else { return Err(Stop::Refused) };
    let Some(furthest) = furthest_string else { return Ok((None, false)) };

    let offset = segments.offset_of(table).ok_or(Stop::Refused)?;
    let length = table_length(view, header, offset)?;
    let table = Span { offset, length };
    is_there(view, table)?;
    if last_nul(view, table)?.is_none_or(|nul| furthest > nul) {
        return Err(Stop::Refused);
    }
    let Some((start, is_runpath)) = rpaths.pop() else { return Ok((None, false)) };
    let text = text_within(view, table, start)?;
    Ok((Some(Text { offset: offset + start, text }), is_runpath))
}

/// The length of the string table at an offset, which only a section header knows.
pub(super) fn table_length(view: &View<'_>, header: &Header, table: u64) -> Result<u64, Stop> {
    let format = header.format;
    let mut length = None;
    each_record(view, header.sections_at, format.of(64, 40), header.sections.into(), |record| {
        let is_it = format.word(record, 4) == SHT_STRTAB && format.long(record, 24, 16) == table;
        length = is_it.then(|| format.long(record, 32, 20));
        Ok(!is_it)
    })?;
    length.ok_or(Stop::Refused)
}

/// Shows the records of a table in order, as long as more are wanted. One that is not wholly in the
/// file is refused when its turn comes.
pub(super) fn each_record(
    view: &View<'_>,
    mut offset: u64,
    size: usize,
    mut count: u64,
    mut show: impl FnMut(&[u8]) -> Result<bool, Stop>,
) -> Result<(), Stop> {
    let mut piece = [0; PIECE];
    while count > 0 {
        let there = view.length().saturating_sub(offset) / size as u64;
        let together = count.min((PIECE / size) as u64).min(there);
        if together == 0 {
            return Err(Stop::Refused);
        }
        let length = usize::try_from(together).unwrap_or(0) * size;
        view.read_at(offset, &mut piece[..length])?;
        for record in piece[..length].chunks_exact(size) {
            if !show(record)? {
                return Ok(());
            }
        }
        offset += length as u64;
        count -= together;
    }
    Ok(())
}

/// Refuses what is not wholly in the file.
fn is_there(view: &View<'_>, span: Span) -> Result<(), Stop> {
    let end = span.offset.checked_add(span.length);
    if end.is_some_and(|end| end <= view.length()) { Ok(()) } else { Err(Stop::Refused) }
}

/// The text that begins at `start` in a part of the file, and must end in it.
fn text_within(view: &View<'_>, span: Span, start: u64) -> Result<Vec<u8>, Stop> {
    is_there(view, span)?;
    let mut text = Vec::new();
    let mut piece = [0; PIECE];
    let mut at = start;
    while at < span.length {
        let length = usize::try_from(span.length - at).unwrap_or(PIECE).min(PIECE);
        view.read_at(span.offset + at, &mut piece[..length])?;
        if let Some(end) = memchr::memchr(0, &piece[..length]) {
            text.extend_from_slice(&piece[..end]);
            return Ok(text);
        }
        text.extend_from_slice(&piece[..length]);
        at += length as u64;
    }
    Err(Stop::Refused)
}

/// Where in a part of the file its last NUL is: at the end of nearly every string table.
fn last_nul(view: &View<'_>, span: Span) -> Result<Option<u64>, Stop> {
    let mut piece = [0; PIECE];
    let mut end = span.length;
    while end > 0 {
        let length = usize::try_from(end).unwrap_or(PIECE).min(PIECE);
        let start = end - length as u64;
        view.read_at(span.offset + start, &mut piece[..length])?;
        if let Some(at) = memchr::memrchr(0, &piece[..length]) {
            return Ok(Some(start + at as u64));
        }
        end = start;
    }
    Ok(None)
}
