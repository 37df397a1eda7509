//! A registry with a proxy before it, and blobs in and out.

use std::io;

use data_encoding::HEXLOWER;
use hod_testing::http::{Answer, request};
use hod_testing::proxy::Proxy;
use hod_testing::registry::{Options, Registry};
use sha2::{Digest, Sha256};

pub(crate) struct Backend {
    pub proxy: Proxy,
    pub registry: Registry,
}

impl Backend {
    pub(crate) fn start() -> Option<Self> {
        let registry = Registry::start(&Options::default())?;
        Some(Self { proxy: Proxy::start(registry.host()), registry })
    }

    /// The path of a blob that is there afterwards.
    pub(crate) fn put(&self, blob: &[u8]) -> String {
        assert_eq!(put_blob(&self.proxy, blob).unwrap().status, 201);
        format!("/v2/a/blobs/{}", digest(blob))
    }

    pub(crate) fn has(&self, blob: &[u8]) -> bool {
        self.registry.blob(&digest(blob)).exists()
    }
}

pub(crate) fn get(proxy: &Proxy, path: &str) -> io::Result<Answer> {
    request(proxy.host(), "GET", path, &[], b"")
}

/// Begins an upload.
pub(crate) fn begin(proxy: &Proxy, repository: &str) -> Answer {
    let target = format!("/v2/{repository}/blobs/uploads/");
    request(proxy.host(), "POST", &target, &[], b"").unwrap()
}

/// A whole upload to the repository `a`.
pub(crate) fn put_blob(proxy: &Proxy, blob: &[u8]) -> io::Result<Answer> {
    let begun = begin(proxy, "a");
    let target = begun.headers.get("Location").unwrap().strip_prefix(&proxy.url()).unwrap();
    request(proxy.host(), "PUT", &with_digest(target, blob), &[], blob)
}

pub(crate) fn with_digest(target: &str, blob: &[u8]) -> String {
    format!("{target}&digest={}", digest(blob))
}

fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(blob)))
}

/// RST, as a write or as a read notices it.
pub(crate) fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}
