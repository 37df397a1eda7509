//! Every blob is read to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use fs_err::File;
use hod_archive::{Codec, DiffId, Digest, DigestWriter, LayerDigests, layer_digests};

use super::graph::{Expected, Graph};
use super::{Problem, Run};
use crate::directory::parallel;
use crate::error::Error;

/// What a blob turned out to be.
pub(super) struct Facts {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// The tar stream of a layer, as this codec decodes it.
    pub(super) stream: Option<(Codec, DiffId, u64)>,
    /// What is wrong with it although its digest is right.
    pub(super) problem: Option<Problem>,
}

/// A blob and what it turned out to be, or why that cannot be said.
pub(super) struct Examined {
    pub(super) digest: Digest,
    pub(super) outcome: Result<Facts, Problem>,
}

/// Reads all blobs that are there or should be, the largest first so that no thread is left with
/// a large one at the end. Documents were read before.
pub(super) fn examine(
    run: &Run<'_>,
    present: &BTreeMap<Digest, u64>,
    expected: &BTreeMap<Digest, Expected>,
    graph: Graph,
) -> Result<Vec<Examined>, Error> {
    let all: BTreeSet<Digest> = present.keys().chain(expected.keys()).copied().collect();
    let mut rest: Vec<Digest> =
        all.into_iter().filter(|digest| !graph.read.contains_key(digest)).collect();
    rest.sort_by_key(|digest| std::cmp::Reverse(present.get(digest)));
    let examined = parallel::map(&rest, run.jobs, run.cancel, |digest| {
        let layers = expected.get(digest).map(|expected| expected.layers.as_slice());
        let codec = layers.and_then(|layers| layers.first()).map(|claim| claim.codec);
        Examined { digest: *digest, outcome: examine_one(run, digest, codec) }
    })?;
    let documents = graph.read.into_iter().map(|(digest, outcome)| Examined { digest, outcome });
    Ok(documents.chain(examined).collect())
}

fn examine_one(run: &Run<'_>, digest: &Digest, codec: Option<Codec>) -> Result<Facts, Problem> {
    let open = || run.mirror.open_blob(digest).map_err(|error| Problem::from_error(&error));
    let unreadable = |error: io::Error| Problem::Unreadable { reason: error.to_string() };
    let (mut undecodable, mut counted) = (None, 0);
    if let Some(codec) = codec {
        let mut source = Observed::new(open()?, run);
        match layer_digests(codec, &mut source) {
            Ok(LayerDigests { digest, size, diff_id, uncompressed_size }) => {
                run.advance(1, 0);
                let stream = Some((codec, diff_id, uncompressed_size));
                return Ok(Facts { digest, size, stream, problem: None });
            }
            Err(error) if source.has_failed => return Err(unreadable(error)),
            Err(error) => {
                undecodable = Some(Problem::Undecodable { reason: error.to_string() });
                counted = source.read;
            }
        }
    }
    let mut hashed = DigestWriter::new(io::sink());
    let mut source = Observed { counted, ..Observed::new(open()?, run) };
    io::copy(&mut source, &mut hashed).map_err(unreadable)?;
    run.advance(1, 0);
    let (_, digest, size) = hashed.complete();
    Ok(Facts { digest, size, stream: None, problem: undecodable })
}

/// Counts what is read, ends when the check is cancelled, and tells a failing disk from a stream
/// that cannot be decoded.
struct Observed<'a> {
    file: File,
    run: &'a Run<'a>,
    has_failed: bool,
    read: u64,
    /// So much was read and counted in a first attempt.
    counted: u64,
}

impl<'a> Observed<'a> {
    fn new(file: File, run: &'a Run<'a>) -> Self {
        Self { file, run, has_failed: false, read: 0, counted: 0 }
    }
}

impl Read for Observed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.run.cancel.is_cancelled() {
            // Not `Interrupted`, which would be tried again.
            return Err(io::Error::other("cancelled"));
        }
        let read = self.file.read(buf);
        match &read {
            Ok(read) => {
                let before = self.read.max(self.counted);
                self.read += *read as u64;
                self.run.advance(0, self.read.saturating_sub(before));
            }
            Err(error) => self.has_failed = error.kind() != io::ErrorKind::Interrupted,
        }
        read
    }
}
