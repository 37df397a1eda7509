//! HTTP/1.1 as far as tests need it: both sides, bodies as streams, and a client that says exactly
//! what it is told to say (RFC 9112).

mod body;
mod client;

use std::io::{self, BufRead, Write};

pub(crate) use self::body::{BodyReader, BodyWriter, Framing};
pub use self::client::{Connection, request};

/// More than any registry sends, and an end to what a broken peer may send.
const HEAD_LIMIT: usize = 256 << 10;

/// Header fields in their order; names are compared without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Replaces all values of a field by one.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.0.push((name.to_owned(), value.into()));
    }

    /// Removes all values of a field.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// Whether a field that is a list of words has this one.
    pub fn has_word(&self, name: &str, word: &str) -> bool {
        let mut fields = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        fields.any(|(_, value)| value.split(',').any(|w| w.trim().eq_ignore_ascii_case(word)))
    }
}

/// An answer as a whole: what the client got, or what a server shall say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Content-Length` is added when it is sent, if it has none.
    pub headers: Headers,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// A status alone.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.0.push((name.to_owned(), value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The body as text, broken characters replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// The first line of a message and its header fields.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    pub method: String,
    pub target: String,
    pub headers: Headers,
}

#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    pub status: u16,
    pub headers: Headers,
}

impl RequestHead {
    /// None when the peer closed the connection between two requests. Whoever tries TLS first is
    /// told at once that there is none: they wait for ten seconds otherwise.
    pub(crate) fn read(
        source: &mut impl BufRead,
        sink: &mut impl Write,
    ) -> io::Result<Option<Self>> {
        if source.fill_buf()?.first().is_some_and(|byte| !byte.is_ascii_alphabetic()) {
            write_answer(sink, &Answer::new(400).header("Connection", "close"), "")?;
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(bytes) = read_head(source)? else {
            return Ok(None);
        };
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut fields);
        request.parse(&bytes).map_err(io::Error::other)?;
        let method = request.method.unwrap_or_default().to_owned();
        let target = request.path.unwrap_or_default().to_owned();
        Ok(Some(Self { method, target, headers: owned(request.headers) }))
    }

    pub(crate) fn write(&self, sink: &mut impl Write) -> io::Result<()> {
        write_head(sink, &format!("{} {} HTTP/1.1", self.method, self.target), &self.headers)
    }

    pub(crate) fn framing(&self) -> Framing {
        Framing::of(&self.headers).unwrap_or(Framing::Length(0))
    }
}

impl ResponseHead {
    pub(crate) fn read(source: &mut impl BufRead) -> io::Result<Self> {
        let bytes = read_head(source)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut response = httparse::Response::new(&mut fields);
        response.parse(&bytes).map_err(io::Error::other)?;
        let status = response.code.unwrap_or_default();
        Ok(Self { status, headers: owned(response.headers) })
    }

    pub(crate) fn write(&self, sink: &mut impl Write) -> io::Result<()> {
        write_head(
            sink,
            &format!("HTTP/1.1 {} {}", self.status, reason(self.status)),
            &self.headers,
        )
    }

    /// How long the body is, which depends on what was asked (RFC 9112, 6.3).
    pub(crate) fn framing(&self, method: &str) -> Framing {
        if method == "HEAD" || self.status < 200 || matches!(self.status, 204 | 304) {
            return Framing::Length(0);
        }
        Framing::of(&self.headers).unwrap_or(Framing::UntilClose)
    }
}

/// Sends a whole answer.
pub(crate) fn write_answer(sink: &mut impl Write, answer: &Answer, method: &str) -> io::Result<()> {
    let mut headers = answer.headers.clone();
    if Framing::of(&headers).is_none() {
        headers.set("Content-Length", answer.body.len().to_string());
    }
    ResponseHead { status: answer.status, headers }.write(sink)?;
    if method != "HEAD" {
        sink.write_all(&answer.body)?;
    }
    sink.flush()
}

fn owned(fields: &[httparse::Header<'_>]) -> Headers {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Headers(fields.iter().map(|field| (field.name.to_owned(), text(field.value))).collect())
}

/// The bytes up to and with the empty line.
fn read_head(source: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        if source.read_until(b'\n', &mut bytes)? == 0 {
            return if before == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        if matches!(&bytes[before..], b"\r\n" | b"\n") {
            return Ok(Some(bytes));
        }
        if bytes.len() > HEAD_LIMIT {
            return Err(io::Error::other("header fields without end"));
        }
    }
}

fn write_head(sink: &mut impl Write, first: &str, headers: &Headers) -> io::Result<()> {
    // In one write, so that it is in one packet.
    let mut text = format!("{first}\r\n").into_bytes();
    for (name, value) in &headers.0 {
        write!(text, "{name}: {value}\r\n")?;
    }
    text.extend(b"\r\n");
    sink.write_all(&text)
}

/// For readers of logs; programs look at the number.
fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200..=299 => "Fine",
        300..=399 => "Elsewhere",
        400..=499 => "Refused",
        _ => "Broken",
    }
}
