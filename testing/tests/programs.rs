//! Other programs get through: skopeo with a user through the proxy, Docker with an image to run.
#![allow(clippy::unwrap_used, reason = "also in what tests share")]

use hod_testing::authority::Authority;
use hod_testing::base::{BaseImage, Media, Options as BaseOptions, Platforms, base_image};
use hod_testing::disk::SmallDisk;
use hod_testing::dockerd::Dockerd;
use hod_testing::http::request;
use hod_testing::machine::{command, has, succeed};
use hod_testing::proxy::Proxy;
use hod_testing::registry::{Auth, Options, Registry};
use hod_testing::token::{self, Kind, TokenServer};
use tempfile::TempDir;

fn base(options: BaseOptions) -> Option<(BaseImage, TempDir)> {
    let directory = tempfile::tempdir().unwrap();
    Some((base_image(&directory.path().join("layout"), options)?, directory))
}

/// Media types of a manifest as a registry has it, and its bytes.
fn manifest(host: &str, reference: &str) -> serde_json::Value {
    let accept = [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
    .join(", ");
    let target = format!("/v2/base/manifests/{reference}");
    request(host, "GET", &target, &[("Accept", &accept)], b"").unwrap().json()
}

#[test]
fn skopeo_pushes_through_the_proxy_as_somebody() {
    let Some((image, _directory)) = base(BaseOptions::default()) else {
        return;
    };
    let tokens = TokenServer::start(token::Options::default());
    let auth = Auth::Token(&tokens);
    let Some(registry) = Registry::start(&Options { auth, ..Options::default() }) else {
        return;
    };
    let proxy = Proxy::start(registry.host());
    if !image.push_to(&format!("{}/base:1", proxy.host()), Some("user:password")) {
        return;
    }
    let blobs = image.manifest["layers"].as_array().unwrap().len() + 1;
    let done = |status| proxy.count(|seen| seen.method == "PUT" && seen.status == Some(status));
    assert_eq!(done(201), blobs + 1, "blobs and the manifest");
    assert_eq!(proxy.count(|seen| seen.status == Some(401)), 1, "the first question alone");
    let patched = proxy.requests().iter().map(|seen| seen.request_bytes).sum::<u64>();
    let size = |value: &serde_json::Value| value["size"].as_u64().unwrap();
    let layers = image.manifest["layers"].as_array().unwrap().iter().map(size).sum::<u64>();
    assert!(patched > layers, "{patched} {layers}");
    assert!(tokens.requests().iter().all(|request| {
        // What containers/image asks with; POST only with an identity token.
        request.kind == Kind::Basic && request.user.as_deref() == Some("user")
    }));
    assert!(tokens.requests().iter().any(|r| r.granted == ["repository:base:pull,push"]));
}

#[test]
fn images_of_both_media_types_and_of_two_platforms_arrive_byte_for_byte() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    for (media, platforms, expected) in [
        (Media::Oci, Platforms::One, "application/vnd.oci.image.manifest.v1+json"),
        (Media::Oci, Platforms::Two, "application/vnd.oci.image.index.v1+json"),
        (Media::Docker, Platforms::One, "application/vnd.docker.distribution.manifest.v2+json"),
        (Media::Docker, Platforms::Two, list),
    ] {
        let Some((image, _directory)) = base(BaseOptions { media, platforms }) else {
            return;
        };
        let proxy = Proxy::start(registry.host());
        if !image.push_to(&format!("{}/base:tag", proxy.host()), None) {
            return;
        }
        assert_eq!(manifest(registry.host(), "tag")["mediaType"], expected);
        assert_eq!(manifest(registry.host(), &image.digest)["mediaType"], expected);
        assert_eq!(manifest(registry.host(), &image.manifest_digest), image.manifest);
    }
}

#[test]
fn skopeo_believes_the_authority_whose_directory_it_is_given() {
    let authority = Authority::new();
    let storage = tempfile::tempdir().unwrap();
    let options = Options { storage: Some(storage.path()), ..Options::default() };
    let Some((image, directory)) = base(BaseOptions::default()) else {
        return;
    };
    let Some(plain) = Registry::start(&options) else {
        return;
    };
    if !image.push_to(&format!("{}/base:1", plain.host()), None) {
        return;
    }
    drop(plain);
    let registry = Registry::start(&Options { tls: Some(&authority), ..options }).unwrap();
    let inspect = |authority: &Authority| {
        let mut skopeo = command("skopeo", directory.path());
        skopeo.args(["inspect", "--cert-dir"]).arg(authority.certificate_directory());
        skopeo.arg(format!("docker://{}/base:1", registry.host()));
        skopeo
    };
    assert!(succeed(inspect(&authority)).contains(&image.digest));
    let refused = inspect(&Authority::new()).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("x509"), "{refused:?}");
}

#[test]
fn docker_pulls_the_base_image_and_runs_it() {
    let Some((image, _directory)) =
        base(BaseOptions { platforms: Platforms::Two, ..BaseOptions::default() })
    else {
        return;
    };
    let auth = Auth::Htpasswd { user: "user", password: "secret" };
    let Some(registry) = Registry::start(&Options { auth, ..Options::default() }) else {
        return;
    };
    let name = format!("{}/base:1", registry.host());
    let Some(docker) = Dockerd::start() else {
        return;
    };
    if !image.push_to(&name, Some("user:secret")) {
        return;
    }
    let mut login = docker.docker();
    login.args(["login", "--username", "user", "--password", "secret", registry.host()]);
    succeed(login);
    let mut pull = docker.docker();
    pull.args(["pull", "--quiet", &name]);
    succeed(pull);
    let script = "echo $LANG; /lib64/ld-linux* --list /lib/*/libstdc++.so.6 | grep -c 'lib[mc].so'";
    assert_eq!(succeed(docker.run(&name, &["/bin/sh", "-c", script])), "C.UTF-8\n2\n");
}

/// With the libraries of the image and no others.
#[test]
fn a_program_that_is_linked_to_the_c_library_runs_in_the_base_image() {
    let Some((image, directory)) = base(BaseOptions::default()) else {
        return;
    };
    if !has(&["umoci", "chroot"]) || !hod_testing::machine::is_root() {
        return;
    }
    let mut unpack = command("umoci", directory.path());
    unpack.args(["unpack", "--image"]).arg(format!("{}:base", image.layout.display()));
    unpack.arg("bundle");
    succeed(unpack);
    let root = directory.path().join("bundle/rootfs");
    // Linked to libc and libgcc_s, like this test itself.
    fs_err::copy(std::env::current_exe().unwrap(), root.join("program")).unwrap();
    let mut program = command("chroot", directory.path());
    program.arg(&root).args(["/bin/sh", "-c", "/program --list | tail -n 1"]);
    let said = succeed(program);
    assert!(said.contains("tests, 0 benchmarks"), "{said}");
}

#[test]
fn a_registry_whose_disk_is_full_says_so() {
    let Some(disk) = SmallDisk::mount(1 << 20) else {
        return;
    };
    let options = Options { storage: Some(disk.path()), ..Options::default() };
    let Some(registry) = Registry::start(&options) else {
        return;
    };
    let begun = request(registry.host(), "POST", "/v2/a/blobs/uploads/", &[], b"").unwrap();
    assert_eq!(begun.status, 202);
    let target = begun.headers.get("Location").unwrap().strip_prefix(&registry.url()).unwrap();
    let body = vec![0; 2 << 20];
    let full = request(registry.host(), "PATCH", target, &[], &body).unwrap();
    assert_eq!(full.status, 500, "{}", full.text());
    assert!(registry.log().contains("no space left on device"));
}
