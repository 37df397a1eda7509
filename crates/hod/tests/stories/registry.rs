//! Specs go to a registry and become images there.

use hod_testing::http;
use hod_testing::proxy::Proxy;
use hod_testing::registry::{Options, Registry};
use insta::assert_snapshot;
use serde_json::Value;

use crate::golden::unpack_fixture;
use crate::story::{Story, settle};

/// A store as Spack made it, and a prefix that is to stand below everything.
fn story() -> Story {
    let story = Story::with_zlib();
    unpack_fixture("store.tar.zst", &story.at(""));
    story.tree("base-1.0", "bin/ 755\netc/os-release 644  NAME=test\\n\n");
    settle();
    story
}

/// A document of a repository, by its path below the repository.
fn document(server: &Registry, path: &str) -> Value {
    let accept = [(
        "Accept",
        "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json",
    )];
    let answer = http::request(server.host(), "GET", &format!("/v2/{path}"), &accept, b"").unwrap();
    assert_eq!(answer.status, 200, "{path}");
    answer.json()
}

fn digests(manifest: &Value) -> Vec<&str> {
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap()).collect()
}

#[test]
fn specs_are_pushed_to_a_registry_once() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let (story, mirror) = (story(), format!("oci+http://{}/a", server.host()));
    let push = format!("push -j 1 {mirror} libpng --store ./store");
    story.tell(&format!("{push} --dry-run"));
    let tags = http::request(server.host(), "GET", "/v2/a/tags/list", &[], b"").unwrap();
    assert_eq!(tags.status, 404, "a dry run leaves no trace");
    // In which order they are through is the registry's business.
    let ended = story.run(&format!("{push} --update-index"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    story.tell(&format!("{push} --update-index"));
    story.tell(&format!("{push} --dry-run"));
    story.tell(&format!("list -m {mirror}"));
    story.tell(&format!("check {mirror} --read"));
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 oci+http://[HOST]/a libpng --store ./store --dry-run
    2> Selected 3 specs: `libpng@1.6.39/[hash]` and 2 dependencies
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> Would push 3 specs to `oci+http://[HOST]/a` ([size] before compression)
    2>  + zlib@1.2.13/[hash]  14 files, [size]
    2>  + gcc-runtime@12.2.0/[hash]  10 files, [size]
    2>  + libpng@1.6.39/[hash]  21 files, [size]
    exit 0
    $ hod push -j 1 oci+http://[HOST]/a libpng --store ./store --update-index
    2> Selected 3 specs: `libpng@1.6.39/[hash]` and 2 dependencies
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> 3 of 3 already there in `oci+http://[HOST]/a` in [time], nothing to push
    2>  = zlib@1.2.13/[hash] [size]  [HOST]/a:zlib-1.2.13-[hash].spack
    2>  = gcc-runtime@12.2.0/[hash] [size]  [HOST]/a:gcc-[hash]-12.2.0-[hash].spack
    2>  = libpng@1.6.39/[hash] [size]  [HOST]/a:libpng-1.6.39-[hash].spack
    exit 0
    $ hod push -j 1 oci+http://[HOST]/a libpng --store ./store --dry-run
    2> Selected 3 specs: `libpng@1.6.39/[hash]` and 2 dependencies
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> 3 of 3 already there in `oci+http://[HOST]/a`, nothing to push
    exit 0
    $ hod list -m oci+http://[HOST]/a
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64
    libpng@1.6.39/[hash]       linux-debian12-x86_64  gcc@12.2.0
    zlib@1.2.13/[hash]         linux-debian12-x86_64  gcc@12.2.0
    2> 3 packages in `oci+http://[HOST]/a`
    exit 0
    $ hod check oci+http://[HOST]/a --read
    2> Checked 8 blobs ([size]) of 3 specs in `oci+http://[HOST]/a` in [time]: all good
    exit 0
    ");
}

#[test]
fn a_repeated_push_asks_and_sends_nothing() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let proxy = Proxy::start(server.host());
    let story = story();
    let push = format!(
        "push oci+http://{}/a libpng --store ./store --tag app --update-index -q",
        proxy.host()
    );
    story.done(&push);
    proxy.clear();
    story.done(&push);
    let methods: Vec<String> = proxy.requests().into_iter().map(|seen| seen.method).collect();
    assert!(methods.iter().all(|method| matches!(method.as_str(), "GET" | "HEAD")), "{methods:?}");
}

#[test]
fn an_image_stands_on_a_base_and_has_a_tag() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let (story, host) = (story(), server.host());
    // One base was pushed as what it is, the other waits in a directory.
    story.done(&format!("push -q oci+http://{host}/bases ./base-1.0 --tag base"));
    story.done("push -q ./bases ./base-1.0 --tag base");
    let bases = [format!("oci+http://{host}/bases:base"), "./bases:base".to_owned()];
    let references = ["a", "b"].iter().zip(bases).map(|(repository, base)| {
        let words = format!(
            "push oci+http://{host}/{repository} libpng --store ./store --base-image {base} --tag \
             app-1.0 --env LANG=C --cmd png-fix-itxt --refs -q"
        );
        story.tell(&words).stdout
    });
    let references: Vec<String> = references.collect();
    assert_snapshot!(story.told(), @"
    $ hod push oci+http://[HOST]/a libpng --store ./store --base-image oci+http://[HOST]/bases:base --tag app-1.0 --env LANG=C --cmd png-fix-itxt --refs -q
    [HOST]/a:libpng-1.6.39-[hash].spack@sha256:[digest]
    [HOST]/a:app-1.0@sha256:[digest]
    exit 0
    $ hod push oci+http://[HOST]/b libpng --store ./store --base-image ./bases:base --tag app-1.0 --env LANG=C --cmd png-fix-itxt --refs -q
    [HOST]/b:libpng-1.6.39-[hash].spack@sha256:[digest]
    [HOST]/b:app-1.0@sha256:[digest]
    exit 0
    ");

    let of_base = document(&server, "bases/manifests/base");
    let manifest = document(&server, "a/manifests/app-1.0");
    let other = document(&server, "b/manifests/app-1.0");
    // A directory is nobody else's business.
    let name =
        |manifest: &Value| manifest["annotations"]["org.opencontainers.image.base.name"].clone();
    assert_eq!(name(&manifest), format!("{host}/bases:base"));
    assert_eq!(name(&other), Value::Null);
    assert_eq!((&manifest["config"], &manifest["layers"]), (&other["config"], &other["layers"]));
    let digest = references[0].lines().last().unwrap().split('@').nth(1).unwrap();
    assert_eq!(document(&server, &format!("a/manifests/{digest}")), manifest);
    assert_eq!(digests(&manifest)[0], digests(&of_base)[0]);
    // gcc-runtime, zlib and libpng.
    assert_eq!(digests(&manifest).len(), 4);
    let config = manifest["config"]["digest"].as_str().unwrap();
    let config = document(&server, &format!("a/blobs/{config}"));
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["png-fix-itxt"]));
    let env = config["config"]["Env"].as_array().unwrap();
    assert!(env.contains(&"LANG=C".into()), "{env:?}");
    let has_path = |value: &Value| {
        let value = value.as_str().unwrap();
        value.starts_with("PATH=") && value.contains("libpng")
    };
    assert!(env.iter().any(has_path), "{env:?}");
}

#[test]
fn a_tagged_push_tells_programs_what_it_did() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let story = story();
    let words = format!(
        "push --json oci+http://{}/a zlib --store ./store --tag zlib-1 --refs",
        server.host()
    );
    let told = |ended: &str| -> Vec<Value> {
        let events = ended.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["event"] != "progress").collect()
    };
    let first = told(&story.done(&words));
    let names: Vec<&str> = first.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["planned", "pushed", "pushed", "tagged", "finished"]);
    let tagged =
        |events: &[Value]| events.iter().find(|event| event["event"] == "tagged").unwrap().clone();
    let told_first = tagged(&first);
    assert_snapshot!(story.filtered(&told_first.to_string()), @r#"
    {"event":"tagged","tag":"zlib-1","reference":"[HOST]/a:zlib-1@sha256:[digest]","digest":"sha256:[digest]","image":"sha256:[digest]","present":false}
    "#);
    let again = tagged(&told(&story.done(&words)));
    assert_eq!((&again["present"], &again["digest"]), (&true.into(), &told_first["digest"]));
}

#[test]
fn a_layout_takes_specs_as_images_alone() {
    let story = story();
    let push = "push -j 1 oci-layout:./layout zlib --store ./store --tag zlib-1";
    story.tell(&format!("{push} --dry-run"));
    assert!(!story.at("layout").exists());
    story.tell(push);
    story.tell(push);
    story.tell("list -m oci-layout:./layout");
    story.tell("check oci-layout:./layout");
    story.tell("push oci-layout:./layout zlib --store ./store --update-index");
    assert!(!story.at("layout/v3").exists());
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 oci-layout:./layout zlib --store ./store --tag zlib-1 --dry-run
    2> Selected 2 specs: `zlib@1.2.13/[hash]` and 1 dependency
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> Would push 2 specs to `oci-layout:./layout` ([size] before compression)
    2>  + gcc-runtime@12.2.0/[hash]  10 files, [size]
    2>  + zlib@1.2.13/[hash]  14 files, [size]
    exit 0
    $ hod push -j 1 oci-layout:./layout zlib --store ./store --tag zlib-1
    2> Selected 2 specs: `zlib@1.2.13/[hash]` and 1 dependency
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> [1/2] Pushed gcc-runtime@12.2.0/[hash] ([size], [time])
    2> [2/2] Pushed zlib@1.2.13/[hash] ([size], [time])
    2> Pushed 2 specs to `oci-layout:./layout` in [time] ([size] from [size])
    2>  + gcc-runtime@12.2.0/[hash] [size]  oci:layout:gcc-[hash]-12.2.0-[hash].spack
    2>  + zlib@1.2.13/[hash] [size]  oci:layout:zlib-1.2.13-[hash].spack
    2> Tagged oci:layout:zlib-1
    exit 0
    $ hod push -j 1 oci-layout:./layout zlib --store ./store --tag zlib-1
    2> Selected 2 specs: `zlib@1.2.13/[hash]` and 1 dependency
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> 2 of 2 already there in `oci-layout:./layout` in [time], nothing to push
    2>  = gcc-runtime@12.2.0/[hash] [size]  oci:layout:gcc-[hash]-12.2.0-[hash].spack
    2>  = zlib@1.2.13/[hash] [size]  oci:layout:zlib-1.2.13-[hash].spack
    2> Tagged oci:layout:zlib-1, which it was
    exit 0
    $ hod list -m oci-layout:./layout
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64 [size]
    zlib@1.2.13/[hash]         linux-debian12-x86_64  gcc@12.2.0 [size]
    zlib-1@image/[hash]        [platform] [size]
    2> 3 packages in `oci-layout:./layout`
    exit 0
    $ hod check oci-layout:./layout
    2> Checked 8 blobs ([size]) of 3 entries in `oci-layout:./layout` in [time]: all good
    exit 0
    $ hod push oci-layout:./layout zlib --store ./store --update-index
    2> Selected 2 specs: `zlib@1.2.13/[hash]` and 1 dependency
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> warning: `oci-layout:./layout` is a bare image layout, which has no index
    2> 2 of 2 already there in `oci-layout:./layout` in [time], nothing to push
    2>  = gcc-runtime@12.2.0/[hash] [size]  oci:layout:gcc-[hash]-12.2.0-[hash].spack
    2>  = zlib@1.2.13/[hash] [size]  oci:layout:zlib-1.2.13-[hash].spack
    exit 0
    ");
}
