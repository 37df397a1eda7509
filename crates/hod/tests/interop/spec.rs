//! What is pushed for a spec, in the hands of other programs.

use std::path::{Path, PathBuf};

use hod_testing::golden::copy_golden;
use serde_json::Value;

use crate::golden::unpack_fixture;
use crate::support::{Place, has, succeed};

const LINKFARM: &str = "linkfarm-1.0-utvtp6r54rgdsbyrggnzqaijor6jc5jt";

/// A place with a mirror of linkfarm and all it needs.
fn pushed() -> Place {
    let place = Place::new();
    unpack_fixture("store.tar.zst", &place.at(""));
    succeed(place.hod("push -q ./cache linkfarm --store ./store --update-index"));
    place
}

fn reference(place: &Place) -> String {
    format!("oci:{}:{LINKFARM}.spack", place.at("cache/oci").display())
}

#[test]
fn skopeo_reads_the_image_of_a_spec_with_all_it_needs() {
    if !has(&["skopeo"]) {
        return;
    }
    let place = pushed();
    let mut inspect = place.command("skopeo");
    inspect.args(["inspect", &reference(&place)]);
    let said: Value = serde_json::from_str(&succeed(inspect)).unwrap();
    assert_eq!(said["Layers"].as_array().unwrap().len(), 4);
    let path = format!("PATH=/opt/hpc/store/linux-x86_64/{LINKFARM}/bin:");
    assert!(said["Env"][0].as_str().unwrap().starts_with(&path), "{said}");
    // Every blob is read and verified.
    let mut copy = place.command("skopeo");
    copy.args(["copy", "-q", &reference(&place)]).arg(format!("dir:{}", place.at("d").display()));
    succeed(copy);
}

#[test]
fn umoci_unpacks_a_spec_and_what_it_needs_where_they_were() {
    if !has(&["umoci"]) {
        return;
    }
    let place = pushed();
    let mut unpack = place.command("umoci");
    let image = format!("{}:{LINKFARM}.spack", place.at("cache/oci").display());
    unpack.args(["unpack", "--rootless", "--image", &image]).arg(place.at("bundle"));
    succeed(unpack);
    let store = place.at("bundle/rootfs/opt/hpc/store/linux-x86_64");
    for name in ["zlib-1.2.13", "bzip2-1.0.8", "gcc-runtime-12.2.0", "linkfarm-1.0"] {
        let prefix = below(&store, name);
        let installed = below(&place.at("store/linux-x86_64"), name);
        let spec = |prefix: &Path| fs_err::read(prefix.join(".spack/spec.json")).unwrap();
        assert_eq!(spec(&prefix), spec(&installed), "{name}");
        assert!(prefix.join(".spack/binary_distribution").exists(), "{name}");
    }
}

fn below(directory: &Path, start: &str) -> PathBuf {
    let entries = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(start);
    entries.into_iter().find(is).unwrap_or_else(|| panic!("no {start}"))
}

/// `tarfile` is what Spack's own reader is made of.
#[test]
fn python_reads_every_tarball_as_spack_would() {
    if !has(&["python3"]) {
        return;
    }
    let place = pushed();
    let script = r#"
import glob, hashlib, json, sys, tarfile
for path in glob.glob(sys.argv[1] + "/v3/manifests/spec/*/*.json"):
    manifest = json.load(open(path))
    assert manifest["version"] == 3
    for record in manifest["data"]:
        checksum = record["checksum"]
        blob = f"{sys.argv[1]}/blobs/sha256/{checksum[:2]}/{checksum}"
        data = open(blob, "rb").read()
        assert hashlib.sha256(data).hexdigest() == checksum and len(data) == record["contentLength"]
        if "install" not in record["mediaType"]:
            continue
        with tarfile.open(blob, "r:gz") as tar:
            names = tar.getnames()
        assert names[-1].endswith(".spack/binary_distribution"), names[-1]
        prefix = names[-1][: -len("/.spack/binary_distribution")]
        assert all(name.startswith(prefix) or prefix.startswith(name) for name in names)
        print(prefix)
"#;
    let mut python = place.command("python3");
    python.args(["-c", script]).arg(place.at("cache"));
    assert_eq!(succeed(python).lines().count(), 4);
}

/// Nothing of a signed cache is changed by reading it.
#[test]
fn gpg_finds_the_signatures_hod_leaves_alone() {
    if !has(&["gpg"]) {
        return;
    }
    let place = Place::new();
    copy_golden("v3-signed", &place.at("cache"));
    let home = place.at("gnupg");
    fs_err::create_dir(&home).unwrap();
    crate::support::tree::set_mode(&home, 0o700);
    let gpg = |arguments: &[&str], file: &Path| {
        let mut gpg = place.command("gpg");
        gpg.env("GNUPGHOME", &home).args(["--batch", "-q"]).args(arguments).arg(file);
        gpg
    };
    let keys = place.at("cache/v3/manifests/key");
    let key = below(&keys, "16FAD992");
    let manifest: Value = serde_json::from_slice(&fs_err::read(key).unwrap()).unwrap();
    let checksum = manifest["data"][0]["checksum"].as_str().unwrap();
    let blob = place.at("cache/blobs/sha256").join(&checksum[..2]).join(checksum);
    succeed(gpg(&["--import"], &blob));
    succeed(place.hod("list -q -m ./cache"));
    succeed(place.hod("check -q ./cache"));
    let hello = below(&place.at("cache/v3/manifests/spec/hello"), "hello");
    succeed(gpg(&["--verify"], &hello));
}
