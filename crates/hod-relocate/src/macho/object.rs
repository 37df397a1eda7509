//! The header of one image and its load commands (`mach-o/loader.h`).

use super::container::Slice;
use super::{Endian, MachOError};
use crate::Image;

/// Kinds of load commands.
pub(super) mod kind {
    pub(crate) const SEGMENT: u32 = 0x1;
    pub(crate) const LOAD_DYLIB: u32 = 0xc;
    pub(crate) const ID_DYLIB: u32 = 0xd;
    pub(crate) const SEGMENT_64: u32 = 0x19;
    pub(crate) const CODE_SIGNATURE: u32 = 0x1d;
    pub(crate) const LAZY_LOAD_DYLIB: u32 = 0x20;
    pub(crate) const LOAD_WEAK_DYLIB: u32 = 0x8000_0018;
    pub(crate) const RPATH: u32 = 0x8000_001c;
    pub(crate) const REEXPORT_DYLIB: u32 = 0x8000_001f;
    pub(crate) const LOAD_UPWARD_DYLIB: u32 = 0x8000_0023;
}

/// Larger than the commands of any real image by two orders of magnitude.
pub(super) const MOST_COMMANDS: usize = 1 << 20;

/// The size of a command that points to data in `__LINKEDIT`, such as a signature.
pub(super) const LINKEDIT_DATA: usize = 16;

const CPU_ARM: u32 = 12;
const CPU_ARM64: u32 = 0x0100_000c;

/// An image's header and commands; its content stays where it is.
pub(super) struct Object {
    /// Where the image begins in the file.
    pub(super) offset: u64,
    /// Its size in the file.
    pub(super) length: u64,
    pub(super) endian: Endian,
    /// Whether it is one of 64 bits.
    pub(super) wide: bool,
    cpu: u32,
    file_type: u32,
    pub(super) count: u32,
    /// All load commands. They are known to lie in here one after the other, `count` of them.
    pub(super) commands: Vec<u8>,
}

/// One load command.
#[derive(Clone, Copy)]
pub(super) struct Command<'o> {
    /// Where it begins among the commands.
    pub(super) at: usize,
    pub(super) kind: u32,
    /// All of it, with its kind and its size.
    pub(super) bytes: &'o [u8],
}

/// A segment, with offsets from the start of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where its command begins.
    pub(super) at: usize,
    /// Whether its command has fields of 64 bits.
    pub(super) wide: bool,
    pub(super) name: [u8; 16],
    pub(super) address: u64,
    pub(super) memory: u64,
    pub(super) start: u64,
    pub(super) length: u64,
}

/// A section with content in the file.
struct Section<'o> {
    name: &'o [u8],
    start: u64,
    length: u64,
}

impl Object {
    /// Reads header and commands; `None` if the slice is something else, such as an archive.
    pub(super) fn read(image: &dyn Image, slice: &Slice) -> Result<Option<Self>, MachOError> {
        let mut head = [0; 28];
        if slice.length < head.len() as u64 {
            return Ok(None);
        }
        image.read_at(slice.offset, &mut head)?;
        let (endian, wide) = match Endian::Big.u32(&head, 0) {
            Some(0xfeed_face) => (Endian::Big, false),
            Some(0xfeed_facf) => (Endian::Big, true),
            Some(0xcefa_edfe) => (Endian::Little, false),
            Some(0xcffa_edfe) => (Endian::Little, true),
            _ => return Ok(None),
        };
        let malformed = |what| MachOError::malformed(what, slice.offset);
        let field = |at| endian.u32(&head, at).ok_or_else(|| malformed("no header"));
        let (cpu, file_type, count, size) = (field(4)?, field(12)?, field(16)?, field(20)?);
        let mut object = Self {
            offset: slice.offset,
            length: slice.length,
            endian,
            wide,
            cpu,
            file_type,
            count,
            commands: Vec::new(),
        };
        let size = usize::try_from(size).ok().filter(|&size| size <= MOST_COMMANDS);
        let size = size.ok_or_else(|| malformed("the load commands are larger than 1 MiB"))?;
        if object.header() + size as u64 > slice.length {
            return Err(malformed("the load commands exceed the image"));
        }
        object.commands = vec![0; size];
        image.read_at(slice.offset + object.header(), &mut object.commands)?;
        if object.commands().map(|command| command.bytes.len()).sum::<usize>() != size
            || u32::try_from(object.commands().count()) != Ok(count)
        {
            return Err(malformed("sizes and number of the load commands contradict each other"));
        }
        Ok(Some(object))
    }

    /// The size of the header, after which the commands begin.
    pub(super) fn header(&self) -> u64 {
        if self.wide { 32 } else { 28 }
    }

    /// What a command's size is a multiple of.
    pub(super) fn command_align(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// The commands in order. Ends early where one is cut off.
    pub(super) fn commands(&self) -> impl Iterator<Item = Command<'_>> {
        let mut at = 0;
        (0..self.count).map_while(move |_| {
            let rest = self.commands.get(at..)?;
            let size = usize::try_from(self.endian.u32(rest, 4)?).ok()?;
            let bytes = rest.get(..size).filter(|bytes| bytes.len() >= 8)?;
            let command = Command { at, kind: self.endian.u32(bytes, 0)?, bytes };
            at += size;
            Some(command)
        })
    }

    /// An error about a command.
    pub(super) fn malformed(&self, what: &'static str, command: usize) -> MachOError {
        MachOError::malformed(what, self.offset + self.header() + command as u64)
    }

    /// The segments in order.
    pub(super) fn segments(&self) -> impl Iterator<Item = Result<Segment, MachOError>> {
        self.commands().filter(is_segment).map(|command| {
            let wide = command.kind == kind::SEGMENT_64;
            let word = |index: usize| {
                let at = 24 + index * if wide { 8 } else { 4 };
                self.endian.word(command.bytes, at, wide)
            };
            let parse = || {
                Some(Segment {
                    at: command.at,
                    wide,
                    name: *command.bytes.get(8..)?.first_chunk()?,
                    address: word(0)?,
                    memory: word(1)?,
                    start: word(2)?,
                    length: word(3)?,
                })
            };
            parse().ok_or_else(|| self.malformed("a segment's command is truncated", command.at))
        })
    }

    /// The first segment of that name.
    pub(super) fn segment(&self, name: &[u8]) -> Result<Option<Segment>, MachOError> {
        let named = |segment: &Result<Segment, _>| match segment {
            Ok(segment) => padded_is(&segment.name, name),
            Err(_) => true,
        };
        self.segments().find(named).transpose()
    }

    fn section_count(&self, segment: Command<'_>) -> Option<u32> {
        self.endian.u32(segment.bytes, if segment.kind == kind::SEGMENT_64 { 64 } else { 48 })
    }

    /// The sections of one segment's command that have content in the file.
    fn sections<'o>(&self, command: Command<'o>) -> Result<Vec<Section<'o>>, MachOError> {
        let wide = command.kind == kind::SEGMENT_64;
        let (first, each) = if wide { (72, 80) } else { (56, 68) };
        let truncated = || self.malformed("a segment's command is truncated", command.at);
        let count = self.section_count(command).ok_or_else(truncated)?;
        let listed = command.bytes.get(first..).ok_or_else(truncated)?.chunks_exact(each);
        if (listed.len() as u64) < u64::from(count) {
            return Err(truncated());
        }
        let parse = |section: &'o [u8]| {
            // `addr` and `size` have the width of the segment; `flags` follows five more numbers.
            let numbers = if wide { 48 } else { 40 };
            let length = self.endian.word(section, numbers - (numbers - 32) / 2, wide)?;
            let start = u64::from(self.endian.u32(section, numbers)?);
            // S_ZEROFILL, S_GB_ZEROFILL, S_THREAD_LOCAL_ZEROFILL
            let zeros = matches!(self.endian.u32(section, numbers + 16)? & 0xff, 0x1 | 0xc | 0x12);
            (length > 0 && !zeros).then_some(Section { name: section.get(..16)?, start, length })
        };
        Ok(listed.take(count as usize).filter_map(parse).collect())
    }

    /// How many bytes of load commands there may be: up to the first content, as
    /// `install_name_tool` finds it. Sections count, or a segment that has none.
    pub(super) fn room(&self) -> Result<u64, MachOError> {
        let mut first = self.length;
        for (segment, command) in self.segments().zip(self.commands().filter(is_segment)) {
            let segment = segment?;
            let sections = self.sections(command)?;
            if self.section_count(command) == Some(0) && segment.length > 0 {
                first = first.min(segment.start);
            }
            first = sections.iter().map(|section| section.start).fold(first, u64::min);
        }
        Ok(first.saturating_sub(self.header()))
    }

    /// Offset and size of the first section of that name, within the image.
    pub(super) fn section(&self, name: &[u8]) -> Result<Option<(u64, u64)>, MachOError> {
        for command in self.commands().filter(is_segment) {
            for section in self.sections(command)? {
                if padded_is(section.name, name) {
                    let end = section.start.checked_add(section.length);
                    return match end.filter(|&end| end <= self.length) {
                        Some(_) => Ok(Some((section.start, section.length))),
                        None => Err(self.malformed("a section exceeds the image", command.at)),
                    };
                }
            }
        }
        Ok(None)
    }

    /// Whether macOS refuses such an image without a signature: programs, libraries, loaders and
    /// bundles for arm64.
    pub(super) fn must_be_signed(&self) -> bool {
        self.cpu == CPU_ARM64 && matches!(self.file_type, 2 | 6..=8)
    }

    /// Whether it is a program (`MH_EXECUTE`).
    pub(super) fn is_program(&self) -> bool {
        self.file_type == 2
    }

    /// The page size of the machines that it runs on.
    pub(super) fn page(&self) -> u64 {
        if matches!(self.cpu, CPU_ARM | CPU_ARM64) { 0x4000 } else { 0x1000 }
    }

    /// Puts numbers and commands into the image that begins at `offset`, with zeros behind them if
    /// there were `old_size` bytes of commands and are fewer now.
    pub(super) fn write(
        &self,
        image: &mut dyn Image,
        offset: u64,
        old_size: usize,
    ) -> Result<(), MachOError> {
        let size = u32::try_from(self.commands.len()).map_err(|_| MachOError::TooLarge)?;
        let numbers = [self.endian.u32_bytes(self.count), self.endian.u32_bytes(size)].concat();
        image.write_at(offset + 16, &numbers)?;
        let mut commands = self.commands.clone();
        commands.resize(old_size.max(commands.len()), 0);
        image.write_at(offset + self.header(), &commands)?;
        Ok(())
    }
}

fn is_segment(command: &Command<'_>) -> bool {
    matches!(command.kind, kind::SEGMENT | kind::SEGMENT_64)
}

/// Whether a field filled up with zeros holds that name.
fn padded_is(field: &[u8], name: &[u8]) -> bool {
    field.strip_prefix(name).is_some_and(|rest| rest.iter().all(|&byte| byte == 0))
}
