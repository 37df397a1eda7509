//! Images that start: on a base image, by the bare names of their programs.

use hod_testing::base::{BaseImage, Media, Options as BaseOptions, Platforms, base_image};
use hod_testing::dockerd::Dockerd;
use hod_testing::machine;
use hod_testing::registry::Options;
use serde_json::Value;

use super::Site;
use crate::support::succeed;

/// A registry that has `base:1`.
fn with_base(options: BaseOptions) -> Option<(Site, BaseImage)> {
    let site = Site::open(&Options::default())?;
    let base = base_image(&site.place.at("base"), options)?;
    let is_there = base.push_to(&format!("{}/base:1", site.server.host()), None);
    is_there.then_some((site, base))
}

/// The reference that the push printed, without its digest.
fn image(refs: &str) -> &str {
    let line = refs.lines().next().unwrap();
    line.split_once('@').unwrap().0
}

#[test]
fn docker_pulls_an_image_and_finds_its_program_by_its_name() {
    for (media, platforms) in [
        (Media::Oci, Platforms::One),
        (Media::Docker, Platforms::One),
        // The one of this machine is chosen.
        (Media::Oci, Platforms::Two),
        (Media::Docker, Platforms::Two),
    ] {
        let Some((site, base)) = with_base(BaseOptions { media, platforms }) else { return };
        let Some(docker) = Dockerd::start() else { return };
        let from = site.plain("base:1");
        let refs = site.push(&site.plain("lab/apps"), &format!("hello --refs --base-image {from}"));
        let image = image(&refs);
        let mut pull = docker.docker();
        pull.args(["pull", "--quiet", image]);
        succeed(pull);
        let said = machine::succeed(docker.run(image, &["hello"]));
        assert_eq!(said, "Hello, world!\n", "{media:?} {platforms:?}");
        // What the base says stays, and what it has is there.
        let script =
            "echo $LANG; case $PATH in /opt/hpc/*:/usr/local/bin:/usr/bin:/bin) echo ok;; esac";
        assert_eq!(machine::succeed(docker.run(image, &["sh", "-c", script])), "C.UTF-8\nok\n");

        // One family of media types, that of the base.
        let (_, tag) = image.rsplit_once(':').unwrap();
        let manifest = site.manifest("lab/apps", tag);
        let family = |value: &Value| value["mediaType"].as_str().unwrap().contains(".docker.");
        let layers = manifest["layers"].as_array().unwrap();
        let below = base.manifest["layers"].as_array().unwrap();
        assert_eq!(layers[..below.len()], below[..], "its layers are below, as they were");
        assert_eq!(layers.len(), below.len() + 2, "gcc-runtime and hello");
        let is_docker = media == Media::Docker;
        let all = layers.iter().chain([&manifest["config"], &manifest]);
        for part in all {
            assert_eq!(family(part), is_docker, "{part}");
        }
        assert_eq!(manifest.get("annotations").is_none(), is_docker, "Docker's have none");
    }
}

#[test]
fn an_environment_is_one_image_that_starts_what_it_is_for() {
    let Some((site, _base)) = with_base(BaseOptions::default()) else { return };
    let Some(docker) = Dockerd::start() else { return };
    let to = site.plain("lab/apps");
    let words = format!(
        "hello linkfarm libpng --refs --tag env --entrypoint hello --cmd --greeting=hi \
         --workdir /tmp --env ABC=DEF --base-image {}",
        site.plain("base:1")
    );
    let refs = site.push(&to, &words);
    let env = format!("{}/lab/apps:env", site.server.host());
    assert!(refs.contains(&format!("{env}@sha256:")), "{refs}");
    assert_eq!(machine::succeed(docker.run(&env, &[])), "hi\n");
    let mut shell = docker.docker();
    let script = "pwd; echo $ABC; for p in hello pngfix farm; do command -v $p; done | wc -l";
    shell.args(["run", "--rm", "--network=none", "--entrypoint", "sh", &env, "-c", script]);
    assert_eq!(machine::succeed(shell), "/tmp\nDEF\n3\n");
}
