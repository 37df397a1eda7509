//! What the proxy lets through, and every fault it makes, seen from a client that hides nothing.
#![allow(clippy::unwrap_used, reason = "also in what tests share")]

mod support;

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use hod_testing::http::{Answer, Connection, request};
use hod_testing::proxy::{Action, Condition, Proxy, Rewrite, Rule};
use hod_testing::registry::{Options, Registry};
use support::{Backend, begin, get, is_reset, put_blob, with_digest};

#[test]
fn an_upload_in_pieces_comes_back_through_the_proxy() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let proxy = &backend.proxy;
    let mut connection = Connection::open(proxy.host()).unwrap();
    let begun = connection.send("POST", "/v2/a/b/blobs/uploads/", &[], b"").unwrap();
    let location = begun.headers.get("Location").unwrap().to_owned();
    assert!(location.starts_with(&proxy.url()), "{location}");
    let target = location.strip_prefix(&proxy.url()).unwrap();

    let chunks: [&[u8]; 3] = [b"one ", b"two ", b"three "];
    let patched = connection.send_chunked("PATCH", target, &[], &chunks).unwrap();
    assert_eq!((patched.status, patched.headers.get("Range")), (202, Some("0-13")));
    let target = patched.headers.get("Location").unwrap().strip_prefix(&proxy.url()).unwrap();
    let ranged = [("Content-Range", "14-17")];
    let patched = connection.send("PATCH", target, &ranged, b"four").unwrap();
    assert_eq!(patched.status, 202, "{}", patched.text());
    let target = patched.headers.get("Location").unwrap().strip_prefix(&proxy.url()).unwrap();
    let target = with_digest(target, b"one two three four");
    let finished = connection.send("PUT", &target, &[("Authorization", "x")], b"").unwrap();
    assert_eq!(finished.status, 201, "{}", finished.text());
    let blob = finished.headers.get("Location").unwrap().strip_prefix(&proxy.url()).unwrap();
    assert_eq!(connection.send("GET", blob, &[], b"").unwrap().body, b"one two three four");
    assert_eq!(connection.send("HEAD", blob, &[], b"").unwrap().status, 200);

    let seen = proxy.requests();
    let methods: Vec<&str> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!(methods, ["POST", "PATCH", "PATCH", "PUT", "GET", "HEAD"]);
    let statuses: Vec<u16> = seen.iter().filter_map(|seen| seen.status).collect();
    assert_eq!(statuses, [202, 202, 202, 201, 200, 200]);
    assert!(seen[1].is_chunked() && seen[1].content_length().is_none());
    assert_eq!((seen[1].request_bytes, seen[2].request_bytes), (14, 4));
    assert_eq!(seen[2].headers.get("content-range"), Some("14-17"));
    assert_eq!((seen[4].response_bytes, seen[5].response_bytes), (18, 0));
    assert!(seen[3].has_authorization() && !seen[4].has_authorization());
    assert_eq!((proxy.connections(), proxy.most_at_once()), (1, 1));
    assert_eq!(proxy.count(|seen| seen.is("PATCH", "/uploads/")), 2);
    proxy.clear();
    assert!(proxy.requests().is_empty());
}

#[test]
fn a_large_blob_streams_both_ways() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let blob: Vec<u8> = (0..20_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let path = backend.put(&blob);
    assert_eq!(get(&backend.proxy, &path).unwrap().body, blob);
    let part = [("Range", "bytes=19999990-")];
    let part = request(backend.proxy.host(), "GET", &path, &part, b"").unwrap();
    assert_eq!((part.status, part.body.as_slice()), (206, &blob[19_999_990..]));
    assert_eq!(backend.proxy.count(|seen| seen.request_bytes == 20_000_000), 1);
}

#[test]
fn latency_is_paid_once_by_requests_at_the_same_time() {
    let Some(backend) = Backend::start() else {
        return;
    };
    backend.proxy.latency(Duration::from_millis(300));
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(get(&backend.proxy, "/v2/").unwrap().status, 200));
        }
    });
    let took = begun.elapsed();
    assert!((300..1200).contains(&took.as_millis()), "{took:?}");
    assert_eq!((backend.proxy.connections(), backend.proxy.most_at_once()), (4, 4));
}

#[test]
fn rules_count_what_they_match_and_what_they_let_through() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let proxy = &backend.proxy;
    let answer = Answer::new(429).header("Retry-After", "1").body("slowly");
    let rule = Rule {
        method: "GET",
        path: "/v2/",
        skip: 1,
        times: 2,
        ..Rule::new(Action::Respond(answer))
    };
    let slowly = proxy.rule(rule);
    let is_named = Condition::new(|seen| seen.headers.get("X-Name") == Some("a"));
    let named = proxy.rule(Rule { when: Some(is_named), ..Rule::new(Action::respond(418)) });
    let statuses: Vec<u16> = (0..4).map(|_| get(proxy, "/v2/").unwrap().status).collect();
    assert_eq!(statuses, [200, 429, 429, 200]);
    assert_eq!(request(proxy.host(), "GET", "/v2/", &[("x-name", "a")], b"").unwrap().status, 418);
    assert_eq!((proxy.applied(slowly), proxy.applied(named)), (2, 1));
    proxy.clear_rules();
    assert_eq!(request(proxy.host(), "GET", "/v2/", &[("x-name", "a")], b"").unwrap().status, 200);
    assert_eq!(proxy.applied(named), 1);
}

#[test]
fn an_answer_instead_leaves_the_connection_usable_and_an_early_one_does_not() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let proxy = &backend.proxy;
    proxy.rule(Rule { times: 1, ..Rule::new(Action::respond(503)) });
    let mut connection = Connection::open(proxy.host()).unwrap();
    assert_eq!(connection.send("PUT", "/v2/x", &[], &vec![7; 1 << 20]).unwrap().status, 503);
    assert_eq!(connection.send("GET", "/v2/", &[], b"").unwrap().status, 200);
    assert_eq!(proxy.requests()[0].request_bytes, 1 << 20);

    proxy.rule(Rule { times: 1, ..Rule::new(Action::RespondEarly(Answer::new(413))) });
    assert_eq!(connection.send("PUT", "/v2/x", &[], b"").unwrap().status, 413);
    assert!(connection.is_closed());
}

#[test]
fn a_redirect_goes_where_it_says() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let path = backend.put(b"elsewhere");
    let storage = Proxy::start(backend.registry.host());
    let url = format!("{}{{target}}", storage.url());
    backend.proxy.rule(Rule { path: "/blobs/", ..Rule::new(Action::RedirectTo(url)) });
    let answer = get(&backend.proxy, &path).unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(answer.headers.get("Location"), Some(format!("{}{path}", storage.url()).as_str()));
    assert_eq!(get(&storage, &path).unwrap().body, b"elsewhere");
}

#[test]
fn a_reset_is_a_reset_and_the_registry_has_what_came_before() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let proxy = &backend.proxy;
    proxy.rule(Rule { times: 1, ..Rule::new(Action::ResetBeforeForward) });
    assert!(is_reset(&get(proxy, "/v2/").unwrap_err()));
    assert_eq!(proxy.requests()[0].status, None);

    let reset = Action::ResetAfterRequestBytes(100_000);
    proxy.rule(Rule { method: "PUT", times: 1, ..Rule::new(reset) });
    let blob = vec![1; 1_000_000];
    assert!(is_reset(&put_blob(proxy, &blob).unwrap_err()));
    let put = proxy.requests().pop().unwrap();
    assert_eq!((put.request_bytes, put.status), (100_000, None));
    assert!(!backend.has(&blob));
    // And again, as a client does that does not give up.
    assert_eq!(put_blob(proxy, &blob).unwrap().status, 201);

    let path = backend.put(&blob);
    proxy.rule(Rule { method: "GET", times: 1, ..Rule::new(Action::ResetAfterResponseBytes(9)) });
    assert!(is_reset(&get(proxy, &path).unwrap_err()));
    assert_eq!(proxy.requests().pop().unwrap().response_bytes, 9);
}

/// What a client must know of distribution 2.8: where it was is in the `Location`, and one that is
/// not where the file is ends the upload.
#[test]
fn an_upload_cannot_go_on_after_a_reset_within_a_piece() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let proxy = &backend.proxy;
    let begun = begin(proxy, "a");
    let target = begun.headers.get("Location").unwrap().strip_prefix(&proxy.url()).unwrap();
    let first = request(proxy.host(), "PATCH", target, &[], b"first").unwrap();
    let target = first.headers.get("Location").unwrap().strip_prefix(&proxy.url()).unwrap();
    assert_eq!(get(proxy, target).unwrap().headers.get("Range"), Some("0-4"));

    let reset = Action::ResetAfterRequestBytes(100_000);
    proxy.rule(Rule { method: "PATCH", times: 1, ..Rule::new(reset) });
    let second = request(proxy.host(), "PATCH", target, &[], &vec![0; 200_000]);
    assert!(is_reset(&second.unwrap_err()));
    // The registry takes a moment to notice.
    let deadline = Instant::now() + Duration::from_secs(5);
    while get(proxy, target).unwrap().status != 404 {
        assert!(Instant::now() < deadline, "the upload goes on");
        thread::sleep(Duration::from_millis(10));
    }
    let state = get(proxy, target).unwrap().json();
    assert_eq!(state["errors"][0]["code"], "BLOB_UPLOAD_INVALID");
}

#[test]
fn a_dropped_answer_is_work_that_was_done() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let rule = Rule { method: "PUT", times: 1, ..Rule::new(Action::DropAnswer) };
    backend.proxy.rule(rule);
    let error = put_blob(&backend.proxy, b"there").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(backend.has(b"there"));
    assert_eq!(backend.proxy.requests().pop().unwrap().status, None);
}

#[test]
fn bodies_are_cut_corrupted_rewritten_and_of_the_wrong_length() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let proxy = &backend.proxy;
    let path = backend.put(b"0123456789");
    let once = |action| proxy.rule(Rule { method: "GET", times: 1, ..Rule::new(action) });

    once(Action::TruncateResponse(4));
    assert_eq!(get(proxy, &path).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(proxy.requests().pop().unwrap().response_bytes, 4);

    once(Action::CorruptResponse(3));
    assert_eq!(get(proxy, &path).unwrap().body, b"012\xcc456789");

    once(Action::RewriteBody(Rewrite::new(|body: Vec<u8>| [&body[..], b"and more"].concat())));
    assert_eq!(get(proxy, &path).unwrap().body, b"0123456789and more");

    once(Action::WrongContentLength(-3));
    let short = get(proxy, &path).unwrap();
    assert_eq!(
        (short.headers.get("Content-Length"), short.body.as_slice()),
        (Some("7"), &b"0123456"[..])
    );
    once(Action::WrongContentLength(5));
    assert_eq!(get(proxy, &path).unwrap_err().kind(), ErrorKind::UnexpectedEof);

    once(Action::SlowBody(Duration::from_millis(20)));
    let begun = Instant::now();
    assert_eq!(get(proxy, &path).unwrap().body, b"0123456789");
    assert!(begun.elapsed() >= Duration::from_millis(180));
}

#[test]
fn heads_are_edited_and_delayed() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let proxy = &backend.proxy;
    let path = backend.put(b"blob");
    let edits = [
        Action::SetHeader("Docker-Content-Digest", "sha256:00".into()),
        Action::RemoveHeader("Etag"),
        Action::SetStatus(203),
        Action::Delay(Duration::from_millis(100)),
        Action::DelayAnswer(Duration::from_millis(100)),
    ];
    for action in edits {
        proxy.rule(Rule { method: "GET", ..Rule::new(action) });
    }
    let begun = Instant::now();
    let answer = get(proxy, &path).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!((answer.status, answer.body.as_slice()), (203, &b"blob"[..]));
    assert_eq!(answer.headers.get("Docker-Content-Digest"), Some("sha256:00"));
    assert_eq!(answer.headers.get("Etag"), None);

    let relative = Rewrite::new(|url: String| url[url.find("/v2/").unwrap()..].to_owned());
    proxy.rule(Rule { method: "POST", ..Rule::new(Action::RewriteHeader("Location", relative)) });
    let location = begin(proxy, "a").headers.get("Location").unwrap().to_owned();
    assert!(location.starts_with("/v2/a/blobs/uploads/"), "{location}");
}

#[test]
fn mounts_chunks_and_large_pieces_are_refused_as_other_registries_do() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let proxy = &backend.proxy;
    let path = backend.put(b"blob");
    let digest = path.rsplit('/').next().unwrap();
    let mount = format!("/v2/b/blobs/uploads/?from=a&mount={digest}");
    let mount = || request(proxy.host(), "POST", &mount, &[], b"").unwrap().status;
    assert_eq!(mount(), 201);
    let refused = proxy.rule(Rule::new(Action::RefuseMount));
    assert_eq!(mount(), 202);
    assert_eq!(begin(proxy, "b").status, 202);
    assert_eq!(proxy.applied(refused), 1, "a begin that asks for no mount is no mount");

    let chunks = proxy.rule(Rule::new(Action::RefuseChunked(411)));
    let mut connection = Connection::open(proxy.host()).unwrap();
    let begun = begin(proxy, "c");
    let target = begun.headers.get("Location").unwrap().strip_prefix(&proxy.url()).unwrap();
    assert_eq!(connection.send_chunked("PATCH", target, &[], &[b"ab", b"c"]).unwrap().status, 411);
    assert_eq!(proxy.applied(chunks), 1);
    proxy.clear_rules();

    let above = Action::RefuseBodyAbove { bytes: 4, status: 416 };
    proxy.rule(Rule { method: "PATCH", ..Rule::new(above) });
    assert_eq!(connection.send("PATCH", target, &[], b"12345").unwrap().status, 416);
    assert_eq!(
        connection.send_chunked("PATCH", target, &[], &[b"123", b"45"]).unwrap().status,
        416
    );
    let fits = connection.send_chunked("PATCH", target, &[], &[b"123", b"4"]).unwrap();
    assert_eq!((fits.status, fits.headers.get("Range")), (202, Some("0-3")));
}

#[test]
fn a_registry_that_is_started_again_is_found_behind_the_same_proxy() {
    let storage = tempfile::tempdir().unwrap();
    let options = Options { storage: Some(storage.path()), ..Options::default() };
    let Some(first) = Registry::start(&options) else {
        return;
    };
    let proxy = Proxy::start(first.host());
    let begun = begin(&proxy, "a");
    let target = begun.headers.get("Location").unwrap().strip_prefix(&proxy.url()).unwrap();
    let mut connection = Connection::open(proxy.host()).unwrap();
    let half = connection.send("PATCH", target, &[], b"half ").unwrap();
    let target = half.headers.get("Location").unwrap().strip_prefix(&proxy.url()).unwrap();
    drop(first);
    assert!(connection.send("PATCH", target, &[], b"lost").is_err());
    assert!(get(&proxy, "/v2/").is_err());

    let second = Registry::start(&options).unwrap();
    proxy.forward_to(second.host());
    // The registry keeps uploads, and says how far they are.
    let state = get(&proxy, target).unwrap();
    assert_eq!((state.status, state.headers.get("Range")), (204, Some("0-4")));
}

#[test]
fn a_proxy_that_is_dropped_closes_what_is_open() {
    let Some(backend) = Backend::start() else {
        return;
    };
    let mut connection = Connection::open(backend.proxy.host()).unwrap();
    assert_eq!(connection.send("GET", "/v2/", &[], b"").unwrap().status, 200);
    let host = backend.proxy.host().to_owned();
    drop(backend);
    assert!(connection.is_closed());
    assert!(Connection::open(&host).is_err());
}
