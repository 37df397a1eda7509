//! What a code signature says: the old one is read for what is kept, the new one is made.
//!
//! The format is that of XNU's `osfmt/kern/cs_blobs.h`; all its numbers are big endian. A
//! signature is a list of blobs. The one that counts is the code directory, with a hash of each
//! page of the image and of each of the other blobs.

use sha2::{Digest, Sha256};

use super::{Endian, MachOError};
use crate::Image;

/// The binary logarithm of the size of a page that is hashed on its own. The linker chooses this
/// one for all processors, `codesign` has larger ones for arm64.
const PAGE: u8 = 12;
const LARGEST_PAGE: u8 = 14;

/// The size of a hash.
pub(super) const HASH: usize = 32;

/// A signature begins at a multiple of this, and its size is one.
pub(super) const ALIGN: u64 = 16;

/// Larger than any property list of entitlements.
const MOST_KEPT: u32 = 1 << 20;
const LONGEST_IDENTIFIER: u64 = 1 << 10;
const MOST_BLOBS: u64 = 64;

const EMBEDDED_SIGNATURE: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;
const REQUIREMENTS: u32 = 0xfade_0c01;
const CMS: u32 = 0xfade_0b01;

/// Entitlements as a property list in XML and as DER: slot and magic.
const ENTITLEMENTS: [(u32, u32); 2] = [(5, 0xfade_7171), (7, 0xfade_7172)];

/// Where code directories are listed: the first one, and alternatives with other hashes.
const DIRECTORIES: [std::ops::Range<u32>; 2] = [0..1, 0x1000..0x1005];

const SLOT_INFO: usize = 1;
const SLOT_REQUIREMENTS: usize = 2;
const SLOT_CMS: u32 = 0x10000;

/// `CS_ADHOC`: no certificate. The linker's own signatures also have `CS_LINKER_SIGNED`, which
/// `codesign` does not set.
const FLAGS: u32 = 0x2;

/// With a range of executable pages, which newer systems require for arm64.
const VERSION: u32 = 0x2_0400;
const DIRECTORY_HEADER: usize = 88;

/// The size of a hash, `CS_HASHTYPE_SHA256`, no platform.
const HASHED: [u8; 3] = [32, 2, 0];

/// `CS_EXECSEG_MAIN_BINARY`
pub(super) const PROGRAM: u64 = 1;

/// What is kept of an old signature.
pub(super) struct Old {
    pub(super) identifier: Option<Vec<u8>>,
    /// The binary logarithm of the size of a page.
    pub(super) page: u8,
    /// Slot and whole blob.
    pub(super) entitlements: Vec<(u32, Vec<u8>)>,
    /// Flags of the executable segment, which mirror the entitlements.
    pub(super) segment_flags: u64,
}

impl Default for Old {
    fn default() -> Self {
        Self { identifier: None, page: PAGE, entitlements: Vec::new(), segment_flags: 0 }
    }
}

impl Old {
    /// Reads a signature of `size` bytes. What cannot be understood is not kept: the system would
    /// have refused it.
    pub(super) fn read(image: &dyn Image, offset: u64, size: u64) -> Result<Self, MachOError> {
        let bytes = |at: u64, length: usize| -> Result<Option<Vec<u8>>, MachOError> {
            if at.checked_add(length as u64).is_none_or(|end| end > size) {
                return Ok(None);
            }
            let mut bytes = vec![0; length];
            image.read_at(offset + at, &mut bytes)?;
            Ok(Some(bytes))
        };
        let number = |bytes: &[u8], at| Endian::Big.u32(bytes, at).unwrap_or(0);
        let mut old = Self::default();
        let Some(head) = bytes(0, 12)?.filter(|head| number(head, 0) == EMBEDDED_SIGNATURE) else {
            return Ok(old);
        };
        for index in 0..u64::from(number(&head, 8)).min(MOST_BLOBS) {
            let Some(entry) = bytes(12 + 8 * index, 8)? else { break };
            let (slot, at) = (number(&entry, 0), u64::from(number(&entry, 4)));
            let Some(blob) = bytes(at, 8)? else { continue };
            let (magic, length) = (number(&blob, 0), number(&blob, 4));
            if magic == CODE_DIRECTORY && DIRECTORIES.iter().any(|slots| slots.contains(&slot)) {
                let Some(header) = bytes(at, DIRECTORY_HEADER)? else { continue };
                if old.identifier.is_none() {
                    let start = u64::from(number(&header, 20));
                    let room = u64::from(length).min(size - at).saturating_sub(start);
                    let room = usize::try_from(room.min(LONGEST_IDENTIFIER)).unwrap_or(0);
                    let text = bytes(at.saturating_add(start), room)?.unwrap_or_default();
                    old.identifier = memchr::memchr(0, &text)
                        .filter(|&end| end > 0)
                        .map(|end| text[..end].to_vec());
                }
                if (PAGE..=LARGEST_PAGE).contains(&header[39]) {
                    old.page = header[39];
                }
                if number(&header, 8) >= VERSION {
                    old.segment_flags |= Endian::Big.u64(&header, 80).unwrap_or(0);
                }
            } else if ENTITLEMENTS.contains(&(slot, magic)) {
                if length > MOST_KEPT {
                    let what = "the entitlements are larger than 1 MiB";
                    return Err(MachOError::malformed(what, offset + at));
                }
                let is_new = old.entitlements.iter().all(|(known, _)| *known != slot);
                if let Some(blob) = bytes(at, length as usize)?.filter(|_| is_new && length >= 8) {
                    old.entitlements.push((slot, blob));
                }
            }
        }
        old.entitlements.sort();
        Ok(old)
    }
}

/// All of a new signature but the hashes of the pages.
pub(super) struct Signature {
    pub(super) identifier: Vec<u8>,
    /// The binary logarithm of the size of a page.
    pub(super) page: u8,
    /// Slot and whole blob, in order.
    pub(super) entitlements: Vec<(u32, Vec<u8>)>,
    /// How many bytes of the image are hashed; the signature follows.
    pub(super) limit: u32,
    /// Offset, size and flags of the segment with the code.
    pub(super) segment: [u64; 3],
}

impl Signature {
    /// The size of the whole, as a multiple of [`ALIGN`].
    pub(super) fn length(&self) -> u64 {
        let hashes = (self.special_slots() + self.pages()) * HASH;
        let directory = DIRECTORY_HEADER + self.identifier.len() + 1 + hashes;
        let kept: usize = self.entitlements.iter().map(|(_, blob)| 8 + blob.len()).sum();
        // The list with three entries; the empty requirements and the empty certificates.
        let length = 12 + 3 * 8 + directory + 12 + kept + 8;
        (length as u64).next_multiple_of(ALIGN)
    }

    /// The signature, given the hashes of all pages and of the property list within the image. Not
    /// yet filled up to [`length`](Self::length).
    pub(super) fn render(
        &self,
        pages: &[u8],
        info: Option<[u8; HASH]>,
    ) -> Result<Vec<u8>, MachOError> {
        let requirements = blob(REQUIREMENTS, &[0; 4])?;
        let mut slots = vec![[0; HASH]; self.special_slots()];
        let mut blobs = vec![(0, Vec::new()), (2, requirements)];
        blobs.extend(self.entitlements.iter().cloned());
        for (slot, blob) in &blobs[1..] {
            slots[*slot as usize - 1] = Sha256::digest(blob).into();
        }
        if let Some(info) = info {
            slots[SLOT_INFO - 1] = info;
        }
        blobs[0].1 = self.directory(&slots, pages)?;
        blobs.push((SLOT_CMS, blob(CMS, &[])?));

        let mut list = number(blobs.len())?.to_vec();
        let mut at = 12 + 8 * blobs.len();
        for (slot, blob) in &blobs {
            list.extend(slot.to_be_bytes());
            list.extend(number(at)?);
            at += blob.len();
        }
        list.extend(blobs.into_iter().flat_map(|(_, blob)| blob));
        blob(EMBEDDED_SIGNATURE, &list)
    }

    /// The code directory. Special slots are counted backwards from the first page.
    fn directory(&self, slots: &[[u8; HASH]], pages: &[u8]) -> Result<Vec<u8>, MachOError> {
        let identifier_at = DIRECTORY_HEADER;
        let pages_at = identifier_at + self.identifier.len() + 1 + slots.len() * HASH;
        let mut body = Vec::new();
        body.extend(VERSION.to_be_bytes());
        body.extend(FLAGS.to_be_bytes());
        for value in [pages_at, identifier_at, slots.len(), self.pages()] {
            body.extend(number(value)?);
        }
        body.extend(self.limit.to_be_bytes());
        body.extend(HASHED);
        body.push(self.page);
        // A spare one, scattered pages, the team, another spare one, and a limit of 64 bits: the
        // load command's offset of the signature has 32, so this is never needed.
        body.extend([0; 4 + 4 + 4 + 4 + 8]);
        self.segment.iter().for_each(|value| body.extend(value.to_be_bytes()));
        body.extend(&self.identifier);
        body.push(0);
        slots.iter().rev().for_each(|hash| body.extend(hash));
        body.extend(pages);
        blob(CODE_DIRECTORY, &body)
    }

    /// How many hashes of other things there are: up to the last slot in use.
    fn special_slots(&self) -> usize {
        self.entitlements.last().map_or(SLOT_REQUIREMENTS, |(slot, _)| *slot as usize)
    }

    /// How many pages are hashed.
    pub(super) fn pages(&self) -> usize {
        (self.limit as usize).div_ceil(self.page_size())
    }

    /// The size of each but the last.
    pub(super) fn page_size(&self) -> usize {
        1 << self.page
    }
}

/// Magic, size, content.
fn blob(magic: u32, content: &[u8]) -> Result<Vec<u8>, MachOError> {
    let mut blob = Vec::with_capacity(8 + content.len());
    blob.extend(magic.to_be_bytes());
    blob.extend(number(8 + content.len())?);
    blob.extend(content);
    Ok(blob)
}

fn number(value: usize) -> Result<[u8; 4], MachOError> {
    u32::try_from(value).map(u32::to_be_bytes).map_err(|_| MachOError::TooLarge)
}
