//! What can be wrong with an archive, or with the place it is unpacked to.

use std::io;
use std::path::PathBuf;

use crate::{DecodeError, DiffId, Digest, TarError};

/// Why an archive was not unpacked. In every case the destination is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The blob does not yield a tar stream.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The tar stream is not one this program reads.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The blob is not the one asked for.
    #[error("the blob has the digest {found}, not {expected}")]
    Digest {
        /// Asked for.
        expected: Digest,
        /// Read.
        found: Digest,
    },
    /// The blob is shorter than the one asked for.
    #[error("the blob has {found} bytes, not {expected}")]
    Size {
        /// Asked for.
        expected: u64,
        /// Read.
        found: u64,
    },
    /// The tar stream is not the one asked for.
    #[error("the unpacked layer has the diff id {found}, not {expected}")]
    DiffId {
        /// Asked for.
        expected: DiffId,
        /// Read.
        found: DiffId,
    },
    /// Something is where the tree should go.
    #[error("`{}` exists and is not an empty directory", path.display())]
    DestinationExists {
        /// The destination.
        path: PathBuf,
    },
    /// `.`, `..` or `/`: nothing could be renamed to it.
    #[error("`{}` does not name a directory of its own", path.display())]
    DestinationNameless {
        /// The destination.
        path: PathBuf,
    },
    /// The directory that holds the destination and the staging directory fails.
    #[error("cannot {action} `{}`", path.display())]
    Staging {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A prefix to strip that no member name could have.
    #[error("`{prefix}` is not a relative path without `..`")]
    Prefix {
        /// The prefix.
        prefix: String,
    },
    /// The prefix to strip is not in the archive as a directory.
    #[error("the archive has no directory `{prefix}`")]
    PrefixMissing {
        /// The prefix.
        prefix: String,
    },
    /// A member beside the prefix.
    #[error("member `{member}` lies outside `{prefix}`")]
    OutsidePrefix {
        /// The member, or the target of a hard link.
        member: String,
        /// The prefix.
        prefix: String,
    },
    /// A name that could lead out of the destination, or to it.
    #[error("member `{member}` has {problem}")]
    Name {
        /// The member.
        member: String,
        /// What is wrong with its name.
        problem: &'static str,
    },
    /// Two members of one name, or one that needs a directory where another kind of member is.
    #[error("member `{member}` collides with another member of that name")]
    Collision {
        /// The member.
        member: String,
    },
    /// A member below something that is no directory.
    #[error("member `{member}` lies below a link or file of the same archive")]
    BelowNonDirectory {
        /// The member.
        member: String,
    },
    /// A hard link to what is not a regular file of this archive.
    #[error("member `{member}` is a hard link to `{target}`, which is no file of this archive")]
    LinkTarget {
        /// The member.
        member: String,
        /// What it links to.
        target: String,
    },
    /// A limit was passed.
    #[error("the archive has more than {limit} {what}")]
    Limit {
        /// Of what there is too much.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// The blob expands more than any real package.
    #[error("the archive expands more than {limit} times: {read} bytes to {unpacked} and more")]
    Ratio {
        /// How many times is allowed.
        limit: u64,
        /// Bytes of the blob read.
        read: u64,
        /// Bytes of tar they became.
        unpacked: u64,
    },
    /// The file system refused a member.
    #[error("cannot {action} `{member}`")]
    Member {
        /// What was attempted.
        action: &'static str,
        /// On which member.
        member: String,
        /// The system's answer.
        source: io::Error,
    },
    /// What a member was to become, it cannot.
    #[error("cannot rewrite `{member}`")]
    Rewrite {
        /// The member.
        member: String,
        /// Why, in the words of whoever rewrites.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}
