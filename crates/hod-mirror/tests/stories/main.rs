//! Stories about directory mirrors, told through the public interface alone.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on ends")]

mod check;
mod check_spack;
mod concurrency;
mod foreign;
mod layout;
mod life;
mod spack;
mod spack_index;
mod support;
