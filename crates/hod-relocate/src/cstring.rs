//! Prefixes in the strings of an object file, replaced in place.
//!
//! No byte of an object may move, and a string may be shared: linkers let a short string point into
//! the end of a longer one. So a replacement is padded with slashes in front and the end of the
//! string stays where it is; only where much room is left may it end earlier, with the old end still
//! behind the new one (`relocate_text.py`, `BinaryFilePrefixReplacer`; `spack-format` 7.5).

use std::io;
use std::ops::ControlFlow;

use memchr::memchr;

use crate::binary::RelocateError;
use crate::image::Image;
use crate::map::PrefixMap;
use crate::search::Search;
use crate::view::View;

#[cfg(test)]
mod tests;

/// How many bytes at the end of a string must stay what they were (`suffix_safety_size`).
pub(crate) const SAFE_SUFFIX: usize = 7;

/// What must be seen behind a prefix: the suffix and a NUL.
pub(crate) const LOOKAHEAD: usize = SAFE_SUFFIX + 1;

/// Bytes of an image that are looked at together: few calls, and all in the cache of a processor.
/// With 1 MiB, an image in memory takes half as long again.
const WINDOW: u64 = 256 << 10;

/// How many edits are remembered between the check and the writing; what lies behind them is
/// searched a second time, so that memory does not depend on the file.
const EDITS: usize = 1 << 15;

/// Why a string in an object file cannot be changed in place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StringError {
    /// The new prefix is longer than the old one.
    #[error(
        "the string at offset {offset} has {} bytes for `{}`, which has {}",
        old.len(), String::from_utf8_lossy(new), new.len()
    )]
    CannotGrow {
        /// Where the old prefix is in the file.
        offset: u64,
        /// The old prefix, whose length is the room there is.
        old: Vec<u8>,
        /// The new prefix.
        new: Vec<u8>,
    },
    /// The new prefix is shorter, but not by enough, and ends differently.
    #[error(
        "the string `{}` at offset {offset} is too short to end like `{}`: the new prefix must be \
         shorter by {LOOKAHEAD} bytes or have the old one's end",
        String::from_utf8_lossy(string),
        String::from_utf8_lossy(new)
    )]
    CannotShrink {
        /// Where the old prefix is in the file.
        offset: u64,
        /// The old prefix.
        old: Vec<u8>,
        /// The new prefix.
        new: Vec<u8>,
        /// The old prefix and what follows it up to the NUL, fewer than seven bytes.
        string: Vec<u8>,
    },
}

/// What the rule says of one occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Slashes, then the new prefix: as long as the old one.
    Pad,
    /// The new prefix, the suffix and a NUL; the rest of the old string stays behind it.
    Shorten,
    /// The new prefix is longer.
    CannotGrow,
    /// Shorter by too little for another end.
    CannotShrink,
}

/// Decides by the length of the suffix, if a NUL is near enough to know it.
pub(crate) fn decide(old: &[u8], new: &[u8], suffix: Option<usize>) -> Verdict {
    if new.len() > old.len() {
        return Verdict::CannotGrow;
    }
    let must_stay = suffix.map_or(0, |suffix| SAFE_SUFFIX.saturating_sub(suffix));
    if must_stay == 0 || last(old, must_stay) == last(new, must_stay) {
        Verdict::Pad
    } else if old.len() - new.len() > SAFE_SUFFIX {
        Verdict::Shorten
    } else {
        Verdict::CannotShrink
    }
}

fn last(text: &[u8], length: usize) -> &[u8] {
    &text[text.len().saturating_sub(length)..]
}

/// An old prefix in the bytes of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match {
    pub(crate) at: usize,
    /// Which prefix.
    pub(crate) index: usize,
    /// Where the prefix ends.
    pub(crate) prefix_end: usize,
    /// What follows up to the first NUL, if that is at most seven bytes.
    pub(crate) suffix: Option<usize>,
}

impl Match {
    /// The next one of Spack's `(P1|P2|...)([^\0]{0,7}\0)?` that starts before `limit`. The text must
    /// reach [`reach`] bytes beyond the limit, or to the end of the file.
    pub(crate) fn next(search: &Search, text: &[u8], from: usize, limit: usize) -> Option<Self> {
        let found = search.next(text, from, limit)?;
        let ahead = &text[found.end..text.len().min(found.end + LOOKAHEAD)];
        let suffix = memchr(0, ahead);
        Some(Self { at: found.at, index: found.index, prefix_end: found.end, suffix })
    }

    /// Where the search goes on: behind the NUL, if there is one.
    pub(crate) fn end(&self) -> usize {
        self.prefix_end + self.suffix.map_or(0, |suffix| suffix + 1)
    }
}

/// How far a match and all that decides on it may reach from where it starts.
pub(crate) fn reach(search: &Search) -> usize {
    search.longest() + LOOKAHEAD
}

/// Changes every occurrence of an old prefix, or nothing at all if one of them cannot be changed.
/// The answer is whether anything was changed.
///
/// Whatever the image is, it keeps its length, and at most a window of 256 KiB of it is in memory.
pub fn relocate_strings(image: &mut dyn Image, map: &PrefixMap) -> Result<bool, RelocateError> {
    let edits = check(&View::new(image, &[]).map_err(RelocateError::Read)?, map)?;
    apply(image, map, &edits)?;
    Ok(!edits.is_empty())
}

/// Edits that were found to be possible.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    known: Vec<Edit>,
    /// Where those begin that were too many to remember.
    more_from: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Edit {
    offset: u64,
    index: usize,
    /// The length of the suffix that moves with the prefix, if the string ends earlier.
    shortened: Option<usize>,
}

impl Edits {
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// Finds out what is to be changed, and that all of it can be.
pub(crate) fn check(view: &View<'_>, map: &PrefixMap) -> Result<Edits, RelocateError> {
    let mut edits = Edits::default();
    each(view, map, 0, |edit| {
        if edits.known.len() < EDITS {
            edits.known.push(edit);
        } else if edits.more_from.is_none() {
            edits.more_from = Some(edit.offset);
        }
        ControlFlow::Continue(())
    })?;
    Ok(edits)
}

/// Writes what was checked. The image must be what the view showed.
pub(crate) fn apply(
    image: &mut dyn Image,
    map: &PrefixMap,
    edits: &Edits,
) -> Result<(), RelocateError> {
    for edit in &edits.known {
        write(image, map, *edit)?;
    }
    let Some(mut from) = edits.more_from else { return Ok(()) };
    // A batch at a time, as an image cannot be searched and written at once.
    loop {
        let mut batch = Vec::new();
        let mut next = None;
        let view = View::new(image, &[]).map_err(RelocateError::Write)?;
        let found = each(&view, map, from, |edit| {
            if batch.len() == EDITS {
                next = Some(edit.offset);
                return ControlFlow::Break(());
            }
            batch.push(edit);
            ControlFlow::Continue(())
        });
        found.map_err(|error| match error {
            RelocateError::Read(error) => RelocateError::Write(error),
            other => other,
        })?;
        for edit in batch {
            write(image, map, edit)?;
        }
        let Some(offset) = next else { return Ok(()) };
        from = offset;
    }
}

/// Shows the edits from an offset on, in their order, as long as more are wanted.
fn each(
    view: &View<'_>,
    map: &PrefixMap,
    mut from: u64,
    mut show: impl FnMut(Edit) -> ControlFlow<()>,
) -> Result<(), RelocateError> {
    let search = map.search();
    if map.is_empty() {
        return Ok(());
    }
    let reach = reach(search);
    let window = WINDOW.max(4 * reach as u64);
    let mut buffer = Vec::new();
    while from < view.length() {
        let rest = view.length() - from;
        let size = usize::try_from(rest.min(window)).unwrap_or(usize::MAX);
        buffer.resize(size, 0);
        view.read_at(from, &mut buffer).map_err(RelocateError::Read)?;
        let is_last = size as u64 == rest;
        let limit = if is_last { size } else { size - reach };
        let mut at = 0;
        while let Some(found) = Match::next(search, &buffer, at, limit) {
            let offset = from + found.at as u64;
            if show(edit(map, &buffer, found, offset)?).is_break() {
                return Ok(());
            }
            at = found.end();
        }
        from += at.max(limit) as u64;
    }
    Ok(())
}

fn edit(map: &PrefixMap, text: &[u8], found: Match, offset: u64) -> Result<Edit, RelocateError> {
    let (old, new) = map.pair(found.index);
    let shortened = match decide(old, new, found.suffix) {
        Verdict::Pad => None,
        Verdict::Shorten => found.suffix,
        Verdict::CannotGrow => {
            let (old, new) = (old.to_vec(), new.to_vec());
            return Err(StringError::CannotGrow { offset, old, new }.into());
        }
        Verdict::CannotShrink => {
            let string = text[found.at..found.prefix_end + found.suffix.unwrap_or(0)].to_vec();
            let (old, new) = (old.to_vec(), new.to_vec());
            return Err(StringError::CannotShrink { offset, old, new, string }.into());
        }
    };
    Ok(Edit { offset, index: found.index, shortened })
}

fn write(image: &mut dyn Image, map: &PrefixMap, edit: Edit) -> Result<(), RelocateError> {
    let (old, new) = map.pair(edit.index);
    let mut bytes = Vec::with_capacity(old.len() + LOOKAHEAD);
    if let Some(suffix) = edit.shortened {
        bytes.extend_from_slice(new);
        let mut moved = [0; LOOKAHEAD];
        // The NUL is read with it.
        let moved = &mut moved[..=suffix];
        let read: io::Result<()> = image.read_at(edit.offset + old.len() as u64, moved);
        read.map_err(RelocateError::Write)?;
        bytes.extend_from_slice(moved);
    } else {
        bytes.resize(old.len() - new.len(), b'/');
        bytes.extend_from_slice(new);
    }
    image.write_at(edit.offset, &bytes).map_err(RelocateError::Write)
}
