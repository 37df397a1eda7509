//! New prefixes in the names that load commands hold.

use std::collections::BTreeMap;

use memchr::memmem;

use super::MachOError;
use super::object::{Command, LINKEDIT_DATA, MOST_COMMANDS, Object, kind};
use crate::PrefixMap;

/// Old and new prefixes, longest first: the one place where Spack orders them so.
pub(super) struct Renaming<'m> {
    pairs: Vec<(&'m [u8], &'m [u8])>,
}

impl<'m> Renaming<'m> {
    pub(super) fn new(map: &'m PrefixMap) -> Self {
        let mut pairs: Vec<_> = map.iter().collect();
        pairs.sort_by_key(|(old, _)| std::cmp::Reverse(old.len()));
        Self { pairs }
    }

    /// Changes the names in the commands of an image. Says whether any changed, and fails if they
    /// then do not fit before the image's content.
    pub(super) fn apply(&self, object: &mut Object) -> Result<bool, MachOError> {
        let mut commands = Vec::new();
        let mut count = 0;
        let mut changed = false;
        // Whether each rpath so far was changed.
        let mut rpaths: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        for command in object.commands() {
            let Some(name_at) = name_offset(object, command)? else {
                commands.extend_from_slice(command.bytes);
                count += 1;
                continue;
            };
            let old = text(&command.bytes[name_at..]);
            let name = self.rename(old, object)?;
            if command.kind == kind::RPATH {
                let is_new = name.is_some();
                let path = name.as_deref().unwrap_or(old);
                if let Some(&known_is_new) = rpaths.get(path) {
                    if is_new || known_is_new {
                        changed = true;
                        continue;
                    }
                } else {
                    rpaths.insert(path.to_vec(), is_new);
                }
            }
            match name {
                None => commands.extend_from_slice(command.bytes),
                Some(new) => {
                    changed = true;
                    commands.extend(renamed(object, command, name_at, old.len(), &new)?);
                }
            }
            count += 1;
            check_size(object, commands.len())?;
        }
        if !changed {
            return Ok(false);
        }
        if commands.len() > object.commands.len() {
            let is_signed = object.commands().any(|command| command.kind == kind::CODE_SIGNATURE);
            let reserve = if object.must_be_signed() && !is_signed { LINKEDIT_DATA } else { 0 };
            let (room, need) = (object.room()?, (commands.len() + reserve) as u64);
            if need > room {
                return Err(MachOError::NoRoom { room, need });
            }
        }
        object.commands = commands;
        object.count = count;
        Ok(true)
    }

    /// The new name, if it changes.
    fn rename(&self, name: &[u8], object: &Object) -> Result<Option<Vec<u8>>, MachOError> {
        let Some(&(old, new)) = self.pairs.iter().find(|(old, _)| name.starts_with(old)) else {
            return Ok(None);
        };
        // A short prefix may occur as often as the name is long: its size is known before it is
        // made.
        let occurrences = memmem::find_iter(name, old).count();
        check_size(object, name.len() - occurrences * old.len() + occurrences * new.len())?;
        let mut renamed = Vec::new();
        let mut rest = name;
        while let Some(at) = memmem::find(rest, old) {
            renamed.extend_from_slice(&rest[..at]);
            renamed.extend_from_slice(new);
            rest = &rest[at + old.len()..];
        }
        renamed.extend_from_slice(rest);
        Ok((renamed != name).then_some(renamed))
    }
}

/// Where the name is in a command that `install_name_tool` would change. (It also changes
/// `LC_PREBOUND_DYLIB`, which nothing has written since 2005.)
fn name_offset(object: &Object, command: Command<'_>) -> Result<Option<usize>, MachOError> {
    let fixed = match command.kind {
        kind::RPATH => 12,
        kind::ID_DYLIB
        | kind::LOAD_DYLIB
        | kind::LOAD_WEAK_DYLIB
        | kind::REEXPORT_DYLIB
        | kind::LAZY_LOAD_DYLIB
        | kind::LOAD_UPWARD_DYLIB => 24,
        _ => return Ok(None),
    };
    let at = object.endian.u32(command.bytes, 8).and_then(|at| usize::try_from(at).ok());
    match at.filter(|at| (fixed..command.bytes.len()).contains(at)) {
        Some(at) => Ok(Some(at)),
        None => Err(object.malformed("a library's name is outside of its command", command.at)),
    }
}

/// Up to the first NUL.
fn text(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

/// The command with another name: of just the size it needs, as `install_name_tool` makes it, but
/// unchanged in size if the names are equally long. What is before the name is kept: the newer
/// `dylib_use_command` has flags there.
fn renamed(
    object: &Object,
    command: Command<'_>,
    name_at: usize,
    old_length: usize,
    new: &[u8],
) -> Result<Vec<u8>, MachOError> {
    let mut bytes = command.bytes[..name_at].to_vec();
    bytes.extend_from_slice(new);
    if new.len() == old_length {
        bytes.extend_from_slice(&command.bytes[name_at + old_length..]);
    } else {
        bytes.resize((bytes.len() + 1).next_multiple_of(object.command_align()), 0);
        let size = u32::try_from(bytes.len()).map_err(|_| MachOError::TooLarge)?;
        bytes[4..8].copy_from_slice(&object.endian.u32_bytes(size));
    }
    Ok(bytes)
}

fn check_size(object: &Object, need: usize) -> Result<(), MachOError> {
    if need <= MOST_COMMANDS {
        return Ok(());
    }
    Err(MachOError::NoRoom { room: object.room()?, need: need as u64 })
}
