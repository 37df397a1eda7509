//! Passwords, tokens and certificates, with a registry that really asks for them.

use std::sync::Arc;
use std::time::Duration;

use hod_cache::PushOptions;
use hod_mirror::registry::{
    Access, BlobSource, Reference, Refusal, Registry, RegistryOptions, UploadOptions,
};
use hod_mirror::{Credentials, Error, Keychain};
use hod_testing::authority::Authority;
use hod_testing::proxy::{Action, Rule};
use hod_testing::registry::{Auth, Options};
use hod_testing::token::{self, Kind, TokenServer, User};

use crate::site::{Site, good, none};

fn basic(password: &str) -> Credentials {
    Credentials::Basic { username: "me".to_owned(), password: password.to_owned() }
}

fn options(host: &str, credentials: Credentials) -> RegistryOptions {
    let keychain = Arc::new(Keychain::none().with(host, credentials));
    RegistryOptions { keychain, attempts: 2, ..RegistryOptions::default() }
}

fn refusal(error: &Error) -> Option<Refusal> {
    match error {
        Error::Registry(error) => error.refusal(),
        _ => None,
    }
}

fn tokens(change: impl FnOnce(&mut token::Options)) -> TokenServer {
    let mut options = token::Options {
        users: vec![
            User::new("me", "secret"),
            User { may_push: false, ..User::new("reader", "secret") },
        ],
        public: vec!["public/".to_owned()],
        ..token::Options::default()
    };
    change(&mut options);
    TokenServer::start(options)
}

#[test]
fn a_password_is_asked_for_and_given() {
    let auth = Auth::Htpasswd { user: "me", password: "secret" };
    let Some(site) = Site::open(&Options { auth, ..Options::default() }) else { return };
    let host = site.proxy.host().to_owned();
    let registry = site.repository_with("a/b", options(&host, basic("secret")));
    good(site.push(&registry, &["zlib"], &none(), &PushOptions::default()));
    // One request was sent without it, to find out that it is wanted.
    assert_eq!(site.proxy.count(|seen| !seen.has_authorization()), 1);

    let registry = site.repository_with("a/b", options(&host, basic("wrong")));
    assert_eq!(refusal(&registry.greet().unwrap_err()), Some(Refusal::Unauthorized));
    let anonymous = site.repository_with("a/b", RegistryOptions::default());
    let error = anonymous.tags().unwrap_err();
    assert_eq!(refusal(&error), Some(Refusal::Unauthorized));
    assert!(anonymous.is_anonymous() && !format!("{error:?}").contains("secret"));
}

#[test]
fn one_token_serves_a_whole_push() {
    let server = tokens(|_| {});
    let auth = Auth::Token(&server);
    let Some(site) = Site::open(&Options { auth, ..Options::default() }) else { return };
    let host = site.proxy.host().to_owned();
    let registry = site.repository_with("a/b", options(&host, basic("secret")));
    let n = good(site.push(&registry, &["hello", "libpng"], &none(), &PushOptions::default()))
        .outcomes
        .len();
    let asked = server.requests();
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert_eq!(asked[0].kind, Kind::Basic);
    assert_eq!(asked[0].scopes, ["repository:a/b:pull,push"]);
    assert!(site.proxy.requests().len() <= 7 * n + 6, "{:#?}", site.told());
}

#[test]
fn a_token_that_has_run_out_is_renewed_in_the_middle() {
    // The server says they hold for long, and they do not.
    let server = tokens(|options| {
        options.lifetime = Duration::from_secs(1);
        options.announced = Some(300);
    });
    let auth = Auth::Token(&server);
    let Some(site) = Site::open(&Options { auth, ..Options::default() }) else { return };
    let host = site.proxy.host().to_owned();
    let registry = site.repository_with("a/b", options(&host, basic("secret")));
    registry.upload(BlobSource::Bytes(b"first"), UploadOptions::default()).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    good(site.push(&registry, &["zlib"], &none(), &PushOptions::default()));
    assert!(server.requests().len() >= 2);
    // One that says how short it holds is renewed before anybody complains.
    server.change(|options| options.announced = Some(1));
    let registry = site.repository_with("a/c", options(&host, basic("secret")));
    registry.upload(BlobSource::Bytes(b"second"), UploadOptions::default()).unwrap();
    std::thread::sleep(Duration::from_millis(900));
    site.proxy.clear();
    registry.upload(BlobSource::Bytes(b"third"), UploadOptions::default()).unwrap();
    assert_eq!(site.proxy.count(|seen| seen.status == Some(401)), 0);
}

#[test]
fn a_token_that_runs_out_while_a_layer_is_sent_costs_one_attempt() {
    let server = tokens(|_| {});
    let auth = Auth::Token(&server);
    let Some(site) = Site::open(&Options { auth, ..Options::default() }) else { return };
    let host = site.proxy.host().to_owned();
    let refused = Action::Respond(hod_testing::http::Answer::new(401).header(
        "WWW-Authenticate",
        format!("Bearer realm=\"{}\",service=\"{}\"", server.realm(), token::SERVICE),
    ));
    let rule = Rule { method: "PATCH", times: 1, ..Rule::new(refused) };
    let rule = site.proxy.rule(rule);
    let registry = site.repository_with("a/b", options(&host, basic("secret")));
    good(site.push(&registry, &["libpng"], &none(), &PushOptions::default()));
    assert_eq!(site.proxy.applied(rule), 1);
}

#[test]
fn who_may_only_read_reads() {
    let server = tokens(|_| {});
    let auth = Auth::Token(&server);
    let Some(site) = Site::open(&Options { auth, ..Options::default() }) else { return };
    let host = site.proxy.host().to_owned();
    let owner = site.repository_with("public/b", options(&host, basic("secret")));
    good(site.push(&owner, &["zlib"], &none(), &PushOptions::default()));

    // Nobody in particular, where that is enough.
    let reference = Reference::parse(&format!("oci+http://{host}/public/b")).unwrap();
    let anyone = Registry::open(reference, Access::Pull, RegistryOptions::default()).unwrap();
    assert_eq!(anyone.tags().unwrap().len(), 2);
    let reader = Credentials::Basic { username: "reader".into(), password: "secret".into() };
    let reader = site.repository_with("public/b", options(&host, reader));
    let upload = |to: &Registry| to.upload(BlobSource::Bytes(b"x"), UploadOptions::default());
    // The registry says 401 to both, and asks for more than their tokens hold.
    for registry in [&reader, &anyone] {
        assert_eq!(refusal(&upload(registry).unwrap_err()), Some(Refusal::Denied));
    }
    assert!(anyone.is_anonymous() && !reader.is_anonymous());
}

#[test]
fn an_identity_token_gets_tokens() {
    let server = tokens(|options| options.has_oauth = true);
    let auth = Auth::Token(&server);
    let Some(site) = Site::open(&Options { auth, ..Options::default() }) else { return };
    let identity = Credentials::IdentityToken(server.refresh_token("me"));
    let registry = site.repository_with("a/b", options(site.proxy.host(), identity));
    registry.upload(BlobSource::Bytes(b"x"), UploadOptions::default()).unwrap();
    assert_eq!(server.requests()[0].kind, Kind::Refresh);
    let given = server.issue(&["repository:a/b:pull,push"], Duration::from_secs(60));
    let registry =
        site.repository_with("a/b", options(site.proxy.host(), Credentials::RegistryToken(given)));
    registry.upload(BlobSource::Bytes(b"y"), UploadOptions::default()).unwrap();
}

#[test]
fn a_certificate_is_trusted_if_somebody_says_so() {
    let authority = Authority::new();
    let tls = Some(&authority);
    let Some(site) = Site::open(&Options { tls, ..Options::default() }) else { return };
    let reference = Reference::parse(&format!("oci://{}/a/b", site.server.host())).unwrap();
    let open = |options| Registry::open(reference.clone(), Access::Push, options).unwrap();
    let ca_file = Some(authority.ca_pem_path());
    let trusting = open(RegistryOptions { ca_file, ..RegistryOptions::default() });
    good(site.push(&trusting, &["zlib"], &none(), &PushOptions::default()));

    let once = RegistryOptions { attempts: 1, ..RegistryOptions::default() };
    let error = open(once).tags().unwrap_err();
    let text = format!("{:?}", causes(&error));
    assert!(text.contains("cannot reach") && text.contains("certificate"), "{text}");
    let careless = open(RegistryOptions { verify_tls: false, ..RegistryOptions::default() });
    assert_eq!(careless.tags().unwrap().len(), 2);
}

fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

#[test]
fn what_is_no_registry_is_said_to_be_none() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let page = hod_testing::http::Answer::new(200)
        .header("Content-Type", "text/html")
        .body(b"<html>hello</html>");
    site.proxy.rule(Rule { times: 100, ..Rule::new(Action::Respond(page)) });
    let registry = site.repository_with("a/b", RegistryOptions::default());
    let text = causes(&registry.tags().unwrap_err()).join(": ");
    assert!(text.contains("is not a container registry"), "{text}");
    let nobody = Reference::parse("oci+http://127.0.0.1:1/a/b").unwrap();
    let once = RegistryOptions { attempts: 1, ..RegistryOptions::default() };
    let nobody = Registry::open(nobody, Access::Pull, once).unwrap();
    let text = causes(&nobody.tags().unwrap_err()).join(": ");
    assert!(text.contains("cannot reach `127.0.0.1:1`"), "{text}");
}
