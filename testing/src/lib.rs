//! What tests stand on: data that Spack made, a real registry, real tokens, and a proxy that does
//! to them what networks do. One per test, nothing shared, everything gone when dropped.
//!
//! ```
//! use hod_testing::http;
//! use hod_testing::proxy::{Action, Proxy, Rule};
//! use hod_testing::registry::{Options, Registry};
//!
//! // None where no registry is installed; the reason is printed.
//! if let Some(registry) = Registry::start(&Options::default()) {
//!     let proxy = Proxy::start(registry.host());
//!     proxy.rule(Rule { times: 1, ..Rule::new(Action::respond(503)) });
//!     assert_eq!(http::request(proxy.host(), "GET", "/v2/", &[], b"").unwrap().status, 503);
//!     assert_eq!(http::request(proxy.host(), "GET", "/v2/", &[], b"").unwrap().status, 200);
//!     assert_eq!(proxy.requests().len(), 2);
//! }
//! ```
//!
//! It knows nothing of Hod: no crate of ours is used here, so that a test cannot agree with the
//! code it tests by sharing its faults. Threads and blocking sockets, no async.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

pub mod authority;
pub mod base;
pub mod disk;
pub mod dockerd;
pub mod golden;
pub mod http;
pub mod machine;
pub mod proxy;
pub mod registry;
pub mod token;

mod daemon;
mod server;
