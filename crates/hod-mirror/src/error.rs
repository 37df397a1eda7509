//! What can go wrong with a mirror, as data.

/// Why bytes are not the document they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Not JSON, or not of the expected shape.
    #[error("not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// A number that must be there has another value.
    #[error("`{key}` is {found}, expected {expected}")]
    Number {
        /// The key.
        key: &'static str,
        /// The only value understood.
        expected: u64,
        /// The value there.
        found: u64,
    },
    /// `mediaType` inside the document contradicts its kind.
    #[error("its media type is `{found}`, expected {expected}")]
    MediaType {
        /// The kind of document.
        expected: &'static str,
        /// What the document says of itself.
        found: String,
    },
    /// A document that could be read as manifest and as index (CVE-2021-41190).
    #[error("it has both `{first}` and `{second}`, so readers may disagree on what it is")]
    Ambiguous {
        /// A key of the kind it was read as.
        first: &'static str,
        /// A key of the other kind.
        second: &'static str,
    },
}
