//! A base image that runs, made of what this machine has installed: a shell, and the libraries that
//! a C++ program needs. Two layers, reproducible on one machine, a few MiB.

mod root;

use std::io::Write;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::machine::{command, has, lacks, succeed};

/// Whose media types an image has. The bytes of layers are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// `application/vnd.oci.image.…`
    #[default]
    Oci,
    /// `application/vnd.docker.…`, what Docker Hub still has most of.
    Docker,
}

/// What the tag names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Platforms {
    /// A manifest.
    #[default]
    One,
    /// An index, or Docker's manifest list: another architecture first, whose image is nothing but
    /// a file that says so, and then this one.
    Two,
}

/// What kind of base image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Its media types.
    pub media: Media,
    /// How many platforms it has.
    pub platforms: Platforms,
}

/// An image in an OCI layout directory, with the tag `base`.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// The layout directory.
    pub layout: PathBuf,
    /// What the tag names, `sha256:…`: the manifest, or the index.
    pub digest: String,
    /// The manifest of this machine's platform, `sha256:…`.
    pub manifest_digest: String,
    /// That manifest.
    pub manifest: Value,
    /// Its configuration, with `PATH` and `LANG` in `Env`, and `Cmd`.
    pub config: Value,
}

/// Writes a base image. None, with the reason printed, where there is no busybox or no `dpkg` that
/// knows which files libraries are.
pub fn base_image(layout: &Path, options: Options) -> Option<BaseImage> {
    if !has(&["dpkg", "busybox"]) {
        return None;
    }
    let Some(layers) = root::layers() else {
        lacks("the packages of the C library are not Debian's");
        return None;
    };
    fs_err::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let writer = Writer { layout, media: options.media };
    let (this, other) = architectures();
    let (descriptor, manifest, config) = writer.image(this, &layers);
    let named = match options.platforms {
        Platforms::One => descriptor.clone(),
        Platforms::Two => {
            let note = root::note(&format!("an image for {other}\n"));
            let (stranger, ..) = writer.image(other, &[note]);
            let with = |mut descriptor: Value, architecture: &str| {
                descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
                descriptor
            };
            let media_type = writer.media_type("index");
            let manifests = [with(stranger, other), with(descriptor.clone(), this)];
            let index =
                json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
            writer.blob(index.to_string().as_bytes(), media_type)
        }
    };
    let mut tagged = named.clone();
    tagged["annotations"] = json!({ "org.opencontainers.image.ref.name": "base" });
    let index = json!({ "schemaVersion": 2, "manifests": [tagged] });
    fs_err::write(layout.join("index.json"), index.to_string()).unwrap();
    fs_err::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let text = |value: &Value| value["digest"].as_str().unwrap().to_owned();
    Some(BaseImage {
        layout: layout.to_owned(),
        digest: text(&named),
        manifest_digest: text(&descriptor),
        manifest,
        config,
    })
}

impl BaseImage {
    /// As skopeo calls it: `oci:DIRECTORY:base`. It finds no tag whose manifest is Docker's.
    pub fn reference(&self) -> String {
        format!("oci:{}:base", self.layout.display())
    }

    /// Copies it, all platforms and byte for byte, to `127.0.0.1:PORT/NAME:TAG`, without or with
    /// `user:password`. False, with the reason printed, if there is no skopeo.
    pub fn push_to(&self, image: &str, credentials: Option<&str>) -> bool {
        if !has(&["skopeo"]) {
            return false;
        }
        let directory = tempfile::tempdir().unwrap();
        self.lay_flat(directory.path());
        let mut skopeo = command("skopeo", directory.path());
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests"]);
        skopeo.arg("--dest-tls-verify=false");
        if let Some(credentials) = credentials {
            skopeo.args(["--dest-creds", credentials]);
        }
        skopeo.args(["dir:.", &format!("docker://{image}")]);
        succeed(skopeo);
        true
    }

    /// As skopeo's `dir:` transport has it, which takes all media types: `manifest.json`, further
    /// manifests as `HEX.manifest.json`, and everything else as `HEX`.
    fn lay_flat(&self, directory: &Path) {
        let blobs = self.layout.join("blobs/sha256");
        let hex = |digest: &str| digest.strip_prefix("sha256:").unwrap().to_owned();
        fs_err::write(directory.join("version"), "Directory Transport Version: 1.1\n").unwrap();
        fs_err::copy(blobs.join(hex(&self.digest)), directory.join("manifest.json")).unwrap();
        for entry in fs_err::read_dir(&blobs).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            fs_err::copy(blobs.join(&name), directory.join(&name)).unwrap();
        }
        let named = fs_err::read(blobs.join(hex(&self.digest))).unwrap();
        let named: Value = serde_json::from_slice(&named).unwrap();
        for descriptor in named["manifests"].as_array().into_iter().flatten() {
            let name = hex(descriptor["digest"].as_str().unwrap());
            let manifest = directory.join(format!("{name}.manifest.json"));
            fs_err::rename(directory.join(name), manifest).unwrap();
        }
    }
}

/// This machine's, as images call it, and another one.
fn architectures() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "x86_64" => ("amd64", "arm64"),
        "aarch64" => ("arm64", "amd64"),
        other => (other, "amd64"),
    }
}

struct Writer<'a> {
    layout: &'a Path,
    media: Media,
}

impl Writer<'_> {
    /// OCI: <https://github.com/opencontainers/image-spec/blob/main/media-types.md>, Docker:
    /// <https://distribution.github.io/distribution/spec/manifest-v2-2/>.
    fn media_type(&self, what: &str) -> &'static str {
        match (self.media, what) {
            (Media::Oci, "layer") => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Media::Oci, "config") => "application/vnd.oci.image.config.v1+json",
            (Media::Oci, "manifest") => "application/vnd.oci.image.manifest.v1+json",
            (Media::Oci, _) => "application/vnd.oci.image.index.v1+json",
            (Media::Docker, "layer") => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Media::Docker, "config") => "application/vnd.docker.container.image.v1+json",
            (Media::Docker, "manifest") => "application/vnd.docker.distribution.manifest.v2+json",
            (Media::Docker, _) => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// The descriptor of a manifest, the manifest and its configuration.
    fn image(&self, architecture: &str, layers: &[Vec<u8>]) -> (Value, Value, Value) {
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"],
                "Cmd": ["/bin/sh"],
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": layers.iter().map(|tar| digest(tar)).collect::<Vec<_>>(),
            },
            "history": layers.iter().map(|_| json!({ "created_by": "a test" })).collect::<Vec<_>>(),
        });
        let layer = |tar: &Vec<u8>| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(tar).unwrap();
            self.blob(&gzip.finish().unwrap(), self.media_type("layer"))
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": self.media_type("manifest"),
            "config": self.blob(config.to_string().as_bytes(), self.media_type("config")),
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        });
        let descriptor = self.blob(manifest.to_string().as_bytes(), self.media_type("manifest"));
        (descriptor, manifest, config)
    }

    /// Its descriptor.
    fn blob(&self, bytes: &[u8], media_type: &str) -> Value {
        let digest = digest(bytes);
        let name = digest.strip_prefix("sha256:").unwrap();
        fs_err::write(self.layout.join("blobs/sha256").join(name), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(bytes)))
}
