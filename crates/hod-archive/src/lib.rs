//! A directory becomes a described blob, and back.

mod cancel;
mod compression;
mod decode;
mod digest;
mod encode;
mod pack;
mod tar;

pub use cancel::Cancel;
pub use compression::Codec;
pub use decode::{LayerDigests, decoder, layer_digests};
pub use digest::{DiffId, Digest, DigestWriter, ParseDigestError};
pub use encode::{Encoders, Encoding, EncodingError, Level, Members};
pub use pack::{
    BeforeLast, Fingerprint, Inspect, InspectFile, LastEntry, Mark, PackError, PackOptions, Packed,
    TreeFacts, pack, survey,
};
