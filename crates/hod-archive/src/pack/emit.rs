//! Takes what was read, in archive order, into the tar stream; keeps the books.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::list::EntryKind;
use super::read::{Batch, FileStat, Item, Shared};
use super::schedule::Output;
use super::stream::{TarStream, WriterGone};
use super::{
    BeforeLast, Fingerprint, Inspect, InspectFile, LastEntry, Mark, PackError, PackOptions, Root,
    TreeFacts,
};
use crate::tar::{padding, write};
use crate::{Cancel, DiffId, Digest};

const LARGEST: usize = 10;

pub(super) struct Emitter<'a, 'e, I> {
    root: &'a Root,
    shared: &'a Shared,
    mtime: u64,
    cancel: &'a Cancel,
    /// `None` when only the books are wanted.
    stream: Option<TarStream<'e>>,
    inspect: &'a I,
    progress: &'a (dyn Fn(u64) + Sync),
    header: Vec<u8>,
    facts: TreeFacts,
    marks: Vec<(Mark, Vec<u8>)>,
    fingerprint: Sha256,
    newest: (i64, u64),
}

/// What the tar side of a pack amounts to.
pub(super) struct Emitted {
    pub(super) diff_id: DiffId,
    pub(super) uncompressed_size: u64,
    pub(super) facts: TreeFacts,
    pub(super) fingerprint: Fingerprint,
}

/// The error of the sink is known to the writer; this one only stops the walk.
fn stopped(_: WriterGone) -> PackError {
    PackError::Cancelled
}

impl<'a, 'e, I: Inspect> Emitter<'a, 'e, I> {
    pub(super) fn new(
        root: &'a Root,
        shared: &'a Shared,
        options: &'a PackOptions,
        stream: Option<TarStream<'e>>,
        inspect: &'a I,
        progress: &'a (dyn Fn(u64) + Sync),
    ) -> Self {
        let mut fingerprint = Sha256::new();
        fingerprint.update(b"hod fingerprint 1\0");
        fingerprint.update(root.named.as_ref().unwrap_or(&root.path));
        Self {
            root,
            shared,
            mtime: options.mtime,
            cancel: &options.cancel,
            stream,
            inspect,
            progress,
            header: Vec::new(),
            facts: TreeFacts::default(),
            marks: Vec::new(),
            fingerprint,
            newest: (i64::MIN, 0),
        }
    }

    pub(super) fn take(&mut self, output: Output) -> Result<(), PackError> {
        match output {
            Output::Directory(listing) => self.directory(&listing.path),
            Output::Batch(batch) => {
                self.batch(&batch)?;
                self.shared.buffers.give(batch.bytes);
                if let Some(stream) = &self.stream {
                    (self.progress)(stream.position());
                }
                Ok(())
            }
        }
    }

    fn directory(&mut self, path: &[u8]) -> Result<(), PackError> {
        self.facts.directories += 1;
        self.note(b'd', path, &[]);
        if self.stream.is_none() {
            return Ok(());
        }
        let full = self.root.full_path(path);
        let name = self.root.member(&full);
        if path.is_empty() {
            // The prefix's parents come first (some container runtimes need them, spack#41773).
            for end in (0..name.len()).filter(|&at| name[at] == b'/') {
                self.member(&name[..end], write::Kind::Directory)?;
            }
        }
        self.member(&name, write::Kind::Directory)
    }

    /// Writes a header of its own.
    fn member(&mut self, name: &[u8], kind: write::Kind<'_>) -> Result<(), PackError> {
        self.header.clear();
        write::header(&mut self.header, name, kind, self.mtime);
        match &mut self.stream {
            Some(stream) => stream.write(&self.header).map_err(stopped),
            None => Ok(()),
        }
    }

    fn batch(&mut self, batch: &Batch) -> Result<(), PackError> {
        let Batch { listing, bytes, .. } = batch;
        let (mut written, mut start) = (0, 0);
        let mut path = self.root.full_path(&listing.path);
        path.push(b'/');
        let directory = path.len();
        for (entry, (end, item)) in batch.entries().zip(&batch.items) {
            path.truncate(directory);
            path.extend_from_slice(listing.name(*entry));
            let name = self.root.relative(&path);
            match item {
                Item::File { stat, mark } => {
                    self.stat(b'f', name, stat);
                    let first = self.first_name(stat, &path)?;
                    if let Some(first) = first {
                        // Read in vain: it turned out to be a later name of the same file.
                        self.send(&bytes[written..start])?;
                        written = *end;
                        self.hard_link(&path, &first, stat)?;
                    } else {
                        self.file(name, stat, *mark);
                    }
                }
                Item::Linked { stat } => {
                    self.stat(b'f', name, stat);
                    let first = self
                        .first_name(stat, &path)?
                        .ok_or_else(|| PackError::changed(&path, "lost or gained a hard link"))?;
                    self.send(&bytes[written..start])?;
                    written = *end;
                    self.hard_link(&path, &first, stat)?;
                }
                Item::Streamed { stat, file } => {
                    self.stat(b'f', name, stat);
                    if let Some(first) = self.first_name(stat, &path)? {
                        self.send(&bytes[written..start])?;
                        written = *end;
                        self.hard_link(&path, &first, stat)?;
                    } else {
                        self.send(&bytes[written..*end])?;
                        written = *end;
                        let mark = self.content(&path, stat, file)?;
                        self.file(name, stat, mark);
                    }
                }
                Item::Symlink { target, mark } => {
                    self.facts.symlinks += 1;
                    self.note(b'l', name, target);
                    if let Some(mark) = mark {
                        self.marks.push((*mark, name.to_vec()));
                    }
                }
                Item::Special(kind) => {
                    let what = match kind {
                        EntryKind::Fifo => "fifo",
                        EntryKind::Socket => "socket",
                        _ => "device",
                    };
                    self.facts.skipped.push((name.to_vec(), what));
                }
            }
            start = *end;
        }
        self.send(&bytes[written..])
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        match &mut self.stream {
            Some(stream) => stream.write(bytes).map_err(stopped),
            None => Ok(()),
        }
    }

    fn first_name(&self, stat: &FileStat, path: &[u8]) -> Result<Option<Arc<[u8]>>, PackError> {
        if stat.links < 2 {
            return Ok(None);
        }
        match self.shared.links.first_name(stat, || self.root.member(path).into_owned()) {
            // A number alone does not make it the same file: file systems use them again.
            Some((_, identity)) if identity != stat.identity() => {
                Err(PackError::changed(path, "is no longer what its other name was"))
            }
            first => Ok(first.map(|(member, _)| member)),
        }
    }

    fn hard_link(&mut self, path: &[u8], first: &[u8], stat: &FileStat) -> Result<(), PackError> {
        self.facts.hardlinks += 1;
        let kind = write::Kind::HardLink { target: first, executable: stat.is_executable() };
        self.member(&self.root.member(path), kind)
    }

    fn file(&mut self, name: &[u8], stat: &FileStat, mark: Option<Mark>) {
        self.facts.files += 1;
        self.facts.file_bytes += stat.size;
        let largest = &mut self.facts.largest;
        if largest.len() < LARGEST || largest.last().is_some_and(|(_, size)| stat.size > *size) {
            // Among equals the earlier stays in front, so the list depends on the tree alone.
            let at = largest.partition_point(|(_, size)| *size >= stat.size);
            largest.insert(at, (name.to_vec(), stat.size));
            largest.truncate(LARGEST);
        }
        if let Some(mark) = mark {
            self.marks.push((mark, name.to_vec()));
        }
    }

    /// Copies a large file's content, looking at it on the way.
    fn content(
        &mut self,
        path: &[u8],
        stat: &FileStat,
        file: &rustix::fd::OwnedFd,
    ) -> Result<Option<Mark>, PackError> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let mut scan = self.inspect.begin(self.root.relative(path));
        let mut left = stat.size;
        while left > 0 {
            if self.cancel.is_cancelled() {
                return Err(PackError::Cancelled);
            }
            let got = stream
                .read_from(file, |content| {
                    if let Some(scan) = &mut scan {
                        scan.push(content);
                    }
                })
                .map_err(stopped)?
                .map_err(|errno| PackError::read(path, errno))? as u64;
            if got == 0 {
                return Err(PackError::changed(path, "shrank while it was read"));
            }
            (self.progress)(stream.position());
            left = left
                .checked_sub(got)
                .ok_or_else(|| PackError::changed(path, "grew while it was read"))?;
        }
        stat.must_still_hold(file, path)?;
        stream.zeros(padding(stat.size)).map_err(stopped)?;
        Ok(scan.and_then(InspectFile::finish))
    }

    fn note(&mut self, kind: u8, name: &[u8], detail: &[u8]) {
        self.fingerprint.update([kind]);
        self.fingerprint.update((name.len() as u64).to_le_bytes());
        self.fingerprint.update(name);
        self.fingerprint.update((detail.len() as u64).to_le_bytes());
        self.fingerprint.update(detail);
    }

    fn stat(&mut self, kind: u8, name: &[u8], stat: &FileStat) {
        let mut detail = [0; 64];
        let numbers = [
            stat.ino,
            stat.links,
            u64::from(stat.mode),
            stat.size,
            stat.mtime.0.cast_unsigned(),
            stat.mtime.1,
            stat.ctime.0.cast_unsigned(),
            stat.ctime.1,
        ];
        for (field, number) in detail.chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        self.note(kind, name, &detail);
        self.newest = self.newest.max(stat.ctime);
    }

    fn fingerprint(&self) -> Fingerprint {
        let digest = Digest::from_bytes(self.fingerprint.clone().finalize().into());
        Fingerprint { digest, newest: self.newest }
    }

    pub(super) fn into_survey(self) -> (Fingerprint, TreeFacts) {
        (self.fingerprint(), self.facts)
    }

    /// Writes the last entry and the end of the archive.
    pub(super) fn finish(mut self, last: Option<LastEntry<'_>>) -> Result<Emitted, PackError> {
        let fingerprint = self.fingerprint();
        let mut stream = self.stream.take().expect("a pack has a stream");
        if let Some(LastEntry { name, content }) = last {
            stream.begin_last_entry().map_err(stopped)?;
            let digest = stream.digest();
            let content = content(BeforeLast { digest, marks: &self.marks, facts: &self.facts });
            let size = content.len() as u64;
            let full = self.root.full_path(name.as_bytes());
            self.header.clear();
            let kind = write::Kind::Regular { size, executable: false };
            write::header(&mut self.header, &self.root.member(&full), kind, self.mtime);
            self.header.extend_from_slice(&content);
            stream.write(&self.header).map_err(stopped)?;
            stream.zeros(padding(size)).map_err(stopped)?;
            self.facts.files += 1;
            self.facts.file_bytes += size;
        }
        let (diff_id, uncompressed_size) = stream.finish().map_err(stopped)?;
        Ok(Emitted { diff_id, uncompressed_size, facts: self.facts, fingerprint })
    }
}
