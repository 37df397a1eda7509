//! What the proxy does to which requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Seen;
use crate::http::Answer;

/// A request of this kind, after so many, so many times: do that.
///
/// ```
/// use hod_testing::proxy::{Action, Rule};
/// // The second manifest is written, but its writer never knows.
/// let rule = Rule {
///     method: "PUT",
///     path: "/manifests/",
///     skip: 1,
///     times: 1,
///     ..Rule::new(Action::DropAnswer)
/// };
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    /// The method; empty is any.
    pub method: &'static str,
    /// A part of the path with its query; empty is any.
    pub path: &'static str,
    /// A further condition.
    pub when: Option<Condition>,
    /// How many requests that match get through before the first that does not.
    pub skip: usize,
    /// How many times it is applied at most.
    pub times: usize,
    /// What happens.
    pub action: Action,
}

impl Rule {
    /// For every request, always; the base of `..Rule::new(action)`.
    pub fn new(action: Action) -> Self {
        Self { method: "", path: "", when: None, skip: 0, times: usize::MAX, action }
    }

    pub(super) fn is_meant(&self, seen: &Seen) -> bool {
        (self.method.is_empty() || self.method == seen.method)
            && seen.target.contains(self.path)
            && self.when.as_ref().is_none_or(|condition| (condition.0)(seen))
            && self.action.is_possible(seen)
    }
}

/// A condition of a [`Rule`], from a closure.
#[derive(Clone)]
pub struct Condition(Arc<dyn Fn(&Seen) -> bool + Send + Sync>);

impl Condition {
    /// The bodies are not there yet when it is asked.
    pub fn new(condition: impl Fn(&Seen) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(condition))
    }
}

/// A change of something, from a closure.
#[derive(Clone)]
pub struct Rewrite<T>(pub(super) Arc<dyn Fn(T) -> T + Send + Sync>);

impl<T> Rewrite<T> {
    /// The old one in, the new one out.
    pub fn new(rewrite: impl Fn(T) -> T + Send + Sync + 'static) -> Self {
        Self(Arc::new(rewrite))
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condition")
    }
}

impl<T> fmt::Debug for Rewrite<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rewrite")
    }
}

/// What happens to a request. Of several rules for one request all are applied, in the order in
/// which they were added; of several answers the first is given. All counts of bytes are of the
/// body, without framing.
#[derive(Clone, Debug)]
pub enum Action {
    /// Nothing is forwarded: the body is read, and this is the answer.
    Respond(Answer),
    /// The same, but the body is not read: the answer comes at once and the connection ends.
    RespondEarly(Answer),
    /// 307 to this URL, in which `{target}` is the request's path with its query.
    RedirectTo(String),
    /// RST when the head has arrived; the registry gets nothing.
    ResetBeforeForward,
    /// RST to both sides when so many bytes of the request's body are forwarded.
    ResetAfterRequestBytes(u64),
    /// RST to both sides when so many bytes of the answer's body are forwarded.
    ResetAfterResponseBytes(u64),
    /// All is forwarded and answered, and the client finds the connection closed: it was done, but
    /// the client cannot know.
    DropAnswer,
    /// The answer's body ends after so many bytes, and with it the connection. The head promised
    /// more.
    TruncateResponse(u64),
    /// The byte at this place of the answer's body has all its bits turned.
    CorruptResponse(u64),
    /// `Content-Length` of the answer is off by so many bytes; the connection ends after the body.
    WrongContentLength(i64),
    /// A header field of the answer.
    SetHeader(&'static str, String),
    /// No such header field in the answer.
    RemoveHeader(&'static str),
    /// A header field of the answer is rewritten, if it is there.
    RewriteHeader(&'static str, Rewrite<String>),
    /// Another status for the same answer.
    SetStatus(u16),
    /// The answer's body is rewritten as a whole, and its length with it.
    RewriteBody(Rewrite<Vec<u8>>),
    /// Waits before the request is forwarded.
    Delay(Duration),
    /// Waits when the request was forwarded, before the head of the answer.
    DelayAnswer(Duration),
    /// The answer's body comes byte by byte, with this between any two.
    SlowBody(Duration),
    /// A mount becomes the begin of an upload (202), which a registry may always do. Only requests
    /// with `mount=` match.
    RefuseMount,
    /// A body in chunks gets this status; it is read and forgotten. Only such requests match.
    RefuseChunked(u16),
    /// A body longer than `bytes` gets this status, as GHCR answers 416 to a PATCH above 4 MiB;
    /// it is read and forgotten.
    RefuseBodyAbove {
        /// The longest that is accepted.
        bytes: u64,
        /// What a longer one gets.
        status: u16,
    },
}

impl Action {
    /// [`Action::Respond`] with a status alone.
    pub fn respond(status: u16) -> Self {
        Self::Respond(Answer::new(status))
    }

    /// Whether there is something to do for it in this request; otherwise the rule does not match.
    fn is_possible(&self, seen: &Seen) -> bool {
        match self {
            Self::RefuseMount => seen.target.contains("mount="),
            Self::RefuseChunked(_) => seen.is_chunked(),
            Self::RefuseBodyAbove { bytes, .. } => {
                seen.is_chunked() || seen.content_length().is_some_and(|length| length > *bytes)
            }
            _ => true,
        }
    }
}
