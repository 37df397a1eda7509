//! What can go wrong between here and a registry, as data.

use std::io;
use std::time::Duration;

use crate::credentials::CredentialsError;

/// Why a registry did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No connection came about: no such host, nobody listens, no trust.
    #[error("cannot reach `{host}`")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the network said.
        source: io::Error,
    },
    /// A connection ended too early, or nothing came for too long.
    #[error("{method} {url} broke off")]
    Broken {
        /// Of the request.
        method: &'static str,
        /// Without its query.
        url: String,
        /// What the network said.
        source: io::Error,
    },
    /// An answer that is none of those that were hoped for.
    #[error("{method} {url}: {status}{}", said(.codes, .text))]
    Refused {
        /// Of the request.
        method: &'static str,
        /// Without its query.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Error codes and messages of the distribution-spec.
        codes: Vec<(String, String)>,
        /// What else it said, cut to 200 characters.
        text: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
        /// Whether nobody's credentials are known for the registry.
        is_anonymous: bool,
        /// Whether who asks was known and is not allowed this (RFC 6750, `insufficient_scope`).
        lacks_scope: bool,
    },
    /// An answer that lacks what the protocol promises.
    #[error("{method} {url}: the answer {what}")]
    Protocol {
        /// Of the request.
        method: &'static str,
        /// Without its query.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// There is an HTTP server, but no registry.
    #[error("`{host}` is not a container registry: {reason}")]
    NotARegistry {
        /// Host and port.
        host: String,
        /// What was found.
        reason: String,
    },
    /// The server that issues tokens gave none.
    #[error("got no token for `{host}`")]
    Token {
        /// The registry.
        host: String,
        /// Why.
        source: Box<RegistryError>,
    },
    /// A token ran out while something was sent that cannot be sent again as it is.
    #[error("the token for `{host}` ran out on the way")]
    Expired {
        /// The registry.
        host: String,
    },
    /// Who may know a password could not be asked.
    #[error("cannot look up the credentials for `{host}`")]
    Credentials {
        /// The registry.
        host: String,
        /// Why.
        source: CredentialsError,
    },
    /// Certificates to trust could not be read.
    #[error("cannot read the certificates in `{}`", path.display())]
    Certificates {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is to be sent could not be read.
    #[error("cannot read what is to be uploaded")]
    Source(#[source] io::Error),
    /// It failed again and again.
    #[error("gave up after {attempts} attempt{}", if *attempts == 1 { "" } else { "s" })]
    Exhausted {
        /// How many.
        attempts: u32,
        /// The last failure.
        source: Box<RegistryError>,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// What kind of failure it is, for advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Who asks is not known, or the password is wrong.
    Unauthorized,
    /// Who asks is known and may not.
    Denied,
    /// There is no such repository or image.
    NotFound,
    /// The registry has no repositories of such names.
    Name,
    /// Something is larger than the registry takes.
    TooLarge,
    /// Too many requests.
    RateLimited,
    /// The registry has no room left.
    Full,
    /// Something it should know is unknown to it.
    Invalid,
    /// It is out of order.
    Unavailable,
}

impl RegistryError {
    /// Whether the same request may well succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            // A refused connection may be a registry that restarts; neither trust nor a name comes by
            // waiting.
            Self::Unreachable { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound)
            }
            Self::Broken { .. } | Self::Protocol { .. } | Self::Expired { .. } => true,
            Self::Refused { .. } if self.speaks_of_full_disk() => false,
            Self::Refused { status, codes, .. } => match status {
                408 | 425 | 429 | 499 | 500 | 502..=504 | 520..=527 => true,
                // Uploads get lost in registries of several machines (seen at ghcr.io); and where
                // two bring the same blob, it may be unknown for a moment after it was taken
                // (seen at distribution 2.8).
                400 | 404 => codes.iter().any(|(code, _)| {
                    matches!(
                        &**code,
                        "BLOB_UPLOAD_UNKNOWN"
                            | "BLOB_UPLOAD_INVALID"
                            | "MANIFEST_BLOB_UNKNOWN"
                            | "DIGEST_INVALID"
                    )
                }),
                _ => false,
            },
            Self::Token { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// How long the registry wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Token { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    /// The HTTP status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Token { source, .. } | Self::Exhausted { source, .. } => source.status(),
            _ => None,
        }
    }

    /// Whether it was said to somebody without credentials.
    pub fn is_anonymous(&self) -> bool {
        match self {
            Self::Refused { is_anonymous, .. } => *is_anonymous,
            Self::Token { source, .. } | Self::Exhausted { source, .. } => source.is_anonymous(),
            _ => false,
        }
    }

    /// Whether it is the answer to a manifest.
    pub fn is_of_manifest(&self) -> bool {
        match self {
            Self::Refused { url, .. } => url.contains("/manifests/"),
            Self::Exhausted { source, .. } => source.is_of_manifest(),
            _ => false,
        }
    }

    /// Whether a server error is for want of room, which does not come by trying again.
    fn speaks_of_full_disk(&self) -> bool {
        let Self::Refused { status: 500.., codes, text, .. } = self else { return false };
        let is_full = |text: &str| {
            let text = text.to_ascii_lowercase();
            ["no space left on device", "disk quota exceeded"].iter().any(|end| text.contains(end))
        };
        is_full(text) || codes.iter().any(|(_, message)| is_full(message))
    }

    /// What kind of refusal it is, if the registry answered.
    pub fn refusal(&self) -> Option<Refusal> {
        let has = |wanted: &str| match self {
            Self::Refused { codes, .. } => codes.iter().any(|(code, _)| code == wanted),
            _ => false,
        };
        if let Self::Token { source, .. } | Self::Exhausted { source, .. } = self {
            return source.refusal();
        }
        Some(match self.status()? {
            401 if matches!(self, Self::Refused { lacks_scope: true, .. }) => Refusal::Denied,
            401 => Refusal::Unauthorized,
            403 => Refusal::Denied,
            _ if has("DENIED") => Refusal::Denied,
            404 => Refusal::NotFound,
            400..=499 if has("NAME_INVALID") => Refusal::Name,
            413 => Refusal::TooLarge,
            429 => Refusal::RateLimited,
            507 => Refusal::Full,
            _ if self.speaks_of_full_disk() => Refusal::Full,
            400..=499 => Refusal::Invalid,
            _ => Refusal::Unavailable,
        })
    }
}

/// What a registry said, behind the status.
fn said(codes: &[(String, String)], text: &str) -> String {
    let codes: Vec<String> = codes
        .iter()
        .map(|(code, message)| match (code.is_empty(), message.is_empty()) {
            (_, true) => code.clone(),
            (true, _) => message.clone(),
            _ => format!("{code}: {message}"),
        })
        .collect();
    match (codes.is_empty(), text.is_empty()) {
        (false, _) => format!(" {}", codes.join("; ")),
        (true, false) => format!(" {text}"),
        (true, true) => String::new(),
    }
}
