//! Relocates the files of one package: on their way to the disk where it is known in time which
//! they are, else right after.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::error::Error;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use hod_archive::{Rewrite, StagedTree};
use hod_relocate::{
    Image, PrefixMap, RelocateError, TextRewriter, relocate_binary, retain_rpaths, rpaths,
};
use hod_store::BuildInfo;

use super::manifest::hash_of;

/// Where a tree says what in it is to be relocated.
pub(super) const BUILD_INFO: &[u8] = b".spack/binary_distribution";
/// Room for a million names.
pub(super) const BUILD_INFO_LIMIT: u64 = 128 << 20;
/// How much of a large text is held at a time.
const PART: usize = 1 << 20;
/// A longer first line names no interpreter (`spack-format` 1.8).
const HEAD: usize = 8 << 10;

/// Why a file could not be relocated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelocationError {
    /// A path in it does not fit.
    #[error("a path in `{file}` cannot be replaced")]
    Misfit {
        /// The file, below the prefix.
        file: String,
        /// Which path, and how much room there is.
        source: RelocateError,
    },
    /// It could not be read or written.
    #[error("cannot rewrite `{file}`")]
    File {
        /// The file, below the prefix.
        file: String,
        /// What the system says.
        source: io::Error,
    },
}

/// What is to become of the files of one package.
pub(crate) struct Lists {
    map: PrefixMap,
    binaries: HashSet<Vec<u8>>,
    texts: HashSet<Vec<u8>>,
    links: HashSet<Vec<u8>>,
    /// Where the store has `sbang`.
    sbang: PathBuf,
}

impl Lists {
    pub(crate) fn new(info: &BuildInfo, map: PrefixMap, sbang: PathBuf) -> Self {
        let set = |names: &[String]| names.iter().map(|name| name.clone().into_bytes()).collect();
        Self {
            map,
            binaries: set(&info.relocate_binaries),
            texts: set(&info.relocate_textfiles),
            links: set(&info.relocate_links),
            sbang,
        }
    }

    /// The files that are relocated as binaries.
    pub(super) fn binaries(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.binaries.iter()
    }

    /// Whether nothing is to be changed.
    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Relocates one of the binaries in memory, as it would be when it is installed.
    pub(super) fn try_binary(
        &self,
        path: &[u8],
        content: &mut Vec<u8>,
    ) -> Result<(), RelocationError> {
        if self.texts.contains(path)
            && let Some(text) = self.map.relocate_text(content)
        {
            *content = text;
        }
        relocate_binary(path, content, &self.map)
            .map(drop)
            .map_err(|source| RelocationError::Misfit { file: shown(path), source })
    }

    fn is_listed(&self, path: &[u8]) -> bool {
        !self.map.is_empty() && (self.texts.contains(path) || self.binaries.contains(path))
    }
}

/// A file that is not what it was in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) size: u64,
    /// As `install_manifest.json` has it.
    pub(super) hash: String,
}

/// Relocates one tree.
pub(super) struct Relocation {
    /// Known before the tree is unpacked, or afterwards.
    lists: OnceLock<Lists>,
    seen: Mutex<Seen>,
}

/// What was found on the way.
#[derive(Debug, Default)]
struct Seen {
    /// The build information, and the name it has in the stream.
    build_info: Option<(Vec<u8>, Vec<u8>)>,
    changed: BTreeMap<Vec<u8>, Changed>,
    /// Directories in which the dynamic linker is to look, and the files that say so.
    rpaths: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    relocated: HashSet<Vec<u8>>,
    /// Symbolic links that lead elsewhere now, if that was not done on the way.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Seen {
    /// What is known of a file under one of its names is known under another.
    fn rename(&mut self, path: &[u8], other: Vec<u8>) {
        if let Some(changed) = self.changed.remove(path) {
            self.changed.insert(other.clone(), changed);
        }
        self.relocated.insert(other);
    }

    /// A tree may hold other packages; its own build information has the shortest name
    /// (`spack-format` 3.8).
    fn note_build_info(&mut self, path: &[u8], content: Vec<u8>) {
        if self.build_info.as_ref().is_none_or(|(known, _)| path.len() < known.len()) {
            self.build_info = Some((path.to_vec(), content));
        }
    }
}

impl Relocation {
    /// Drops directories from the search paths of these files, and says what they are then.
    pub(super) fn retain_rpaths(
        &self,
        tree: &StagedTree,
        files: &BTreeSet<Vec<u8>>,
        keep: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(), (Vec<u8>, io::Error)> {
        for path in files {
            let failed = |source| (path.clone(), source);
            let mut file = tree.open(path).map_err(failed)?;
            let time = file.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
            if !retain_rpaths(&mut file, keep).map_err(failed)? {
                continue;
            }
            file.rewind().map_err(failed)?;
            let hash = hash_of(&mut file).map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            file.set_modified(time).map_err(failed)?;
            self.seen().changed.insert(path.clone(), Changed { size, hash });
        }
        Ok(())
    }

    /// With lists that are known already.
    pub(super) fn known(lists: Lists) -> Self {
        Self { lists: lists.into(), seen: Mutex::default() }
    }

    /// With lists that are yet to come; until then, paths are whole names of members.
    pub(super) fn unknown() -> Self {
        Self { lists: OnceLock::new(), seen: Mutex::default() }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name in the stream of the build information that passed by, and what it says.
    pub(super) fn build_info(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.seen().build_info.clone()
    }

    /// Files that are not what they were.
    pub(super) fn changed(&self) -> BTreeMap<Vec<u8>, Changed> {
        self.seen().changed.clone()
    }

    /// Symbolic links that were changed after they were made, and where they lead.
    pub(super) fn links(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.seen().links.clone()
    }

    /// Directories in which the dynamic linker is to look, and the files that say so.
    pub(super) fn rpaths(&self) -> BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> {
        self.seen().rpaths.clone()
    }

    /// Whether a file is one of those that are relocated, changed or not.
    pub(super) fn lists(&self, path: &[u8]) -> bool {
        let lists = self.lists.get();
        lists.is_some_and(|lists| lists.texts.contains(path) || lists.binaries.contains(path))
    }

    /// Where packages are, or will be, that this one refers to.
    pub(super) fn prefixes(&self) -> Vec<PathBuf> {
        let lists = self.lists.get();
        let new = lists.iter().flat_map(|lists| lists.map.iter()).map(|(_, new)| new);
        new.map(|new| PathBuf::from(OsStr::from_bytes(new))).collect()
    }

    /// Notes a file that was written anew.
    pub(super) fn note(&self, path: &[u8], content: &[u8]) {
        let changed =
            Changed { size: content.len() as u64, hash: hod_store::manifest_hash(content) };
        self.seen().changed.insert(path.to_vec(), changed);
    }

    /// Relocates what was not relocated on its way.
    pub(super) fn finish(&self, tree: &StagedTree, lists: Option<Lists>) -> Result<(), Unfinished> {
        let is_late = lists.is_some();
        if let Some(lists) = lists {
            // Nobody else sets them.
            let _ = self.lists.set(lists);
        }
        let Some(lists) = self.lists.get().filter(|lists| !lists.map.is_empty()) else {
            return Ok(());
        };
        let mut inodes = HashMap::new();
        let mut listed: Vec<&Vec<u8>> = lists.binaries.iter().chain(&lists.texts).collect();
        listed.sort();
        for path in listed {
            if self.seen().relocated.contains(path) {
                continue;
            }
            let missing = |_| Unfinished::Missing(path.clone());
            let mut file = tree.open(path).map_err(missing)?;
            // Before Spack 0.19, each name of a hard-linked file was listed.
            let metadata = file.metadata().map_err(missing)?;
            let inode = (metadata.dev(), metadata.ino());
            if metadata.nlink() > 1 && inodes.insert(inode, path).is_some() {
                continue;
            }
            let first = (metadata.nlink() > 1).then(|| Self::first_name(tree, path)).flatten();
            if first.as_ref().is_some_and(|first| self.seen().relocated.contains(first)) {
                continue;
            }
            self.relocate_file(lists, path, &mut file).map_err(Unfinished::Relocation)?;
            if let Some(first) = first {
                self.seen().rename(path, first);
            }
            let time = std::time::SystemTime::UNIX_EPOCH;
            let _ = file.set_modified(metadata.modified().unwrap_or(time));
        }
        if is_late {
            self.relocate_links(tree, lists)?;
        }
        Ok(())
    }

    /// The name under which a file is in the archive with its content, which is not always the one
    /// in the lists.
    fn first_name(tree: &StagedTree, path: &[u8]) -> Option<Vec<u8>> {
        let mut first = None;
        tree.entries()?.for_each(|entry| {
            if let hod_archive::EntryKind::Hardlink(target) = entry.kind
                && tree.relative(entry.path) == Some(path)
            {
                first = tree.relative(target).map(<[u8]>::to_vec);
            }
        });
        first
    }

    fn relocate_links(&self, tree: &StagedTree, lists: &Lists) -> Result<(), Unfinished> {
        let mut changed = Vec::new();
        if let Some(entries) = tree.entries() {
            entries.for_each(|entry| {
                let Some(path) = tree.relative(entry.path) else { return };
                if let hod_archive::EntryKind::Symlink(target) = entry.kind
                    && lists.links.contains(path)
                    && let Some(target) = lists.map.relocate_link(target)
                {
                    changed.push((path.to_vec(), target, entry.mtime));
                }
            });
        }
        for (path, target, mtime) in changed {
            let failed = |source| Unfinished::Link(path.clone(), source);
            tree.link(&path, &target, mtime).map_err(failed)?;
            self.seen().links.insert(path, target);
        }
        Ok(())
    }

    /// A file that is on the disk already: a small one as if it were not, a large one in place.
    fn relocate_file(
        &self,
        lists: &Lists,
        path: &[u8],
        file: &mut File,
    ) -> Result<(), RelocationError> {
        let failed = |source| RelocationError::File { file: shown(path), source };
        let metadata = file.metadata().map_err(failed)?;
        if metadata.len() <= PART as u64 {
            let length = usize::try_from(metadata.len()).unwrap_or(PART);
            let mut content = Vec::with_capacity(length + 1);
            file.rewind().and_then(|()| file.read_to_end(&mut content)).map_err(failed)?;
            let is_executable = metadata.mode() & 0o111 != 0;
            if self.relocate_content(lists, path, is_executable, &mut content)? {
                file.write_all_at(&content, 0).map_err(failed)?;
                if content.len() as u64 != metadata.len() {
                    file.set_len(content.len() as u64).map_err(failed)?;
                }
            }
            return Ok(());
        }
        let mut is_changed = false;
        if lists.texts.contains(path) {
            is_changed |= rewrite_text(&lists.map, &lists.sbang, file).map_err(failed)?;
        }
        if lists.binaries.contains(path) {
            is_changed |= relocate_binary(path, file, &lists.map)
                .map_err(|source| RelocationError::Misfit { file: shown(path), source })?;
            self.note_rpaths(path, file);
        }
        if is_changed {
            file.rewind().map_err(failed)?;
            let hash = hash_of(&mut *file).map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            self.seen().changed.insert(path.to_vec(), Changed { size, hash });
        }
        self.seen().relocated.insert(path.to_vec());
        Ok(())
    }

    /// The content of a file; whether it was changed.
    fn relocate_content(
        &self,
        lists: &Lists,
        path: &[u8],
        is_executable: bool,
        content: &mut Vec<u8>,
    ) -> Result<bool, RelocationError> {
        let mut is_changed = false;
        if lists.texts.contains(path)
            && let Some(text) = lists.map.relocate_text(content)
        {
            *content = hod_store::wrap_shebang(&text, is_executable, &lists.sbang).unwrap_or(text);
            is_changed = true;
        }
        if lists.binaries.contains(path) {
            is_changed |= relocate_binary(path, content, &lists.map)
                .map_err(|source| RelocationError::Misfit { file: shown(path), source })?;
            self.note_rpaths(path, content);
        }
        if is_changed {
            self.note(path, content);
        }
        self.seen().relocated.insert(path.to_vec());
        Ok(is_changed)
    }

    fn note_rpaths(&self, path: &[u8], image: &dyn Image) {
        // What cannot be read as an object file has none.
        let Ok(Some(found)) = rpaths(image) else { return };
        let mut seen = self.seen();
        for entry in found.entries {
            seen.rpaths.entry(entry).or_default().insert(path.to_vec());
        }
    }
}

/// Why a tree could not be relocated after it was unpacked.
pub(super) enum Unfinished {
    /// A listed file is not there.
    Missing(Vec<u8>),
    /// A link cannot be made.
    Link(Vec<u8>, io::Error),
    /// A file cannot be relocated.
    Relocation(RelocationError),
}

impl Rewrite for Relocation {
    fn concerns(&self, path: &[u8]) -> bool {
        match self.lists.get() {
            Some(lists) => path == BUILD_INFO || lists.is_listed(path),
            None => path.strip_suffix(BUILD_INFO).is_some_and(|prefix| prefix.ends_with(b"/")),
        }
    }

    fn content(
        &self,
        path: &[u8],
        is_executable: bool,
        content: &mut Vec<u8>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(lists) = self.lists.get().filter(|lists| lists.is_listed(path)) else {
            self.seen().note_build_info(path, content.clone());
            return Ok(());
        };
        self.relocate_content(lists, path, is_executable, content)?;
        Ok(())
    }

    fn file(&self, path: &[u8], file: &mut File) -> Result<(), Box<dyn Error + Send + Sync>> {
        if let Some(lists) = self.lists.get().filter(|lists| lists.is_listed(path)) {
            self.relocate_file(lists, path, file)?;
        } else {
            let mut content = Vec::new();
            file.rewind()?;
            file.take(BUILD_INFO_LIMIT).read_to_end(&mut content)?;
            self.seen().note_build_info(path, content);
        }
        Ok(())
    }

    fn symlink(&self, path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
        let lists = self.lists.get().filter(|lists| lists.links.contains(path))?;
        lists.map.relocate_link(target)
    }
}

/// Relocates a text on disk, in place: other names of the file must stay names of it. What does not
/// fit before what is yet to be read waits in memory, which is what all replacements together add.
fn rewrite_text(map: &PrefixMap, sbang: &Path, file: &mut File) -> io::Result<bool> {
    let is_executable = file.metadata()?.mode() & 0o111 != 0;
    let mut rewriter = TextRewriter::new(map);
    let mut part = vec![0; PART];
    let (mut read, mut written) = (0, 0);
    let mut waiting = Vec::new();
    let mut is_head = true;
    let mut is_wrapped = false;
    loop {
        let count = match FileExt::read_at(file, &mut part, read) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        read += count as u64;
        let is_end = count == 0;
        if !is_end {
            rewriter.push(&part[..count], &mut waiting);
        }
        let is_changed =
            is_end && std::mem::replace(&mut rewriter, TextRewriter::new(map)).finish(&mut waiting);
        // A first line that matters ends within these.
        if is_head && !is_end && waiting.len() < HEAD {
            continue;
        }
        if std::mem::take(&mut is_head)
            && let Some(wrapped) = hod_store::wrap_shebang(&waiting, is_executable, sbang)
        {
            waiting = wrapped;
            is_wrapped = true;
        }
        let fits = usize::try_from(read - written).unwrap_or(usize::MAX).min(waiting.len());
        let now = if is_end { waiting.len() } else { fits };
        file.write_all_at(&waiting[..now], written)?;
        written += now as u64;
        waiting.drain(..now);
        if is_end {
            file.set_len(written)?;
            return Ok(is_changed || is_wrapped);
        }
    }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
