//! Blobs on their way from one mirror to another: those that are there are not read, those that
//! the registry has elsewhere are not sent, and the others are sent while they arrive.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hod_archive::Digest;
use hod_mirror::oci::Descriptor;
use hod_mirror::registry::{BlobSource, Spool, UploadOptions};
use hod_mirror::{Error, Mirror, Written};

use super::{CopyOptions, CopySummary, Results};
use crate::source::{Source, map};
use crate::{Event, Reporter, store};

/// How a blob came to be at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Present,
    Mounted,
    Sent,
}

pub(super) struct Transfer<'a> {
    pub(super) source: Source<'a>,
    pub(super) to: &'a Mirror,
    pub(super) options: &'a CopyOptions,
    pub(super) reporter: &'a dyn Reporter,
}

impl Transfer<'_> {
    /// Moves all blobs, the largest first, so that none of them is begun when all others are done.
    pub(super) fn all(&self, mut blobs: Vec<Descriptor>, summary: &mut CopySummary) -> Results {
        blobs.sort_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
        let total: u64 = blobs.iter().map(|blob| blob.size).sum();
        let done = AtomicU64::new(0);
        let label = self.to.to_string();
        let cancel = &self.options.cancel;
        let moved = map(&blobs, self.options.connections.max(1), cancel, |blob| {
            let moved = self.one(blob).map_err(Arc::new);
            let bytes = done.fetch_add(blob.size, Ordering::Relaxed) + blob.size;
            self.reporter.report(Event::Progress { package: &label, bytes, total: Some(total) });
            moved
        });
        let mut results: Results = blobs
            .iter()
            .skip(moved.len())
            .map(|blob| (blob.digest, Err(Arc::new(Error::Cancelled))))
            .collect();
        for (blob, moved) in blobs.iter().zip(moved) {
            match &moved {
                Ok(Moved::Present) => summary.present.add(blob.size),
                Ok(Moved::Mounted) => summary.mounted.add(blob.size),
                Ok(Moved::Sent) => summary.sent.add(blob.size),
                Err(_) => {}
            }
            results.insert(blob.digest, moved);
        }
        results
    }

    fn one(&self, blob: &Descriptor) -> Result<Moved, Error> {
        let Descriptor { digest, size, .. } = *blob;
        if self.to.images().has_blob(&digest, size)? {
            return Ok(Moved::Present);
        }
        if let Some((registry, from)) = self.sibling()
            && registry.mount(digest, size, &[from.to_owned()])?
        {
            return Ok(Moved::Mounted);
        }
        match self.source.mirror {
            Mirror::Directory(directory) => {
                let path = directory.blob_path(&digest);
                // A directory would take it unread, and pass on what is damaged.
                if self.to.as_directory().is_some() && path.exists() {
                    intact(&path, digest)?;
                }
                directory.open_blob(&digest)?;
                self.send(BlobSource::File { path: &path, digest, size })
            }
            Mirror::Registry(_) => {
                let kept = self.source.store.verified_blob(&digest, size);
                match kept {
                    Some(path) => self.send(BlobSource::File { path: &path, digest, size }),
                    None => self.relay(blob),
                }
            }
        }?;
        Ok(Moved::Sent)
    }

    /// The target, and where in the same registry the source is.
    fn sibling(&self) -> Option<(&hod_mirror::registry::Registry, &str)> {
        let (from, to) = (self.source.mirror.as_registry()?, self.to.as_registry()?);
        let (from, here) = (from.reference(), to.reference());
        (from.host == here.host && from.is_plain == here.is_plain && from != here)
            .then_some((to, &*from.repository))
    }

    fn send(&self, source: BlobSource<'_>) -> Result<(), Error> {
        self.to.images().put_blob(source, UploadOptions::default()).map(drop)
    }

    /// Sends a blob while it is being downloaded. It is kept here if there is room for it.
    fn relay(&self, blob: &Descriptor) -> Result<(), Error> {
        let digest = blob.digest;
        let store = self.source.store;
        let spooled = |source| Error::Write {
            what: Written::Blob(digest),
            path: store.spool_directory(),
            source,
        };
        let mut download = self.source.images().open_blob(blob)?;
        let (spool, mut writer) = Spool::create(&store.spool_directory()).map_err(spooled)?;
        let (downloaded, sent) = std::thread::scope(|scope| {
            let downloading = scope.spawn(move || {
                // Whether it is what its digest promises, says the end of the download.
                io::copy(&mut download, &mut writer)?;
                writer.complete_as(digest);
                Ok::<_, io::Error>(())
            });
            let sent = self.send(BlobSource::Spool(&spool));
            let downloaded = downloading.join().expect("copying does not panic");
            (downloaded, sent)
        });
        // What kept the blob from arriving is why it was not sent.
        downloaded.map_err(|error| told(error, digest, &spooled))?;
        sent?;
        store.keep_spool(&spool, &digest);
        Ok(())
    }
}

/// An error of a download, or of writing it down.
fn told(error: io::Error, digest: Digest, spooled: &dyn Fn(io::Error) -> Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => match error.downcast::<hod_mirror::registry::RegistryError>() {
            Ok(error) => error.into(),
            Err(error) if error.raw_os_error().is_some() => spooled(error),
            Err(source) => Error::Read { path: digest.to_string().into(), source },
        },
    }
}

fn intact(path: &std::path::Path, digest: Digest) -> Result<(), Error> {
    if store::is_intact(path, &digest) {
        return Ok(());
    }
    let read = |source| Error::Read { path: path.to_owned(), source };
    let file = fs_err::File::open(path).map_err(read)?;
    let mut hash = hod_archive::DigestWriter::new(io::sink());
    io::copy(&mut io::BufReader::new(file), &mut hash).map_err(read)?;
    Err(Error::DigestMismatch { expected: digest, found: hash.complete().1 })
}
