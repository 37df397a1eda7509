//! Where blobs and manifests live.

mod error;
pub mod oci;

pub use error::ParseError;
