//! One connection of a client, request by request, each forwarded as the rules say.

use std::io::{self, BufReader};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::plan::{Plan, chunked_within};
use super::{Shared, Ticket};
use crate::http::{
    Answer, BodyReader, BodyWriter, Framing, RequestHead, ResponseHead, write_answer,
};
use crate::server::{Open, Socket, Wire};

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Keep,
    Close,
    Reset,
}

/// Serves a client until one side ends.
pub(super) fn serve(socket: Socket, open: &Open, shared: &Shared) -> io::Result<()> {
    let mut client = Wire::new(socket)?;
    let mut upstream = None;
    while let Some(head) = RequestHead::read(&mut client.reader, &mut client.writer)? {
        let mut exchange = Exchange { shared, open, client: &mut client, upstream: &mut upstream };
        match exchange.run(head)? {
            Next::Keep => {}
            Next::Close => break,
            Next::Reset => {
                client.writer.reset_on_close();
                if let Some(upstream) = &upstream {
                    upstream.writer.reset_on_close();
                }
                break;
            }
        }
    }
    Ok(())
}

/// One request and its answer.
struct Exchange<'a> {
    shared: &'a Shared,
    open: &'a Open,
    client: &'a mut Wire,
    upstream: &'a mut Option<Wire>,
}

impl Exchange<'_> {
    fn run(&mut self, mut head: RequestHead) -> io::Result<Next> {
        let (ticket, actions) = self.shared.arrived(&head);
        let plan = Plan::new(actions, &mut head);
        let latency = self.shared.state.lock().unwrap().latency;
        thread::sleep(latency + plan.delay);
        if plan.resets_at_once {
            return Ok(Next::Reset);
        }
        if let Some(answer) = &plan.early_answer {
            self.give(&ticket, answer, &head)?;
            return Ok(Next::Close);
        }
        if let Some(answer) = &plan.answer {
            let length = BodyReader::new(&mut self.client.reader, head.framing()).discard()?;
            ticket.note(|seen| seen.request_bytes = length);
            self.give(&ticket, answer, &head)?;
            return Ok(keep_unless(asks_to_close(&head)));
        }
        let mut body = None;
        if let Some((limit, status)) = plan.chunked_limit {
            let (within, length) = chunked_within(&mut self.client.reader, limit)?;
            ticket.note(|seen| seen.request_bytes = length);
            let Some(within) = within else {
                self.give(&ticket, &Answer::new(status), &head)?;
                return Ok(Next::Keep);
            };
            head.headers.remove("Transfer-Encoding");
            head.headers.set("Content-Length", within.len().to_string());
            body = Some(within);
        }
        self.forward(&ticket, &plan, &head, body.as_deref())
    }

    /// An answer of the proxy's own.
    fn give(&mut self, ticket: &Ticket<'_>, answer: &Answer, head: &RequestHead) -> io::Result<()> {
        ticket.note(|seen| {
            seen.status = Some(answer.status);
            seen.response_bytes = answer.body.len() as u64;
        });
        write_answer(&mut self.client.writer, answer, &head.method)
    }

    /// The body goes up in one thread while the answer comes down in another: an answer may come
    /// before the body has ended, and may be what keeps the rest from being sent.
    fn forward(
        &mut self,
        ticket: &Ticket<'_>,
        plan: &Plan,
        head: &RequestHead,
        body: Option<&[u8]>,
    ) -> io::Result<Next> {
        if self.upstream.is_none() {
            let host = self.shared.state.lock().unwrap().upstream.clone();
            let stream = TcpStream::connect(host)?;
            *self.upstream = Some(Wire::new(self.open.wrap(stream))?);
        }
        let upstream = self.upstream.as_mut().expect("it was just connected");
        head.write(&mut upstream.writer)?;
        let (mut sink, socket) = (upstream.writer.clone(), upstream.writer.clone());
        let mut buffered = body.map(BufReader::new);
        let was_reset = AtomicBool::new(false);
        let (reader, writer) = (&mut self.client.reader, &mut self.client.writer);
        let next = thread::scope(|scope| {
            let mut pump = || {
                let up = Upload { ticket, plan, framing: head.framing(), sink: &mut sink };
                let outcome = match &mut buffered {
                    Some(body) => up.run(body),
                    None => up.run(reader),
                };
                if outcome.as_ref().is_ok_and(|next| *next == Next::Reset) || outcome.is_err() {
                    was_reset.store(true, Ordering::SeqCst);
                    // Wakes who waits for the answer, and tells nobody on the line.
                    let _ = socket.0.shutdown(Shutdown::Read);
                }
            };
            if head.framing() == Framing::Length(0) {
                pump();
            } else {
                scope.spawn(pump);
            }
            let down = Download { ticket, plan, head, writer };
            down.run(&mut upstream.reader)
        });
        if was_reset.load(Ordering::SeqCst) {
            return Ok(Next::Reset);
        }
        next
    }
}

/// The way of the request's body.
struct Upload<'a> {
    ticket: &'a Ticket<'a>,
    plan: &'a Plan,
    framing: Framing,
    sink: &'a mut Socket,
}

impl Upload<'_> {
    fn run(self, source: &mut impl io::BufRead) -> io::Result<Next> {
        let mut body = BodyReader::new(source, self.framing);
        let mut sink = BodyWriter::new(self.sink, self.framing);
        let mut left = self.plan.reset_after_request.unwrap_or(u64::MAX);
        let mut is_wanted = true;
        if left == 0 {
            return Ok(Next::Reset);
        }
        while let Some(piece) = body.next()? {
            let part = &piece[..usize::try_from(left).map_or(piece.len(), |l| l.min(piece.len()))];
            self.ticket.note(|seen| seen.request_bytes += part.len() as u64);
            // A registry that has answered may read no more. The client is not at fault.
            is_wanted = is_wanted && sink.piece(part).is_ok();
            left -= part.len() as u64;
            if left == 0 {
                return Ok(Next::Reset);
            }
        }
        if is_wanted {
            let _ = sink.finish();
        }
        Ok(Next::Keep)
    }
}

/// The way of the answer.
struct Download<'a> {
    ticket: &'a Ticket<'a>,
    plan: &'a Plan,
    head: &'a RequestHead,
    writer: &'a mut Socket,
}

impl Download<'_> {
    fn run(self, upstream: &mut BufReader<Socket>) -> io::Result<Next> {
        let mut answer = loop {
            let answer = ResponseHead::read(upstream)?;
            if answer.status >= 200 {
                break answer;
            }
            answer.write(self.writer)?;
        };
        let framing = answer.framing(&self.head.method);
        let mut closes = asks_to_close(self.head)
            || answer.headers.has_word("Connection", "close")
            || framing == Framing::UntilClose;
        let mut body = BodyReader::new(upstream, framing);
        if self.plan.drops_answer {
            body.discard()?;
            return Ok(Next::Close);
        }
        thread::sleep(self.plan.delay_answer);
        self.plan.edit(&mut answer);
        let mut whole = None;
        let has_body = framing != Framing::Length(0);
        if has_body && !self.plan.rewrites.is_empty() {
            let all = self.plan.rewritten(body.all()?);
            answer.headers.remove("Transfer-Encoding");
            answer.headers.set("Content-Length", all.len().to_string());
            whole = Some(BufReader::new(io::Cursor::new(all)));
            body = BodyReader::new(upstream, Framing::Length(0));
        }
        let sent = match &whole {
            Some(all) => Framing::Length(all.get_ref().get_ref().len() as u64),
            None => framing,
        };
        if self.plan.length_difference != 0 {
            let length = answer.headers.get("Content-Length").and_then(|l| l.parse::<u64>().ok());
            let wrong = length.unwrap_or(0).saturating_add_signed(self.plan.length_difference);
            answer.headers.remove("Transfer-Encoding");
            answer.headers.set("Content-Length", wrong.to_string());
            closes = true;
        }
        self.ticket.note(|seen| seen.status = Some(answer.status));
        answer.write(self.writer)?;
        let next = match &mut whole {
            Some(all) => self.stream(BodyReader::new(all, sent), sent)?,
            None => self.stream(body, sent)?,
        };
        Ok(if next == Next::Keep { keep_unless(closes) } else { next })
    }

    fn stream(
        self,
        mut body: BodyReader<'_, impl io::BufRead>,
        framing: Framing,
    ) -> io::Result<Next> {
        let plan = self.plan;
        // A length that is wrong anyway leaves no framing to keep.
        let framing = if plan.length_difference == 0 { framing } else { Framing::UntilClose };
        let mut sink = BodyWriter::new(self.writer, framing);
        let mut at = 0;
        let end =
            plan.truncate.unwrap_or(u64::MAX).min(plan.reset_after_response.unwrap_or(u64::MAX));
        let at_end = if plan.truncate == Some(end) { Next::Close } else { Next::Reset };
        loop {
            if at >= end {
                return Ok(at_end);
            }
            let Some(mut piece) = body.next()? else {
                sink.finish()?;
                return Ok(Next::Keep);
            };
            piece.truncate(usize::try_from(end - at).unwrap_or(usize::MAX));
            for corrupt in &plan.corrupt {
                let index = corrupt.checked_sub(at).and_then(|index| usize::try_from(index).ok());
                if let Some(byte) = index.and_then(|index| piece.get_mut(index)) {
                    *byte = !*byte;
                }
            }
            at += piece.len() as u64;
            let size = if plan.slow.is_some() { 1 } else { piece.len() };
            for part in piece.chunks(size) {
                self.ticket.note(|seen| seen.response_bytes += part.len() as u64);
                sink.piece(part)?;
                thread::sleep(plan.slow.unwrap_or_default());
            }
        }
    }
}

fn asks_to_close(head: &RequestHead) -> bool {
    head.headers.has_word("Connection", "close")
}

fn keep_unless(closes: bool) -> Next {
    if closes { Next::Close } else { Next::Keep }
}
