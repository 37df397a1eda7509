//! A file is one image, or a table of images for several architectures (`mach-o/fat.h`).

use super::{Endian, MachOError};
use crate::Image;

/// Where the images of a file are.
pub(super) struct Container {
    /// The form of the table, if there is one.
    fat: Option<Fat>,
    /// In the order of the table.
    pub(super) slices: Vec<Slice>,
}

#[derive(Clone, Copy)]
struct Fat {
    endian: Endian,
    /// Whether offsets and sizes have 64 bits.
    wide: bool,
}

/// One image within a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Its offset is a multiple of two to this power, but for a thin file.
    align: u32,
}

/// More architectures than this and the file is a Java class with the same magic; Spack's bound.
const MOST_SLICES: u32 = 9;

/// The largest alignment that Apple's tools accept (`MAXSECTALIGN`).
const MOST_ALIGN: u32 = 15;

const TABLE: usize = 8;

impl Slice {
    /// Where it ends in the file.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

impl Container {
    /// Reads the table, or takes the file for one image. `None` if it can be neither.
    pub(super) fn read(image: &dyn Image) -> Result<Option<Self>, MachOError> {
        let length = image.length()?;
        let mut head = [0; TABLE];
        if length < TABLE as u64 {
            return Ok(None);
        }
        image.read_at(0, &mut head)?;
        let [magic @ .., _, _, _, _] = head;
        let fat = match u32::from_be_bytes(magic) {
            0xcafe_babe => Fat { endian: Endian::Big, wide: false },
            0xcafe_babf => Fat { endian: Endian::Big, wide: true },
            0xbeba_feca => Fat { endian: Endian::Little, wide: false },
            0xbfba_feca => Fat { endian: Endian::Little, wide: true },
            _ => {
                let slices = vec![Slice { offset: 0, length, align: 0 }];
                return Ok(Some(Self { fat: None, slices }));
            }
        };
        let Some(count) = fat.endian.u32(&head, 4).filter(|&count| count <= MOST_SLICES) else {
            return Ok(None);
        };
        let truncated = || MachOError::malformed("the table of architectures is truncated", 0);
        let table_end = TABLE as u64 + u64::from(count) * fat.entry() as u64;
        if table_end > length {
            return Err(truncated());
        }
        let mut slices = Vec::new();
        let mut entry = vec![0; fat.entry()];
        for index in 0..count {
            image.read_at(TABLE as u64 + u64::from(index) * fat.entry() as u64, &mut entry)?;
            slices.push(fat.parse(&entry).ok_or_else(truncated)?);
        }
        let container = Self { fat: Some(fat), slices };
        let mut free = table_end;
        for index in container.by_offset() {
            let slice = container.slices[index];
            let end = slice.offset.checked_add(slice.length).filter(|&end| end <= length);
            let end = end.filter(|_| slice.offset >= free).ok_or_else(|| {
                MachOError::malformed("architectures overlap or exceed the file", slice.offset)
            })?;
            free = end;
        }
        Ok(Some(container))
    }

    /// The indices of the slices in the order in which they lie in the file.
    pub(super) fn by_offset(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.slices.len()).collect();
        order.sort_by_key(|&index| self.slices[index].offset);
        order
    }

    /// Where the slices go when they get these lengths: each stays where it is unless the one
    /// before has grown into it.
    pub(super) fn laid_out(&self, lengths: &[u64]) -> Result<Vec<Slice>, MachOError> {
        let mut slices = self.slices.clone();
        let mut free = 0;
        for index in self.by_offset() {
            let slice = &mut slices[index];
            slice.length = lengths[index];
            if slice.offset < free {
                if slice.align > MOST_ALIGN {
                    let what = "an architecture's alignment is larger than 32 KiB";
                    return Err(MachOError::malformed(what, slice.offset));
                }
                slice.offset = free.next_multiple_of(1 << slice.align);
            }
            free = slice.offset.checked_add(slice.length).ok_or(MachOError::TooLarge)?;
            if let Some(fat) = self.fat {
                // Only to know before anything is written whether the numbers fit.
                fat.render(*slice)?;
            }
        }
        Ok(slices)
    }

    /// Writes where the slices are now.
    pub(super) fn write_table(
        &self,
        image: &mut dyn Image,
        slices: &[Slice],
    ) -> Result<(), MachOError> {
        let Some(fat) = self.fat else { return Ok(()) };
        // Before the offset are type and subtype of the processor.
        let mut at = TABLE as u64 + 8;
        for slice in slices {
            image.write_at(at, &fat.render(*slice)?)?;
            at += fat.entry() as u64;
        }
        Ok(())
    }
}

impl Fat {
    /// The size of an entry: `fat_arch`, `fat_arch_64`.
    fn entry(self) -> usize {
        if self.wide { 32 } else { 20 }
    }

    fn parse(self, entry: &[u8]) -> Option<Slice> {
        let word = if self.wide { 8 } else { 4 };
        Some(Slice {
            offset: self.endian.word(entry, 8, self.wide)?,
            length: self.endian.word(entry, 8 + word, self.wide)?,
            align: self.endian.u32(entry, 8 + 2 * word)?,
        })
    }

    /// Offset and size, as they stand in an entry.
    fn render(self, slice: Slice) -> Result<Vec<u8>, MachOError> {
        let mut bytes = self.endian.word_bytes(slice.offset, self.wide)?;
        bytes.extend(self.endian.word_bytes(slice.length, self.wide)?);
        Ok(bytes)
    }
}
