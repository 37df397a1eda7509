//! A blob that is read while it is still being written: packing goes on at the disk's pace, sending
//! follows at the network's, and what broke off can be sent again.

use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use fs_err::{self as fs, File};
use hod_archive::Digest;

/// A file that grows until it is a blob. The file goes away with the last holder, unless it was
/// [kept](Self::keep).
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    written: u64,
    end: Option<End>,
    is_kept: bool,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Complete(Digest),
    /// The writer went away.
    Abandoned,
}

impl Spool {
    /// Begins a blob in `directory`, which is made if need be.
    pub fn create(directory: &Path) -> io::Result<(Arc<Self>, SpoolWriter)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(directory)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{}-{number}.spool", std::process::id()));
        let file = File::create(&path)?;
        let spool = Arc::new(Self { path, state: Mutex::default(), changed: Condvar::new() });
        Ok((Arc::clone(&spool), SpoolWriter { spool, file, is_complete: false }))
    }

    /// Waits until the blob is complete, or at least `bytes` long. Its digest and size in the
    /// first case.
    pub fn wait_for(&self, bytes: u64) -> io::Result<Option<(Digest, u64)>> {
        let mut state = self.lock();
        loop {
            match state.end {
                Some(End::Complete(digest)) => return Ok(Some((digest, state.written))),
                Some(End::Abandoned) => return Err(abandoned()),
                None if state.written >= bytes => return Ok(None),
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// The bytes from `offset` on; reading waits for what is not written yet.
    pub fn reader(&self, offset: u64) -> io::Result<SpoolReader<'_>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(SpoolReader { spool: self, file, offset })
    }

    /// Moves the complete file to `path`, where it stays.
    pub fn keep(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if !state.is_kept {
            // A second name: readers that come later still find the first.
            fs::hard_link(&self.path, path).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            })?;
            state.is_kept = true;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn abandoned() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it was never completed")
}

/// The writing end. Dropped before [`complete_as`](Self::complete_as), it leaves a blob that
/// nobody can read to its end.
#[derive(Debug)]
pub struct SpoolWriter {
    spool: Arc<Spool>,
    file: File,
    is_complete: bool,
}

impl SpoolWriter {
    /// All is written. The digest is the word of whoever hashed it on its way here.
    pub fn complete_as(mut self, digest: Digest) {
        self.is_complete = true;
        self.spool.change(|state| state.end = Some(End::Complete(digest)));
    }
}

impl Write for SpoolWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buf)?;
        self.spool.change(|state| state.written += written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        if !self.is_complete {
            self.spool.change(|state| state.end = Some(End::Abandoned));
        }
    }
}

/// Reads a blob that may still be growing.
#[derive(Debug)]
pub struct SpoolReader<'a> {
    spool: &'a Spool,
    file: File,
    offset: u64,
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if let Some((_, size)) = self.spool.wait_for(self.offset + 1)?
            && self.offset >= size
        {
            return Ok(0);
        }
        let read = self.file.read(buf)?;
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_follows_the_writer_and_ends_with_it() {
        let place = tempfile::tempdir().unwrap();
        let (spool, mut writer) = Spool::create(place.path()).unwrap();
        let content: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut bytes = Vec::new();
                spool.reader(4).unwrap().read_to_end(&mut bytes).unwrap();
                bytes
            });
            for piece in content.chunks(30_000) {
                writer.write_all(piece).unwrap();
                std::thread::yield_now();
            }
            writer.complete_as(Digest::of(&content));
            assert_eq!(reading.join().unwrap(), content[4..]);
        });
        assert_eq!(
            spool.wait_for(u64::MAX).unwrap(),
            Some((Digest::of(&content), content.len() as u64))
        );
        let kept = place.path().join("kept");
        spool.keep(&kept).unwrap();
        drop(spool);
        assert_eq!(fs::read(&kept).unwrap(), content);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_never_completed_is_an_error_and_no_short_blob() {
        let place = tempfile::tempdir().unwrap();
        let (spool, mut writer) = Spool::create(place.path()).unwrap();
        writer.write_all(b"half").unwrap();
        drop(writer);
        let error = spool.reader(0).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
