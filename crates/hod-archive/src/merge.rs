//! Several layers become one: their members one after another, each directory once. For images
//! that have more layers than runtimes can mount.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::decode::read_layer;
use crate::pack::stream::{self, TarStream, WriterGone};
use crate::tar::write::{Kind, header};
use crate::tar::{self, Member, MemberKind, TarError, TarReader, shown};
use crate::{Cancel, Codec, DiffId, Digest, Encoders, Encoding};

/// Most bytes of an extended header: names of members.
const MOST_EXTENSION: u64 = 1 << 20;
/// Content is copied in pieces of this many bytes.
const PIECE: usize = 256 << 10;

/// A layer that is to be merged with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerBlob {
    /// How it is compressed.
    pub codec: Codec,
    /// Of the blob; verified while it is read.
    pub digest: Digest,
    /// Of the tar stream in it; verified as well.
    pub diff_id: DiffId,
}

/// How to merge.
#[derive(Debug, Clone, Default)]
pub struct MergeOptions {
    /// Codec, level and member layout of the result.
    pub encoding: Encoding,
    /// Stops with [`MergeError::Cancelled`].
    pub cancel: Cancel,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Of the tar stream in it.
    pub diff_id: DiffId,
    /// Bytes of the tar stream.
    pub uncompressed_size: u64,
}

/// Why layers could not be merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A layer could not be read, or is damaged.
    #[error("could not read the layer {digest}")]
    Read {
        /// Its digest.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// A layer is no archive.
    #[error("could not understand the layer {digest}")]
    Tar {
        /// Its digest.
        digest: Digest,
        /// Why.
        source: TarError,
    },
    /// A layer has other bytes than it is named by.
    #[error("a layer should have the digest {expected}, found {found}")]
    Digest {
        /// Of the blob, or of the tar stream in it.
        expected: Digest,
        /// What was read.
        found: Digest,
    },
    /// A path that is no directory is in two layers, or in one twice. In an archive, unlike in a
    /// stack of layers, there is no upper one (image-spec `layer.md`: "MUST NOT").
    #[error("`{path}` is in more than one layer")]
    SamePath {
        /// The path, as it may be shown.
        path: String,
    },
    /// A layer takes something away from those below it, which a part of an archive cannot.
    #[error("`{path}` in the layer {digest} is a whiteout")]
    Whiteout {
        /// Its digest.
        digest: Digest,
        /// The path, as it may be shown.
        path: String,
    },
    /// The result could not be written.
    #[error("could not write the merged layer")]
    Write(#[source] io::Error),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Merges `layers`, lowest first, to one blob in `sink`. `open` opens the one at an index; they
/// are read one after another, each once.
///
/// The bytes depend on the tar streams and the encoding alone. Headers are written again in the
/// one dialect of this crate, so it does not matter who packed the layers. Besides the encoders'
/// blocks, memory holds 16 bytes for each path.
pub fn merge(
    layers: &[LayerBlob],
    open: &dyn Fn(usize) -> io::Result<Box<dyn Read + Send>>,
    sink: impl Write + Send,
    encoders: &Encoders,
    options: &MergeOptions,
) -> Result<Merged, MergeError> {
    let (stream, writer) = stream::stream(encoders, options.encoding, encoders.jobs() + 1);
    let (copied, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || writer.run(sink));
        let merger = Merger {
            stream,
            seen: HashMap::new(),
            cancel: &options.cancel,
            buffer: vec![0; PIECE],
        };
        let copied = merger.run(layers, open);
        (copied, writer.join().expect("the writer does not panic"))
    });
    // A failed sink is why the stream stopped, and so the better story.
    let (digest, size) = written.map_err(MergeError::Write)?;
    let (diff_id, uncompressed_size) = copied?;
    Ok(Merged { digest, size, diff_id, uncompressed_size })
}

struct Merger<'a> {
    stream: TarStream<'a>,
    /// Paths by the first half of their SHA-256, and whether each is a directory.
    seen: HashMap<[u8; 16], bool>,
    cancel: &'a Cancel,
    buffer: Vec<u8>,
}

/// Why a layer was not copied.
enum Failure {
    Tar(TarError),
    Merge(MergeError),
}

impl From<WriterGone> for Failure {
    fn from(_: WriterGone) -> Self {
        gone().into()
    }
}

impl From<MergeError> for Failure {
    fn from(error: MergeError) -> Self {
        Self::Merge(error)
    }
}

/// The sink's own error takes the place of this one.
fn gone() -> MergeError {
    MergeError::Write(io::ErrorKind::BrokenPipe.into())
}

impl Merger<'_> {
    fn run(
        mut self,
        layers: &[LayerBlob],
        open: &dyn Fn(usize) -> io::Result<Box<dyn Read + Send>>,
    ) -> Result<(DiffId, u64), MergeError> {
        for (index, layer) in layers.iter().enumerate() {
            let LayerBlob { codec, digest, diff_id } = *layer;
            let read = |source| MergeError::Read { digest, source };
            let blob = open(index).map_err(read)?;
            let copy = |tar: &mut dyn Read| self.copy(tar, digest);
            let (found, copied) = read_layer(codec, blob, copy).map_err(read)?;
            match copied {
                Ok(()) => {}
                Err(Failure::Tar(source)) => return Err(MergeError::Tar { digest, source }),
                Err(Failure::Merge(error)) => return Err(error),
            }
            for (expected, found) in [(digest, found.digest), (diff_id.0, found.diff_id.0)] {
                if expected != found {
                    return Err(MergeError::Digest { expected, found });
                }
            }
        }
        self.stream.finish().map_err(|WriterGone| gone())
    }

    fn copy(&mut self, tar: &mut dyn Read, digest: Digest) -> Result<(), Failure> {
        let mut reader = TarReader::new(tar, MOST_EXTENSION);
        while let Some(member) = reader.next_member().map_err(Failure::Tar)? {
            if self.cancel.is_cancelled() {
                return Err(MergeError::Cancelled.into());
            }
            let name = plain(&member.name);
            if name.rsplit(|&byte| byte == b'/').next().is_some_and(|n| n.starts_with(b".wh.")) {
                return Err(MergeError::Whiteout { digest, path: shown(name) }.into());
            }
            // `./` is the root of the image, which is there.
            if !name.is_empty() && self.is_new(name, &member)? {
                self.copy_member(name, &member, &mut reader)?;
            }
        }
        Ok(())
    }

    /// Whether the path is not there yet; an error if it must not come again.
    fn is_new(&mut self, name: &[u8], member: &Member) -> Result<bool, MergeError> {
        let is_directory = member.kind == MemberKind::Directory;
        let mut key = [0; 16];
        key.copy_from_slice(&Sha256::digest(name)[..16]);
        match self.seen.insert(key, is_directory) {
            None => Ok(true),
            Some(true) if is_directory => Ok(false),
            Some(_) => Err(MergeError::SamePath { path: shown(name) }),
        }
    }

    fn copy_member<R: Read>(
        &mut self,
        name: &[u8],
        member: &Member,
        content: &mut TarReader<R>,
    ) -> Result<(), Failure> {
        let executable = member.mode & 0o100 != 0;
        let kind = match &member.kind {
            MemberKind::Regular => Kind::Regular { size: member.size, executable },
            MemberKind::Directory => Kind::Directory,
            MemberKind::Symlink(target) => Kind::Symlink { target },
            MemberKind::Hardlink(target) => Kind::HardLink { target: plain(target), executable },
        };
        let mut head = Vec::with_capacity(tar::BLOCK);
        header(&mut head, name, kind, u64::try_from(member.mtime).unwrap_or(0));
        self.stream.write(&head)?;
        let mut left = member.size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let read = match content.read(&mut self.buffer[..most]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Tar(TarError::Read(error))),
            };
            self.stream.write(&self.buffer[..read])?;
            left -= read as u64;
        }
        Ok(self.stream.zeros(tar::padding(member.size))?)
    }
}

/// A member's name as this crate writes it: relative to the root, no `/` at its end.
fn plain(name: &[u8]) -> &[u8] {
    let mut name = name;
    loop {
        name = match name {
            [b'/', rest @ ..] | [b'.', b'/', rest @ ..] | [rest @ .., b'/'] => rest,
            b"." => b"",
            _ => return name,
        };
    }
}
