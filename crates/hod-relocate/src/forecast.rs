//! What a binary needs of the place it goes to, found while it is packed.
//!
//! Whether a string can be changed in place depends on little: which prefix it holds, how near the
//! string's end is, and the new prefix. The first two are known when a package is pushed. Kept with
//! it, they answer without the file whether it can be installed somewhere.
//!
//! What cannot be known here:
//!
//! * Search paths and interpreters of ELF files are counted as strings, though they are changed by
//!   other rules: a forecast may say no where these make room (empty entries are dropped, a longer
//!   search path moves to the file's end). It never says yes for them where they fail.
//! * A prefix that will stay the same is taken for one that changes. In the file, another one of the
//!   map could then match at its place, such as the root above it. As a store root changes together
//!   with all that is below it, this needs a map that no installation makes.

use crate::cstring::{LOOKAHEAD, Match, SAFE_SUFFIX, Verdict, decide, reach};
use crate::prefixes::Prefixes;

#[cfg(test)]
mod tests;

/// Bytes looked at together.
const BLOCK: usize = 32 << 10;

/// A suffix of this length or more makes any end of the new prefix right.
const FAR: u8 = 7;
const _: () = assert!(FAR as usize == SAFE_SUFFIX);

/// What the strings of one binary ask of one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Need {
    /// Its place in the list of prefixes ([`Prefixes::iter`]).
    pub prefix: usize,
    /// The fewest bytes between the prefix and the end of a string, if there are fewer than seven
    /// anywhere. Only then the end of the new prefix matters.
    pub shortest_suffix: Option<u8>,
}

/// Why a binary cannot go to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// The new prefix is longer.
    #[error("the new prefix has {need} bytes and there is room for {room}")]
    TooLong {
        /// The length of the old prefix in bytes.
        room: usize,
        /// The length of the new one.
        need: usize,
    },
    /// The new prefix ends differently, and a string ends so near to it that this is only possible
    /// if the new prefix is much shorter.
    #[error(
        "the new prefix ends differently, for which it must have at most {limit} bytes and has {need}"
    )]
    OtherEnd {
        /// The greatest length it may have and end differently; 0 if there is none.
        limit: usize,
        /// The length of the new prefix in bytes.
        need: usize,
    },
}

impl Need {
    /// Whether every string that holds `old`, which is the prefix that this is about, can be changed
    /// in place to hold `new`.
    pub fn fits(&self, old: &[u8], new: &[u8]) -> Result<(), Misfit> {
        match decide(old, new, self.shortest_suffix.map(usize::from)) {
            _ if old == new => Ok(()),
            Verdict::Pad | Verdict::Shorten => Ok(()),
            Verdict::CannotGrow => Err(Misfit::TooLong { room: old.len(), need: new.len() }),
            Verdict::CannotShrink => {
                let limit = old.len().saturating_sub(LOOKAHEAD);
                Err(Misfit::OtherEnd { limit, need: new.len() })
            }
        }
    }
}

/// Finds the needs of one binary. Memory is bounded by the longest prefix and a constant, and how the
/// content is cut into chunks has no influence.
#[derive(Debug)]
pub struct Forecast<'p> {
    prefixes: &'p Prefixes,
    /// By prefix, if it occurs: the shortest suffix, at most [`FAR`].
    seen: Vec<Option<u8>>,
    /// What was taken but may be the beginning of an occurrence.
    held: Vec<u8>,
}

impl<'p> Forecast<'p> {
    /// For one file. The prefixes must be in the order in which they will be replaced.
    pub fn new(prefixes: &'p Prefixes) -> Self {
        Self { prefixes, seen: vec![None; prefixes.iter().count()], held: Vec::new() }
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.seen.is_empty() {
            return;
        }
        let reach = reach(self.prefixes.search());
        for block in chunk.chunks(BLOCK) {
            self.held.extend_from_slice(block);
            let limit = self.held.len().saturating_sub(reach);
            let passed = self.look(limit);
            self.held.drain(..passed);
        }
    }

    /// What was found, in the order of the prefixes; nothing for those that do not occur.
    pub fn finish(mut self) -> Vec<Need> {
        self.look(self.held.len());
        let need = |(prefix, seen): (usize, Option<u8>)| {
            Some(Need {
                prefix,
                shortest_suffix: seen.map(|suffix| (suffix < FAR).then_some(suffix))?,
            })
        };
        self.seen.into_iter().enumerate().filter_map(need).collect()
    }

    /// Counts what begins before `limit` and says where to go on.
    fn look(&mut self, limit: usize) -> usize {
        let mut from = 0;
        while let Some(found) = Match::next(self.prefixes.search(), &self.held, from, limit) {
            let suffix = found.suffix.and_then(|suffix| u8::try_from(suffix).ok()).unwrap_or(FAR);
            let shortest = self.seen[found.index].get_or_insert(FAR);
            *shortest = suffix.min(*shortest);
            from = found.end();
        }
        from.max(limit)
    }
}
