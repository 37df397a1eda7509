//! One package from its blob to a private directory, relocated and complete but for its name.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hod_archive::{
    Cancel, Codec, DiffIdCheck, EntryKind, LastFile, Limits, Memory, Ownership, StagedTree,
    UnpackError, UnpackOptions, last_file,
};
use hod_relocate::PrefixMap;
use hod_spec::{DagHash, Spec, SpecFile, render_spec};
use hod_store::Store;

use super::moves::{Places, parse};
use super::relocation::{BUILD_INFO, BUILD_INFO_LIMIT, Lists, Relocation, Unfinished};
use super::{Graph, InstallError, Step, leftover, manifest};
use crate::layer::{Blob, Layer};
use crate::source::Source;
use crate::{Event, Reporter};

/// Of a spec file: a graph of ten thousand specs.
const SPEC_LIMIT: u64 = 64 << 20;
const SPEC_FILE: &[u8] = b".spack/spec.json";

/// What all packages of one installation share.
pub(super) struct Ground<'a> {
    pub(super) graph: &'a Graph,
    /// As it was when the plan was made.
    pub(super) store: &'a Store,
    pub(super) layout: &'a hod_store::Layout,
    /// Where packages go that are being installed.
    pub(super) prefixes: HashMap<DagHash, PathBuf>,
    pub(super) sbang: PathBuf,
    pub(super) limits: Limits,
    pub(super) jobs: usize,
    /// Of all packages together.
    pub(super) memory: Memory,
    pub(super) cancel: &'a Cancel,
    pub(super) reporter: &'a dyn Reporter,
}

/// A package that has everything but its name and its record.
pub(super) struct Staged {
    pub(super) tree: StagedTree,
    pub(super) specs: SpecFile,
    pub(super) relocation: Relocation,
}

/// A blob that is to become a tree.
#[derive(Clone, Copy)]
pub(super) struct Cargo<'a> {
    /// The package, for messages.
    pub(super) label: &'a str,
    pub(super) layer: &'a Layer,
    pub(super) source: Source<'a>,
    /// Where it goes on this machine.
    pub(super) location: &'a Path,
    pub(super) ownership: Ownership,
    pub(super) limits: Limits,
    pub(super) jobs: usize,
    /// Shared with other packages, if there are any.
    pub(super) memory: Option<&'a Memory>,
    pub(super) cancel: &'a Cancel,
    pub(super) reporter: &'a dyn Reporter,
}

impl Cargo<'_> {
    /// Reads, verifies, unpacks and relocates; `lists` says of the build information what is to
    /// become of which file.
    pub(super) fn stage(
        &self,
        staging: Option<PathBuf>,
        lists: &dyn Fn(&[u8]) -> Result<Lists, InstallError>,
    ) -> Result<(StagedTree, Relocation), InstallError> {
        let (blob, codec, last) = open(self.layer, self.source, self.label)?;
        let relocation = match &last {
            Some((_, last)) => Relocation::known(lists(&last.content)?),
            None => Relocation::unknown(),
        };
        let progress = |bytes| {
            let (package, total) = (self.label, self.layer.size);
            self.reporter.report(Event::Progress { package, bytes, total });
        };
        let options = UnpackOptions {
            strip_prefix: last.as_ref().map(|(prefix, _)| prefix.clone()),
            limits: self.limits,
            jobs: self.jobs,
            memory: self.memory.cloned(),
            cancel: self.cancel.clone(),
            expected: self.layer.size.map(|size| (self.layer.digest, size)),
            // The digest of the blob says all there is to say.
            diff_id: DiffIdCheck::Skip,
            progress: Some(&progress),
            rewrite: Some(&relocation),
            ownership: self.ownership,
            staging,
            lists_entries: true,
        };
        let staged = hod_archive::stage(blob, codec, self.location, &options);
        let mut tree = staged.map_err(|error| unpack_error(error, self.source, self.label))?;
        self.relocate(&mut tree, &relocation, last.as_ref().map(|(_, last)| last), lists)?;
        Ok((tree, relocation))
    }

    /// Finds the prefix in the tree, if that is not known yet, and relocates what is still to be.
    fn relocate(
        &self,
        tree: &mut StagedTree,
        relocation: &Relocation,
        last: Option<&LastFile>,
        lists: &dyn Fn(&[u8]) -> Result<Lists, InstallError>,
    ) -> Result<(), InstallError> {
        let spec = || self.label.to_owned();
        let Some((name, content)) = relocation.build_info() else {
            return Err(InstallError::NoBuildInfo { spec: spec() });
        };
        let late = match last {
            // What was acted on was not verified then.
            Some(last) if last.content != content => {
                return Err(InstallError::LastEntry { spec: spec() });
            }
            Some(_) => None,
            None => {
                let prefix = name.strip_suffix(BUILD_INFO).unwrap_or_default();
                narrow(tree, prefix.strip_suffix(b"/").unwrap_or(prefix))
                    .map_err(|error| InstallError::Unpack { spec: spec(), source: error.into() })?;
                Some(lists(&content)?)
            }
        };
        relocation.finish(tree, late).map_err(|unfinished| match unfinished {
            Unfinished::Missing(path) => {
                InstallError::ListedFile { spec: spec(), file: shown(&path) }
            }
            Unfinished::Link(path, source) => finish(self.label, &path, source),
            Unfinished::Relocation(source) => {
                InstallError::Relocate { spec: spec(), source: source.into() }
            }
        })
    }
}

impl Ground<'_> {
    /// Everything up to the name and the record.
    pub(super) fn stage(
        &self,
        step: &Step,
        (layer, source): (&Layer, Source<'_>),
        location: &Path,
        ownership: Ownership,
    ) -> Result<Staged, InstallError> {
        let label = step.spec.label();
        let cargo = Cargo {
            label: &label,
            layer,
            source,
            location,
            ownership,
            limits: self.limits,
            jobs: self.jobs,
            memory: Some(&self.memory),
            cancel: self.cancel,
            reporter: self.reporter,
        };
        let lists = |build_info: &[u8]| self.lists(&step.spec, build_info);
        let (tree, relocation) = cargo.stage(Some(leftover::staging(location)), &lists)?;
        let specs = self.spec_file(step, &tree, &relocation)?;
        manifest::write(&tree, &step.prefix, &relocation)
            .map_err(|source| finish(&label, manifest::FILE, source))?;
        Ok(Staged { tree, specs, relocation })
    }

    /// The spec file of the tree, which must be of the package that was asked for.
    fn spec_file(
        &self,
        step: &Step,
        tree: &StagedTree,
        relocation: &Relocation,
    ) -> Result<SpecFile, InstallError> {
        let label = || step.spec.label();
        let bytes = tree
            .read(SPEC_FILE, SPEC_LIMIT)
            .map_err(|source| finish(&label(), SPEC_FILE, source))?
            .ok_or_else(|| InstallError::NoSpec { spec: label(), source: None })?;
        let file = SpecFile::parse(bytes).map_err(|source| InstallError::NoSpec {
            spec: label(),
            source: Some(source.into()),
        })?;
        let expected = step.spec.build_spec.unwrap_or(step.spec.hash);
        if file.root().hash != expected {
            let found = file.root().label();
            return Err(InstallError::AnotherSpec { spec: label(), found });
        }
        if step.spec.build_spec.is_none() {
            return Ok(file);
        }
        // What was built is in the tree, and it is to be what it was spliced into.
        let text = format!("{{\"spec\":{}}}", render_spec(self.graph, &step.spec));
        tree.write(SPEC_FILE, text.as_bytes(), 0o644, 0)
            .map_err(|source| finish(&label(), SPEC_FILE, source))?;
        relocation.note(SPEC_FILE, text.as_bytes());
        SpecFile::parse(text.into_bytes())
            .map_err(|source| InstallError::NoSpec { spec: label(), source: Some(source.into()) })
    }

    /// What is to become of the package's files, by what its tree says of them.
    fn lists(&self, spec: &Spec, build_info: &[u8]) -> Result<Lists, InstallError> {
        let info = parse(build_info, &spec.label())?;
        let places = Places {
            nodes: self.graph,
            store: Some(self.store),
            layout: self.layout,
            prefixes: &self.prefixes,
            sbang: &self.sbang,
        };
        let map = PrefixMap::new(places.moves(spec, &info)?);
        Ok(Lists::new(&info, map, self.sbang.clone()))
    }
}

/// Checks that all of the tree is in or above one directory, and takes that for the tree
/// (`spack-format` 3.8).
fn narrow(tree: &mut StagedTree, prefix: &[u8]) -> Result<(), UnpackError> {
    let mut outside = None;
    let mut is_described = prefix.is_empty();
    if let Some(entries) = tree.entries() {
        entries.for_each(|entry| {
            let is_directory = entry.kind == EntryKind::Directory;
            is_described |= is_directory && entry.path == prefix;
            let is_below = prefix.is_empty()
                || entry.path.strip_prefix(prefix).is_some_and(|rest| rest.first() == Some(&b'/'));
            let is_above = prefix
                .strip_prefix(entry.path)
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')));
            if !(is_below || is_above && is_directory) && outside.is_none() {
                outside = Some(shown(entry.path));
            }
        });
    }
    let prefix_shown = || shown(prefix);
    match outside {
        Some(member) => Err(UnpackError::OutsidePrefix { member, prefix: prefix_shown() }),
        None if !is_described => Err(UnpackError::PrefixMissing { prefix: prefix_shown() }),
        None => tree.narrow(prefix),
    }
}

/// What is known of a blob before it is read: how it is packed, and, of one that Hod made and that
/// is a file, the place of the prefix and the build information.
#[expect(clippy::type_complexity, reason = "three things, taken apart at once")]
pub(super) fn open<'a>(
    layer: &Layer,
    source: Source<'a>,
    label: &str,
) -> Result<(Box<dyn Read + Send + 'a>, Codec, Option<(Vec<u8>, LastFile)>), InstallError> {
    let mut blob = layer.open(source)?;
    let mut magic = Vec::new();
    let reading = |source| InstallError::Unpack {
        spec: label.to_owned(),
        source: UnpackError::Decode(hod_archive::DecodeError::Read(source)).into(),
    };
    blob.by_ref().take(6).read_to_end(&mut magic).map_err(reading)?;
    let codec = match &magic[..] {
        [0x1f, 0x8b, ..] => Codec::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
        [b'B', b'Z', b'h', ..] => return Err(unknown(label, "bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => return Err(unknown(label, "xz")),
        _ if layer.codec == Codec::Gzip => Codec::None,
        _ => layer.codec,
    };
    let blob = Box::new(io::Cursor::new(magic).chain(blob));
    let last = match &layer.blob {
        Blob::File(path) if codec == Codec::Gzip => {
            let last = fs_err::File::open(path).and_then(|file| last_file(file, BUILD_INFO_LIMIT));
            last.map_err(reading)?
        }
        _ => None,
    };
    let last = last.and_then(|last| {
        let prefix = last.name.strip_suffix(BUILD_INFO)?.strip_suffix(b"/")?.to_vec();
        Some((prefix, last))
    });
    Ok((blob, codec, last))
}

fn unknown(label: &str, codec: &'static str) -> InstallError {
    InstallError::Codec { spec: label.to_owned(), codec }
}

fn finish(label: &str, file: &[u8], source: io::Error) -> InstallError {
    InstallError::Finish { spec: label.to_owned(), file: shown(file), source }
}

/// What a mirror says while its blob is read is the mirror's error, and what a file says that
/// cannot be relocated is that of relocation.
fn unpack_error(error: UnpackError, source: Source<'_>, label: &str) -> InstallError {
    let spec = label.to_owned();
    match error {
        UnpackError::Rewrite { member, source } => match source.downcast() {
            Ok(source) => InstallError::Relocate { spec, source },
            Err(source) => {
                let source = UnpackError::Rewrite { member, source };
                InstallError::Unpack { spec, source: source.into() }
            }
        },
        error => match crate::unpack::failed(error, source, label) {
            crate::Error::Cancelled => InstallError::Cancelled,
            crate::Error::Unpack { source, .. } => InstallError::Unpack { spec, source },
            error => error.into(),
        },
    }
}

pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
