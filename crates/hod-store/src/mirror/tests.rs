//! `mirrors.yaml` as `spack mirror` writes it, and as people did before.

use std::path::PathBuf;

use rstest::rstest;

use super::*;
use crate::SpackConfig;

fn parse(text: &str) -> Vec<MirrorConfig> {
    let environment = Environment { cwd: "/cwd".into(), ..Environment::default() };
    let file = Path::new("/etc/spack/mirrors.yaml");
    SpackConfig::parse(text.as_bytes(), file, &environment).unwrap().mirrors().unwrap()
}

/// The mirrors after one of the commands in `fixtures/spack/mirrors/commands.txt`.
fn after(command: &str) -> Vec<MirrorConfig> {
    let forms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack/mirrors");
    let path: PathBuf = forms.join(command).with_extension("yaml");
    parse(&fs_err::read_to_string(path).unwrap())
}

/// What `spack mirror list` says of a mirror, and the rest that matters: `name [sb] url`, with `-`
/// for what it is not; then `unsigned`, `autopush`, and the URL to push to if it is another.
fn line(mirror: &MirrorConfig) -> String {
    let push = mirror.push.as_ref().map(|push| &*push.url);
    let mut line = format!(
        "{} [{}{}] {}",
        mirror.name,
        if mirror.source { 's' } else { '-' },
        if mirror.binary { 'b' } else { '-' },
        mirror.fetch.url
    );
    if push != Some(&mirror.fetch.url) {
        line = format!("{line} push: {}", push.unwrap_or("nowhere"));
    }
    if !mirror.signed {
        line += " unsigned";
    }
    if mirror.autopush {
        line += " autopush";
    }
    line
}

#[rstest]
#[case("01-plain-path", &["plain [sb] file:///opt/hpc/golden/v3-unsigned"])]
#[case("02-and-file-url", &[
    "fileurl [sb] file:///opt/hpc/golden/v3-unsigned",
    "plain [sb] file:///opt/hpc/golden/v3-unsigned",
])]
#[case("03-and-https-unsigned", &[
    "web [sb] https://cache.example.invalid/spack unsigned",
    "fileurl [sb] file:///opt/hpc/golden/v3-unsigned",
    "plain [sb] file:///opt/hpc/golden/v3-unsigned",
])]
#[case("04-signed", &["web [sb] https://cache.example.invalid/spack"])]
#[case("05-set-unsigned", &["web [sb] https://cache.example.invalid/spack unsigned"])]
#[case("06-unsigned", &["web [sb] https://cache.example.invalid/spack unsigned"])]
#[case("07-set-push-url", &[
    "web [sb] https://cache.example.invalid/spack push: s3://bucket-example/push unsigned",
])]
#[case("08-set-fetch-url", &[
    "web [sb] https://cdn.example.invalid/spack push: s3://bucket-example/push unsigned",
])]
#[case("09-set-push-access-pair", &[
    "web [sb] https://cdn.example.invalid/spack push: s3://bucket-example/push unsigned",
])]
#[case("10-set-autopush", &[
    "web [sb] https://cdn.example.invalid/spack push: s3://bucket-example/push unsigned autopush",
])]
#[case("11-set-no-autopush", &[
    "web [sb] https://cdn.example.invalid/spack push: s3://bucket-example/push unsigned",
])]
#[case("12-set-type-binary", &[
    "web [-b] https://cdn.example.invalid/spack push: s3://bucket-example/push unsigned",
])]
#[case("13-set-type-source", &[
    "web [s-] https://cdn.example.invalid/spack push: s3://bucket-example/push unsigned",
])]
#[case("20-s3-keys", &["s3m [sb] s3://bucket-example/prefix"])]
#[case("30-oci-literal-user", &["reg [sb] oci://registry.example.invalid/team/cache unsigned"])]
#[case("31-oci-user-variable", &[
    "reg [sb] oci://registry.example.invalid/team/cache unsigned autopush",
])]
#[case("32-oci-http", &["local [sb] oci+http://localhost:5051/golden/nobase unsigned"])]
#[case("40-type-binary", &["b [-b] https://cache.example.invalid/b unsigned"])]
#[case("41-type-source", &[
    "s [s-] https://cache.example.invalid/s",
    "b [-b] https://cache.example.invalid/b unsigned",
])]
#[case("42-autopush", &[
    "a [sb] file:///opt/hpc/golden/v3-signed autopush",
    "s [s-] https://cache.example.invalid/s",
    "b [-b] https://cache.example.invalid/b unsigned",
])]
#[case("43-views", &[
    "both [sb] https://cache.example.invalid/both",
    "a [sb] file:///opt/hpc/golden/v3-signed autopush",
    "s [s-] https://cache.example.invalid/s",
    "b [-b] https://cache.example.invalid/b unsigned",
])]
#[case("50-set-url-connection", &["x [sb] https://one.example.invalid/x"])]
#[case("51-set-url", &["x [sb] https://two.example.invalid/x"])]
#[case("52-set-url-push", &["x [sb] https://two.example.invalid/x push: s3://bucket-example/x"])]
#[case("53-remove", &[])]
fn what_spack_mirror_writes_is_read(#[case] command: &str, #[case] expected: &[&str]) {
    assert_eq!(after(command).iter().map(line).collect::<Vec<_>>(), expected);
}

#[test]
fn every_form_in_the_fixtures_is_read() {
    let forms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack/mirrors");
    let names = fs_err::read_dir(forms).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != "commands.txt");
    assert_eq!(names.len(), 30);
    for name in names {
        after(name.trim_end_matches(".yaml"));
    }
}

fn variable(name: &str) -> Secret {
    Secret::Variable(name.to_owned())
}

#[test]
fn credentials_of_s3_are_read_for_both_directions() {
    let expected = Connection {
        url: "s3://bucket-example/prefix".to_owned(),
        access_pair: Some(AccessPair {
            id: variable("AWS_ACCESS_KEY_ID"),
            secret: variable("AWS_SECRET_ACCESS_KEY"),
        }),
        ..Connection::default()
    };
    let endpoint = Some("https://s3.example.invalid:9000".to_owned());
    let profile = Some("profile-example".to_owned());
    let token = Some(variable("AWS_SESSION_TOKEN"));
    for (command, expected) in [
        ("20-s3-keys", expected.clone()),
        ("21-s3-endpoint", Connection { endpoint_url: endpoint.clone(), ..expected.clone() }),
        (
            "22-s3-profile",
            Connection {
                endpoint_url: endpoint.clone(),
                profile: profile.clone(),
                ..expected.clone()
            },
        ),
        (
            "23-s3-token",
            Connection {
                endpoint_url: endpoint,
                profile: profile.clone(),
                access_token: token.clone(),
                ..expected.clone()
            },
        ),
        (
            "25-s3-all",
            Connection {
                endpoint_url: Some("https://s3.example.invalid".to_owned()),
                profile,
                access_token: token,
                ..expected
            },
        ),
    ] {
        let mirror = after(command).remove(0);
        assert_eq!(mirror.fetch, expected, "{command}");
        assert_eq!(mirror.push, Some(expected), "{command}");
    }
}

#[test]
fn credentials_may_be_for_one_direction_only() {
    let mirror = after("09-set-push-access-pair").remove(0);
    assert_eq!(mirror.fetch.access_pair, None);
    let pair = mirror.push.unwrap().access_pair.unwrap();
    assert_eq!(pair.id, Secret::Value("user-example".to_owned()));
    assert_eq!(pair.secret, variable("MIRROR_PASSWORD"));
    assert!(!format!("{pair:?}").contains("user-example"), "{pair:?}");
}

#[test]
fn a_password_without_a_user_is_none() {
    let mirror = after("31-oci-user-variable").remove(0);
    let pair = mirror.fetch.access_pair.as_ref().unwrap();
    let mut environment = Environment::default();
    assert_eq!(mirror.fetch.unset_variables(&environment), ["OCI_USER", "OCI_PASSWORD"]);
    environment.variables.insert("OCI_PASSWORD".to_owned(), "secret".to_owned());
    assert_eq!(pair.values(&environment), None);
    assert_eq!(mirror.fetch.unset_variables(&environment), ["OCI_USER"]);
    environment.variables.insert("OCI_USER".to_owned(), String::new());
    assert_eq!(
        (pair.values(&environment), mirror.fetch.unset_variables(&environment)),
        (None, vec![])
    );
    environment.variables.insert("OCI_USER".to_owned(), "ada".to_owned());
    assert_eq!(pair.values(&environment), Some(("ada", "secret")));
}

#[test]
fn each_attribute_is_the_directions_own_or_the_mirrors() {
    let text = "mirrors:
  m:
    url: https://m
    view: all
    profile: mine
    push: {profile: theirs, access_token_variable: T}
    fetch: {url: https://f, view: some, endpoint_url: null}
";
    let mirror = parse(text).remove(0);
    let push = mirror.push.unwrap();
    assert_eq!((&*push.url, push.view.as_deref()), ("https://m", Some("all")));
    assert_eq!((push.profile.as_deref(), push.access_token), (Some("theirs"), Some(variable("T"))));
    let fetch = mirror.fetch;
    assert_eq!((&*fetch.url, fetch.view.as_deref()), ("https://f", Some("some")));
    assert_eq!((fetch.profile.as_deref(), fetch.endpoint_url), (Some("mine"), None));
}

#[test]
fn secrets_may_be_in_the_file_as_before_1_0() {
    let text = "mirrors: {m: {url: s3://b, access_pair: [user, word], access_token: t0ken}}\n";
    let mirror = parse(text).remove(0);
    let environment = Environment::default();
    assert_eq!(
        mirror.fetch.access_pair.as_ref().unwrap().values(&environment),
        Some(("user", "word"))
    );
    assert_eq!(mirror.fetch.access_token.as_ref().unwrap().value(&environment), Some("t0ken"));
    let shown = format!("{mirror:?}");
    assert!(!shown.contains("word") && !shown.contains("t0ken"), "{shown}");
}

#[rstest]
#[case::relative_to_its_file("../cache", "file:///etc/cache")]
#[case::with_characters_that_urls_lack("/a b/ü%", "file:///a%20b/%C3%BC%25")]
#[case::a_url_stays("file:///a b/../c", "file:///a b/../c")]
#[case::a_url_is_not_substituted("https://$user/x", "https://$user/x")]
fn paths_become_urls(#[case] written: &str, #[case] expected: &str) {
    let mirror = parse(&format!("mirrors: {{m: '{written}'}}\n")).remove(0);
    assert_eq!(mirror.fetch.url, expected);
}

#[test]
fn a_mirror_may_only_be_read_from() {
    let mirror = parse("mirrors: {m: {fetch: https://f}}\n").remove(0);
    assert_eq!((&*mirror.fetch.url, mirror.push), ("https://f", None));
}

#[rstest]
#[case("./cache", "./cache [sb] file:///cwd/cache")]
#[case("/opt/cache", "/opt/cache [sb] file:///opt/cache")]
#[case("s3://b/p", "s3://b/p [sb] s3://b/p")]
#[case("oci://ghcr.io/a/b", "oci://ghcr.io/a/b [sb] oci://ghcr.io/a/b unsigned")]
fn a_mirror_need_not_be_configured(#[case] named: &str, #[case] expected: &str) {
    let environment = Environment { cwd: "/cwd".into(), ..Environment::default() };
    assert_eq!(line(&MirrorConfig::anonymous(named, &environment)), expected);
}
