//! What can be wrong in a mirror.

use std::fmt;

use hod_archive::{DiffId, Digest};

use crate::error::Error;

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Problem {
    /// A file that something names does not exist.
    Missing {
        /// What the file would be.
        role: Role,
    },
    /// A blob has another length than a descriptor names.
    WrongSize {
        /// Bytes named.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// A blob has another digest than its name.
    WrongDigest {
        /// Its name.
        expected: Digest,
        /// The digest of its bytes.
        found: Digest,
    },
    /// A layer unpacks to another stream than its config names.
    WrongDiffId {
        /// In the config.
        expected: DiffId,
        /// Of the stream.
        found: DiffId,
    },
    /// A layer unpacks to another length than its config names.
    WrongUncompressedSize {
        /// In the config.
        expected: u64,
        /// Of the stream.
        found: u64,
    },
    /// A config does not have one diff id for each layer.
    WrongDiffIdCount {
        /// Layers of the manifest.
        expected: usize,
        /// Diff ids of the config.
        found: usize,
    },
    /// A layer has the right digest, but its codec cannot decode it.
    Undecodable {
        /// What the decoder says.
        reason: String,
    },
    /// A document or an entry is not what it should be.
    Unparsable {
        /// What the parser says.
        reason: String,
    },
    /// The system does not let the file be read.
    Unreadable {
        /// What the system says.
        reason: String,
    },
    /// A tag that follows neither the grammar of tags nor that of references.
    BadTag {
        /// The tag.
        found: String,
    },
    /// A tag that two entries have.
    DuplicateTag {
        /// The tag.
        found: String,
    },
    /// A manifest of one package leads to the spec of another.
    WrongSpec {
        /// The file's name.
        expected: String,
        /// The name of the spec.
        found: String,
    },
    /// A manifest of one package leads to the install tree of another.
    WrongTree {
        /// The file's name.
        expected: String,
        /// What the tree says it is of, as it would be called.
        found: String,
    },
    /// A manifest of a package under a name or in a directory where Spack does not look for it.
    Misplaced,
    /// A blob nothing names: left by an interrupted push or a replaced tag, or its push is still
    /// running.
    Orphan {
        /// Its bytes.
        size: u64,
    },
    /// A database that was replaced by a newer one; Spack's `prune` removes it.
    OlderIndex {
        /// Its bytes.
        size: u64,
    },
    /// A temporary file of a process that is gone; the next writer removes it.
    StaleTemporary {
        /// Its bytes.
        size: u64,
    },
    /// A file among the blobs whose name is no digest.
    StrayFile {
        /// Its bytes.
        size: u64,
    },
}

/// What a blob is to whatever names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// `index.json`, or the database of the Spack half.
    Index,
    /// A manifest, or an index of manifests.
    Manifest,
    /// A config.
    Config,
    /// A layer.
    Layer,
    /// The spec of a package in the Spack half.
    Spec,
    /// A public key, or the list of them.
    Key,
    /// Something of another tool.
    #[default]
    Other,
}

impl Problem {
    /// Whether something published is not whole, rather than something that only takes up room.
    pub fn is_damage(&self) -> bool {
        !matches!(
            self,
            Self::Orphan { .. }
                | Self::OlderIndex { .. }
                | Self::StaleTemporary { .. }
                | Self::StrayFile { .. }
        )
    }

    /// What was expected, for the kinds that compare.
    pub fn expected(&self) -> Option<String> {
        match self {
            Self::WrongSize { expected, .. } | Self::WrongUncompressedSize { expected, .. } => {
                Some(expected.to_string())
            }
            Self::WrongDigest { expected, .. } => Some(expected.to_string()),
            Self::WrongDiffId { expected, .. } => Some(expected.to_string()),
            Self::WrongDiffIdCount { expected, .. } => Some(expected.to_string()),
            Self::Missing { role } => Some(role.to_string()),
            Self::WrongSpec { expected, .. } | Self::WrongTree { expected, .. } => {
                Some(expected.clone())
            }
            _ => None,
        }
    }

    /// What was found instead, if anything.
    pub fn found(&self) -> Option<String> {
        match self {
            Self::WrongSize { found, .. } | Self::WrongUncompressedSize { found, .. } => {
                Some(found.to_string())
            }
            Self::WrongDigest { found, .. } => Some(found.to_string()),
            Self::WrongDiffId { found, .. } => Some(found.to_string()),
            Self::WrongDiffIdCount { found, .. } => Some(found.to_string()),
            Self::BadTag { found }
            | Self::DuplicateTag { found }
            | Self::WrongSpec { found, .. }
            | Self::WrongTree { found, .. } => Some(found.clone()),
            Self::Undecodable { reason }
            | Self::Unparsable { reason }
            | Self::Unreadable { reason } => Some(reason.clone()),
            Self::Orphan { size }
            | Self::OlderIndex { size }
            | Self::StaleTemporary { size }
            | Self::StrayFile { size } => Some(size.to_string()),
            Self::Missing { .. } | Self::Misplaced => None,
        }
    }

    /// The finding an error of a read amounts to.
    pub(crate) fn from_error(error: &Error) -> Self {
        match error {
            Error::MissingFile { .. } => Self::Missing { role: Role::Index },
            Error::MissingBlob { .. } => Self::Missing { role: Role::Other },
            Error::SizeMismatch { expected, found, .. } => {
                Self::WrongSize { expected: *expected, found: *found }
            }
            Error::DigestMismatch { expected, found } => {
                Self::WrongDigest { expected: *expected, found: *found }
            }
            Error::Read { source, .. } => Self::Unreadable { reason: source.to_string() },
            Error::WrongSpec { expected, found, .. } => {
                Self::WrongSpec { expected: expected.clone(), found: found.clone() }
            }
            Error::Unparsable { source, .. } => Self::Unparsable { reason: with_sources(source) },
            other => Self::Unparsable { reason: with_sources(other) },
        }
    }
}

impl fmt::Display for Problem {
    /// Completes "FILE …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { role: role @ Role::Index } => write!(f, "is missing, an {role}"),
            Self::Missing { role } => write!(f, "is missing, a {role}"),
            Self::WrongSize { expected, found } => {
                write!(f, "should have {expected} bytes, found {found}")
            }
            Self::WrongDigest { expected, found } => {
                write!(f, "should have the digest {expected}, found {found}")
            }
            Self::WrongDiffId { expected, found } => {
                write!(f, "should unpack to {expected}, found {found}")
            }
            Self::WrongUncompressedSize { expected, found } => {
                write!(f, "should unpack to {expected} bytes, found {found}")
            }
            Self::WrongDiffIdCount { expected, found } => {
                write!(f, "should have {expected} diff ids, found {found}")
            }
            Self::Undecodable { reason } => write!(f, "cannot be decoded: {reason}"),
            Self::Unparsable { reason } => write!(f, "cannot be understood: {reason}"),
            Self::Unreadable { reason } => write!(f, "cannot be read: {reason}"),
            Self::BadTag { found } => write!(f, "has the malformed tag `{found}`"),
            Self::DuplicateTag { found } => write!(f, "has the tag `{found}` twice"),
            Self::WrongSpec { expected, found } => {
                write!(f, "should be of the spec {expected}, found {found}")
            }
            Self::WrongTree { expected, found } => {
                write!(f, "should lead to the install tree of {expected}, found {found}")
            }
            Self::Misplaced => f.write_str("is where Spack does not look for it"),
            Self::OlderIndex { size } => write!(f, "is an older index ({size} bytes)"),
            Self::Orphan { size } => write!(f, "is named by nothing ({size} bytes)"),
            Self::StaleTemporary { size } => {
                write!(f, "was left by a process that is gone ({size} bytes)")
            }
            Self::StrayFile { size } => write!(f, "is no blob ({size} bytes)"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Index => "index",
            Self::Manifest => "manifest",
            Self::Config => "config",
            Self::Layer => "layer",
            Self::Spec => "spec",
            Self::Key => "key",
            Self::Other => "blob",
        })
    }
}

/// An error on one line, for a report that outlives it.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::missing(
        Problem::Missing { role: Role::Layer },
        "is missing, a layer", Some("layer"), None
    )]
    #[case::size(
        Problem::WrongSize { expected: 3, found: 2 },
        "should have 3 bytes, found 2", Some("3"), Some("2")
    )]
    #[case::stream(
        Problem::WrongUncompressedSize { expected: 3, found: 2 },
        "should unpack to 3 bytes, found 2", Some("3"), Some("2")
    )]
    #[case::diff_ids(
        Problem::WrongDiffIdCount { expected: 2, found: 1 },
        "should have 2 diff ids, found 1", Some("2"), Some("1")
    )]
    #[case::codec(
        Problem::Undecodable { reason: "corrupt".to_owned() },
        "cannot be decoded: corrupt", None, Some("corrupt")
    )]
    #[case::json(
        Problem::Unparsable { reason: "garbage".to_owned() },
        "cannot be understood: garbage", None, Some("garbage")
    )]
    #[case::input(
        Problem::Unreadable { reason: "denied".to_owned() },
        "cannot be read: denied", None, Some("denied")
    )]
    #[case::tag(
        Problem::BadTag { found: "a b".to_owned() },
        "has the malformed tag `a b`", None, Some("a b")
    )]
    #[case::tags(
        Problem::DuplicateTag { found: "a".to_owned() },
        "has the tag `a` twice", None, Some("a")
    )]
    #[case::orphan(Problem::Orphan { size: 7 }, "is named by nothing (7 bytes)", None, Some("7"))]
    #[case::spec(
        Problem::WrongSpec { expected: "a-1-x".to_owned(), found: "b-1-y".to_owned() },
        "should be of the spec a-1-x, found b-1-y", Some("a-1-x"), Some("b-1-y")
    )]
    #[case::tree(
        Problem::WrongTree { expected: "a-1-x".to_owned(), found: "b-1-y".to_owned() },
        "should lead to the install tree of a-1-x, found b-1-y", Some("a-1-x"), Some("b-1-y")
    )]
    #[case::place(Problem::Misplaced, "is where Spack does not look for it", None, None)]
    #[case::older(Problem::OlderIndex { size: 7 }, "is an older index (7 bytes)", None, Some("7"))]
    #[case::temporary(
        Problem::StaleTemporary { size: 7 },
        "was left by a process that is gone (7 bytes)", None, Some("7")
    )]
    #[case::stray(Problem::StrayFile { size: 7 }, "is no blob (7 bytes)", None, Some("7"))]
    fn a_problem_is_a_sentence_and_data(
        #[case] problem: Problem,
        #[case] sentence: &str,
        #[case] expected: Option<&str>,
        #[case] found: Option<&str>,
    ) {
        assert_eq!(problem.to_string(), sentence);
        assert_eq!(problem.expected().as_deref(), expected);
        assert_eq!(problem.found().as_deref(), found);
    }

    #[test]
    fn digests_are_compared_whole() {
        let (expected, found) = (Digest::of(b"a"), Digest::of(b"b"));
        let blob = Problem::WrongDigest { expected, found };
        let stream = Problem::WrongDiffId { expected: DiffId(expected), found: DiffId(found) };
        for problem in [blob, stream] {
            assert_eq!(problem.expected(), Some(expected.to_string()));
            assert_eq!(problem.found(), Some(found.to_string()));
            assert!(problem.to_string().ends_with(&format!("{expected}, found {found}")));
        }
    }
}
