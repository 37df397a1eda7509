//! Files as they lie about, and programs that pretend to keep passwords.

use std::process::Command;

use fs_err as fs;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use super::*;

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.to_owned(), password: password.to_owned() }
}

/// A machine with files below its root, and variables in which `@` is the root.
struct Machine {
    place: TempDir,
    variables: BTreeMap<String, String>,
}

impl Machine {
    fn new(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().to_str().unwrap().to_owned();
        let expand = |(name, value): &(&str, &str)| ((*name).to_owned(), value.replace('@', &root));
        let variables = variables.iter().map(expand).collect();
        let machine = Self { place, variables };
        for (path, text) in files {
            let path = machine.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    fn keychain(&self) -> Keychain {
        Keychain::from_environment(&self.variables, Some(&self.at("home")))
    }

    /// A helper in `bin`, which is in the path; `body` is shell.
    fn with_helper(mut self, name: &str, body: &str) -> Self {
        let program = self.at("bin").join(format!("docker-credential-{name}"));
        fs::create_dir_all(self.at("bin")).unwrap();
        // Written by another process: a file that this one has open for writing could not be run,
        // and whatever another test starts at the same moment inherits it.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"]);
        assert!(shell.arg(&program).arg(body).status().unwrap().success());
        let path = format!("{}:/usr/bin:/bin", self.at("bin").display());
        self.variables.insert("PATH".to_owned(), path);
        self
    }
}

fn auths(entries: &serde_json::Value) -> String {
    json!({ "auths": entries }).to_string()
}

/// What a file with these `auths` has for a repository.
fn answer(entries: &serde_json::Value, host: &str, repository: &str) -> AuthAnswer {
    let file = AuthFile::parse(Path::new("config.json"), auths(entries).as_bytes()).unwrap();
    file.answer(host, repository).unwrap()
}

/// An entry in which user and password are this.
fn entry(who: &str) -> serde_json::Value {
    json!({ "auth": auth_file::encoded(who, who) })
}

#[rstest]
#[case::whole_host(json!({"ghcr.io": entry("a")}), "ghcr.io", "u/i", Some("a"))]
#[case::another_host(json!({"ghcr.io": entry("a")}), "quay.io", "u/i", None)]
#[case::part_of_a_name(json!({"hcr.io": entry("a"), "ghcr.io.example.org": entry("b")}), "ghcr.io", "u/i", None)]
#[case::with_a_port(json!({"ghcr.io": entry("a"), "ghcr.io:5000": entry("b")}), "ghcr.io:5000", "i", Some("b"))]
#[case::of_another_port(json!({"ghcr.io:5000": entry("b")}), "ghcr.io", "i", None)]
#[case::upper_case(json!({"GHCR.io": entry("a")}), "ghcr.io", "i", Some("a"))]
#[case::most_specific(
    json!({"q.io": entry("a"), "q.io/n": entry("b"), "q.io/n/r": entry("c"), "q.io/n/r/x": entry("d")}),
    "q.io", "n/r", Some("c")
)]
#[case::namespace(json!({"q.io": entry("a"), "q.io/n": entry("b")}), "q.io", "n/r/s", Some("b"))]
#[case::another_namespace(json!({"q.io/n": entry("b")}), "q.io", "nn/r", None)]
#[case::no_repository(json!({"q.io/n": entry("b"), "q.io": entry("a")}), "q.io", "", Some("a"))]
#[case::url(json!({"https://q.io": entry("a")}), "q.io", "r", Some("a"))]
#[case::url_with_version(json!({"https://q.io/v1/": entry("a")}), "q.io", "r", Some("a"))]
#[case::url_with_newer_version(json!({"http://q.io/v2/": entry("a")}), "q.io", "r", Some("a"))]
#[case::version_alone(json!({"q.io/v1/": entry("a")}), "q.io", "r", Some("a"))]
#[case::plain_before_url(json!({"https://q.io": entry("b"), "q.io": entry("a")}), "q.io", "r", Some("a"))]
#[case::user_in_a_url(json!({"https://q.io@evil.org/": entry("a")}), "q.io", "r", None)]
#[case::docker_hub(json!({"https://index.docker.io/v1/": entry("a")}), "index.docker.io", "library/x", Some("a"))]
#[case::docker_hub_by_name(json!({"https://index.docker.io/v1/": entry("a")}), "docker.io", "x", Some("a"))]
#[case::docker_hub_by_host(json!({"docker.io": entry("a")}), "registry-1.docker.io", "x", Some("a"))]
#[case::docker_hub_namespace(json!({"docker.io/me": entry("a")}), "index.docker.io", "me/x", Some("a"))]
#[case::empty_entry(json!({"q.io": {}}), "q.io", "r", None)]
#[case::empty_values(json!({"q.io": {"auth": "", "identitytoken": ""}}), "q.io", "r", None)]
#[case::null(json!({"q.io": null}), "q.io", "r", None)]
#[case::empty_but_less_specific(json!({"q.io/n": {}, "q.io": entry("a")}), "q.io", "n", Some("a"))]
fn the_entry_of_a_repository_is_found(
    #[case] entries: serde_json::Value,
    #[case] host: &str,
    #[case] repository: &str,
    #[case] expected: Option<&str>,
) {
    let expected =
        expected.map_or(AuthAnswer::Nothing, |who| AuthAnswer::Credentials(basic(who, who)));
    assert_eq!(answer(&entries, host, repository), expected);
}

#[rstest]
#[case::base64(json!({"auth": "dTpw"}), basic("u", "p"))]
#[case::colon_in_the_password(json!({"auth": "dTpwOnE="}), basic("u", "p:q"))]
#[case::without_padding(json!({"auth": "dTpwOnE"}), basic("u", "p:q"))]
#[case::filled_with_nul(json!({"auth": "dTpwAAAA"}), basic("u", "p"))]
#[case::no_password(json!({"auth": "dTo="}), basic("u", ""))]
#[case::spelled_out(json!({"username": "u", "password": "p"}), basic("u", "p"))]
#[case::base64_first(json!({"username": "x", "password": "y", "auth": "dTpw"}), basic("u", "p"))]
#[case::refresh_token(json!({"auth": "dTpw", "identitytoken": "t"}), Credentials::IdentityToken("t".into()))]
#[case::bearer_token(json!({"registrytoken": "t"}), Credentials::RegistryToken("t".into()))]
fn an_entry_says_who(#[case] entry: serde_json::Value, #[case] expected: Credentials) {
    assert_eq!(answer(&json!({ "q.io": entry }), "q.io", "r"), AuthAnswer::Credentials(expected));
}

#[rstest]
#[case(
    "{\"auths\": {\"q.io\": {\"auth\": \"secret!\"}}}",
    "`auths.q.io.auth` is not the base64 form"
)]
#[case(
    "{\"auths\": {\"q.io\": {\"auth\": \"c2VjcmV0\"}}}",
    "`auths.q.io.auth` is not the base64 form"
)]
#[case(
    "{\"auths\": {\"q.io\": {\"auth\": [\"secret\"]}}}",
    "`auths.q.io.auth` should be text, and is a list"
)]
#[case("{\"auths\": {\"q.io\": \"secret\"}}", "`auths.q.io` should be an object, and is text")]
#[case("{\"auths\": \"secret\"}", "`auths` should be an object, and is text")]
#[case("{\"credHelpers\": \"secret\"}", "`credHelpers` should be an object, and is text")]
#[case("{\"credHelpers\": {\"q.io\": 5}}", "`credHelpers.q.io` should be text, and is a number")]
#[case("{\"credsStore\": {\"a\": \"secret\"}}", "`credsStore` should be text, and is an object")]
#[case("\"secret\"", "`the file` should be an object, and is text")]
#[case("{\"auths\": secret}", "is not JSON")]
#[case("{\"auths\": {\"secret", "is not JSON")]
#[case("\u{0}secret", "is not JSON")]
fn a_broken_file_is_named_and_not_shown(#[case] text: &str, #[case] expected: &str) {
    let machine = Machine::new(&[("home/.docker/config.json", text)], &[]);
    let error = machine.keychain().credentials("q.io", "r").unwrap_err();
    let chain =
        format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(chain.contains(expected), "{chain}");
    assert!(chain.contains(machine.at("home/.docker/config.json").to_str().unwrap()), "{chain}");
    assert!(!chain.contains("secret") && !format!("{error:?}").contains("secret"), "{error:?}");
}

#[test]
fn what_is_broken_elsewhere_in_a_file_does_no_harm() {
    let text = r#"{"auths": {"q.io": {"auth": "dTpw"}, "r.io": 5}, "credsStore": ["x"], "x": 1}"#;
    let machine = Machine::new(&[("home/.docker/config.json", text)], &[]);
    assert_eq!(machine.keychain().credentials("q.io", "r").unwrap(), Some(basic("u", "p")));
    // Docker makes an empty file and fills it later.
    let machine = Machine::new(&[("home/.docker/config.json", "")], &[]);
    assert_eq!(machine.keychain().credentials("q.io", "r").unwrap(), None);
}

#[test]
fn the_first_place_that_knows_something_decides() {
    let places = [
        "explicit.json",
        "run/containers/auth.json",
        "config/containers/auth.json",
        "docker/config.json",
        "home/.docker/config.json",
    ];
    let texts: Vec<String> =
        places.iter().map(|place| auths(&json!({"q.io": entry(place)}))).collect();
    let files: Vec<(&str, &str)> = places.iter().zip(&texts).map(|(p, t)| (*p, &**t)).collect();
    let variables = [
        ("REGISTRY_AUTH_FILE", "@/explicit.json"),
        ("XDG_RUNTIME_DIR", "@/run"),
        ("XDG_CONFIG_HOME", "@/config"),
        ("DOCKER_CONFIG", "@/docker"),
    ];
    let mut machine = Machine::new(&files, &variables);
    let keychain = machine.keychain().with("q.io", basic("mirror", "mirror"));
    assert_eq!(keychain.credentials("q.io", "r").unwrap(), Some(basic("mirror", "mirror")));
    assert_eq!(keychain.file("q.io", "r").unwrap(), None);
    assert_eq!(keychain.credentials("r.io", "r").unwrap(), None);
    for place in &places[..4] {
        let keychain = machine.keychain();
        assert_eq!(keychain.credentials("q.io", "r").unwrap(), Some(basic(place, place)));
        assert_eq!(keychain.file("q.io", "r").unwrap(), Some(machine.at(place)));
        fs::remove_file(machine.at(place)).unwrap();
    }
    // A directory named for docker stands for the usual one.
    assert_eq!(machine.keychain().credentials("q.io", "r").unwrap(), None);
    machine.variables.clear();
    let home = basic(places[4], places[4]);
    assert_eq!(machine.keychain().credentials("q.io", "r").unwrap(), Some(home));
    assert_eq!(Keychain::none().credentials("q.io", "r").unwrap(), None);
}

#[test]
fn a_mirrors_own_are_for_its_host_and_the_first_count() {
    let keychain = Keychain::none()
        .with("docker.io", basic("a", "a"))
        .with("Q.io", basic("b", "b"))
        .with("q.io", basic("c", "c"));
    assert_eq!(keychain.credentials("index.docker.io", "x").unwrap(), Some(basic("a", "a")));
    assert_eq!(keychain.credentials("q.io", "x").unwrap(), Some(basic("b", "b")));
    assert_eq!(keychain.credentials("q.io:443", "x").unwrap(), None);
}

#[test]
fn a_helper_is_asked_once_and_told_the_host_on_stdin() {
    let config = r#"{"credHelpers": {"q.io": "fake"}, "auths": {"q.io": {"auth": "dTpw"}}}"#;
    let body = r#"echo "$@" >> "$LOG"; read -r host; echo "$host" >> "$LOG"
echo '{"ServerURL": "x", "Username": "u2", "Secret": "s"}'"#;
    let variables = [("LOG", "@/log")];
    let machine = Machine::new(&[("home/.docker/config.json", config)], &variables);
    let machine = machine.with_helper("fake", body);
    let keychain = machine.keychain();
    for _ in 0..2 {
        assert_eq!(keychain.credentials("q.io", "r").unwrap(), Some(basic("u2", "s")));
    }
    assert_eq!(fs::read_to_string(machine.at("log")).unwrap(), "get\nq.io\n");
    // Others' passwords it is not asked for.
    assert_eq!(keychain.credentials("r.io", "r").unwrap(), None);
    assert_eq!(fs::read_to_string(machine.at("log")).unwrap(), "get\nq.io\n");
}

#[test]
fn the_helper_for_everything_comes_last_and_knows_docker_hub_by_its_old_name() {
    let config = r#"{"credsStore": "fake", "auths": {"q.io": {"auth": "dTpw"}, "r.io": {}}}"#;
    let body = r#"read -r host; echo "{\"Username\": \"<token>\", \"Secret\": \"$host\"}""#;
    let machine = Machine::new(&[("home/.docker/config.json", config)], &[]);
    let machine = machine.with_helper("fake", body);
    let keychain = machine.keychain();
    let token = |text: &str| Some(Credentials::IdentityToken(text.to_owned()));
    assert_eq!(keychain.credentials("q.io", "r").unwrap(), Some(basic("u", "p")));
    assert_eq!(keychain.credentials("r.io", "r").unwrap(), token("r.io"));
    let hub = token("https://index.docker.io/v1/");
    assert_eq!(keychain.credentials("docker.io", "r").unwrap(), hub);
}

#[rstest]
#[case::nothing("echo 'credentials not found in native keychain'; exit 1", None)]
#[case::nothing_on_stderr("echo 'error: credentials not found' >&2; exit 1", None)]
#[case::locked("echo 'the keychain is locked'; exit 1", Some("the keychain is locked"))]
#[case::silent("exit 3", Some("exit status: 3"))]
#[case::killed("kill -9 $$", Some("signal: 9"))]
#[case::no_json("echo 'hunter2'", Some("means nothing"))]
#[case::another_type(
    "echo '{\"Username\": \"u\", \"Secret\": [\"hunter2\"]}'",
    Some("means nothing")
)]
#[case::half("echo '{\"Username\": \"hunter2\"}'", Some("means nothing"))]
fn a_helper_that_has_nothing_or_fails(#[case] body: &str, #[case] expected: Option<&str>) {
    let config = ("home/.docker/config.json", "{\"credsStore\": \"fake\"}");
    let machine = Machine::new(&[config], &[]).with_helper("fake", body);
    match (machine.keychain().credentials("q.io", "r"), expected) {
        (Ok(None), None) => {}
        (Err(error), Some(expected)) => {
            let text = error.to_string();
            assert!(text.contains(expected) && text.contains("`docker-credential-fake`"), "{text}");
            assert!(!format!("{error:?} {text}").contains("hunter2"), "{error:?}");
        }
        (other, _) => panic!("{other:?}"),
    }
}

#[rstest]
#[case("../evil")]
#[case("/bin/sh")]
#[case("x; rm -rf")]
#[case("a b")]
#[case("ü")]
fn a_helper_that_is_no_name_is_not_run(#[case] name: &str) {
    let text = json!({ "credsStore": name }).to_string();
    let machine = Machine::new(&[("home/.docker/config.json", &text)], &[]).with_helper("x", "");
    let error = machine.keychain().credentials("q.io", "r").unwrap_err();
    assert!(matches!(error, CredentialsError::HelperName { .. }), "{error}");
}

#[test]
fn a_helper_is_looked_for_in_the_path_alone() {
    let machine = Machine::new(&[("home/.docker/config.json", "{\"credsStore\": \"fake\"}")], &[]);
    let mut machine = machine.with_helper("fake", "exit 1");
    // Not where the process happens to be, as an empty part of the path would mean.
    for path in ["", ":.:bin", "/usr/bin:/bin"] {
        machine.variables.insert("PATH".to_owned(), path.to_owned());
        let error = machine.keychain().credentials("q.io", "r").unwrap_err();
        assert!(error.to_string().contains("`docker-credential-fake`, which is not in PATH"));
    }
}

#[test]
fn a_helper_that_fails_to_keep_a_password_does_not_show_it() {
    let config = ("home/.docker/config.json", "{\"credsStore\": \"fake\"}");
    let machine = Machine::new(&[config], &[]).with_helper("fake", "cat; exit 1");
    let error = machine.keychain().store("q.io", &basic("u", "hunter2")).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    assert!(error.to_string().contains("failed to store (`q.io`): exit status: 1"), "{error}");
    assert_eq!(fs::read_to_string(machine.at(config.0)).unwrap(), config.1);
}

#[test]
fn what_is_stored_is_found_and_erased_again() {
    let machine = Machine::new(&[], &[]);
    let keychain = machine.keychain();
    let (host, hub) = ("127.0.0.1:5000", "docker.io");
    assert_eq!(keychain.erase(host).unwrap(), None);
    assert!(!machine.at("home").exists());
    for credentials in [
        basic("u", "p:ä"),
        Credentials::IdentityToken("t".into()),
        Credentials::RegistryToken("t".into()),
    ] {
        for host in [host, hub] {
            keychain.store(host, &credentials).unwrap();
            assert_eq!(keychain.credentials(host, "r").unwrap(), Some(credentials.clone()));
            assert_eq!(
                machine.keychain().credentials(host, "r").unwrap(),
                Some(credentials.clone())
            );
        }
    }
    assert_eq!(keychain.erase(hub).unwrap().unwrap().file, machine.at("home/.docker/config.json"));
    assert_eq!(keychain.credentials(hub, "r").unwrap(), None);
    assert!(keychain.credentials(host, "r").unwrap().is_some());
    assert!(matches!(
        Keychain::none().store(host, &basic("u", "p")),
        Err(CredentialsError::NoPlace)
    ));
}

#[test]
fn what_is_stored_stays_where_a_link_leads() {
    let machine = Machine::new(&[("dotfiles/config.json", "{\"x\": {\"y\": [1]}}")], &[]);
    fs::create_dir_all(machine.at("home/.docker")).unwrap();
    let link = machine.at("home/.docker/config.json");
    std::os::unix::fs::symlink(machine.at("dotfiles/config.json"), &link).unwrap();
    machine.keychain().store("q.io", &basic("u", "p")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let text = fs::read_to_string(machine.at("dotfiles/config.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value, json!({"x": {"y": [1]}, "auths": {"q.io": {"auth": "dTpw"}}}));
    assert_eq!(fs::read_dir(machine.at("dotfiles")).unwrap().count(), 1);
}

#[test]
fn nothing_that_is_secret_is_shown() {
    let file = ("home/.docker/config.json", r#"{"auths": {"q.io": {"auth": "dTpodW50ZXIy"}}}"#);
    let mut machine = Machine::new(&[file], &[]);
    machine.variables.insert("TOKEN".to_owned(), "hunter2".to_owned());
    let keychain = machine
        .keychain()
        .with("a", basic("u", "hunter2"))
        .with("b", Credentials::IdentityToken("hunter2".into()))
        .with("c", Credentials::RegistryToken("hunter2".into()));
    assert_eq!(keychain.credentials("q.io", "r").unwrap(), Some(basic("u", "hunter2")));
    let file = AuthFile::open(&machine.at(file.0)).unwrap().unwrap();
    let shown = format!("{keychain:?} {file:?} {:?}", file.answer("q.io", "r").unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains("dTpodW50ZXIy"), "{shown}");
    assert!(shown.contains("Basic { username: \"u\", .. }"), "{shown}");
}

proptest! {
    /// What one host stores is found for it, and for no other.
    #[test]
    fn credentials_stay_with_their_host(
        host in "[a-z]{1,3}\\.(io|org)(:5000)?",
        other in "[a-z]{1,3}\\.(io|org)(:5000)?",
        username in "[^:]{1,8}",
        password in "\\PC{0,8}",
    ) {
        prop_assume!(host != other);
        let entry = json!({ "auth": auth_file::encoded(&username, &password) });
        for key in [host.clone(), format!("https://{host}/v1/"), format!("{host}/ns/repo")] {
            let entries = json!({ key: entry });
            let own = AuthAnswer::Credentials(basic(&username, &password));
            prop_assert_eq!(answer(&entries, &host, "ns/repo"), own);
            prop_assert_eq!(answer(&entries, &other, "ns/repo"), AuthAnswer::Nothing);
        }
    }
}
