//! Other programs read what Hod writes: container tools its images, archivers its layers.
//!
//! A test whose program is missing says so and passes; with `HOD_TEST_REQUIRE_ALL=1` it fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod archive;
mod container;
#[path = "../support/golden.rs"]
mod golden;
mod image;
mod login;
mod registry;
mod spec;
#[path = "../support/mod.rs"]
mod support;
