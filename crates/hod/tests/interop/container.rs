//! Container tools read the image, and run what is in it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

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
    if !has(&["skopeo", "docker", "dockerd", "busybox"]) {
        return;
    }
    if !is_root() {
        return skip("dockerd needs root");
    }
    let daemon = match Daemon::start() {
        Ok(daemon) => daemon,
        Err(log) => return skip(&format!("dockerd does not start here: {log}")),
    };
    for (n, codec) in WITHOUT_ZSTD.iter().enumerate() {
        let image = runnable(codec);
        let mut copy = skopeo_copy(&image, &format!("docker-daemon:tools:{n}"));
        copy.args(["--dest-daemon-host", &daemon.host]);
        succeed(copy);
        let mut docker = image.place.command("docker");
        docker.args(["-H", &daemon.host, "run", "--rm", "--network=none", &format!("tools:{n}")]);
        say_hello(&mut docker, &image);
        assert_eq!(succeed(docker), "hello from a prefix\n", "{codec}");
    }
}

/// A docker daemon that touches nothing of the machine's own: no network, its own directories.
struct Daemon {
    child: Child,
    host: String,
    // Dropped last, when the daemon is gone.
    place: Place,
}

impl Daemon {
    /// The end of its log if it does not start.
    fn start() -> Result<Self, String> {
        let place = Place::new();
        let log: PathBuf = place.at("log");
        let host = format!("unix://{}", place.at("socket").display());
        let mut dockerd = place.command("dockerd");
        dockerd.args(["--iptables=false", "--bridge=none", "--storage-driver=vfs", "-H", &host]);
        for (option, name) in
            [("--data-root", "data"), ("--exec-root", "run"), ("--pidfile", "pid")]
        {
            dockerd.arg(option).arg(place.at(name));
        }
        dockerd.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let child = dockerd.spawn().unwrap();
        let mut daemon = Self { child, host, place };
        let deadline = Instant::now() + Duration::from_secs(30);
        while daemon.child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            let mut version = daemon.place.command("docker");
            version.args(["-H", &daemon.host, "version"]);
            if version.output().unwrap().status.success() {
                return Ok(daemon);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let text = fs_err::read_to_string(&log).unwrap();
        Err(text.lines().last().unwrap_or("no log").to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Asked, not killed: it has a containerd to end.
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process(id, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
