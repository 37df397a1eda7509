//! What is in a registry is listed, shown, unpacked and copied; what other programs put there too.

use std::path::Path;

use hod_testing::authority::Authority;
use hod_testing::registry::{Auth, Options};
use serde_json::Value;

use super::{ALL, Site, refused};
use crate::support::tree::listing;
use crate::support::{Place, both, has, succeed};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Hashes of what is listed.
fn hashes(site: &Site, mirror: &str) -> Vec<String> {
    let listed = succeed(site.place.hod(&format!("list -q --json -m {mirror}")));
    let mut hashes: Vec<String> =
        lines(&listed).iter().map(|line| line["hash"].as_str().unwrap().to_owned()).collect();
    hashes.sort();
    hashes
}

/// What is unpacked from a mirror at `to`.
fn unpacked(place: &Place, mirror: &str, to: &str) -> Vec<String> {
    succeed(place.hod(&format!("unpack -q linkfarm -m {mirror} --to ./{to}")));
    listing(&place.at(to))
}

fn is_added(line: &str) -> bool {
    line.starts_with(".spack/binary_distribution ")
}

#[test]
fn what_was_pushed_is_listed_with_and_without_an_index_and_unpacked() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let to = site.plain("lab/cache");
    site.push(&to, ALL);
    let without = hashes(&site, &to);
    assert_eq!(without.len(), 6, "{without:?}");
    succeed(site.place.hod(&format!("index -q {to}")));
    assert_eq!(hashes(&site, &to), without);
    let shown = succeed(site.place.hod(&format!("show -q --json libpng -m {to}")));
    let shown = &lines(&shown)[0];
    let image = format!("{}/lab/cache:{}", site.server.host(), shown["tag"].as_str().unwrap());
    assert_eq!(shown["image"], *image);

    let found = unpacked(&site.place, &to, "unpacked");
    assert_eq!(found.iter().filter(|line| is_added(line)).count(), 1);
    let found: Vec<String> = found.into_iter().filter(|line| !is_added(line)).collect();
    let name = "store/linux-x86_64/linkfarm-1.0-utvtp6r54rgdsbyrggnzqaijor6jc5jt";
    let normal = |line: String| line.replace("/ 2755", "/ 755").replace(" 4755 ", " 755 ");
    let installed: Vec<String> = listing(&site.place.at(name)).into_iter().map(normal).collect();
    assert_eq!(found, installed);

    let checked = site.tried(&format!("check --read {to}"));
    assert!(both(&checked).contains("6 specs"), "{}", both(&checked));
    assert!(checked.status.success(), "{}", both(&checked));
    let manifest =
        site.manifest("lab/cache", "linkfarm-1.0-utvtp6r54rgdsbyrggnzqaijor6jc5jt.spack");
    let layers = manifest["layers"].as_array().unwrap();
    let layer = site.server.blob(layers.last().unwrap()["digest"].as_str().unwrap());
    let mut bytes = fs_err::read(&layer).unwrap();
    bytes[100] ^= 1;
    fs_err::write(&layer, bytes).unwrap();
    refused(&site.tried(&format!("check --read {to}")), &["linkfarm"]);
}

#[test]
fn images_go_from_a_directory_to_a_registry_to_another_and_back_byte_for_byte() {
    let authority = Authority::new();
    let auth = Auth::Htpasswd { user: "ada", password: "a-secret" };
    let tls = Options { auth, tls: Some(&authority), ..Options::default() };
    let (Some(site), Some(far)) = (Site::open(&Options::default()), Site::open(&tls)) else {
        return;
    };
    let hod = |words: &str| {
        let mut hod = site.place.hod(words);
        hod.env("HOD_CA_FILE", authority.ca_pem_path()).env("TOKEN", "a-secret");
        succeed(hod)
    };
    hod(&format!("push -q --store ./store ./cache {ALL} --update-index"));
    let near = site.plain("lab/cache");
    hod(&format!("copy -q ./cache {near} --update-index"));
    hod(&format!("mirror add far {}", far.tls("lab/cache")));
    hod("mirror set --oci-username ada --oci-password-variable TOKEN far");
    hod(&format!("copy -q {near} far --update-index"));
    hod("copy -q far ./back --update-index");
    hod("copy -q far oci-layout:./bare");

    let tags = site.packages("lab/cache");
    assert_eq!(tags.len(), 6);
    assert_eq!(far.packages("lab/cache"), tags);
    assert_eq!((site.indexed("lab/cache"), far.indexed("lab/cache")), (6, 6));
    for layout in ["cache/oci", "back/oci", "bare"] {
        let index = fs_err::read(site.place.at(layout).join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        for tag in &tags {
            let digest = site.digest("lab/cache", tag);
            assert_eq!(far.digest("lab/cache", tag), digest);
            let mut entries = index["manifests"].as_array().unwrap().iter();
            let name = "org.opencontainers.image.ref.name";
            let entry = entries.find(|entry| entry["annotations"][name] == **tag);
            assert_eq!(entry.unwrap()["digest"], *digest, "{layout} {tag}");
        }
    }
    hod("check -q ./back");
    let direct = unpacked(&site.place, "./cache", "direct");
    assert_eq!(unpacked(&site.place, "./back", "round"), direct);
}

/// What Spack pushed, kept with the project as a bare layout, as skopeo brings it to a registry.
#[test]
fn what_spack_pushed_is_read_and_gets_an_index() {
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack/oci-layout");
    if !has(&["skopeo"]) {
        return;
    }
    let Some(site) = Site::open(&Options::default()) else { return };
    let index: Value =
        serde_json::from_slice(&fs_err::read(layout.join("index.json")).unwrap()).unwrap();
    let names = index["manifests"].as_array().unwrap().iter();
    let name = "org.opencontainers.image.ref.name";
    let tags: Vec<&str> = names.map(|entry| entry["annotations"][name].as_str().unwrap()).collect();
    let packages = tags.len() - 1;
    assert!(packages > 1 && tags.contains(&"index.spack"), "{tags:?}");
    let copy = |repository: &str, options: &[&str]| {
        for tag in &tags {
            let mut copy = site.place.command("skopeo");
            copy.args(["--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]);
            copy.args(options).arg(format!("oci:{}:{tag}", layout.display()));
            copy.arg(format!("docker://{}/{repository}:{tag}", site.server.host()));
            succeed(copy);
        }
    };
    // Left to itself, skopeo compresses what says it is compressed, and Spack cannot read the index.
    copy("spack/changed", &[]);
    let from = site.plain("spack/changed");
    assert_eq!(hashes(&site, &from).len(), packages);
    succeed(site.place.hod(&format!("index -q {from}")));
    assert_eq!(site.indexed("spack/changed"), packages, "it was written anew");

    copy("spack/cache", &["--preserve-digests"]);
    let from = site.plain("spack/cache");
    assert_eq!(hashes(&site, &from).len(), packages);
    succeed(site.place.hod(&format!("index -q {from}")));
    assert_eq!(site.indexed("spack/cache"), packages);
    succeed(site.place.hod(&format!("copy -q {from} ./copied --update-index")));
    succeed(site.place.hod("check -q ./copied"));
}
