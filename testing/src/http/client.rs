//! A client without opinions: no retries, no redirects, no headers of its own but `Host` and the
//! length of the body.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Answer, BodyReader, BodyWriter, Framing, Headers, RequestHead, ResponseHead};

/// A test that waits longer than this has found what it looked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request on a connection of its own.
///
/// # Errors
///
/// What the socket says: refused, reset, ended too early, or nothing for thirty seconds.
pub fn request(
    host: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    Connection::open(host)?.send(method, target, headers, body)
}

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    host: String,
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Connection {
    /// Connects to `host:port`, without TLS.
    ///
    /// # Errors
    ///
    /// If nobody listens.
    pub fn open(host: &str) -> io::Result<Self> {
        let writer = TcpStream::connect(host)?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(PATIENCE))?;
        writer.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Self { host: host.to_owned(), reader, writer })
    }

    /// Sends a body with its length and reads the whole answer.
    ///
    /// # Errors
    ///
    /// As [`request`].
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let length = body.len().to_string();
        let has_body = !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH");
        let extra = has_body.then_some(("Content-Length", length.as_str()));
        self.head(method, target, headers, extra)?;
        let written = self.writer.write_all(body);
        self.answer(method, written)
    }

    /// Sends a body in chunks, its length unsaid.
    ///
    /// # Errors
    ///
    /// As [`request`].
    pub fn send_chunked(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        chunks: &[&[u8]],
    ) -> io::Result<Answer> {
        self.head(method, target, headers, Some(("Transfer-Encoding", "chunked")))?;
        let mut body = BodyWriter::new(&mut self.writer, Framing::Chunked);
        let mut written = chunks.iter().try_for_each(|chunk| body.piece(chunk));
        if written.is_ok() {
            written = body.finish();
        }
        self.answer(method, written)
    }

    /// Whether the peer has closed the connection; waits for it a moment.
    pub fn is_closed(&mut self) -> bool {
        self.reader.read(&mut [0]).is_ok_and(|n| n == 0)
    }

    fn head(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        extra: Option<(&str, &str)>,
    ) -> io::Result<()> {
        let mut fields = Headers::default();
        fields.set("Host", self.host.as_str());
        for (name, value) in headers.iter().copied().chain(extra) {
            fields.set(name, value);
        }
        RequestHead { method: method.to_owned(), target: target.to_owned(), headers: fields }
            .write(&mut self.writer)
    }

    /// A server may refuse and close before it has read all: its answer counts, not the write.
    fn answer(&mut self, method: &str, written: io::Result<()>) -> io::Result<Answer> {
        let head = loop {
            let head = match ResponseHead::read(&mut self.reader) {
                Ok(head) => head,
                Err(error) => return Err(written.err().unwrap_or(error)),
            };
            if head.status >= 200 {
                break head;
            }
        };
        let body = BodyReader::new(&mut self.reader, head.framing(method)).all()?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}
