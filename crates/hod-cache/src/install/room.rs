//! Whether there is room in the binaries of a package for the prefixes of the place it goes to:
//! asked of what was found out when it was packed, or of its blob. Nothing is written.

mod blob;
mod read;

use hod_mirror::oci::RelocationFacts;
use hod_relocate::{Need, PrefixMap, RelocateError, StringError};
use hod_store::BuildInfo;

use super::RelocationError;
pub(crate) use blob::Inquiry;
use read::text;

#[cfg(test)]
mod tests;

/// A path in a file for which there is too little room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortage {
    /// The file, below the prefix.
    pub file: String,
    /// What is in it.
    pub old: String,
    /// What would have to be there.
    pub new: String,
    /// How many bytes there are for it. Where it ends another way than before, and something else
    /// may need that end, this is less than the old one has.
    pub room: usize,
    /// How many bytes it has.
    pub need: usize,
}

/// How much shorter a prefix must be than the old one to end in another way wherever it is.
const OTHER_END: usize = 8;

impl Shortage {
    /// What an error says of room; `None` if it is about something else.
    pub fn of(error: &RelocationError) -> Option<Self> {
        let RelocationError::Misfit { file, source } = error else { return None };
        let (old, new, room) = match source {
            RelocateError::String(StringError::CannotGrow { old, new, .. }) => {
                (old, new, old.len())
            }
            RelocateError::String(StringError::CannotShrink { old, new, .. }) => {
                (old, new, old.len().saturating_sub(OTHER_END))
            }
            RelocateError::Header { old, new, room, .. } => (old, new, *room),
            _ => return None,
        };
        let shown = |bytes: &[u8]| text(bytes).into_owned();
        let (old, need) = (shown(old), new.len());
        Some(Self { file: file.clone(), old, new: shown(new), room, need })
    }

    /// By how many bytes it is too long.
    pub fn excess(&self) -> usize {
        self.need.saturating_sub(self.room)
    }
}

/// What facts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is room for everything.
    Fits,
    /// There may not be: search paths of ELF files have more room than other strings.
    Doubtful,
    /// They are of other prefixes than those that are replaced.
    Unknown,
}

/// The part of the build information that says which prefixes there are.
pub(crate) fn build_info(facts: &RelocationFacts) -> BuildInfo {
    BuildInfo {
        sbang_install_path: facts.sbang.clone(),
        buildpath: facts.root.clone(),
        hash_to_prefix: facts.prefixes.clone(),
        ..BuildInfo::default()
    }
}

/// Asks the facts. `moves`: which prefix becomes which, in the order of their priority.
pub(crate) fn by_facts(facts: &RelocationFacts, moves: &[(Vec<u8>, Vec<u8>)]) -> Verdict {
    let map = PrefixMap::new(moves.iter().cloned());
    if map.is_empty() {
        return Verdict::Fits;
    }
    let mut verdict = Verdict::Fits;
    for needed in &facts.needs {
        let old = needed.prefix.as_bytes();
        let Some((_, new)) = map.iter().find(|(changed, _)| *changed == old) else {
            // It stays, or nobody knows what it becomes: another one that changes, such as the root
            // above it, may be found in its place, and how that ends was not looked at.
            return Verdict::Unknown;
        };
        let need = Need { prefix: 0, shortest_suffix: needed.shortest_suffix };
        if need.fits(old, new).is_err() {
            verdict = Verdict::Doubtful;
        }
    }
    verdict
}
