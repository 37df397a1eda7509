//! Plain HTTP, TLS by an authority that nobody knows, passwords.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use hod_testing::authority::Authority;
use hod_testing::http;
use hod_testing::registry::{Auth, Options};

use super::{ALL, Site, refused};
use crate::support::{both, succeed};

const HTPASSWD: Auth<'_> = Auth::Htpasswd { user: "ada", password: "a-secret" };

/// Runs a program that reads a password.
fn with_password(mut command: Command, password: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_registry_over_http_has_what_was_pushed() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let to = site.plain("lab/cache");
    let refs = site.push(&to, &format!("{ALL} --refs --update-index"));
    assert_eq!(refs.lines().count(), 6, "{refs}");
    for line in refs.lines() {
        let (image, digest) = line.split_once('@').unwrap();
        let (repository, tag) = image.rsplit_once(':').unwrap();
        assert_eq!(repository, format!("{}/lab/cache", site.server.host()));
        // Asked as any client would.
        let target = format!("/v2/lab/cache/manifests/{tag}");
        let accept = [("Accept", "application/vnd.oci.image.manifest.v1+json")];
        let answer = http::request(site.server.host(), "HEAD", &target, &accept, b"").unwrap();
        assert_eq!(answer.headers.get("Docker-Content-Digest"), Some(digest));
    }
    assert_eq!((site.packages("lab/cache").len(), site.indexed("lab/cache")), (6, 6));

    // Again, from a machine that has never seen it: nothing is sent.
    fs_err::remove_dir_all(site.place.at("home/.cache")).unwrap();
    let again = site.tried(&format!("push --store ./store {to} {ALL} --refs --update-index"));
    assert_eq!(String::from_utf8_lossy(&again.stdout), refs);
    assert!(both(&again).contains("6 of 6 already there"), "{}", both(&again));
    let index = site.tried(&format!("index {to}"));
    assert!(both(&index).contains("Indexed 6 specs"), "{}", both(&index));
}

#[test]
fn what_its_index_lacks_is_found_by_its_tags() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let to = site.plain("lab/cache");
    site.push(&to, "zlib --update-index");
    let known = site.indexed("lab/cache");
    // Somebody pushes and leaves the index alone, as Spack does without `--update-index`.
    site.push(&to, "libpng");
    assert_eq!(site.indexed("lab/cache"), known);
    succeed(site.place.hod(&format!("index -q {to}")));
    assert_eq!(site.indexed("lab/cache"), known + 1);
}

#[test]
fn an_authority_is_believed_when_somebody_names_it() {
    let authority = Authority::new();
    let Some(site) = Site::open(&Options { tls: Some(&authority), ..Options::default() }) else {
        return;
    };
    let push = |name: &str| {
        site.place.hod(&format!("push --store ./store {} zlib --update-index", site.tls(name)))
    };
    let unknown = push("a").output().unwrap();
    refused(&unknown, &["cannot reach", "hint: ", "--ca-file", "HOD_CA_FILE"]);
    let by_option = |file: &Path| {
        let mut by_option = push("b");
        by_option.arg("--ca-file").arg(file);
        by_option
    };
    refused(&by_option(&Authority::new().ca_pem_path()).output().unwrap(), &["certificate"]);
    refused(&by_option(&site.place.at("nowhere.pem")).output().unwrap(), &["nowhere.pem"]);
    succeed(by_option(&authority.ca_pem_path()));
    for (name, variable) in [("c", "HOD_CA_FILE"), ("d", "SSL_CERT_FILE")] {
        let mut by_variable = push(name);
        by_variable.env(variable, authority.ca_pem_path());
        succeed(by_variable);
    }
    let mut unverified = push("e");
    let unverified = unverified.arg("--tls-verify=false").output().unwrap();
    assert!(unverified.status.success(), "{}", both(&unverified));
    assert!(both(&unverified).contains("warning: "), "{}", both(&unverified));
    assert!(site.tags("a").is_empty());
    for name in ["b", "c", "d", "e"] {
        assert_eq!(site.indexed(name), site.packages(name).len(), "{name}");
    }
}

#[test]
fn the_wrong_kind_of_address_is_told_from_a_registry_that_is_down() {
    let authority = Authority::new();
    let Some(site) = Site::open(&Options { tls: Some(&authority), ..Options::default() }) else {
        return;
    };
    let without_tls = site.tried(&format!("push --store ./store {} zlib", site.plain("a")));
    refused(&without_tls, &["is not a container registry", "hint: ", "oci://"]);
    drop(site);
    let Some(site) = Site::open(&Options::default()) else { return };
    let with_tls = site.tried(&format!("push --store ./store {} zlib", site.tls("a")));
    refused(&with_tls, &["cannot reach", "hint: ", "oci+http://"]);
    let nobody = site.tried("push --store ./store oci+http://127.0.0.1:1/a zlib --retries 1");
    refused(&nobody, &["cannot reach `127.0.0.1:1`", "hint: ", "HTTPS_PROXY"]);
}

#[test]
fn a_password_is_tried_when_it_is_given_and_found_again_when_it_is_needed() {
    let authority = Authority::new();
    let options = Options { auth: HTPASSWD, tls: Some(&authority), ..Options::default() };
    let Some(site) = Site::open(&options) else { return };
    let hod = |words: &str| {
        let mut hod = site.place.hod(words);
        hod.env("DOCKER_CONFIG", site.place.at("docker"))
            .env("HOD_CA_FILE", authority.ca_pem_path());
        hod
    };
    let host = site.server.host();
    let push = format!("push --store ./store {} zlib --update-index", site.tls("lab/cache"));
    refused(&hod(&push).output().unwrap(), &["401", "hint: ", &format!("hod login {host}")]);

    let login = format!("login {host} -u ada --password-stdin");
    let wrong = with_password(hod(&login), "a-secret-that-is-wrong\n");
    refused(&wrong, &["401", "hint: "]);
    assert!(!site.place.at("docker/config.json").exists(), "a wrong one is not kept");
    let right = with_password(hod(&login), "a-secret\n");
    assert!(right.status.success(), "{}", both(&right));
    succeed(hod(&push));
    assert_eq!(site.indexed("lab/cache"), 2, "with gcc-runtime");

    succeed(hod(&format!("logout {host}")));
    refused(&hod(&push).output().unwrap(), &["401"]);
}

#[test]
fn a_password_may_be_in_the_environment_for_the_mirror_that_is_named() {
    let Some(site) = Site::open(&Options { auth: HTPASSWD, ..Options::default() }) else { return };
    let push = |password: &str| {
        let mut push = site.place.hod(&format!("push --store ./store {} zlib", site.plain("a")));
        push.env("HOD_REGISTRY_USERNAME", "ada").env("HOD_REGISTRY_PASSWORD", password);
        push
    };
    refused(&push("wrong").output().unwrap(), &["401"]);
    succeed(push("a-secret"));
    // A mirror with a pair of its own is asked with that.
    succeed(site.place.hod(&format!(
        "mirror add mine {} --oci-username ada --oci-password-variable TOKEN",
        site.plain("a")
    )));
    let mut list = site.place.hod("list -m mine");
    list.env("TOKEN", "a-secret")
        .env("HOD_REGISTRY_USERNAME", "ada")
        .env("HOD_REGISTRY_PASSWORD", "wrong");
    succeed(list);
}

/// The sequence with which Spack's own documents begin.
#[test]
fn a_mirror_gets_a_name_and_a_password_from_a_variable() {
    let Some(site) = Site::open(&Options { auth: HTPASSWD, ..Options::default() }) else { return };
    succeed(site.place.hod(&format!("mirror add my_registry {}", site.plain("user/image"))));
    succeed(site.place.hod(
        "mirror set --push --oci-username ada --oci-password-variable REGISTRY_TOKEN my_registry",
    ));
    let listed = succeed(site.place.hod("mirror list"));
    assert!(listed.contains(&site.plain("user/image")), "{listed}");
    let push = |token: Option<&str>| {
        let mut push = site.place.hod("push --store ./store my_registry hello --update-index");
        push.envs(token.map(|token| ("REGISTRY_TOKEN", token)));
        push
    };
    refused(&push(None).output().unwrap(), &["REGISTRY_TOKEN, which is not set"]);
    refused(&push(Some("wrong")).output().unwrap(), &["401", "hint: ", "hod mirror set"]);
    assert!(site.tags("user/image").is_empty());
    succeed(push(Some("a-secret")));
    assert_eq!(site.indexed("user/image"), 2, "with gcc-runtime");

    // The list form of older Spacks, with the password itself in the file.
    let mirrors = format!(
        "mirrors:\n  old:\n    url: {}\n    access_pair: [ada, a-secret]\n",
        site.plain("user/old")
    );
    fs_err::write(site.place.at("home/.spack/mirrors.yaml"), mirrors).unwrap();
    site.push("old", "hello");
    assert_eq!(site.packages("user/old").len(), 2);
}
