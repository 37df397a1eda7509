//! What Hod makes of stores that Spack made, against what Spack made of them.
//!
//! The stores are unpacked into a temporary directory, so each is one that lies elsewhere than it
//! says: what is packed must bear the names it was installed under.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod compare;
mod damage;
mod image;
mod list;
mod place;
mod push;
mod relocatable;
