//! A directory becomes a described blob, and back.

mod cancel;
mod compression;
mod decode;
mod digest;

pub use cancel::Cancel;
pub use compression::Codec;
pub use decode::{LayerDigests, decoder, layer_digests};
pub use digest::{DiffId, Digest, DigestWriter, ParseDigestError};
