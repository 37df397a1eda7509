//! The actions for one request, sorted by when they happen.

use std::io;
use std::time::Duration;

use super::{Action, Rewrite};
use crate::http::{Answer, BodyReader, Framing, RequestHead, ResponseHead};

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub delay: Duration,
    pub resets_at_once: bool,
    pub early_answer: Option<Answer>,
    pub answer: Option<Answer>,
    /// The longest body in chunks that is forwarded, and the status for a longer one.
    pub chunked_limit: Option<(u64, u16)>,
    pub reset_after_request: Option<u64>,
    pub drops_answer: bool,
    pub delay_answer: Duration,
    /// Changes of the answer's head, in order.
    edits: Vec<Action>,
    pub rewrites: Vec<Rewrite<Vec<u8>>>,
    pub length_difference: i64,
    pub truncate: Option<u64>,
    pub reset_after_response: Option<u64>,
    pub corrupt: Vec<u64>,
    pub slow: Option<Duration>,
}

impl Plan {
    /// Changes the request's head where an action says so.
    pub(super) fn new(actions: Vec<Action>, head: &mut RequestHead) -> Self {
        let mut plan = Self::default();
        for action in actions {
            plan.add(action, head);
        }
        plan
    }

    fn add(&mut self, action: Action, head: &mut RequestHead) {
        match action {
            Action::Respond(answer) => self.give(answer),
            Action::RespondEarly(answer) => {
                self.early_answer.get_or_insert(answer.header("Connection", "close"));
            }
            Action::RedirectTo(url) => {
                let url = url.replace("{target}", &head.target);
                self.give(Answer::new(307).header("Location", url));
            }
            Action::ResetBeforeForward => self.resets_at_once = true,
            Action::ResetAfterRequestBytes(bytes) => self.reset_after_request = Some(bytes),
            Action::ResetAfterResponseBytes(bytes) => self.reset_after_response = Some(bytes),
            Action::DropAnswer => self.drops_answer = true,
            Action::TruncateResponse(bytes) => self.truncate = Some(bytes),
            Action::CorruptResponse(byte) => self.corrupt.push(byte),
            Action::WrongContentLength(difference) => self.length_difference += difference,
            Action::RewriteBody(rewrite) => self.rewrites.push(rewrite),
            Action::Delay(delay) => self.delay += delay,
            Action::DelayAnswer(delay) => self.delay_answer += delay,
            Action::SlowBody(interval) => self.slow = Some(interval),
            Action::RefuseMount => head.target = without_mount(&head.target),
            Action::RefuseChunked(status) => self.give(Answer::new(status)),
            Action::RefuseBodyAbove { bytes, status } => match head.framing() {
                Framing::Chunked => self.chunked_limit = Some((bytes, status)),
                _ => self.give(Answer::new(status)),
            },
            Action::SetHeader(..)
            | Action::RemoveHeader(_)
            | Action::RewriteHeader(..)
            | Action::SetStatus(_) => self.edits.push(action),
        }
    }

    fn give(&mut self, answer: Answer) {
        self.answer.get_or_insert(answer);
    }

    pub(super) fn edit(&self, answer: &mut ResponseHead) {
        for edit in &self.edits {
            match edit {
                Action::SetHeader(name, value) => answer.headers.set(name, value.as_str()),
                Action::RemoveHeader(name) => answer.headers.remove(name),
                Action::RewriteHeader(name, rewrite) => {
                    if let Some(value) =
                        answer.headers.get(name).map(|value| (rewrite.0)(value.to_owned()))
                    {
                        answer.headers.set(name, value);
                    }
                }
                Action::SetStatus(status) => answer.status = *status,
                _ => {}
            }
        }
    }

    pub(super) fn rewritten(&self, body: Vec<u8>) -> Vec<u8> {
        self.rewrites.iter().fold(body, |body, rewrite| (rewrite.0)(body))
    }
}

/// Reads a body in chunks. None if it is longer than the limit; how long it is in any case.
pub(super) fn chunked_within(
    source: &mut impl io::BufRead,
    limit: u64,
) -> io::Result<(Option<Vec<u8>>, u64)> {
    let mut body = BodyReader::new(source, Framing::Chunked);
    let (mut kept, mut length) = (Vec::new(), 0);
    while let Some(piece) = body.next()? {
        length += piece.len() as u64;
        if length <= limit {
            kept.extend(piece);
        }
    }
    Ok(((length <= limit).then_some(kept), length))
}

/// Without what asks for a mount: `?mount=DIGEST&from=NAME`.
fn without_mount(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_other = |pair: &&str| !pair.starts_with("mount=") && !pair.starts_with("from=");
    let kept: Vec<&str> = query.split('&').filter(is_other).collect();
    let separator = if kept.is_empty() { "" } else { "?" };
    format!("{path}{separator}{}", kept.join("&"))
}
