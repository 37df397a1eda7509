//! A directory becomes a described blob, and back.

mod cancel;
mod compression;
mod decode;
mod digest;
mod encode;
mod merge;
mod pack;
mod tar;
mod unpack;

pub use cancel::Cancel;
pub use compression::Codec;
pub use decode::{
    DecodeError, LastFile, LayerDigests, decoder, last_file, layer_digests, read_layer,
};
pub use digest::{DiffId, Digest, DigestWriter, ParseDigestError};
pub use encode::{Encoders, Encoding, EncodingError, Level, Members};
pub use merge::{LayerBlob, MergeError, MergeOptions, Merged, merge};
pub use pack::{
    BeforeLast, Fingerprint, Inspect, InspectFile, LastEntry, Mark, PackError, PackOptions, Packed,
    TreeFacts, pack, survey,
};
pub use tar::{Member, MemberKind, TarError, TarReader};
pub use unpack::{
    DiffIdCheck, Entries, Entry, EntryKind, Limits, Memory, Modes, Ownership, Rewrite, StagedTree,
    UnpackError, UnpackOptions, Unpacked, exchange, stage, unpack,
};
