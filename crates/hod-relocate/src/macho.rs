//! Mach-O: the names of libraries in load commands, and the signature that seals an image.
//!
//! Two steps, since other relocation comes between them: [`relocate_load_commands`] changes the
//! names as Apple's `install_name_tool` would, and [`resign`] gives an image whose bytes have
//! changed a new ad-hoc signature, as `codesign -fs -` would. Both know thin and universal files,
//! 32 and 64 bits and both byte orders. What they decide is written down in
//! `docs/formats/mach-o.md`.

use std::io;

use crate::{Image, PrefixMap};

mod container;
mod name;
mod object;
mod seal;
mod signature;

use container::Container;
use name::Renaming;
use object::Object;

/// Why an image was left as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachOError {
    /// The image itself failed. This alone may come when a part is already written.
    #[error("cannot read or change the image")]
    Image(#[from] io::Error),
    /// Something contradicts the format.
    #[error("malformed Mach-O image: {what} (offset {offset})")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where the structure begins, in bytes from the start of the file.
        offset: u64,
    },
    /// The load commands would run into what follows them.
    #[error("the load commands of the image need {need} bytes and have room for {room}")]
    NoRoom {
        /// Bytes between the header and the first content.
        room: u64,
        /// Bytes of all commands with the new names. Counting stops at 1 MiB.
        need: u64,
    },
    /// Something follows the image, and the new signature does not fit before it.
    #[error("{length} bytes follow the image, and its signature cannot grow into them")]
    TrailingData {
        /// How many bytes follow.
        length: u64,
    },
    /// Beyond what the fields of the format hold.
    #[error("the image would become larger than its format allows")]
    TooLarge,
}

impl MachOError {
    fn malformed(what: &'static str, offset: u64) -> Self {
        Self::Malformed { what, offset }
    }
}

/// Changes the prefixes of rpaths, of the names of needed libraries and of a library's own name
/// (`spack-format` 7.7), in each architecture. Says whether anything changed; a file that is no
/// Mach-O image does not. Nothing is written unless all of it fits.
///
/// `name` is the path of the file: object files (`*.o`) and `libgcc_*` are left alone, as Spack
/// leaves them.
///
/// The first match is the longest old prefix that a name begins with. Each occurrence of it in the
/// name is replaced, as Spack does. An rpath that thereby equals an earlier one is dropped: newer
/// versions of macOS refuse to load an image with two equal ones.
///
/// ```
/// use hod_relocate::{PrefixMap, macho};
///
/// let map = PrefixMap::new([("/old/store", "/new/store")]);
/// let mut image = b"#!/bin/sh\n".to_vec();
/// assert!(!macho::relocate_load_commands(b"bin/tool", &mut image, &map)?);
/// # Ok::<(), macho::MachOError>(())
/// ```
pub fn relocate_load_commands(
    name: &[u8],
    image: &mut dyn Image,
    map: &PrefixMap,
) -> Result<bool, MachOError> {
    if map.is_empty() || name.ends_with(b".o") || memchr::memmem::find(name, b"libgcc_").is_some() {
        return Ok(false);
    }
    let Some(container) = Container::read(&*image)? else {
        return Ok(false);
    };
    let renaming = Renaming::new(map);
    let mut changed = Vec::new();
    for slice in &container.slices {
        if let Some(mut object) = Object::read(&*image, slice)? {
            let old_size = object.commands.len();
            if renaming.apply(&mut object)? {
                changed.push((object, old_size));
            }
        }
    }
    for (object, old_size) in &changed {
        object.write(image, object.offset, *old_size)?;
    }
    Ok(!changed.is_empty())
}

/// Replaces the signature of each architecture that has one, and adds one where the system
/// requires it (arm64), all ad hoc. Says whether any was written. To be called when anything else
/// of the image has been changed, and for those images only.
///
/// `name` is the path of the file; its last component becomes the identifier where no old
/// signature has one. Entitlements are kept; flags such as that of the hardened runtime, the
/// requirements and the certificates of the old signature are not. The file may grow.
/// Nothing is written unless all architectures can be signed.
pub fn resign(name: &[u8], image: &mut dyn Image) -> Result<bool, MachOError> {
    match Container::read(&*image)? {
        None => Ok(false),
        Some(container) => seal::seal(name, image, &container),
    }
}

/// The order of bytes in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endian {
    Little,
    Big,
}

impl Endian {
    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let field = bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(*field),
            Self::Big => u32::from_be_bytes(*field),
        })
    }

    fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let field = bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u64::from_le_bytes(*field),
            Self::Big => u64::from_be_bytes(*field),
        })
    }

    /// A number of 64 bits in a wide structure, else of 32.
    fn word(self, bytes: &[u8], at: usize, wide: bool) -> Option<u64> {
        if wide { self.u64(bytes, at) } else { self.u32(bytes, at).map(u64::from) }
    }

    fn u32_bytes(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// The bytes of a number as [`word`](Self::word) reads it.
    fn word_bytes(self, value: u64, wide: bool) -> Result<Vec<u8>, MachOError> {
        if !wide {
            let value = u32::try_from(value).map_err(|_| MachOError::TooLarge)?;
            return Ok(self.u32_bytes(value).to_vec());
        }
        Ok(match self {
            Self::Little => value.to_le_bytes().to_vec(),
            Self::Big => value.to_be_bytes().to_vec(),
        })
    }
}
