//! Search paths and interpreter of ELF files, changed where they stand.
//!
//! Everything here does what Spack does, refusals included: a file that Spack's parser takes offence
//! at is left alone without an error, also where a loader would accept it (`util/elf.py`,
//! `spack-format` 7.6).

use std::io;

use crate::image::Image;
use crate::map::PrefixMap;
use crate::view::{Patch, View};

mod grow;
mod parse;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub(crate) use grow::Growth;
use parse::{Elf, Text};

/// Where an ELF file has a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElfText {
    /// The list of directories to search for libraries (`DT_RPATH` or `DT_RUNPATH`).
    Rpath,
    /// The program that loads this one (`PT_INTERP`).
    Interpreter,
}

/// The search path of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rpath {
    /// The directories in their order, empty ones among them.
    pub entries: Vec<Vec<u8>>,
    /// Where the text begins in the file; the entries are joined by colons there.
    pub offset: u64,
    /// Whether it is a `DT_RUNPATH`, which `LD_LIBRARY_PATH` comes before.
    pub is_runpath: bool,
}

/// The search path, if this is an ELF executable or library that has one and that Spack can read.
pub fn rpaths(image: &dyn Image) -> io::Result<Option<Rpath>> {
    let Some(elf) = Elf::parse_dynamic(&View::new(image, &[])?)? else { return Ok(None) };
    Ok(elf.rpath.map(|rpath| Rpath {
        entries: rpath.text.split(|byte| *byte == b':').map(<[u8]>::to_vec).collect(),
        offset: rpath.offset,
        is_runpath: elf.is_runpath,
    }))
}

/// Drops the directories of the search path that are not to be kept, and says whether it changed.
///
/// What becomes free is filled with zeros; if nothing is left, an empty search path is, as in Spack
/// (`hooks/drop_redundant_rpaths.py`). Spack keeps those that begin with `$` and absolute ones that
/// exist, so never an empty one.
pub fn retain_rpaths(image: &mut dyn Image, keep: &dyn Fn(&[u8]) -> bool) -> io::Result<bool> {
    let Some(elf) = Elf::parse_dynamic(&View::new(image, &[])?)? else { return Ok(false) };
    let Some(rpath) = elf.rpath else { return Ok(false) };
    let kept: Vec<&[u8]> =
        rpath.text.split(|byte| *byte == b':').filter(|path| keep(path)).collect();
    let kept = kept.join(&b':');
    if kept == rpath.text {
        return Ok(false);
    }
    image.write_at(rpath.offset, &padded(kept, rpath.text.len()))?;
    Ok(true)
}

/// What a relocation does to the headers of an ELF file.
#[derive(Debug)]
pub(crate) struct Substitution {
    /// The search path and what it becomes.
    pub(crate) rpath: Option<(Text, Vec<u8>)>,
    /// The interpreter and what it becomes.
    pub(crate) interpreter: Option<(Text, Vec<u8>)>,
}

impl Substitution {
    /// What is to be changed, if it is a file that can be read and something is.
    pub(crate) fn of(view: &View<'_>, map: &PrefixMap) -> io::Result<Option<Self>> {
        let Some(elf) = Elf::parse(view)? else { return Ok(None) };
        let rpath = elf.rpath.and_then(|rpath| {
            let new = relocate_rpath(&rpath.text, map)?;
            Some((rpath, new))
        });
        let interpreter = elf.interpreter.and_then(|interpreter| {
            let new = map.relocate_link(&interpreter.text)?;
            Some((interpreter, new))
        });
        let is_any = rpath.is_some() || interpreter.is_some();
        Ok(is_any.then_some(Self { rpath, interpreter }))
    }

    /// The first text that does not fit where it is: which one, what it is and becomes.
    pub(crate) fn misfit(&self) -> Option<(ElfText, &Text, &[u8])> {
        let changes = [(ElfText::Rpath, &self.rpath), (ElfText::Interpreter, &self.interpreter)];
        changes.into_iter().find_map(|(which, change)| {
            let (old, new) = change.as_ref()?;
            (new.len() > old.text.len()).then_some((which, old, &new[..]))
        })
    }

    /// The changes in place, if all fit.
    pub(crate) fn patches(&self) -> Vec<Patch> {
        let changes = self.rpath.iter().chain(&self.interpreter);
        changes.map(|(old, new)| shorter(old, new)).collect()
    }
}

/// A text in the place of one that is no shorter, with zeros behind it.
fn shorter(old: &Text, new: &[u8]) -> Patch {
    Patch { offset: old.offset, bytes: padded(new.to_vec(), old.text.len()) }
}

/// The search path with new prefixes, if any entry has an old one. Empty entries are dropped then:
/// some linkers leave a row of colons as room, and it is needed now.
fn relocate_rpath(rpath: &[u8], map: &PrefixMap) -> Option<Vec<u8>> {
    let mut has_changed = false;
    let entries: Vec<Vec<u8>> = rpath
        .split(|byte| *byte == b':')
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let new = map.relocate_link(entry);
            has_changed |= new.is_some();
            new.unwrap_or_else(|| entry.to_vec())
        })
        .collect();
    has_changed.then(|| entries.join(&b':'))
}

fn padded(mut text: Vec<u8>, length: usize) -> Vec<u8> {
    text.resize(length, 0);
    text
}
