//! Hod as its users meet it: the real program, what it is told, what it says and what it leaves.
//!
//! A story is a session: each command with its stdout, its stderr (`2>` before each line) and its
//! exit code. What differs from run to run is filtered.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on ends")]

mod copy;
mod damage;
// The same path on every machine is one of `/proc`.
#[cfg(target_os = "linux")]
mod determinism;
mod env;
#[path = "../support/golden.rs"]
mod golden;
mod help;
mod install;
mod install_refused;
mod interrupt;
mod login;
mod mirror;
mod push;
mod read;
mod refused;
mod refused_images;
mod registry;
mod reliability;
mod reliability_install;
mod reliability_registry;
mod reliability_spack;
mod relocatable;
mod spack;
mod story;
#[path = "../support/mod.rs"]
mod support;
mod uninstall;
mod wrong;
