//! Bodies piece by piece, whatever their framing.

use std::io::{self, BufRead, Read, Write};

use super::Headers;

/// The most that is held of a body.
const PIECE: usize = 64 << 10;

/// How a message says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    /// What the header fields say, if anything.
    pub(crate) fn of(headers: &Headers) -> Option<Self> {
        if headers.has_word("Transfer-Encoding", "chunked") {
            return Some(Self::Chunked);
        }
        headers.get("Content-Length")?.trim().parse().ok().map(Self::Length)
    }
}

/// Hands out a body as it arrives.
pub(crate) struct BodyReader<'source, Source> {
    source: &'source mut Source,
    framing: Framing,
    /// Bytes up to the end of the body or of the chunk.
    left: u64,
    has_ended: bool,
    is_first_chunk: bool,
}

impl<'source, Source: BufRead> BodyReader<'source, Source> {
    pub(crate) fn new(source: &'source mut Source, framing: Framing) -> Self {
        let left = match framing {
            Framing::Length(length) => length,
            Framing::Chunked | Framing::UntilClose => 0,
        };
        Self { source, framing, left, has_ended: false, is_first_chunk: true }
    }

    /// The next bytes; None at the end. An end too early is an error.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.framing == Framing::Chunked && self.left == 0 && !self.has_ended {
            self.next_chunk()?;
        }
        let is_open = self.framing == Framing::UntilClose;
        if self.has_ended || (self.left == 0 && !is_open) {
            self.has_ended = true;
            return Ok(None);
        }
        let available = self.source.fill_buf()?;
        if available.is_empty() {
            self.has_ended = true;
            return if is_open { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let most = if is_open { PIECE } else { usize::try_from(self.left).unwrap_or(PIECE) };
        let piece = available[..available.len().min(most).min(PIECE)].to_vec();
        self.source.consume(piece.len());
        self.left = self.left.saturating_sub(piece.len() as u64);
        Ok(Some(piece))
    }

    /// All that is left, at most so many bytes; the rest is read and forgotten.
    pub(crate) fn all(mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = self.next()? {
            all.extend(piece);
        }
        Ok(all)
    }

    /// Reads to the end and forgets it; how much it was.
    pub(crate) fn discard(mut self) -> io::Result<u64> {
        let mut length = 0;
        while let Some(piece) = self.next()? {
            length += piece.len() as u64;
        }
        Ok(length)
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first_chunk) {
            self.line()?;
        }
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        if self.left == 0 {
            self.has_ended = true;
            // Trailers.
            while !self.line()?.trim().is_empty() {}
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        // A limit, since the length of a line is the peer's choice.
        if self.source.by_ref().take(16 << 10).read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line)
    }
}

/// Writes a body in a framing that the head has announced.
pub(crate) struct BodyWriter<'sink, Sink> {
    sink: &'sink mut Sink,
    framing: Framing,
}

impl<'sink, Sink: Write> BodyWriter<'sink, Sink> {
    pub(crate) fn new(sink: &'sink mut Sink, framing: Framing) -> Self {
        Self { sink, framing }
    }

    pub(crate) fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.framing != Framing::Chunked {
            return self.sink.write_all(piece);
        }
        if piece.is_empty() {
            return Ok(());
        }
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        self.sink.write_all(&chunk)
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if self.framing == Framing::Chunked {
            self.sink.write_all(b"0\r\n\r\n")?;
        }
        self.sink.flush()
    }
}
