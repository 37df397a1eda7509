//! Tokens that the registry verifies.

use std::time::Duration;

use hod_testing::registry::{Auth, Options};
use hod_testing::token::{self, Kind, TokenServer, User};

use super::{Site, refused};
use crate::support::succeed;

/// A registry with one who may push and one who may read, and a mirror `NAME` for each of them.
fn open(tokens: &TokenServer) -> Option<Site> {
    let site = Site::open(&Options { auth: Auth::Token(tokens), ..Options::default() })?;
    for user in ["ada", "reader", "stranger"] {
        let to = site.plain("lab/cache");
        succeed(site.place.hod(&format!(
            "mirror add {user} {to} --oci-username-variable WHO_{user} --oci-password-variable PASSWORD"
        )));
    }
    Some(site)
}

fn server(change: impl FnOnce(&mut token::Options)) -> TokenServer {
    let mut options = token::Options {
        users: vec![
            User::new("ada", "a-secret"),
            User { may_push: false, ..User::new("reader", "a-secret") },
        ],
        ..token::Options::default()
    };
    change(&mut options);
    TokenServer::start(options)
}

fn push(site: &Site, user: &str) -> std::process::Output {
    let words = format!("push --store ./store {user} hello libpng --update-index --retries 2");
    let mut push = site.place.hod(&words);
    push.env(format!("WHO_{user}"), user).env("PASSWORD", "a-secret");
    push.output().unwrap()
}

#[test]
fn who_may_push_gets_one_token_for_all_of_it() {
    let tokens = server(|_| {});
    let Some(site) = open(&tokens) else { return };
    let pushed = push(&site, "ada");
    assert!(pushed.status.success(), "{}", crate::support::both(&pushed));
    assert_eq!(site.indexed("lab/cache"), 4);
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert_eq!((asked[0].kind, asked[0].user.as_deref()), (Kind::Basic, Some("ada")));
    assert_eq!(asked[0].granted, ["repository:lab/cache:pull,push"]);
}

#[test]
fn who_may_only_read_or_is_a_stranger_is_told_so() {
    let tokens = server(|_| {});
    let Some(site) = open(&tokens) else { return };
    let host = site.server.host();
    refused(&push(&site, "reader"), &["401", "hint: ", &format!("hod login {host}")]);
    // The token server refuses, and it is the registry that one logs in to.
    let stranger = push(&site, "stranger");
    refused(&stranger, &["got no token for", "401", "hint: ", &format!("hod login {host}")]);
    let nobody = site.tried(&format!("push --store ./store {} zlib", site.plain("lab/cache")));
    refused(&nobody, &["401", "hint: "]);
    assert!(site.tags("lab/cache").is_empty());
}

#[test]
fn a_token_that_runs_out_in_the_middle_is_renewed() {
    let tokens = server(|options| options.lifetime = Duration::from_secs(3));
    let Some(site) = open(&tokens) else { return };
    // So slow that no token lasts for all of it.
    let proxy = hod_testing::proxy::Proxy::start(site.server.host());
    proxy.latency(Duration::from_millis(500));
    let to = format!("oci+http://{}/lab/cache", proxy.host());
    succeed(site.place.hod(&format!("mirror set ada --url {to}")));
    let pushed = push(&site, "ada");
    assert!(pushed.status.success(), "{}", crate::support::both(&pushed));
    assert!(tokens.requests().len() >= 2, "{:?}", tokens.requests());
    assert_eq!(site.indexed("lab/cache"), 4);
}

#[test]
fn a_token_that_is_expired_when_it_comes_ends_in_one_error() {
    let tokens = server(|options| options.lifetime = Duration::ZERO);
    let Some(site) = open(&tokens) else { return };
    refused(&push(&site, "ada"), &["401", "hint: "]);
    assert!(site.tags("lab/cache").is_empty());
    assert!(tokens.requests().len() < 20, "{}", tokens.requests().len());
}
