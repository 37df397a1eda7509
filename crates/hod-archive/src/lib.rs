//! A directory becomes a described blob, and back.

mod cancel;
mod compression;
mod digest;

pub use cancel::Cancel;
pub use compression::Codec;
pub use digest::{DiffId, Digest, DigestWriter, ParseDigestError};
