//! A Docker daemon that touches nothing of the machine's own: no network, its own directories.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::machine::{command, has, is_root, lacks, skip};

/// A running daemon. Registries at 127.0.0.1 may be of plain HTTP, or of TLS by whatever authority.
#[derive(Debug)]
pub struct Dockerd {
    // Ends before its directory goes.
    daemon: Daemon,
    host: String,
    directory: tempfile::TempDir,
}

impl Dockerd {
    /// Starts one and waits until it answers. None, with the reason printed, without root or
    /// `docker` and `dockerd`.
    pub fn start() -> Option<Self> {
        if !has(&["docker", "dockerd"]) {
            return None;
        }
        if !is_root() {
            skip("dockerd needs root");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let host = format!("unix://{}", at("socket"));
        let (data, run, id) = (at("data"), at("run"), at("id"));
        let daemon = Daemon::start(
            directory.path(),
            // Asked, not killed: it has a containerd to end.
            "TERM",
            // Overlays need a kernel and a file system that let them.
            &[
                &["dockerd", "--iptables=false", "--bridge=none", "--storage-driver=vfs"],
                &["-H", &host, "--data-root", &data, "--exec-root", &run, "--pidfile", &id][..],
            ]
            .concat(),
        );
        let docker = Self { daemon, host, directory };
        let deadline = Instant::now() + Duration::from_secs(30);
        while docker.daemon.is_running() && Instant::now() < deadline {
            let mut version = docker.docker();
            version.arg("version").stdout(Stdio::null()).stderr(Stdio::null());
            if version.status().unwrap().success() {
                return Some(docker);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = docker.daemon.log();
        lacks(&format!("dockerd does not start: {}", log.lines().last().unwrap_or("no log")));
        None
    }

    /// `unix://…`, for `-H` and skopeo's `--dest-daemon-host`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `docker`, talking to this daemon, with a home of its own: what it logs in to is forgotten.
    pub fn docker(&self) -> Command {
        let mut docker = command("docker", self.directory.path());
        docker.args(["-H", &self.host]);
        docker
    }

    /// `docker run` of a command in an image, without network, with nothing left behind.
    pub fn run(&self, image: &str, words: &[&str]) -> Command {
        let mut docker = self.docker();
        docker.args(["run", "--rm", "--network=none", image]).args(words);
        docker
    }
}
