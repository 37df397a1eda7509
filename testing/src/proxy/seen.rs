//! A request as the proxy saw it.

use std::time::Instant;

use crate::http::Headers;

/// A request. Noted when its head has arrived, and completed from then on; what the client has
/// got is noted before it gets it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET`, `PATCH`, …
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// All header fields of the request.
    pub headers: Headers,
    /// The status that the client got; None as long as it has none, and for ever if it gets none.
    pub status: Option<u16>,
    /// Bytes of the request's body, without framing.
    pub request_bytes: u64,
    /// Bytes of the answer's body, without framing.
    pub response_bytes: u64,
    /// When the head had arrived.
    pub at: Instant,
}

impl Seen {
    /// A request of this method whose path contains this.
    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether it said who it is.
    pub fn has_authorization(&self) -> bool {
        self.headers.get("Authorization").is_some()
    }

    /// Whether its body came in chunks.
    pub fn is_chunked(&self) -> bool {
        self.headers.has_word("Transfer-Encoding", "chunked")
    }

    /// What `Content-Length` says.
    pub fn content_length(&self) -> Option<u64> {
        self.headers.get("Content-Length")?.parse().ok()
    }
}
