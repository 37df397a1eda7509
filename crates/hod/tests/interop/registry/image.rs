//! Every image that was pushed, in the hands of container tools.

use std::path::Path;

use hod_testing::registry::Options;
use serde_json::Value;

use super::{ALL, Site};
use crate::support::tree::listing;
use crate::support::{has, is_root, skip, succeed};

/// Where all packages of the store are in a registry.
const NAME: &str = "lab/cache";

/// A registry with all of the store, and the lines that `--refs` printed.
fn pushed() -> Option<(Site, Vec<Reference>)> {
    let site = Site::open(&Options::default())?;
    let lines = site.push(&site.plain(NAME), &format!("{ALL} --refs"));
    let refs: Vec<Reference> = lines.lines().map(Reference::parse).collect();
    assert_eq!(refs.len(), 6, "{lines}");
    Some((site, refs))
}

struct Reference {
    /// `HOST/NAME`
    repository: String,
    tag: String,
    digest: String,
}

impl Reference {
    fn parse(line: &str) -> Self {
        let (image, digest) = line.split_once('@').unwrap();
        let (repository, tag) = image.rsplit_once(':').unwrap();
        let [repository, tag, digest] = [repository, tag, digest].map(str::to_owned);
        Self { repository, tag, digest }
    }
}

#[test]
fn skopeo_copies_every_image_and_its_layers_are_what_the_config_says() {
    if !has(&["skopeo"]) {
        return;
    }
    let Some((site, refs)) = pushed() else { return };
    for Reference { repository, tag, digest } in &refs {
        let layout = site.place.at(tag);
        // Reads and verifies every blob.
        let mut copy = site.place.command("skopeo");
        copy.args(["--insecure-policy", "copy", "-q", "--src-tls-verify=false"]);
        copy.arg(format!("docker://{repository}@{digest}"));
        copy.arg(format!("oci:{}:copied", layout.display()));
        succeed(copy);
        let index: Value =
            serde_json::from_slice(&fs_err::read(layout.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], **digest, "{tag}: byte for byte");

        let mut inspect = site.place.command("skopeo");
        inspect.args(["inspect", "--config", "--tls-verify=false"]);
        inspect.arg(format!("docker://{repository}:{tag}"));
        let config: Value = serde_json::from_str(&succeed(inspect)).unwrap();
        let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        let layers = index_layers(&site, digest);
        assert_eq!(diff_ids.len(), layers.len(), "{tag}");
        for (diff_id, layer) in diff_ids.iter().zip(&layers) {
            assert_eq!(diff_id, &uncompressed(&site, layer), "{tag} {layer}");
        }
    }
}

fn index_layers(site: &Site, digest: &str) -> Vec<String> {
    let manifest = site.document(digest);
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

/// The digest of a layer's tar, as coreutils and gzip see it.
fn uncompressed(site: &Site, layer: &str) -> String {
    let mut sum = site.place.command("sh");
    sum.args(["-c", "gzip -dc <\"$1\" | sha256sum", "sh"]).arg(site.server.blob(layer));
    format!("sha256:{}", succeed(sum).split(' ').next().unwrap())
}

#[test]
fn podman_pulls_every_image() {
    if !has(&["podman"]) {
        return;
    }
    if !is_root() {
        return skip("podman without root needs subordinate user ids");
    }
    let Some((site, refs)) = pushed() else { return };
    let podman = |words: &[&str]| {
        let own = |name: &str| site.place.at("podman").join(name);
        let mut podman = site.place.command("podman");
        podman.arg("--root").arg(own("root")).arg("--runroot").arg(own("run"));
        podman.arg("--tmpdir").arg(own("tmp"));
        // Overlays need a kernel and a file system that let them; systemd is not everywhere.
        podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]).args(words);
        podman
    };
    for Reference { repository, tag, digest } in &refs {
        let image = format!("{repository}:{tag}");
        succeed(podman(&["pull", "-q", "--tls-verify=false", &image]));
        let pulled = succeed(podman(&["image", "inspect", "--format", "{{.Digest}}", &image]));
        assert_eq!(pulled.trim(), digest, "{tag}");
    }
}

#[test]
fn umoci_unpacks_what_the_store_has() {
    if !has(&["skopeo", "umoci"]) {
        return;
    }
    let Some((site, refs)) = pushed() else { return };
    let Reference { repository, tag, .. } =
        refs.iter().find(|reference| reference.tag.starts_with("linkfarm-")).unwrap();
    let mut copy = site.place.command("skopeo");
    copy.args(["--insecure-policy", "copy", "-q", "--src-tls-verify=false"]);
    copy.arg(format!("docker://{repository}:{tag}")).arg("oci:layout:farm");
    succeed(copy);
    let mut unpack = site.place.command("umoci");
    unpack.args(["unpack", "--image", "layout:farm"]);
    unpack.args((!is_root()).then_some("--rootless")).arg("bundle");
    succeed(unpack);
    let unpacked = site.place.at("bundle/rootfs/opt/hpc/store/linux-x86_64");
    let store = site.place.at("store/linux-x86_64");
    let mut names: Vec<_> =
        fs_err::read_dir(&unpacked).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        let (found, installed) = (packed(&unpacked.join(&name)), packed(&store.join(&name)));
        assert!(found.len() > 5, "{found:?}");
        assert_eq!(found, installed, "{}", name.display());
    }
}

/// All of a prefix but the one file that is added to an archive. Modes are normal in archives: the
/// group bit of a store's directories is not there, nor is the user bit of a program.
fn packed(prefix: &Path) -> Vec<String> {
    let is_added = |line: &String| line.starts_with(".spack/binary_distribution ");
    let lines = listing(prefix).into_iter().filter(|line| !is_added(line));
    lines.map(|line| line.replace("/ 2755", "/ 755").replace(" 4755 ", " 755 ")).collect()
}

/// Apptainer takes the media type of the first layer for that of all of them, and gives up at a
/// manifest whose types are of both families.
#[test]
fn a_manifest_has_the_media_types_of_one_family() {
    let Some((site, refs)) = pushed() else { return };
    site.push(&site.plain(NAME), "zlib --update-index");
    for tag in site.tags(NAME) {
        let manifest = site.manifest(NAME, &tag);
        assert_eq!(manifest["schemaVersion"], 2, "{tag}");
        let media_type = |value: &Value| value["mediaType"].as_str().unwrap().to_owned();
        assert_eq!(media_type(&manifest), "application/vnd.oci.image.manifest.v1+json", "{tag}");
        if !refs.iter().any(|reference| reference.tag == tag) {
            // Spack has its index so, as one layer that is none.
            assert!(["index.spack", "hod-index"].contains(&&*tag), "{tag}");
            continue;
        }
        let config = media_type(&manifest["config"]);
        assert_eq!(config, "application/vnd.oci.image.config.v1+json", "{tag}");
        let layers = manifest["layers"].as_array().unwrap();
        assert!(!layers.is_empty(), "{tag}");
        for layer in layers {
            let is_gzip = media_type(layer) == "application/vnd.oci.image.layer.v1.tar+gzip";
            assert!(is_gzip, "{tag}: {layer}");
            // Docker's types have none, and no layer is to be found anywhere else.
            assert!(layer.get("urls").is_none(), "{tag}: {layer}");
            let file = site.server.blob(layer["digest"].as_str().unwrap());
            assert_eq!(fs_err::metadata(file).unwrap().len(), layer["size"], "{tag}: {layer}");
        }
    }
}
