//! More room for search path and interpreter: a new segment at the end of the file.
//!
//! Where Spack runs `patchelf --force-rpath --set-rpath`, this does the same: the program headers move
//! to the new segment, as there is no room for one more where they are; behind them come the
//! interpreter and a copy of the string table with the new search path at its end, which becomes a
//! `DT_RPATH`. In the old places, old prefixes are overwritten with `X`, so that they are no strings
//! that have to fit. What follows a prefix stays, since other strings may share it.

use std::io;

use super::Substitution;
use super::parse::{
    DT_RPATH, DT_RUNPATH, DT_STRTAB, Format, Header, PT_INTERP, PT_LOAD, SHT_STRTAB, Segments,
    Span, Stop, Text, each_record, known, table_length,
};
use crate::image::Image;
use crate::map::PrefixMap;
use crate::view::{Patch, View};

#[cfg(test)]
mod tests;

const PT_PHDR: u32 = 6;
const DT_STRSZ: u64 = 10;
const SHT_PROGBITS: u32 = 1;
const READABLE: u64 = 4;

/// Kernels before 5.18 look for the program headers of a program as far from its first segment in
/// memory as they are in the file. So a program with much uninitialised memory gets a hole of its
/// size in the file, up to this.
const LARGEST_HOLE: u64 = 64 << 20;

/// Bytes copied together.
const PIECE: usize = 64 << 10;

/// A segment that is to be appended.
#[derive(Debug)]
pub(crate) struct Growth {
    /// Where it begins in the file, beyond its end.
    offset: u64,
    /// Its first part: program headers and interpreter.
    head: Vec<u8>,
    /// Its second part: the string table that is to be copied, and the new search path.
    table: Option<(Span, Vec<u8>)>,
    /// What refers to it.
    references: Vec<Patch>,
}

impl Growth {
    /// What makes room for all that does not fit in place, with what is to be changed in place before
    /// strings are looked at. `None` if the file is not of the usual shape.
    pub(crate) fn plan(
        view: &View<'_>,
        map: &PrefixMap,
        substitution: &Substitution,
    ) -> io::Result<Option<(Vec<Patch>, Self)>> {
        known(plan(view, map, substitution))
    }

    /// Appends the segment, and then makes the file refer to it.
    pub(crate) fn write(&self, image: &mut dyn Image) -> io::Result<()> {
        image.write_at(self.offset, &self.head)?;
        let mut end = self.offset + self.head.len() as u64;
        if let Some((table, rpath)) = &self.table {
            let mut piece = vec![0; PIECE];
            let mut done = 0;
            while done < table.length {
                let length = usize::try_from(table.length - done).unwrap_or(PIECE).min(PIECE);
                image.read_at(table.offset + done, &mut piece[..length])?;
                image.write_at(end + done, &piece[..length])?;
                done += length as u64;
            }
            end += done;
            image.write_at(end, &[rpath, &b"\0"[..]].concat())?;
        }
        for patch in &self.references {
            image.write_at(patch.offset, &patch.bytes)?;
        }
        Ok(())
    }
}

/// A place in the new segment.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    address: u64,
}

impl Place {
    fn plus(self, length: u64) -> Self {
        Self { offset: self.offset + length, address: self.address + length }
    }
}

fn plan(
    view: &View<'_>,
    map: &PrefixMap,
    substitution: &Substitution,
) -> Result<(Vec<Patch>, Growth), Stop> {
    let header = Header::read(view)?;
    let format = header.format;
    let size = format.of(56, 32);
    let mut sizes = [0; 2];
    view.read_at(format.of(54, 42), &mut sizes)?;
    let count = header.segments.checked_add(1).ok_or(Stop::Refused)?;
    if usize::from(format.half(&sizes, 0)) != size || count == u16::MAX {
        return Err(Stop::Refused);
    }
    let mut headers = vec![0; usize::from(header.segments) * size];
    view.read_at(header.segments_at, &mut headers)?;
    let start = place(view, format, &header, &headers)?;

    let mut in_place = Vec::new();
    let mut references =
        vec![long(format, format.of(32, 28), start.offset), half(format, format.of(56, 44), count)];
    let headers_length = (usize::from(count) * size) as u64;
    let mut end = start.plus(headers_length);

    let mut interpreter = Vec::new();
    if let Some((old, new)) = &substitution.interpreter {
        if new.len() > old.text.len() {
            interpreter = [new, &b"\0"[..]].concat();
            let length = interpreter.len() as u64;
            move_segment(format, &mut headers, size, PT_INTERP, end, length)?;
            let is_it = |kind, offset| kind == SHT_PROGBITS && offset == old.offset;
            references.extend(move_section(view, &header, is_it, end, length)?);
            in_place.push(crossed_out(old, map));
            end = end.plus(length);
        } else {
            in_place.push(super::shorter(old, new));
        }
    }

    let mut table = None;
    if let Some((old, new)) = &substitution.rpath {
        if new.len() > old.text.len() {
            let (span, patches) = move_table(view, &header, end, new.len() as u64 + 1)?;
            references.extend(patches);
            in_place.push(crossed_out(old, map));
            end = end.plus(span.length + new.len() as u64 + 1);
            table = Some((span, new.clone()));
        } else {
            in_place.push(super::shorter(old, new));
        }
    }

    // Only programs have an entry for the headers themselves.
    if find_segment(format, &headers, size, PT_PHDR).is_some() {
        move_segment(format, &mut headers, size, PT_PHDR, start, headers_length)?;
    }
    let length = end.offset - start.offset;
    headers.extend(load(format, start, length, page(view, format)?));
    if !format.is_wide && u32::try_from(end.offset.max(end.address)).is_err() {
        return Err(Stop::Refused);
    }
    let head = [headers, interpreter].concat();
    Ok((in_place, Growth { offset: start.offset, head, table, references }))
}

/// The size of pages that the file may be loaded with, by its machine.
fn page(view: &View<'_>, format: Format) -> Result<u64, Stop> {
    let mut machine = [0; 2];
    view.read_at(18, &mut machine)?;
    // i386 and x86-64; others have up to 64 KiB.
    Ok(if matches!(format.half(&machine, 0), 3 | 62) { 0x1000 } else { 0x1_0000 })
}

/// Where the new segment goes: behind all others, in the file and in memory.
fn place(view: &View<'_>, format: Format, header: &Header, headers: &[u8]) -> Result<Place, Stop> {
    let page = page(view, format)?;
    let segments = Segments::read(view, header)?;
    let mut memory_end = 0;
    let mut is_program = false;
    for record in headers.chunks_exact(format.of(56, 32)) {
        match format.word(record, 0) {
            PT_LOAD => {
                let end = format.long(record, 16, 8).checked_add(format.long(record, 40, 20));
                memory_end = memory_end.max(end.ok_or(Stop::Refused)?);
            }
            PT_PHDR | PT_INTERP => is_program = true,
            _ => {}
        }
    }
    let up = |value: u64| value.checked_next_multiple_of(page).ok_or(Stop::Refused);
    let (offset, address) = (up(view.length())?, up(memory_end)?);
    if !is_program {
        return checked(Place { offset, address });
    }
    let (first_offset, first_address) = *segments.loads.first().ok_or(Stop::Refused)?;
    let distance = first_address.checked_sub(first_offset).ok_or(Stop::Refused)?;
    let offset = offset.max(address.checked_sub(distance).ok_or(Stop::Refused)?);
    if distance % page != 0 || offset - view.length() > LARGEST_HOLE {
        return Err(Stop::Refused);
    }
    checked(Place { offset, address: offset.checked_add(distance).ok_or(Stop::Refused)? })
}

/// Far enough from the end of all numbers that no sum below overflows.
fn checked(place: Place) -> Result<Place, Stop> {
    if place.offset.max(place.address) < 1 << 62 { Ok(place) } else { Err(Stop::Refused) }
}

/// The entry of the new segment.
fn load(format: Format, at: Place, length: u64, page: u64) -> Vec<u8> {
    let mut entry = vec![0; format.of(56, 32)];
    format.put_word(&mut entry, 0, PT_LOAD.into());
    format.put_word(&mut entry, format.of(4, 24), READABLE);
    format.put_long(&mut entry, 8, 4, at.offset);
    format.put_long(&mut entry, 16, 8, at.address);
    format.put_long(&mut entry, 24, 12, at.address);
    format.put_long(&mut entry, 32, 16, length);
    format.put_long(&mut entry, 40, 20, length);
    format.put_long(&mut entry, 48, 28, page);
    entry
}

/// Where the entry of a kind is: the last one, as for the parser, and not an empty one.
fn find_segment(format: Format, headers: &[u8], size: usize, kind: u32) -> Option<usize> {
    let is_it = |record: &[u8]| format.word(record, 0) == kind && format.long(record, 32, 16) > 0;
    Some(headers.chunks_exact(size).rposition(is_it)? * size)
}

fn move_segment(
    format: Format,
    headers: &mut [u8],
    size: usize,
    kind: u32,
    to: Place,
    length: u64,
) -> Result<(), Stop> {
    let at = find_segment(format, headers, size, kind).ok_or(Stop::Refused)?;
    let entry = &mut headers[at..at + size];
    format.put_long(entry, 8, 4, to.offset);
    format.put_long(entry, 16, 8, to.address);
    format.put_long(entry, 24, 12, to.address);
    format.put_long(entry, 32, 16, length);
    format.put_long(entry, 40, 20, length);
    Ok(())
}

/// What makes the first section that is asked for another part of the file; nothing if there is none.
fn move_section(
    view: &View<'_>,
    header: &Header,
    is_it: impl Fn(u32, u64) -> bool,
    to: Place,
    length: u64,
) -> Result<Vec<Patch>, Stop> {
    let format = header.format;
    let size = format.of(64, 40);
    let mut at = header.sections_at;
    let mut patches = Vec::new();
    each_record(view, at, size, header.sections.into(), |record| {
        if is_it(format.word(record, 4), format.long(record, 24, 16)) {
            let number = |wide, narrow, value| long(format, at + format.of(wide, narrow), value);
            patches.push(number(16, 12, to.address));
            patches.push(number(24, 16, to.offset));
            patches.push(number(32, 20, length));
            return Ok(false);
        }
        at += size as u64;
        Ok(true)
    })?;
    Ok(patches)
}

/// Where the string table is, and what makes `to` the place of its copy, at whose end `more` bytes
/// are the search path.
fn move_table(
    view: &View<'_>,
    header: &Header,
    to: Place,
    more: u64,
) -> Result<(Span, Vec<Patch>), Stop> {
    let format = header.format;
    let segments = Segments::read(view, header)?;
    let dynamic = segments.dynamic.ok_or(Stop::Refused)?;
    let size = format.of(16, 8);
    let mut at = dynamic.offset;
    let (mut table, mut length_at, mut rpath_at) = (None, None, None);
    each_record(view, dynamic.offset, size, dynamic.length / size as u64, |record| {
        match format.long(record, 0, 0) {
            0 => return Ok(false),
            DT_STRTAB => table = Some((at, format.long(record, 8, 4))),
            DT_STRSZ => length_at = Some(at),
            DT_RPATH | DT_RUNPATH => rpath_at = Some(at),
            _ => {}
        }
        at += size as u64;
        Ok(true)
    })?;
    let (Some((table_at, address)), Some(length_at), Some(rpath_at)) = (table, length_at, rpath_at)
    else {
        return Err(Stop::Refused);
    };
    let offset = segments.offset_of(address).ok_or(Stop::Refused)?;
    let span = Span { offset, length: table_length(view, header, offset)? };
    let length = span.length + more;
    let value = format.of(8, 4);
    let is_it = |kind, at| kind == SHT_STRTAB && at == offset;
    let mut patches = move_section(view, header, is_it, to, length)?;
    patches.extend([
        long(format, table_at + value, to.address),
        long(format, length_at + value, length),
        long(format, rpath_at, DT_RPATH),
        long(format, rpath_at + value, span.length),
    ]);
    Ok((span, patches))
}

fn half(format: Format, offset: u64, value: u16) -> Patch {
    let mut bytes = vec![0; 2];
    format.put::<2>(&mut bytes, 0, value.into());
    Patch { offset, bytes }
}

fn long(format: Format, offset: u64, value: u64) -> Patch {
    let mut bytes = vec![0; format.of(8, 4)];
    format.put_long(&mut bytes, 0, 0, value);
    Patch { offset, bytes }
}

/// A text without its old prefixes.
fn crossed_out(old: &Text, map: &PrefixMap) -> Patch {
    let mut bytes = old.text.clone();
    let mut from = 0;
    while let Some(found) = map.search().next(&old.text, from, old.text.len()) {
        bytes[found.at..found.end].fill(b'X');
        from = found.end;
    }
    Patch { offset: old.offset, bytes }
}
