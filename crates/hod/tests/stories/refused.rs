//! What a registry refuses, and what comes between: each with what is wrong, where, and what to do.

use hod_testing::authority::Authority;
use hod_testing::disk::SmallDisk;
use hod_testing::http::Answer;
use hod_testing::proxy::{Action, Proxy, Rule};
use hod_testing::registry::{Auth, Options, Registry};
use hod_testing::token::{self, TokenServer, User};
use insta::assert_snapshot;

use crate::login::login;
use crate::story::Story;

/// What `docker login` would have written.
fn passwords(story: &Story, host: &str, auth: &str) {
    let _ = fs_err::create_dir(story.at("home/.docker"));
    let config = format!(r#"{{"auths": {{"{host}": {auth}}}}}"#);
    fs_err::write(story.at("home/.docker/config.json"), config).unwrap();
}

#[test]
fn a_password_is_asked_for_and_a_wrong_one_is_told() {
    let auth = Auth::Htpasswd { user: "ada", password: "secret" };
    let Some(server) = Registry::start(&Options { auth, ..Options::default() }) else { return };
    let (story, host) = (Story::with_zlib(), server.host());
    story.tell(&format!("push oci+http://{host}/a ./zlib-1.3.1"));
    story.tell(&format!("list -m oci+http://{host}/a"));
    login(&story, &format!("login oci+http://{host} -u ada --password-stdin"), "wrong");
    // ada:wrong
    passwords(&story, host, r#"{"auth": "YWRhOndyb25n"}"#);
    story.tell(&format!("push oci+http://{host}/a ./zlib-1.3.1"));
    passwords(&story, host, r#"{"auth": "ada:wrong"}"#);
    story.tell(&format!("push oci+http://{host}/a ./zlib-1.3.1"));
    fs_err::write(story.at("home/.docker/config.json"), r#"{"credsStore": "safe"}"#).unwrap();
    story.tell(&format!("push oci+http://{host}/a ./zlib-1.3.1"));
    login(&story, &format!("login oci+http://{host} -u ada --password-stdin"), "secret");
    assert_snapshot!(story.told(), @"
    $ hod push oci+http://[HOST]/a ./zlib-1.3.1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: HEAD http://[HOST]/v2/a/manifests/zlib-1.3.1-[hash]: 401
    2>
    2> hint: `hod login [HOST]` says who you are
    exit 1
    $ hod list -m oci+http://[HOST]/a
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: GET http://[HOST]/v2/a/tags/list: 401 UNAUTHORIZED: authentication required
    2>
    2> hint: `hod login [HOST]` says who you are
    exit 1
    $ hod login oci+http://[HOST] -u ada --password-stdin
    2> error: could not log in to `[HOST]` as `ada`
    2>   cause: GET http://[HOST]/v2/: 401 UNAUTHORIZED: authentication required
    2>
    2> hint: `hod login [HOST]` with the right password, or with a token that still holds
    2> hint: what `hod mirror set` knows for the host comes first: look at the variable named there
    exit 1
    $ hod push oci+http://[HOST]/a ./zlib-1.3.1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: HEAD http://[HOST]/v2/a/manifests/zlib-1.3.1-[hash]: 401
    2>
    2> hint: `hod login [HOST]` with the right password, or with a token that still holds
    2> hint: what `hod mirror set` knows for the host comes first: look at the variable named there
    exit 1
    $ hod push oci+http://[HOST]/a ./zlib-1.3.1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: cannot look up the credentials for `[HOST]`
    2>   cause: `[DIR]/home/.docker/config.json`: `auths.[HOST].auth` is not the base64 form of a user, a colon and a password
    2>
    2> hint: `hod login REGISTRY` writes the entry anew
    exit 1
    $ hod push oci+http://[HOST]/a ./zlib-1.3.1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: cannot look up the credentials for `[HOST]`
    2>   cause: `[DIR]/home/.docker/config.json` names the credential helper `docker-credential-safe`, which is not in PATH
    2>
    2> hint: install `docker-credential-safe`, or take it out of `[DIR]/home/.docker/config.json`
    exit 1
    $ hod login oci+http://[HOST] -u ada --password-stdin
    2> error: `[DIR]/home/.docker/config.json` names the credential helper `docker-credential-safe`, which is not in PATH
    2>
    2> hint: install `docker-credential-safe`, or take it out of `[DIR]/home/.docker/config.json`
    exit 1
    ");
}

#[test]
fn tokens_that_are_not_given_or_not_enough_are_told() {
    let reader = User { may_push: false, ..User::new("bob", "secret") };
    let options = token::Options {
        users: vec![User::new("ada", "secret"), reader],
        public: vec!["public".to_owned()],
        ..token::Options::default()
    };
    let tokens = TokenServer::start(options);
    let auth = Auth::Token(&tokens);
    let Some(server) = Registry::start(&Options { auth, ..Options::default() }) else { return };
    let (story, host) = (Story::with_zlib(), server.host());
    story.tell(&format!("push oci+http://{host}/public ./zlib-1.3.1"));
    story.tell(&format!("list -m oci+http://{host}/a"));
    // bob:secret
    passwords(&story, host, r#"{"auth": "Ym9iOnNlY3JldA=="}"#);
    story.tell(&format!("push oci+http://{host}/a ./zlib-1.3.1"));
    // bob:wrong
    passwords(&story, host, r#"{"auth": "Ym9iOndyb25n"}"#);
    story.tell(&format!("push oci+http://{host}/a ./zlib-1.3.1"));
    // What a login long ago has left.
    passwords(&story, host, r#"{"identitytoken": "of last year"}"#);
    story.tell(&format!("push oci+http://{host}/a ./zlib-1.3.1"));
    passwords(&story, host, r#"{"registrytoken": "of last year"}"#);
    story.tell(&format!("push oci+http://{host}/a ./zlib-1.3.1"));
    // ada:secret, whose tokens have run out when they come.
    passwords(&story, host, r#"{"auth": "YWRhOnNlY3JldA=="}"#);
    tokens.change(|options| options.lifetime = std::time::Duration::ZERO);
    story.tell(&format!("push oci+http://{host}/a ./zlib-1.3.1 --retries 1"));
    assert_snapshot!(story.told(), @"
    $ hod push oci+http://[HOST]/public ./zlib-1.3.1
    2> error: could not use the mirror `oci+http://[HOST]/public`
    2>   cause: POST http://[HOST]/v2/public/blobs/uploads/: 401 UNAUTHORIZED: authentication required
    2>
    2> hint: `hod login [HOST]` says who you are
    exit 1
    $ hod list -m oci+http://[HOST]/a
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: GET http://[HOST]/v2/a/tags/list: 401 UNAUTHORIZED: authentication required
    2>
    2> hint: `hod login [HOST]` says who you are
    exit 1
    $ hod push oci+http://[HOST]/a ./zlib-1.3.1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: POST http://[HOST]/v2/a/blobs/uploads/: 401 UNAUTHORIZED: authentication required
    2>
    2> hint: `hod login [HOST]` as somebody who may do this, or name another repository
    exit 1
    $ hod push oci+http://[HOST]/a ./zlib-1.3.1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: got no token for `[HOST]`
    2>   cause: GET http://[HOST]/token: 401 UNAUTHORIZED: who is that
    2>
    2> hint: `hod login [HOST]` with the right password, or with a token that still holds
    2> hint: what `hod mirror set` knows for the host comes first: look at the variable named there
    exit 1
    $ hod push oci+http://[HOST]/a ./zlib-1.3.1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: got no token for `[HOST]`
    2>   cause: POST http://[HOST]/token: 401 UNAUTHORIZED: who is that
    2>
    2> hint: `hod login [HOST]` with the right password, or with a token that still holds
    2> hint: what `hod mirror set` knows for the host comes first: look at the variable named there
    exit 1
    $ hod push oci+http://[HOST]/a ./zlib-1.3.1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: HEAD http://[HOST]/v2/a/manifests/zlib-1.3.1-[hash]: 401
    2>
    2> hint: `hod login [HOST]` with the right password, or with a token that still holds
    2> hint: what `hod mirror set` knows for the host comes first: look at the variable named there
    exit 1
    $ hod push oci+http://[HOST]/a ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: HEAD http://[HOST]/v2/a/manifests/zlib-1.3.1-[hash]: 401
    2>
    2> hint: `hod login [HOST]` with the right password, or with a token that still holds
    2> hint: what `hod mirror set` knows for the host comes first: look at the variable named there
    exit 1
    ");
}

#[test]
fn what_a_registry_does_not_want_comes_with_what_to_do() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let proxy = Proxy::start(server.host());
    let story = Story::with_zlib();
    let said = |status, code: &str, message: &str| {
        let body = format!(r#"{{"errors": [{{"code": "{code}", "message": "{message}"}}]}}"#);
        Action::Respond(Answer::new(status).body(body))
    };
    // A repository for each: what is there is not pushed again.
    let number = std::cell::Cell::new(0);
    let refuse = |shown: &str, method, path, action| {
        proxy.clear_rules();
        proxy.rule(Rule { method, path, ..Rule::new(action) });
        number.set(number.get() + 1);
        let place = format!("oci+http://{}/a/{}", proxy.host(), number.get());
        let words = format!("push {place} ./zlib-1.3.1 --retries 1");
        story.tell_as(&format!("{shown}: hod {words}"), story.hod(&words));
    };
    let uploads = "/blobs/uploads/";
    refuse("denied", "POST", uploads, said(403, "DENIED", "not yours"));
    refuse("no such repository", "POST", uploads, said(404, "NAME_UNKNOWN", "make it first"));
    refuse("no such name", "POST", uploads, said(400, "NAME_INVALID", "one more level is needed"));
    refuse(
        "a large blob",
        "",
        "/blobs/uploads/",
        Action::RefuseBodyAbove { bytes: 100, status: 413 },
    );
    refuse("a large manifest", "PUT", "/manifests/", said(413, "SIZE_INVALID", "too many layers"));
    refuse("full", "PUT", uploads, Action::respond(507));
    let wait = Answer::new(429).header("Retry-After", "86400");
    refuse("too much", "POST", uploads, Action::Respond(wait));
    refuse("down", "POST", uploads, Action::respond(503));
    refuse("broken", "POST", uploads, Action::ResetBeforeForward);
    refuse(
        "tokens from nowhere",
        "POST",
        uploads,
        Action::Respond(
            Answer::new(401)
                .header("WWW-Authenticate", r#"Bearer realm="http://127.0.0.1:1/token""#),
        ),
    );
    assert_snapshot!(story.told(), @"
    $ denied: hod push oci+http://[HOST]/a/1 ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a/1`
    2>   cause: POST http://[HOST]/v2/a/1/blobs/uploads/: 403 DENIED: not yours
    2>
    2> hint: `hod login [HOST]` says who you are
    exit 1
    $ no such repository: hod push oci+http://[HOST]/a/2 ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a/2`
    2>   cause: POST http://[HOST]/v2/a/2/blobs/uploads/: 404 NAME_UNKNOWN: make it first
    2>
    2> hint: see whether the repository is spelled right; some must be made first
    exit 1
    $ no such name: hod push oci+http://[HOST]/a/3 ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a/3`
    2>   cause: POST http://[HOST]/v2/a/3/blobs/uploads/: 400 NAME_INVALID: one more level is needed
    2>
    2> hint: name one that it allows, such as `oci://[HOST]/PROJECT/NAME`
    exit 1
    $ a large blob: hod push oci+http://[HOST]/a/4 ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a/4`
    2>   cause: PATCH http://[HOST]/v2/a/4/blobs/uploads/[upload]: 413
    2>
    2> hint: raise the limit at the registry or the proxy before it, such as nginx's `client_max_body_size`
    exit 1
    $ a large manifest: hod push oci+http://[HOST]/a/5 ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a/5`
    2>   cause: PUT http://[HOST]/v2/a/5/manifests/zlib-1.3.1-[hash]: 413 SIZE_INVALID: too many layers
    2>
    2> hint: `--max-layers 60` merges more layers of a tagged image
    2> hint: `--only package` makes images without what the packages depend on
    exit 1
    $ full: hod push oci+http://[HOST]/a/6 ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a/6`
    2>   cause: PUT http://[HOST]/v2/a/6/blobs/uploads/[upload]: 507
    2>
    2> hint: make room at the registry and run the same command again: what is there is not sent again
    exit 1
    $ too much: hod push oci+http://[HOST]/a/7 ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a/7`
    2>   cause: POST http://[HOST]/v2/a/7/blobs/uploads/: 429
    2>
    2> hint: run the same command again later, or with fewer `--connections`
    2> hint: `hod login [HOST]` may raise the limit
    exit 1
    $ down: hod push oci+http://[HOST]/a/8 ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a/8`
    2>   cause: gave up after 1 attempt
    2>   cause: POST http://[HOST]/v2/a/8/blobs/uploads/: 503
    2>
    2> hint: run the same command again later: what is there is not sent again
    exit 1
    $ broken: hod push oci+http://[HOST]/a/9 ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a/9`
    2>   cause: gave up after 1 attempt
    2>   cause: POST http://[HOST]/v2/a/9/blobs/uploads/ broke off
    2>   cause: Connection reset by peer (os error 104)
    2>
    2> hint: run the same command again later: what is there is not sent again
    2> hint: `--connections 4` asks less of a weak network or registry
    exit 1
    $ tokens from nowhere: hod push oci+http://[HOST]/a/10 ./zlib-1.3.1 --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a/10`
    2>   cause: gave up after 1 attempt
    2>   cause: got no token for `[HOST]`
    2>   cause: cannot reach `127.0.0.1:1`
    2>   cause: Connection refused (os error 111)
    2>
    2> hint: see whether it runs and its port is right, and whether HTTPS_PROXY leads to it
    exit 1
    ");
    proxy.clear_rules();
    story.done(&format!("push oci+http://{}/a ./zlib-1.3.1", proxy.host()));
}

#[test]
fn a_full_disk_of_the_registry_is_told_at_once() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let options = Options { storage: Some(disk.path()), ..Options::default() };
    let Some(server) = Registry::start(&options) else { return };
    let story = Story::new();
    story.tree("big-1.0", "bin/tool 755 *3000000\n");
    crate::story::settle();
    let ended = story.run(&format!("push oci+http://{}/a ./big-1.0", server.host()));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for text in ["no space left on device", "hint: make room at the registry"] {
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("Waiting"), "{}", ended.stderr);
}

#[test]
fn what_is_no_registry_is_told_from_one_that_cannot_be_reached() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let authority = Authority::new();
    let with_tls = Options { tls: Some(&authority), ..Options::default() };
    let Some(secret) = Registry::start(&with_tls) else { return };
    let proxy = Proxy::start(server.host());
    let story = Story::with_zlib();
    let list = |url: &str| story.tell(&format!("list -m {url} --retries 1"));

    let page = Answer::new(200).header("Content-Type", "text/html").body("<html>");
    proxy.rule(Rule::new(Action::Respond(page)));
    list(&format!("oci+http://{}/a", proxy.host()));
    proxy.clear_rules();
    proxy.rule(Rule::new(Action::respond(404)));
    list(&format!("oci+http://{}/a", proxy.host()));
    list(&format!("oci+http://{}/a", secret.host()));
    list(&format!("oci://{}/a", server.host()));
    list(&format!("oci://{}/a", secret.host()));
    fs_err::write(story.at("ca.pem"), "no certificate").unwrap();
    list(&format!("oci://{}/a --ca-file ca.pem", secret.host()));
    list(&format!("oci://{}/a --ca-file none.pem", secret.host()));
    fs_err::copy(authority.ca_pem_path(), story.at("ca.pem")).unwrap();
    list(&format!("oci://{}/a --ca-file ca.pem", secret.host()));
    list("oci+http://127.0.0.1:1/a");
    assert_snapshot!(story.told(), @"
    $ hod list -m oci+http://[HOST]/a --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: `[HOST]` is not a container registry: `http://[HOST]/v2/` is a web page
    2>
    2> hint: a registry with TLS is `oci://…`, one without it `oci+http://…`
    2> hint: name it as for docker, `oci://HOST/NAME`, without the path of a web page
    exit 1
    $ hod list -m oci+http://[HOST]/a --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: `[HOST]` is not a container registry: `http://[HOST]/v2/` answers 404
    2>
    2> hint: a registry with TLS is `oci://…`, one without it `oci+http://…`
    2> hint: name it as for docker, `oci://HOST/NAME`, without the path of a web page
    exit 1
    $ hod list -m oci+http://[HOST]/a --retries 1
    2> error: could not use the mirror `oci+http://[HOST]/a`
    2>   cause: `[HOST]` is not a container registry: `http://[HOST]/v2/` answers 400
    2>
    2> hint: a registry with TLS is `oci://…`, one without it `oci+http://…`
    2> hint: name it as for docker, `oci://HOST/NAME`, without the path of a web page
    exit 1
    $ hod list -m oci://[HOST]/a --retries 1
    2> error: could not use the mirror `oci://[HOST]/a`
    2>   cause: cannot reach `[HOST]`
    2>   cause: received corrupt message of type InvalidContentType
    2>
    2> hint: a registry without TLS is `oci+http://[HOST]/…`
    exit 1
    $ hod list -m oci://[HOST]/a --retries 1
    2> error: could not use the mirror `oci://[HOST]/a`
    2>   cause: cannot reach `[HOST]`
    2>   cause: invalid peer certificate: UnknownIssuer
    2>
    2> hint: name the certificate of its authority with `--ca-file PEM`, or with HOD_CA_FILE
    2> hint: `--tls-verify false` trusts whoever answers
    exit 1
    $ hod list -m oci://[HOST]/a --ca-file ca.pem --retries 1
    2> error: cannot read the certificates in `ca.pem`
    2>   cause: there is none in it
    2>
    2> hint: name a PEM file with `--ca-file`, or with HOD_CA_FILE
    exit 1
    $ hod list -m oci://[HOST]/a --ca-file none.pem --retries 1
    2> error: cannot read the certificates in `none.pem`
    2>   cause: failed to open file `none.pem`: No such file or directory (os error 2)
    2>
    2> hint: name a PEM file with `--ca-file`, or with HOD_CA_FILE
    exit 1
    $ hod list -m oci://[HOST]/a --ca-file ca.pem --retries 1
    2> 0 packages in `oci://[HOST]/a`
    2> A repository that does not exist looks the same: see whether its name is right
    exit 0
    $ hod list -m oci+http://127.0.0.1:1/a --retries 1
    2> error: could not use the mirror `oci+http://127.0.0.1:1/a`
    2>   cause: gave up after 1 attempt
    2>   cause: cannot reach `127.0.0.1:1`
    2>   cause: Connection refused (os error 111)
    2>
    2> hint: see whether it runs and its port is right, and whether HTTPS_PROXY leads to it
    exit 1
    ");

    // What the system says of such a name differs.
    let ended = story.run("list -m oci+http://nowhere.invalid/a --retries 1");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("error: could not use the mirror"), "{}", ended.stderr);
    assert!(ended.stderr.contains("cause: cannot reach `nowhere.invalid`"), "{}", ended.stderr);
    assert!(ended.stderr.contains("HTTPS_PROXY"), "{}", ended.stderr);
}
