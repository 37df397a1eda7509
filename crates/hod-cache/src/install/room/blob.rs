//! Asks a blob: each binary is relocated in memory.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use hod_archive::{Cancel, DecodeError, MemberKind, TarReader, UnpackError, read_layer};

use super::Shortage;
use super::read::{Counted, LookError, below, normal};
use crate::install::InstallError;
use crate::install::relocation::{BUILD_INFO, BUILD_INFO_LIMIT, Lists, RelocationError};
use crate::install::stage::{open, shown};
use crate::layer::{Blob, Layer};
use crate::source::Source;
use crate::{Event, Reporter};

/// No name of a file takes more than this in extension headers.
const MOST_EXTENSION: u64 = 1 << 20;

/// A blob that is asked.
#[derive(Clone, Copy)]
pub(crate) struct Inquiry<'a> {
    /// The package, for messages.
    pub(crate) label: &'a str,
    pub(crate) layer: &'a Layer,
    pub(crate) source: Source<'a>,
    pub(crate) cancel: &'a Cancel,
    pub(crate) reporter: &'a dyn Reporter,
}

/// What one reading of a blob found.
#[derive(Default)]
struct Seen {
    /// The build information, and the name it has in the stream.
    build_info: Option<(Vec<u8>, Vec<u8>)>,
    /// Names that the stream has, of what is asked for.
    present: HashSet<Vec<u8>>,
    /// Of those, further names of other files.
    other_names: HashMap<Vec<u8>, Vec<u8>>,
    /// What does not fit, by how much it is too long.
    worst: Option<(usize, RelocationError)>,
}

impl Inquiry<'_> {
    /// What does not fit, the longest of all; `None` if everything does. `lists` says of the build
    /// information what is to become of which file. A binary is held in memory as a whole, one at a
    /// time.
    pub(crate) fn ask(
        &self,
        lists: &dyn Fn(&[u8]) -> Result<Lists, InstallError>,
    ) -> Result<Option<RelocationError>, InstallError> {
        let last = match self.layer.blob {
            Blob::File(_) => open(self.layer, self.source, self.label)?.2,
            Blob::Image(_) => None,
        };
        let (prefix, content) = if let Some((prefix, last)) = last {
            (prefix, last.content)
        } else {
            let seen = self.read(&|_| Asked::Nothing)?;
            let no_build_info = || InstallError::NoBuildInfo { spec: self.label.to_owned() };
            let (name, content) = seen.build_info.ok_or_else(no_build_info)?;
            let prefix = name.strip_suffix(BUILD_INFO).unwrap_or_default();
            (prefix.strip_suffix(b"/").unwrap_or(prefix).to_vec(), content)
        };
        let lists = lists(&content)?;
        let mut wanted: HashSet<Vec<u8>> = lists.binaries().cloned().collect();
        if lists.is_empty() || wanted.is_empty() {
            return Ok(None);
        }
        let asked = |wanted: &HashSet<Vec<u8>>| {
            self.read(&|name| match below(name, &prefix) {
                Some(path) if wanted.contains(path) => Asked::Binary(&lists, path.to_vec()),
                _ => Asked::Nothing,
            })
        };
        let seen = asked(&wanted)?;
        if seen.build_info.as_ref().is_none_or(|(_, found)| *found != content) {
            // What was acted on was not verified then.
            return Err(InstallError::LastEntry { spec: self.label.to_owned() });
        }
        wanted.retain(|path| !seen.present.contains(path));
        if let Some(missing) = wanted.iter().min() {
            let file = shown(missing);
            return Err(InstallError::ListedFile { spec: self.label.to_owned(), file });
        }
        let mut worst = seen.worst;
        // Before Spack 0.19, each name of a hard-linked file was listed, or one without content.
        let firsts = seen.other_names.into_values();
        let firsts: HashSet<Vec<u8>> =
            firsts.filter(|first| !seen.present.contains(first)).collect();
        if !firsts.is_empty() {
            let more = asked(&firsts)?.worst;
            worst = worse(worst, more);
        }
        Ok(worst.map(|(_, error)| error))
    }

    /// Reads the whole blob, and verifies it.
    fn read<'l>(&self, asked: &(dyn Fn(&[u8]) -> Asked<'l> + Sync)) -> Result<Seen, InstallError> {
        let (blob, codec, _) = open(self.layer, self.source, self.label)?;
        let blob = Counted::new(blob, self.cancel, |bytes| {
            let (package, total) = (self.label, self.layer.size);
            self.reporter.report(Event::Progress { package, bytes, total });
        });
        let (digests, seen) =
            read_layer(codec, blob, |tar| look(tar, asked)).map_err(|error| self.failed(error))?;
        let Layer { digest, size, .. } = *self.layer;
        if digests.digest != digest {
            let error = match size.filter(|size| *size != digests.size) {
                Some(expected) => UnpackError::Size { expected, found: digests.size },
                None => UnpackError::Digest { expected: digest, found: digests.digest },
            };
            return Err(self.unpack(error));
        }
        seen.map_err(|error| match error {
            LookError::Tar(error) => self.unpack(error.into()),
            LookError::Relocation(source) => {
                InstallError::Relocate { spec: self.label.to_owned(), source: source.into() }
            }
        })
    }

    fn failed(&self, error: io::Error) -> InstallError {
        if self.cancel.is_cancelled() {
            return InstallError::Cancelled;
        }
        self.unpack(UnpackError::Decode(error.downcast().unwrap_or_else(DecodeError::Read)))
    }

    fn unpack(&self, error: UnpackError) -> InstallError {
        match crate::unpack::failed(error, self.source, self.label) {
            crate::Error::Cancelled => InstallError::Cancelled,
            crate::Error::Unpack { source, .. } => {
                InstallError::Unpack { spec: self.label.to_owned(), source }
            }
            error => error.into(),
        }
    }
}

/// What is wanted of a member.
enum Asked<'l> {
    Nothing,
    /// It is a binary of this path.
    Binary(&'l Lists, Vec<u8>),
}

fn worse(
    one: Option<(usize, RelocationError)>,
    other: Option<(usize, RelocationError)>,
) -> Option<(usize, RelocationError)> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.0 > one.0 { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn look<'l>(
    tar: &mut dyn Read,
    asked: &(dyn Fn(&[u8]) -> Asked<'l> + Sync),
) -> Result<Seen, LookError> {
    let mut seen = Seen::default();
    let mut archive = TarReader::new(tar, MOST_EXTENSION);
    while let Some(member) = archive.next_member()? {
        let name = normal(&member.name);
        let wanted = asked(&name);
        if let (Asked::Binary(_, path), MemberKind::Hardlink(first)) = (&wanted, &member.kind) {
            seen.present.insert(path.clone());
            let (first, name) = (normal(first), &name);
            // Both are below the same prefix.
            let above = name.len() - path.len();
            if first.get(..above) == name.get(..above) {
                seen.other_names.insert(path.clone(), first[above..].to_vec());
            }
            continue;
        }
        if member.kind != MemberKind::Regular {
            continue;
        }
        let is_build_info =
            name.strip_suffix(BUILD_INFO).is_some_and(|prefix| prefix.ends_with(b"/"));
        let is_shortest =
            seen.build_info.as_ref().is_none_or(|(known, _)| name.len() < known.len());
        if is_build_info && is_shortest {
            let mut content = Vec::new();
            archive.by_ref().take(BUILD_INFO_LIMIT).read_to_end(&mut content)?;
            seen.build_info = Some((name, content));
        } else if let Asked::Binary(lists, path) = wanted {
            let mut content = Vec::new();
            archive.read_to_end(&mut content)?;
            if let Err(error) = lists.try_binary(&path, &mut content) {
                let Some(shortage) = Shortage::of(&error) else {
                    return Err(LookError::Relocation(error));
                };
                seen.worst = worse(seen.worst, Some((shortage.excess(), error)));
            }
            seen.present.insert(path);
        }
    }
    Ok(seen)
}
