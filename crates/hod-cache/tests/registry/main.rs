//! Pushes to Debian's `docker-registry`, through a proxy that counts what is sent and breaks what a
//! test wants broken. Where it is not installed these tests are skipped and say so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod auth;
mod copy;
mod counts;
mod faults;
mod images;
mod install;
#[path = "../golden/place.rs"]
#[expect(dead_code, reason = "shared with the golden tests, which use all of it")]
mod place;
mod site;
mod together;
