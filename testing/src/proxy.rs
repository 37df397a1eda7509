//! A reverse proxy in front of a registry that sees everything and, where a rule says so, does what
//! networks and other registries do.
//!
//! It forwards the client's `Host` as it is, so that the `Location`s of a registry, which it makes
//! from that, come back through the proxy.

mod forward;
mod plan;
mod rule;
mod seen;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use self::rule::{Action, Condition, Rewrite, Rule};
pub use self::seen::Seen;
use crate::http::RequestHead;
use crate::server::Server;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    upstream: String,
    latency: Duration,
    seen: Vec<Seen>,
    /// How many requests were forgotten, so that those under way find their own.
    forgotten: usize,
    rules: Vec<Tried>,
    connections: usize,
    at_once: usize,
    most_at_once: usize,
}

/// A rule and what became of it.
#[derive(Debug)]
struct Tried {
    rule: Rule,
    matched: usize,
    applied: usize,
    is_removed: bool,
}

impl Proxy {
    /// Starts one in front of `host:port`, plain HTTP on both sides.
    pub fn start(upstream: &str) -> Self {
        let state = State { upstream: upstream.to_owned(), ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        let server = Server::start({
            let shared = Arc::clone(&shared);
            move |socket, open| {
                shared.state.lock().unwrap().connections += 1;
                // Somebody went away, maybe because a rule said so: both sides notice.
                let _ = forward::serve(socket, open, &shared);
            }
        });
        Self { server, shared }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        self.server.host()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// Forwards to another registry from now on, or to the same one after it was started again.
    /// Clients that are connected are with the old one until it ends.
    pub fn forward_to(&self, upstream: &str) {
        upstream.clone_into(&mut self.state().upstream);
    }

    /// Every request waits so long before it is forwarded; requests at the same time wait at the
    /// same time. What a distance does, not what a narrow line does.
    pub fn latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// Adds a rule; its number.
    pub fn rule(&self, rule: Rule) -> usize {
        let mut state = self.state();
        state.rules.push(Tried { rule, matched: 0, applied: 0, is_removed: false });
        state.rules.len() - 1
    }

    /// How often a rule was applied: a test whose fault never happened tests nothing.
    pub fn applied(&self, rule: usize) -> usize {
        self.state().rules[rule].applied
    }

    /// No rule is applied any more. Their numbers and counts stay.
    pub fn clear_rules(&self) {
        for tried in &mut self.state().rules {
            tried.is_removed = true;
        }
    }

    /// All requests since the start or the last [`Proxy::clear`], in the order of their arrival.
    pub fn requests(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// How many requests are like that.
    pub fn count(&self, is_meant: impl FnMut(&&Seen) -> bool) -> usize {
        self.state().seen.iter().filter(is_meant).count()
    }

    /// Forgets the requests, and how many there were at once and connections.
    pub fn clear(&self) {
        let mut state = self.state();
        state.forgotten += state.seen.len();
        state.seen.clear();
        state.connections = 0;
        state.most_at_once = state.at_once;
    }

    /// How many connections clients have opened.
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// The most requests that were under way at the same time.
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

/// A request that is under way.
#[derive(Debug)]
struct Ticket<'a> {
    shared: &'a Shared,
    number: usize,
}

impl Shared {
    /// Notes a request, and what shall happen to it.
    fn arrived(&self, head: &RequestHead) -> (Ticket<'_>, Vec<Action>) {
        let mut state = self.state.lock().unwrap();
        let seen = Seen {
            method: head.method.clone(),
            target: head.target.clone(),
            headers: head.headers.clone(),
            status: None,
            request_bytes: 0,
            response_bytes: 0,
            at: Instant::now(),
        };
        let mut actions = Vec::new();
        for tried in state.rules.iter_mut().filter(|tried| !tried.is_removed) {
            if !tried.rule.is_meant(&seen) {
                continue;
            }
            tried.matched += 1;
            if tried.matched > tried.rule.skip && tried.applied < tried.rule.times {
                tried.applied += 1;
                actions.push(tried.rule.action.clone());
            }
        }
        state.seen.push(seen);
        state.at_once += 1;
        state.most_at_once = state.most_at_once.max(state.at_once);
        (Ticket { shared: self, number: state.forgotten + state.seen.len() - 1 }, actions)
    }
}

impl Ticket<'_> {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        let mut state = self.shared.state.lock().unwrap();
        let index = self.number.checked_sub(state.forgotten);
        if let Some(seen) = index.and_then(|index| state.seen.get_mut(index)) {
            change(seen);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().at_once -= 1;
    }
}
