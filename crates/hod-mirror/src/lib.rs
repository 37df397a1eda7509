//! Where blobs and manifests live.
//!
//! A [`DirectoryMirror`] is one directory that holds an OCI image layout in `oci/`, so that
//! `skopeo` and `podman` read from it what Hod pushed, and that is a build cache of Spack as well,
//! so that Spack installs from it (`docs/formats/directory-mirror.md`). A
//! [`Registry`](registry::Registry) is a repository of a container registry, which Spack reads as
//! well. What both have is an [`ImageMirror`]; the documents are in [`oci`] and [`spack`].
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::io::Write;
//!
//! use hod_archive::{Cancel, Codec, DiffId, Digest};
//! use hod_mirror::oci::{Descriptor, Document, ImageConfig, Manifest, Tag};
//! use hod_mirror::{DirectoryMirror, Patience, Publication};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let place = tempfile::tempdir()?;
//! let mirror = DirectoryMirror::ensure(place.path())?;
//!
//! // Content first: the layer, its config, the manifest that names both …
//! let tar = [0; 1024];
//! let mut writer = mirror.blob_writer()?;
//! writer.write_all(&tar)?;
//! writer.complete_as(Digest::of(&tar), 1024)?;
//! let layer = Descriptor::new(Codec::None.media_type(), Digest::of(&tar), 1024);
//!
//! let config = Document::render(ImageConfig::new(vec![DiffId(Digest::of(&tar))]))?;
//! mirror.put_blob(config.bytes())?;
//! let manifest = Document::render(Manifest::image(config.descriptor(), vec![layer]))?;
//! mirror.put_blob(manifest.bytes())?;
//!
//! // … then the name.
//! let tag = Tag::new("empty-1.0")?;
//! let publication = Publication { tag, descriptor: manifest.descriptor() };
//! mirror.publish(&[publication], &Patience::default())?;
//!
//! assert_eq!(mirror.entries()?[0].tag.as_deref(), Some("empty-1.0"));
//! let report = mirror.check(2.try_into()?, &Cancel::default(), &|_| {})?;
//! assert!(report.is_undamaged());
//! # Ok(())
//! # }
//! ```
//!
//! What this crate does not do: it packs nothing, and makes and verifies no signatures.

mod credentials;
mod directory;
mod error;
mod mirror;
pub mod oci;
mod parallel;
pub mod registry;
pub mod spack;

pub use credentials::{AuthAnswer, AuthFile, Credentials, CredentialsError, Kept, Keychain};
pub use directory::{
    BlobWriter, CheckProgress, CheckReport, DirectoryMirror, Entry, Finding, IndexMode,
    IndexOptions, IndexReport, Linked, LockHolder, Patience, Problem, Publication, Role,
    SkippedEntry, SpackIndex, SpackNames, SpackPublication, Stored, V2Names, Waiting,
};
pub use error::{Error, Found, ParseError, Written};
pub use mirror::{ImageMirror, Mirror, NamedManifest};
