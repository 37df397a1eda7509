//! One request and its answer, without any opinion about what either means.

use std::io::{self, BufReader, Read};
use std::time::{Duration, Instant};

use ureq::http::{self, HeaderMap};
use ureq::{Body, SendBody};

use super::challenge;
use super::error::RegistryError;

/// Most bytes of an error that are read.
const ERROR_LIMIT: u64 = 64 << 10;
/// How long a document may take where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most characters of an error that are shown, where it is no error of the distribution-spec.
const SHOWN: usize = 200;

/// What is sent along.
pub(super) enum Content<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// Of unknown length: sent in chunks.
    Stream(&'a mut dyn Read),
    /// Of known length.
    Sized(&'a mut dyn Read, u64),
}

/// A request to an absolute URL.
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content: Content<'a>,
}

impl<'a> Request<'a> {
    pub(super) fn new(method: &'static str, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), content: Content::Nothing }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn content(self, content: Content<'a>) -> Self {
        Self { content, ..self }
    }

    /// Whether it can be sent again as it is.
    pub(super) fn is_repeatable(&self) -> bool {
        matches!(self.content, Content::Nothing | Content::Bytes(_))
    }
}

/// The answer to a request.
pub(super) struct Response {
    method: &'static str,
    /// Of the request, without its query, which may hold what others should not see.
    url: String,
    pub(super) status: u16,
    /// Whether nobody's credentials are known where it comes from.
    pub(super) is_anonymous: bool,
    headers: HeaderMap,
    body: Body,
    /// How long a document may take.
    patience: Duration,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn headers<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Whether it is made for people.
    pub(super) fn is_page(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.starts_with("text/"))
    }

    /// The body, as it comes.
    pub(super) fn into_reader(self) -> impl Read + Send + 'static {
        self.body.into_with_config().limit(u64::MAX).reader()
    }

    /// The body of a document; more than `limit` bytes are a protocol error.
    pub(super) fn bytes(self, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let (method, url) = (self.method, self.url.clone());
        let expected = self.header("content-length").and_then(|text| text.parse::<u64>().ok());
        let mut bytes = Vec::new();
        let until = Instant::now() + self.patience;
        let reader = Hurried { reader: self.into_reader().take(limit + 1), until };
        BufReader::new(reader).read_to_end(&mut bytes).map_err(|source| RegistryError::Broken {
            method,
            url: url.clone(),
            source,
        })?;
        if bytes.len() as u64 > limit {
            let what = format!("has more than {limit} bytes");
            return Err(RegistryError::Protocol { method, url, what });
        }
        if let Some(expected) = expected.filter(|&expected| expected != bytes.len() as u64) {
            let what = format!("should have {expected} bytes, found {}", bytes.len());
            return Err(RegistryError::Protocol { method, url, what });
        }
        Ok(bytes)
    }

    /// Reads what is left, so that the connection can be used again.
    pub(super) fn finish(self) {
        let _ = io::copy(&mut self.into_reader().take(ERROR_LIMIT), &mut io::sink());
    }

    /// The answer is not what was hoped for.
    pub(super) fn into_error(self) -> RegistryError {
        let (method, url, status) = (self.method, self.url.clone(), self.status);
        let is_anonymous = self.is_anonymous;
        let lacks_scope = self
            .headers("www-authenticate")
            .flat_map(challenge::parse)
            .any(|challenge| challenge.parameter("error") == Some("insufficient_scope"));
        let retry_after = self.header("retry-after").and_then(retry_after);
        let mut bytes = Vec::new();
        let _ = self.into_reader().take(ERROR_LIMIT).read_to_end(&mut bytes);
        let codes = codes(&bytes);
        let text = if codes.is_empty() { snippet(&bytes) } else { String::new() };
        RegistryError::Refused {
            method,
            url,
            status,
            codes,
            text,
            retry_after,
            is_anonymous,
            lacks_scope,
        }
    }

    /// Breaks the rules of the protocol.
    pub(super) fn protocol(&self, what: impl Into<String>) -> RegistryError {
        RegistryError::Protocol { method: self.method, url: self.url.clone(), what: what.into() }
    }
}

/// Ends when it takes too long: a server may send a byte now and then for ever.
struct Hurried<R> {
    reader: R,
    until: Instant,
}

impl<R: Read> Read for Hurried<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long"));
        }
        self.reader.read(buf)
    }
}

/// Sends one request once.
pub(super) fn send(
    agent: &ureq::Agent,
    request: &mut Request<'_>,
    authorization: Option<&str>,
) -> Result<Response, RegistryError> {
    let (method, url) = (request.method, without_query(&request.url));
    let mut builder = http::Request::builder().method(method).uri(&request.url);
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    if let Some(value) = authorization {
        builder = builder.header("authorization", value);
    }
    if let Content::Sized(_, length) = request.content {
        builder = builder.header("content-length", length);
    }
    // Registries want to see the length of nothing as well (distribution-spec, "Pushing blobs").
    if matches!((&request.content, method), (Content::Nothing, "POST" | "PUT" | "PATCH")) {
        builder = builder.header("content-length", 0);
    }
    let broken = |error| failure(method, &url, error);
    let unfit = |error| broken(ureq::Error::Http(error));
    let mut none: &[u8] = &[];
    let mut bytes: &[u8];
    let reader: &mut dyn Read = match &mut request.content {
        Content::Nothing => &mut none,
        Content::Bytes(content) => {
            builder = builder.header("content-length", content.len());
            bytes = content;
            &mut bytes
        }
        Content::Stream(reader) | Content::Sized(reader, _) => *reader,
    };
    let response = if matches!(method, "POST" | "PUT" | "PATCH") {
        agent.run(builder.body(SendBody::from_reader(reader)).map_err(unfit)?)
    } else {
        agent.run(builder.body(()).map_err(unfit)?)
    };
    let response = response.map_err(broken)?;
    let (parts, body) = response.into_parts();
    let status = parts.status.as_u16();
    let patience = agent.config().timeout_per_read().unwrap_or(PATIENCE);
    let (headers, is_anonymous) = (parts.headers, false);
    Ok(Response { method, url, status, is_anonymous, headers, body, patience })
}

/// A URL for people: its query may hold signatures and session states.
fn without_query(url: &str) -> String {
    url.split('?').next().unwrap_or(url).to_owned()
}

/// Whether the connection never came about is worth telling apart: then nothing was sent.
fn failure(method: &'static str, url: &str, error: ureq::Error) -> RegistryError {
    let host = || {
        let rest = url.split("://").nth(1).unwrap_or(url);
        rest.split('/').next().unwrap_or(rest).to_owned()
    };
    let unreachable = |kind, error: Box<dyn std::error::Error + Send + Sync>| {
        RegistryError::Unreachable { host: host(), source: io::Error::new(kind, error) }
    };
    match error {
        ureq::Error::Io(source) if is_connecting(&source) => {
            RegistryError::Unreachable { host: host(), source }
        }
        ureq::Error::Io(source) if source.to_string().contains("failed to lookup address") => {
            // The C library says whether asking again makes sense.
            let text = source.to_string();
            let is_temporary = text.contains("emporary") || text.contains("ry again");
            let kind = if is_temporary { io::ErrorKind::Other } else { io::ErrorKind::NotFound };
            unreachable(kind, text.into())
        }
        // Untrusted certificates come as errors of kind `InvalidData`.
        ureq::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
            RegistryError::Unreachable { host: host(), source }
        }
        ureq::Error::Io(source) => {
            // Our own reader of what is sent speaks through the same channel.
            match source.get_ref().and_then(|inner| inner.downcast_ref::<SourceFailed>()) {
                Some(SourceFailed(kind, text)) => {
                    RegistryError::Source(io::Error::new(*kind, text.clone()))
                }
                None => RegistryError::Broken { method, url: url.to_owned(), source },
            }
        }
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            unreachable(io::ErrorKind::TimedOut, "timed out".into())
        }
        ureq::Error::Timeout(timeout) => {
            let source = io::Error::new(io::ErrorKind::TimedOut, format!("{timeout} timed out"));
            RegistryError::Broken { method, url: url.to_owned(), source }
        }
        error @ ureq::Error::HostNotFound => unreachable(io::ErrorKind::NotFound, Box::new(error)),
        error @ (ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::TlsRequired) => {
            unreachable(io::ErrorKind::InvalidData, Box::new(error))
        }
        error => {
            let source = io::Error::other(error);
            RegistryError::Broken { method, url: url.to_owned(), source }
        }
    }
}

fn is_connecting(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionRefused | HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable
    )
}

/// A failure to read what is to be sent, on its way through the HTTP library.
#[derive(Debug)]
pub(super) struct SourceFailed(io::ErrorKind, String);

impl SourceFailed {
    pub(super) fn wrap(error: &io::Error) -> io::Error {
        io::Error::other(Self(error.kind(), error.to_string()))
    }
}

impl std::fmt::Display for SourceFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl std::error::Error for SourceFailed {}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(std::time::SystemTime::now()).unwrap_or_default())
}

/// The errors of a body as the distribution-spec writes them ("Error codes").
fn codes(bytes: &[u8]) -> Vec<(String, String)> {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct One {
        code: String,
        message: String,
        detail: serde_json::Value,
    }
    let cut = |text: String| text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    serde_json::from_slice::<Errors>(bytes)
        .map(|found| {
            let told = |one: One| match system_error(&one.detail) {
                Some(text) => (cut(one.code), format!("{}: {text}", cut(one.message))),
                None => (cut(one.code), cut(one.message)),
            };
            found.errors.into_iter().take(5).map(told).collect()
        })
        .unwrap_or_default()
}

/// What the system told a distribution that keeps blobs in files: the `os.PathError` behind "unknown
/// error", whose number is that of Linux.
fn system_error(detail: &serde_json::Value) -> Option<&'static str> {
    match find_number(detail, "Err", 4)? {
        28 => Some("no space left on device"),
        122 => Some("disk quota exceeded"),
        30 => Some("read-only file system"),
        _ => None,
    }
}

/// A number by its key, at most so deep.
fn find_number(value: &serde_json::Value, key: &str, depth: u8) -> Option<u64> {
    let object = value.as_object()?;
    let own = object.get(key).and_then(serde_json::Value::as_u64);
    own.or_else(|| {
        let depth = depth.checked_sub(1)?;
        object.values().find_map(|value| find_number(value, key, depth))
    })
}

/// The beginning of a body that is text; of a web page nothing.
fn snippet(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    if text.starts_with('<') {
        return String::new();
    }
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_to_wait_comes_in_seconds_or_as_a_date() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        let date = std::time::SystemTime::now() + Duration::from_secs(90);
        let wait = retry_after(&httpdate::fmt_http_date(date)).unwrap();
        assert!((80..=90).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn what_a_registry_says_is_told_and_a_web_page_is_not() {
        let json = br#"{"errors":[{"code":"DENIED","message":"no","detail":{"a":1}}]}"#;
        assert_eq!(codes(json), [("DENIED".to_owned(), "no".to_owned())]);
        assert!(codes(b"<html>").is_empty());
        assert_eq!(snippet(b"<html>"), "");
        assert_eq!(snippet(b"rate limited\nmore"), "rate limited");
    }
}
