//! A whole object file: its headers, then its strings.

use std::io;

use crate::cstring::{self, StringError};
use crate::elf::{ElfText, Growth, Substitution};
use crate::image::Image;
use crate::macho::{self, MachOError};
use crate::map::PrefixMap;
use crate::view::{Patch, View};

#[cfg(test)]
mod tests;

/// Why a file could not be relocated. Nothing was written then, but for [`Write`](Self::Write), and
/// but for what [`relocate_binary`] says of Mach-O.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelocateError {
    /// The file could not be read.
    #[error("could not read the object")]
    Read(#[source] io::Error),
    /// The file could not be written, or not be read any more in between: it may be changed in part.
    #[error("could not write to the object")]
    Write(#[source] io::Error),
    /// A string somewhere in it has too little room.
    #[error(transparent)]
    String(#[from] StringError),
    /// The load commands or the signature of a Mach-O file.
    #[error(transparent)]
    MachO(MachOError),
    /// The search path or the interpreter of an ELF file has too little room, and the file is not of a
    /// shape that more could be made in.
    #[error(
        "the {} at offset {offset} has {room} bytes for `{}`, which has {}",
        match text { ElfText::Rpath => "search path", ElfText::Interpreter => "interpreter" },
        String::from_utf8_lossy(new), new.len()
    )]
    Header {
        /// Which of the two.
        text: ElfText,
        /// Where it is in the file.
        offset: u64,
        /// What it is.
        old: Vec<u8>,
        /// What it would have to become.
        new: Vec<u8>,
        /// How many bytes there are for it.
        room: usize,
    },
}

/// Which kind of object a file is, by its first bytes.
enum Object {
    Elf,
    MachO,
    /// It was listed as a binary, and its strings are changed as in any.
    Other,
}

/// Changes the search paths in the headers of an object file and then every other occurrence of an
/// old prefix, all in place, or nothing at all. The answer is whether anything was changed.
///
/// Only where the search path or the interpreter of an ELF file becomes longer than it is, the file
/// grows: they move to a new segment at its end, as `patchelf` would do it for Spack.
///
/// A Mach-O file whose strings cannot be replaced may have new names already: there, names and
/// strings are changed one after the other.
///
/// `name` is the file's own, for rules that go by it; directories may stand before it.
pub fn relocate_binary(
    name: &[u8],
    image: &mut dyn Image,
    map: &PrefixMap,
) -> Result<bool, RelocateError> {
    if map.is_empty() {
        return Ok(false);
    }
    let headers = match object(image).map_err(RelocateError::Read)? {
        Object::Elf => elf_headers(image, map)?,
        Object::MachO => return mach_o(name, image, map),
        // Strings alone.
        Object::Other => Headers::default(),
    };
    // Strings are checked as they will be once the headers are written: an old search path is no
    // string any more then.
    let view = View::new(image, &headers.in_place).map_err(RelocateError::Read)?;
    let edits = cstring::check(&view, map)?;
    for patch in &headers.in_place {
        image.write_at(patch.offset, &patch.bytes).map_err(RelocateError::Write)?;
    }
    cstring::apply(image, map, &edits)?;
    if let Some(growth) = &headers.growth {
        growth.write(image).map_err(RelocateError::Write)?;
    }
    Ok(!headers.in_place.is_empty() || !edits.is_empty())
}

/// Names first, strings then, and a new signature if anything changed (`spack-format` 7.7). What is
/// no sound image has neither names nor a signature, and is changed as any other file.
fn mach_o(name: &[u8], image: &mut dyn Image, map: &PrefixMap) -> Result<bool, RelocateError> {
    let sound = |step: Result<bool, MachOError>| match step {
        Err(MachOError::Malformed { .. }) => Ok(false),
        step => step.map_err(RelocateError::MachO),
    };
    let has_names = sound(macho::relocate_load_commands(name, image, map))?;
    let has_strings = cstring::relocate_strings(image, map)?;
    if has_names || has_strings {
        sound(macho::resign(name, image))?;
    }
    Ok(has_names || has_strings)
}

/// What is to be done before and after the strings.
#[derive(Default)]
struct Headers {
    in_place: Vec<Patch>,
    growth: Option<Growth>,
}

fn elf_headers(image: &dyn Image, map: &PrefixMap) -> Result<Headers, RelocateError> {
    let view = View::new(image, &[]).map_err(RelocateError::Read)?;
    let substitution = Substitution::of(&view, map).map_err(RelocateError::Read)?;
    let Some(substitution) = substitution else { return Ok(Headers::default()) };
    let Some((text, old, new)) = substitution.misfit() else {
        return Ok(Headers { in_place: substitution.patches(), growth: None });
    };
    match Growth::plan(&view, map, &substitution).map_err(RelocateError::Read)? {
        Some((in_place, growth)) => Ok(Headers { in_place, growth: Some(growth) }),
        None => Err(RelocateError::Header {
            text,
            offset: old.offset,
            old: old.text.clone(),
            new: new.to_vec(),
            room: old.text.len(),
        }),
    }
}

fn object(image: &dyn Image) -> io::Result<Object> {
    let mut magic = [0; 8];
    if image.length()? < magic.len() as u64 {
        return Ok(Object::Other);
    }
    image.read_at(0, &mut magic)?;
    Ok(match magic {
        [0x7f, b'E', b'L', b'F', ..] => Object::Elf,
        _ if crate::classify::is_object(magic) => Object::MachO,
        _ => Object::Other,
    })
}
