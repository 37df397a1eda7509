//! The real registry, with everything that may stand between it and a client.
#![allow(clippy::unwrap_used, reason = "also in what tests share")]

use std::path::Path;
use std::thread;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use hod_testing::authority::Authority;
use hod_testing::http::{self, Answer};
use hod_testing::machine::{command, has, succeed};
use hod_testing::registry::{Auth, Options, Registry};
use hod_testing::token::{self, Kind, TokenField, TokenServer, User};
use sha2::{Digest, Sha256};

fn get(host: &str, target: &str, authorization: &str) -> Answer {
    http::request(host, "GET", target, &[("Authorization", authorization)], b"").unwrap()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(bytes)))
}

/// Pushes a blob in one piece.
fn push(host: &str, repository: &str, authorization: &str, blob: &[u8]) -> Answer {
    let uploads = format!("/v2/{repository}/blobs/uploads/");
    let headers = [("Authorization", authorization)];
    let begun = http::request(host, "POST", &uploads, &headers, b"").unwrap();
    if begun.status != 202 {
        return begun;
    }
    let location = begun.headers.get("Location").unwrap();
    let target = location.strip_prefix(&format!("http://{host}")).unwrap();
    let target = format!("{target}&digest={}", digest(blob));
    http::request(host, "PUT", &target, &headers, blob).unwrap()
}

fn curl(ca: &Path, url: &str) -> std::process::Command {
    let mut curl = command("curl", Path::new("/"));
    curl.args(["--silent", "--show-error", "--fail", "--cacert"]).arg(ca).arg(url);
    curl
}

#[test]
fn a_registry_keeps_a_blob_as_a_file_and_ends_when_it_is_dropped() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let answer = push(registry.host(), "some/where", "", b"a blob");
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(fs_err::read(registry.blob(&digest(b"a blob"))).unwrap(), b"a blob");
    let host = registry.host().to_owned();
    drop(registry);
    assert!(http::Connection::open(&host).is_err());
}

#[test]
fn two_registries_one_after_the_other_share_a_storage() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { storage: Some(directory.path()), ..Options::default() };
    let Some(first) = Registry::start(&options) else {
        return;
    };
    assert_eq!(push(first.host(), "a", "", b"stays").status, 201);
    drop(first);
    let second = Registry::start(&options).unwrap();
    let blob = get(second.host(), &format!("/v2/a/blobs/{}", digest(b"stays")), "");
    assert_eq!(blob.body, b"stays");
}

#[test]
fn deleting_relative_locations_and_reading_only_are_options() {
    let Some(plain) = Registry::start(&Options::default()) else {
        return;
    };
    let path = format!("/v2/a/blobs/{}", digest(b"gone"));
    assert_eq!(push(plain.host(), "a", "", b"gone").status, 201);
    assert_eq!(http::request(plain.host(), "DELETE", &path, &[], b"").unwrap().status, 405);

    let options = Options { delete: true, relative_urls: true, ..Options::default() };
    let lenient = Registry::start(&options).unwrap();
    let begun = http::request(lenient.host(), "POST", "/v2/a/blobs/uploads/", &[], b"").unwrap();
    let location = begun.headers.get("Location").unwrap();
    assert!(location.starts_with("/v2/a/blobs/uploads/"), "{location}");
    let put = format!("{location}&digest={}", digest(b"gone"));
    assert_eq!(http::request(lenient.host(), "PUT", &put, &[], b"gone").unwrap().status, 201);
    assert_eq!(http::request(lenient.host(), "DELETE", &path, &[], b"").unwrap().status, 202);
    assert_eq!(get(lenient.host(), &path, "").status, 404);

    let strict = Registry::start(&Options { read_only: true, ..Options::default() }).unwrap();
    assert_eq!(push(strict.host(), "a", "", b"never").status, 405);
}

#[test]
fn a_password_opens_a_registry_and_a_wrong_one_does_not() {
    let auth = Auth::Htpasswd { user: "user", password: "a b:c" };
    let Some(registry) = Registry::start(&Options { auth, ..Options::default() }) else {
        return;
    };
    let basic = |text: &str| format!("Basic {}", BASE64.encode(text.as_bytes()));
    assert_eq!(get(registry.host(), "/v2/", &basic("user:a b:c")).status, 200);
    let refused = get(registry.host(), "/v2/", &basic("user:a b"));
    assert_eq!(refused.status, 401);
    let challenge = refused.headers.get("WWW-Authenticate").unwrap();
    assert_eq!(challenge, "Basic realm=\"a test\"");
}

#[test]
fn a_certificate_is_that_of_the_authority_and_of_no_other() {
    if !has(&["curl"]) {
        return;
    }
    let authority = Authority::new();
    let options = Options { tls: Some(&authority), ..Options::default() };
    let Some(registry) = Registry::start(&options) else {
        return;
    };
    let by_number = format!("{}/v2/", registry.url());
    let by_name = by_number.replace("127.0.0.1", "localhost");
    assert_eq!(succeed(curl(&authority.ca_pem_path(), &by_number)), "{}");
    assert_eq!(succeed(curl(&authority.ca_pem_path(), &by_name)), "{}");
    let stranger = Authority::new();
    let refused = curl(&stranger.ca_pem_path(), &by_number).output().unwrap();
    assert_eq!(refused.status.code(), Some(60), "what curl says of certificates");
}

#[test]
fn the_registry_verifies_what_the_token_server_signs() {
    let options = token::Options { public: vec!["open/".into()], ..token::Options::default() };
    let tokens = TokenServer::start(options);
    let auth = Auth::Token(&tokens);
    let Some(registry) = Registry::start(&Options { auth, ..Options::default() }) else {
        return;
    };
    let host = registry.host();
    let refused = push(host, "open/a", "", b"blob");
    assert_eq!(refused.status, 401);
    let challenge = refused.headers.get("WWW-Authenticate").unwrap();
    assert!(challenge.contains(&tokens.realm()), "{challenge}");
    // The registry keeps them in no order.
    let scopes = ["pull,push", "push,pull"].map(|s| format!("scope=\"repository:open/a:{s}\""));
    assert!(scopes.iter().any(|scope| challenge.contains(scope)), "{challenge}");

    // Somebody may push.
    let target = "/token?service=x&scope=repository:open/a:pull,push";
    let basic = format!("Basic {}", BASE64.encode(b"user:password"));
    let said = get(tokens.host(), target, &basic).json();
    let bearer = format!("Bearer {}", said["token"].as_str().unwrap());
    assert_eq!(push(host, "open/a", &bearer, b"blob").status, 201);
    assert_eq!(push(host, "open/b", &bearer, b"blob").status, 401, "another repository");

    // Nobody may only pull, whatever was asked for.
    let said = http::request(tokens.host(), "GET", target, &[], b"").unwrap().json();
    let bearer = format!("Bearer {}", said["token"].as_str().unwrap());
    let blob = format!("/v2/open/a/blobs/{}", digest(b"blob"));
    assert_eq!(get(host, &blob, &bearer).body, b"blob");
    assert_eq!(push(host, "open/a", &bearer, b"blob").status, 401);

    // A signature that is off by one letter is none.
    let mut forged = bearer.into_bytes();
    let last = forged.len() - 10;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(get(host, &blob, &String::from_utf8(forged).unwrap()).status, 401);

    let kinds: Vec<Kind> = tokens.requests().iter().map(|request| request.kind).collect();
    assert_eq!(kinds, [Kind::Basic, Kind::Anonymous]);
    assert_eq!(tokens.requests()[0].granted, ["repository:open/a:pull,push"]);
    assert_eq!(tokens.requests()[1].granted, ["repository:open/a:pull"]);
}

#[test]
fn a_token_of_two_seconds_is_worth_nothing_after_three() {
    let lifetime = Duration::from_secs(2);
    let tokens = TokenServer::start(token::Options { lifetime, ..token::Options::default() });
    let auth = Auth::Token(&tokens);
    let Some(registry) = Registry::start(&Options { auth, ..Options::default() }) else {
        return;
    };
    let scopes = ["repository:a:pull,push"];
    let bearer = |lifetime| format!("Bearer {}", tokens.issue(&scopes, lifetime));
    let short = bearer(lifetime);
    assert_eq!(push(registry.host(), "a", &short, b"blob").status, 201);
    assert_eq!(push(registry.host(), "a", &bearer(Duration::ZERO), b"blob").status, 401);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(push(registry.host(), "a", &short, b"blob").status, 401);
}

#[test]
fn tokens_come_for_passwords_and_for_refresh_tokens_too() {
    let tokens = TokenServer::start(token::Options {
        users: vec![User { may_push: false, ..User::new("reader", "p&ss w%rd+") }],
        field: TokenField::AccessToken,
        announced: None,
        ..token::Options::default()
    });
    let post = |body: &str| {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        http::request(tokens.host(), "POST", "/token", &headers, body.as_bytes()).unwrap()
    };
    let asked = "service=x&client_id=hod&scope=repository%3Aa%3Apull%2Cpush+repository:b:pull";
    let login = format!(
        "grant_type=password&access_type=offline&username=reader&password=p%26ss+w%25rd%2b&{asked}"
    );
    let said = post(&login).json();
    assert_eq!(said["scope"], "repository:a:pull repository:b:pull");
    assert!(said["access_token"].is_string() && said["expires_in"].is_null(), "{said}");
    let refresh = said["refresh_token"].as_str().unwrap();
    assert_eq!(refresh, tokens.refresh_token("reader"));
    let with_refresh = format!("grant_type=refresh_token&refresh_token={refresh}&{asked}");
    assert_eq!(post(&with_refresh).status, 200);
    assert_eq!(post(&with_refresh.replace("refresh-", "forged-")).status, 401);
    let kinds: Vec<Kind> = tokens.requests().iter().map(|request| request.kind).collect();
    assert_eq!(kinds, [Kind::Password, Kind::Refresh, Kind::Refresh]);
    assert_eq!(tokens.requests()[0].scopes, ["repository:a:pull,push", "repository:b:pull"]);

    let got = http::request(tokens.host(), "GET", "/token", &[], b"").unwrap().json();
    assert!(got["access_token"].is_string() && got["token"].is_null(), "{got}");
    tokens.change(|options| options.has_oauth = false);
    assert_eq!(post(&with_refresh).status, 405);
}
