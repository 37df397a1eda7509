//! Passwords and tokens are where they must be, and nowhere else.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use hod_testing::http::Answer;
use hod_testing::proxy::{Action, Proxy, Rewrite, Rule};
use hod_testing::registry::{Auth, Options};
use hod_testing::token::{self, TokenServer, User};

use super::Site;
use crate::support::both;

/// With characters that are written otherwise in URLs and JSON.
const PASSWORD: &str = "pa%20ss&w\"rd/of+ada";

/// The ways in which it could be written down.
fn disguises(password: &str) -> Vec<String> {
    let pair = format!("ada:{password}");
    let mut encode = std::process::Command::new("base64");
    let mut encode =
        encode.arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    encode.stdin.take().unwrap().write_all(pair.as_bytes()).unwrap();
    let encoded = String::from_utf8(encode.wait_with_output().unwrap().stdout).unwrap();
    vec![
        password.to_owned(),
        password.replace('"', "\\\""),
        password.replace('%', "%25").replace('&', "%26").replace('"', "%22"),
        "w%22rd".to_owned(),
        encoded.trim_end_matches('=').to_owned(),
        // How every token begins that has JSON in it, and how it is sent.
        "eyJ".to_owned(),
        "Bearer ".to_owned(),
    ]
}

fn assert_silent(what: &str, text: &[u8], secrets: &[String]) {
    let text = String::from_utf8_lossy(text);
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{what} has `{secret}`:\n{text}");
    }
}

/// All files but that of the passwords.
fn assert_clean(directory: &Path, secrets: &[String]) -> usize {
    let mut files = 0;
    for entry in fs_err::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let is_store = path.ends_with("store");
        if kind.is_dir() && !is_store {
            files += assert_clean(&path, secrets);
        } else if kind.is_file() && !path.ends_with("home/.docker/config.json") {
            files += 1;
            let name = path.display().to_string();
            assert_silent("a name", name.as_bytes(), secrets);
            assert_silent(&name, &fs_err::read(&path).unwrap(), secrets);
        }
    }
    files
}

/// A host that the registry sends its clients to, for uploads and blobs, and which takes all.
fn elsewhere(site: &Site) -> Proxy {
    let other = Proxy::start(site.server.host());
    let rule = |method, path, action| Rule { method, path, ..Rule::new(action) };
    other.rule(rule("PUT", "/blobs/uploads/", Action::Respond(Answer::new(201))));
    other.rule(rule("PATCH", "/blobs/uploads/", Action::Respond(Answer::new(401))));
    other.rule(rule("GET", "", Action::Respond(Answer::new(401))));
    other
}

fn run(site: &Site, words: &str, input: &str) -> Output {
    let mut hod = site.place.hod(words);
    hod.env("TOKEN_OF_ADA", PASSWORD).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
    hod.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = hod.spawn().unwrap();
    // Who fails early reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Everything that a user does in a day, what fails included.
fn a_day(auth: Auth<'_>) {
    let Some(site) = Site::open(&Options { auth, ..Options::default() }) else { return };
    let secrets = disguises(PASSWORD);
    let registry = Proxy::start(site.server.host());
    let other = elsewhere(&site);
    let host = registry.host();
    let quietly = |words: String, code: i32, input: &str| {
        for more in ["-v", "--json"] {
            let output = run(&site, &format!("{words} {more}"), input);
            assert_eq!(output.status.code(), Some(code), "{words}: {}", both(&output));
            assert_silent(&words, &output.stdout, &secrets);
            assert_silent(&words, &output.stderr, &secrets);
        }
    };
    let push = format!("push --store ./store oci+http://{host}/lab/cache --retries 2");
    quietly(format!("{push} zlib"), 1, "");
    quietly(format!("login http://{host} -u ada --password-stdin"), 1, "wr\"ng");
    quietly(format!("login http://{host} -u ada --password-stdin"), 0, PASSWORD);
    quietly(format!("{push} zlib --update-index"), 0, "");
    quietly(format!("index oci+http://{host}/lab/cache"), 0, "");
    // The same by its name.
    let add = format!("mirror add my oci+http://{host}/lab/cache");
    assert!(site.place.hod(&add).output().unwrap().status.success());
    quietly(
        "mirror set --oci-username ada --oci-password-variable TOKEN_OF_ADA my".to_owned(),
        0,
        "",
    );
    quietly("mirror list".to_owned(), 0, "");
    quietly("push --store ./store my zlib bzip2 --update-index".to_owned(), 0, "");

    // Sent to another host in the middle, where it fails.
    let target = other.host().to_owned();
    let away = Rewrite::new(move |location: String| {
        let path = location.split("/v2/").nth(1).unwrap_or_default().to_owned();
        format!("http://{target}/v2/{path}")
    });
    let uploads = registry.rule(Rule {
        method: "POST",
        path: "/blobs/uploads/",
        ..Rule::new(Action::RewriteHeader("Location", away))
    });
    let blobs = registry.rule(Rule {
        method: "GET",
        path: "/blobs/sha256",
        ..Rule::new(Action::RedirectTo(format!("{}{{target}}", other.url())))
    });
    assert!(assert_clean(&site.place.at(""), &secrets) > 3);
    fs_err::remove_dir_all(site.place.at("home/.cache")).unwrap();
    quietly("push --store ./store my libpng".to_owned(), 1, "");
    let index = run(&site, "index my -v", "");
    assert_silent("index", both(&index).as_bytes(), &secrets);
    assert!(registry.applied(uploads) > 0 && registry.applied(blobs) > 0);
    assert!(!other.requests().is_empty());
    for seen in other.requests() {
        assert_silent("a request to another host", format!("{seen:?}").as_bytes(), &secrets);
        assert!(!seen.has_authorization(), "{seen:?}");
    }
    // What is in a URL is in the logs of every server on the way.
    for seen in registry.requests() {
        assert_silent("a URL", seen.target.as_bytes(), &secrets);
    }
    assert_clean(&site.place.at(""), &secrets);
}

#[test]
fn a_password_is_nowhere_but_where_it_is_kept() {
    a_day(Auth::Htpasswd { user: "ada", password: PASSWORD });
}

#[test]
fn a_token_is_nowhere() {
    let users = vec![User::new("ada", PASSWORD)];
    let tokens = TokenServer::start(token::Options { users, ..token::Options::default() });
    a_day(Auth::Token(&tokens));
    assert!(tokens.requests().iter().any(|request| request.status == 200));
}

/// Everybody on a machine sees the arguments of everybody's programs.
#[test]
fn no_password_is_taken_as_an_argument() {
    let place = crate::support::Place::new();
    for words in [
        "login ghcr.io -u ada -p secret",
        "login ghcr.io -u ada --password secret",
        "mirror add --oci-username ada --oci-password secret my oci://ghcr.io/a/b",
        "mirror add --s3-access-key-secret secret my s3://b",
        "push oci://ada:secret@ghcr.io/a/b zlib",
    ] {
        let output = place.hod(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {}", both(&output));
    }
    assert!(!place.at("home/.docker").exists() && !place.at("home/.spack").exists());
}
