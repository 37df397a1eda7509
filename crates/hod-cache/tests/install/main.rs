//! What Hod installs from build caches that Spack made, against what Spack installed from them; and
//! what it does where something is wrong.
//!
//! Each test has stores and mirrors of its own, so that they run side by side.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod faults;
mod forge;
mod forms;
mod golden;
mod hostile;
mod place;
mod plan;
#[path = "../golden/place.rs"]
#[expect(dead_code, reason = "shared with the golden tests, which use all of it")]
mod pushed;
