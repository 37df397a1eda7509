//! Names that nothing has, base images that are none and images that cannot be made: each with what
//! is wrong and what to do.

use std::path::Path;

use hod_archive::Digest;
use hod_testing::disk::SmallDisk;
use hod_testing::registry::{Options, Registry};
use insta::assert_snapshot;
use serde_json::json;

use crate::golden::unpack_fixture;
use crate::story::Story;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn story_with_store() -> Story {
    let story = Story::with_zlib();
    unpack_fixture("store.tar.zst", &story.at(""));
    crate::story::settle();
    story
}

#[test]
fn names_that_no_mirror_and_no_image_has_are_explained() {
    let story = Story::with_zlib();
    for mirror in [
        "https://ghcr.io/user/image",
        "http://localhost:5000/image",
        "docker://ghcr.io/user/image",
        "OCI://ghcr.io/user/image",
        "s3://bucket/cache",
        "oci://ghcr.io/user/image:1.0",
        "oci://ghcr.io/user/",
        "oci://user:secret@ghcr.io/image",
        "oci-layout:",
        "file://cache",
    ] {
        story.tell(&format!("push {mirror} ./zlib-1.3.1"));
    }
    story.tell("push ./cache ./zlib-1.3.1 --tag a/b");
    story.tell("push ./cache ./zlib-1.3.1 --tag app.spack");
    story.tell("push ./cache ./zlib-1.3.1 --base-image ./cache");
    story.tell("push ./cache ./zlib-1.3.1 --base-image https://ghcr.io/user/image:1.0");
    assert!(!story.at("cache").exists());
    assert_snapshot!(story.told(), @"
    $ hod push https://ghcr.io/user/image ./zlib-1.3.1
    2> error: only directories and container registries can be mirrors so far, not `https://ghcr.io/user/image`
    2>
    2> hint: for a registry, write `oci://ghcr.io/user/image`
    exit 2
    $ hod push http://localhost:5000/image ./zlib-1.3.1
    2> error: only directories and container registries can be mirrors so far, not `http://localhost:5000/image`
    2>
    2> hint: for a registry without TLS, write `oci+http://localhost:5000/image`
    exit 2
    $ hod push docker://ghcr.io/user/image ./zlib-1.3.1
    2> error: only directories and container registries can be mirrors so far, not `docker://ghcr.io/user/image`
    2>
    2> hint: for a registry, write `oci://ghcr.io/user/image`
    exit 2
    $ hod push OCI://ghcr.io/user/image ./zlib-1.3.1
    2> error: only directories and container registries can be mirrors so far, not `OCI://ghcr.io/user/image`
    2>
    2> hint: for a registry, write `oci://ghcr.io/user/image`
    exit 2
    $ hod push s3://bucket/cache ./zlib-1.3.1
    2> error: only directories and container registries can be mirrors so far, not `s3://bucket/cache`
    2>
    2> hint: name a directory, `oci://HOST/NAME` or `oci-layout:DIR`
    exit 2
    $ hod push oci://ghcr.io/user/image:1.0 ./zlib-1.3.1
    2> error: `oci://ghcr.io/user/image:1.0` names one image, and a mirror is a repository
    2>
    2> hint: leave the tag out: `oci://ghcr.io/user/image`
    exit 2
    $ hod push oci://ghcr.io/user/ ./zlib-1.3.1
    2> error: `oci://ghcr.io/user/` is no image reference: each part of a name is of letters and digits, joined by `.`, `_`, `__` or `-`
    2>
    2> hint: write it as `oci://ghcr.io/user/image`
    exit 2
    $ hod push oci://user:secret@ghcr.io/image ./zlib-1.3.1
    2> error: `oci://…@ghcr.io/image` is no image reference: user and password do not belong into it
    2>
    2> hint: leave them out: `hod login HOST` asks for them
    exit 2
    $ hod push oci-layout: ./zlib-1.3.1
    2> error: `oci-layout:` needs a directory behind it
    2>
    2> hint: write it as `oci-layout:DIR`
    exit 2
    $ hod push file://cache ./zlib-1.3.1
    2> error: `file://cache` needs an absolute path after `file://`, as in `file:///srv/mirror`
    2>
    2> hint: write a path without `file://`
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --tag a/b
    2> error: invalid value 'a/b' for '--tag <TAG>': `a/b` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, the first neither `.` nor `-`
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --tag app.spack
    2> error: invalid value 'app.spack' for '--tag <TAG>': the tag `app.spack` ends in .spack, which Spack keeps for its own packages
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --base-image ./cache
    2> error: invalid value './cache' for '--base-image <IMAGE>': `./cache` names a directory and no image in it: write `./cache:TAG`
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --base-image https://ghcr.io/user/image:1.0
    2> error: invalid value 'https://ghcr.io/user/image:1.0' for '--base-image <IMAGE>': `https://ghcr.io/user/image:1.0` is no image reference: it begins with neither `oci://` nor `oci+http://`
    2>
    2> For more information, try '--help'.
    exit 2
    ");
}

#[test]
fn a_repository_that_nobody_pushed_to_is_told() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let (story, mirror) = (Story::with_zlib(), format!("oci+http://{}/a", server.host()));
    story.tell(&format!("list -m {mirror}"));
    story.tell(&format!("show zlib -m {mirror}"));
    story.tell(&format!("unpack zlib -m {mirror} --to ./zlib"));
    story.tell(&format!("unpack zlib-1.0-abcdefg -m {mirror} --to ./zlib"));
    story.tell(&format!("check {mirror}"));
    story.tell(&format!("copy {mirror} ./cache"));
    assert_snapshot!(story.told(), @"
    $ hod list -m oci+http://[HOST]/a
    2> 0 packages in `oci+http://[HOST]/a`
    2> A repository that does not exist looks the same: see whether its name is right
    exit 0
    $ hod show zlib -m oci+http://[HOST]/a
    2> error: no package matches `zlib` among 0 in `oci+http://[HOST]/a`
    2>
    2> hint: see whether its name is right: nothing was pushed to it so far
    exit 1
    $ hod unpack zlib -m oci+http://[HOST]/a --to ./zlib
    2> error: no package matches `zlib` among 0 in `oci+http://[HOST]/a`
    2>
    2> hint: see whether its name is right: nothing was pushed to it so far
    exit 1
    $ hod unpack zlib-1.0-abcdefg -m oci+http://[HOST]/a --to ./zlib
    2> error: no package matches `zlib-1.0-abcdefg` among 0 in `oci+http://[HOST]/a`
    2>
    2> hint: see whether its name is right: nothing was pushed to it so far
    exit 1
    $ hod check oci+http://[HOST]/a
    2> Checked 0 blobs ([size]) of 0 entries in `oci+http://[HOST]/a` in [time]: all good
    exit 0
    $ hod copy oci+http://[HOST]/a ./cache
    2> Nothing to copy: there is no image in `oci+http://[HOST]/a`
    exit 0
    ");
}

/// A layout with one image, `base`, of one layer.
fn base(layout: &Path, architecture: &str, layer_type: &str) {
    let blobs = layout.join("blobs/sha256");
    fs_err::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8], media_type: &str| {
        let digest = Digest::of(bytes);
        let name = digest.to_string().replace("sha256:", "");
        fs_err::write(blobs.join(name), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
    };
    let layer = blob(b"a layer that nobody unpacks", layer_type);
    let config = json!({
        "os": "linux", "architecture": architecture,
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"what is in it").to_string()] },
    });
    let config = config.to_string();
    let config = blob(config.as_bytes(), "application/vnd.oci.image.config.v1+json");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer],
    });
    let mut manifest = blob(manifest.to_string().as_bytes(), media_type);
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "base" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs_err::write(layout.join("index.json"), index.to_string()).unwrap();
    fs_err::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[test]
fn a_base_image_that_is_none_is_told() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let (story, mirror) = (story_with_store(), format!("oci+http://{}/a", server.host()));
    base(&story.at("strange"), "riscv64", LAYER);
    base(&story.at("mixed"), "amd64", "application/vnd.docker.image.rootfs.diff.tar.gzip");
    base(
        &story.at("kept"),
        "amd64",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    );
    base(&story.at("broken"), "amd64", LAYER);
    let layer = Digest::of(b"a layer that nobody unpacks").to_string().replace("sha256:", "");
    fs_err::remove_file(story.at("broken/blobs/sha256").join(layer)).unwrap();
    for image in [
        format!("oci+http://{}/none:1.0", server.host()),
        "oci-layout:./none:base".to_owned(),
        "oci-layout:./strange:none".to_owned(),
        "./strange:base".to_owned(),
        "oci-layout:./strange:base".to_owned(),
        "oci-layout:./mixed:base".to_owned(),
        "oci-layout:./kept:base".to_owned(),
        "oci-layout:./broken:base".to_owned(),
    ] {
        let words = "--store ./store --only package --retries 1 -q";
        story.tell(&format!("push {mirror} zlib --base-image {image} {words}"));
    }
    assert_snapshot!(story.told(), @"
    $ hod push oci+http://[HOST]/a zlib --base-image oci+http://[HOST]/none:1.0 --store ./store --only package --retries 1 -q
    2> error: could not use the base image `[HOST]/none:1.0`
    2>   cause: there is no such image
    2>
    2> hint: name it with its tag: `ghcr.io/user/image:1.0`, `oci-layout:DIR:TAG` or `./DIR:TAG`
    exit 1
    $ hod push oci+http://[HOST]/a zlib --base-image oci-layout:./none:base --store ./store --only package --retries 1 -q
    2> error: could not use the base image `oci-layout:./none:base`
    2>   cause: there is no mirror at `./none`: the directory does not exist
    2>
    2> hint: `hod push ./none PREFIX` makes one
    exit 1
    $ hod push oci+http://[HOST]/a zlib --base-image oci-layout:./strange:none --store ./store --only package --retries 1 -q
    2> error: could not use the base image `oci-layout:./strange:none`
    2>   cause: there is no such image
    2>
    2> hint: name it with its tag: `ghcr.io/user/image:1.0`, `oci-layout:DIR:TAG` or `./DIR:TAG`
    exit 1
    $ hod push oci+http://[HOST]/a zlib --base-image ./strange:base --store ./store --only package --retries 1 -q
    2> error: could not use the base image `./strange:base`
    2>   cause: `./strange` is not a mirror: it is a bare OCI image layout
    2>
    2> hint: name it as what it is: `oci-layout:./strange`
    exit 1
    $ hod push oci+http://[HOST]/a zlib --base-image oci-layout:./strange:base --store ./store --only package --retries 1 -q
    2> error: could not use the base image `oci-layout:./strange:base`
    2>   cause: it is not made for [platform], but for [platform]
    2>
    2> hint: name one for [platform] with `--base-image`
    exit 1
    $ hod push oci+http://[HOST]/a zlib --base-image oci-layout:./mixed:base --store ./store --only package --retries 1 -q
    2> error: could not use the base image `oci-layout:./mixed:base`
    2>   cause: its layer has the media type `application/vnd.docker.image.rootfs.diff.tar.gzip`, which has no place in OCI images
    2>
    2> hint: `skopeo copy --format oci FROM TO` makes an image of one family of it
    exit 1
    $ hod push oci+http://[HOST]/a zlib --base-image oci-layout:./kept:base --store ./store --only package --retries 1 -q
    2> error: could not use the base image `oci-layout:./kept:base`
    2>   cause: its layer sha256:[digest] is one that may not be distributed
    2>
    2> hint: name another with `--base-image`
    exit 1
    $ hod push oci+http://[HOST]/a zlib --base-image oci-layout:./broken:base --store ./store --only package --retries 1 -q
    2> error: could not bring the base image to the mirror
    2>   cause: could not use the mirror `oci-layout:./broken`
    2>   cause: the blob sha256:[digest] is missing
    2>
    2> hint: `hod check MIRROR` names everything that is damaged, and what to do
    exit 1
    ");
}

#[test]
fn an_image_that_cannot_be_made_is_told() {
    let story = story_with_store();
    story.tree("tool-2.0", "bin/tool 755 *100\n");
    base(&story.at("base"), "amd64", LAYER);
    story.tell("push ./cache ./zlib-1.3.1 ./tool-2.0 --tag both");
    story.tell("push -q ./cache libpng --store ./store --only package --tag image");
    let base = "--base-image oci-layout:./base:base";
    story.tell(&format!("push -q ./cache zlib --store ./store {base} --max-layers 1 --tag image"));
    story.tell("push -q ./cache zlib --store ./store --env-from spack");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1 ./tool-2.0 --tag both
    2> error: cannot make one image `both` of several prefixes
    2>
    2> hint: give `--tag` with one prefix, or with specs of a store
    exit 1
    $ hod push -q ./cache libpng --store ./store --only package --tag image
    2> error: cannot make the image `image` without `gcc-runtime@12.2.0/[hash]`, which is not in the mirror
    2>
    2> hint: run it again without `--only` and `--exclude`: the image needs all
    exit 1
    $ hod push -q ./cache zlib --store ./store --base-image oci-layout:./base:base --max-layers 1 --tag image
    2> error: could not make the image `image`
    2>   cause: it may have no more layers than 1, and its base image has 1 already
    2>
    2> hint: raise `--max-layers` (docker mounts up to 125), or name another with `--base-image`
    exit 1
    $ hod push -q ./cache zlib --store ./store --env-from spack
    2> error: there is no `spack` to ask for the environment, neither in PATH nor in SPACK_ROOT
    2>
    2> hint: set SPACK_ROOT to where Spack is, or leave out `--env-from`
    exit 1
    ");
}

#[test]
fn without_room_for_what_is_to_be_sent_it_is_told() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let story = Story::with_zlib();
    // A file where there should be a directory, for root may write everywhere.
    fs_err::write(story.at("kept"), "").unwrap();
    let push = |place: &Path, shown: &str, prefix: &str| {
        let words = format!("push oci+http://{}/a {prefix} -j 1", server.host());
        let mut command = story.hod(&words);
        command.env("HOD_CACHE_DIR", place);
        let ended = command.output().unwrap().into();
        story.note(&format!("HOD_CACHE_DIR={shown} hod {words}"), &ended);
    };
    push(&story.at("kept"), "kept", "./zlib-1.3.1");
    let told = story.told();
    assert_snapshot!(told, @"
    $ HOD_CACHE_DIR=kept hod push oci+http://[HOST]/a ./zlib-1.3.1 -j 1
    2> warning: nothing will be remembered for the next time (HOD_CACHE_DIR names another place): failed to create directory `[DIR]/kept/packed`: Not a directory (os error 20)
    2> Pushed 1 prefix to `oci+http://[HOST]/a` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  [HOST]/a:zlib-1.3.1-[hash]
    exit 0
    ");
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    story.tree("big-1.0", "bin/tool 755 *3000000\n");
    push(disk.path(), "full", "./big-1.0");
    let told = story.told().replace(&disk.path().display().to_string(), "[DISK]");
    assert_snapshot!(told, @"
    $ HOD_CACHE_DIR=full hod push oci+http://[HOST]/a ./big-1.0 -j 1
    2> error: could not pack `big@1.0`
    2>   cause: could not write the packed blob
    2>   cause: could not write to `[DISK]/spool`
    2>   cause: failed to write to file `[DISK]/spool/[name].spool`: No space left on device (os error 28)
    2>
    2> hint: set HOD_CACHE_DIR to a directory with room that you may write to
    2> hint: free some space and run the same command again; nothing half-written is left
    exit 1
    ");
}
