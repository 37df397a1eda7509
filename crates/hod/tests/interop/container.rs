//! Container tools read the image, and run what is in it.

use std::process::Command;

use hod_testing::dockerd::Dockerd;

use crate::image::Image;
use crate::support::{Place, has, is_root, skip, succeed};

const CODECS: [&str; 3] = ["--compression gzip", "--compression zstd", "--compression none"];
/// Docker's own image format and umoci before 0.5 have no zstd.
const WITHOUT_ZSTD: [&str; 2] = ["--compression gzip", "--compression none"];

#[test]
fn skopeo_inspects_every_codec() {
    if !has(&["skopeo"]) {
        return;
    }
    for codec in CODECS {
        let image = Image::new(codec);
        let mut inspect = image.place.command("skopeo");
        inspect.args(["inspect", &image.reference()]);
        let said: serde_json::Value = serde_json::from_str(&succeed(inspect)).unwrap();
        assert_eq!(said["Digest"], image.shown["manifest"], "{codec}");
        assert_eq!(said["Layers"][0], image.shown["layers"][0]["digest"], "{codec}");
        assert_eq!(said["Architecture"], image.shown["architecture"], "{codec}");
    }
}

/// Which reads and verifies every blob.
#[test]
fn skopeo_copies_every_codec_to_another_layout_and_hod_reads_the_copy() {
    if !has(&["skopeo"]) {
        return;
    }
    for codec in CODECS {
        let image = Image::new(codec);
        let copy = image.place.at("copy");
        let mut push = image.place.hod("push -q ./copy");
        push.arg(&image.prefix);
        succeed(push);
        let reference = format!("oci:{}:copied", copy.join("oci").display());
        succeed(skopeo_copy(&image, &reference));
        succeed(image.place.hod("check ./copy"));
        let listed = succeed(image.place.hod("list -m ./copy --json"));
        assert!(listed.contains("\"tag\":\"copied\""), "{listed}");
    }
}

#[test]
fn skopeo_converts_to_an_archive_for_docker() {
    if !has(&["skopeo", "tar"]) {
        return;
    }
    for codec in WITHOUT_ZSTD {
        let image = Image::new(codec);
        let archive = image.place.at("archive.tar");
        succeed(skopeo_copy(&image, &format!("docker-archive:{}:a:b", archive.display())));
        let mut tar = image.place.command("tar");
        tar.arg("-tf").arg(&archive);
        // Docker names a layer by its diff id.
        let diff_id = image.text("/layers/0/diff_id").strip_prefix("sha256:").unwrap();
        let listed = succeed(tar);
        assert!(listed.contains(diff_id), "{diff_id}: {listed}");
    }
}

fn skopeo_copy(image: &Image, to: &str) -> Command {
    let mut copy = image.place.command("skopeo");
    copy.args(["--insecure-policy", "copy", "-q", &image.reference(), to]);
    copy
}

#[test]
fn umoci_unpacks_what_was_packed() {
    if !has(&["umoci"]) {
        return;
    }
    for codec in WITHOUT_ZSTD {
        let image = Image::new(codec);
        let mut unpack = image.place.command("umoci");
        unpack.args(["unpack", "--image", &image.layout_and_tag()]);
        unpack.args((!is_root()).then_some("--rootless")).arg("bundle");
        succeed(unpack);
        image.assert_unpacked(&image.place.at("bundle/rootfs"));
    }
}

/// A prefix that needs nothing around it: a static busybox.
fn runnable(codec: &str) -> Image {
    Image::of(codec, |place: &Place| {
        let prefix = place.tree("tools-1.0", "bin/ 755");
        let mut find = place.command("sh");
        find.args(["-c", "readlink -f \"$(command -v busybox)\""]);
        fs_err::copy(succeed(find).trim(), prefix.join("bin/busybox")).unwrap();
        prefix
    })
}

fn say_hello(command: &mut Command, image: &Image) {
    command.arg(image.prefix.join("bin/busybox")).args(["echo", "hello from a prefix"]);
}

#[test]
fn podman_runs_a_prefix_in_every_codec() {
    if !has(&["podman", "runc", "busybox"]) {
        return;
    }
    if !is_root() {
        return skip("podman without root needs subordinate user ids");
    }
    for codec in CODECS {
        let image = runnable(codec);
        let own = |name: &str| image.place.at("podman").join(name);
        let mut podman = image.place.command("podman");
        podman.arg("--root").arg(own("root")).arg("--runroot").arg(own("run"));
        podman.arg("--tmpdir").arg(own("tmp"));
        // Overlays need a kernel and a file system that let them; systemd is not everywhere; crun
        // refuses machines that have both versions of cgroups.
        podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        podman.args(["--runtime", "runc", "run", "--rm", "--network=none"]);
        // The defaults are above the limits of many containers, which must not be raised there.
        podman.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]);
        // What hod prints for it. Relative: podman makes a name of the path, and the path of the
        // test has capital letters, which a name may not have.
        let refs = format!("push --refs -q ./cache ./tools-1.0 {codec}");
        podman.arg(succeed(image.place.hod(&refs)).trim());
        say_hello(&mut podman, &image);
        assert_eq!(succeed(podman), "hello from a prefix\n", "{codec}");
    }
}

#[test]
fn docker_runs_a_prefix() {
    if !has(&["skopeo", "busybox"]) {
        return;
    }
    let Some(docker) = Dockerd::start() else { return };
    for (n, codec) in WITHOUT_ZSTD.iter().enumerate() {
        let image = runnable(codec);
        let mut copy = skopeo_copy(&image, &format!("docker-daemon:tools:{n}"));
        copy.args(["--dest-daemon-host", docker.host()]);
        succeed(copy);
        let mut run = docker.run(&format!("tools:{n}"), &[]);
        say_hello(&mut run, &image);
        assert_eq!(succeed(run), "hello from a prefix\n", "{codec}");
    }
}
