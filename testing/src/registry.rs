//! Debian's `docker-registry` (distribution 2.8) on a free port, with a storage of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::authority::Authority;
use crate::daemon::Daemon;
use crate::machine::has;
use crate::token::TokenServer;

/// How the registry asks who is there.
#[derive(Clone, Copy, Debug, Default)]
pub enum Auth<'a> {
    /// Everybody may do everything.
    #[default]
    None,
    /// `Basic`, one user who may do everything.
    Htpasswd {
        /// The name.
        user: &'a str,
        /// The password.
        password: &'a str,
    },
    /// `Bearer`: the registry verifies what this server has signed.
    Token(&'a TokenServer),
}

/// How a registry is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Who may do what.
    pub auth: Auth<'a>,
    /// TLS with a certificate of this authority for 127.0.0.1 and localhost; plain HTTP without.
    pub tls: Option<&'a Authority>,
    /// Whether blobs and manifests may be deleted.
    pub delete: bool,
    /// Where blobs are kept; a directory that goes with the registry if None.
    pub storage: Option<&'a Path>,
    /// `Location` without scheme and host.
    pub relative_urls: bool,
    /// A registry that takes nothing: a PUT or POST is 405.
    pub read_only: bool,
}

/// A running registry; it ends, and what it kept goes, when this is dropped.
#[derive(Debug)]
pub struct Registry {
    daemon: Daemon,
    host: String,
    storage: PathBuf,
    scheme: &'static str,
    // Removed when the registry is gone.
    _directory: tempfile::TempDir,
}

impl Registry {
    /// Starts one and waits until it listens. None, with the reason printed, if there is no
    /// `docker-registry`; panics instead under `HOD_TEST_REQUIRE_ALL=1`.
    pub fn start(options: &Options<'_>) -> Option<Self> {
        if !has(&["docker-registry"]) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let storage = options.storage.map_or_else(|| at("storage"), Path::to_owned);
        let config = config(options, &storage, directory.path());
        // JSON is YAML.
        fs_err::write(at("config.yml"), config.to_string()).unwrap();
        let config = at("config.yml");
        let words = ["docker-registry", "serve", config.to_str().unwrap()];
        let daemon = Daemon::start(directory.path(), "KILL", &words);
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let mut registry =
            Self { daemon, host: String::new(), storage, scheme, _directory: directory };
        registry.wait();
        Some(registry)
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `http://127.0.0.1:PORT` or `https://…`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }

    /// The root of what it keeps; blobs are in `docker/registry/v2/blobs/sha256/AB/ABCD…/data`.
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// The file of a blob, `sha256:…`, whether it is there or not.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self.storage.join("docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// All it has said so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// It chooses its port itself and says which: nobody can take it in between.
    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let log = self.log();
            if let Some((_, rest)) = log.split_once("listening on ")
                && let Some(end) = rest.find([',', '"', ' ', '\n'])
            {
                rest[..end].clone_into(&mut self.host);
                return;
            }
            let is_starting = self.daemon.is_running() && Instant::now() < deadline;
            assert!(is_starting, "the registry does not start:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// <https://distribution.github.io/distribution/about/configuration/>
fn config(options: &Options<'_>, storage: &Path, directory: &Path) -> Value {
    let mut config = json!({
        "version": "0.1",
        "log": { "level": "info", "accesslog": { "disabled": true } },
        "storage": {
            "filesystem": { "rootdirectory": storage },
            "delete": { "enabled": options.delete },
            "maintenance": {
                "uploadpurging": { "enabled": false },
                "readonly": { "enabled": options.read_only },
            },
        },
        "http": {
            "addr": "127.0.0.1:0",
            "secret": "of a test",
            "relativeurls": options.relative_urls,
        },
    });
    if let Some(authority) = options.tls {
        let certificate = authority.certify(directory);
        config["http"]["tls"] =
            json!({ "certificate": certificate.pem, "key": certificate.key_pem });
    }
    match options.auth {
        Auth::None => {}
        Auth::Htpasswd { user, password } => {
            // The cheapest cost there is: nobody attacks it.
            let hash = bcrypt::hash(password, 4).unwrap();
            let path = directory.join("htpasswd");
            fs_err::write(&path, format!("{user}:{hash}\n")).unwrap();
            config["auth"] = json!({ "htpasswd": { "realm": "a test", "path": path } });
        }
        Auth::Token(server) => config["auth"] = json!({ "token": server.registry_config() }),
    }
    config
}
