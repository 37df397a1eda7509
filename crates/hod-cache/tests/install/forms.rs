//! The forms that tarballs had in the course of time (`spack-format` 0), and packages that were put
//! on other dependencies than they were built with.

use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use hod_testing::machine::run_new;
use serde_json::{Value, json};

use crate::forge::{blob, forge, forge_info, manifest};
use crate::place::{Ask, Place, assert_whole, prefix};

/// What linkfarm says of itself when it runs.
fn said(root: &Path) -> String {
    let program = prefix(root, "linkfarm").join("bin/run-farm.sh");
    let output = run_new(&mut std::process::Command::new(program)).unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Installs linkfarm, which must then work without a trace of where it was built.
fn install_and_run(place: &Place, mirror: &Path) {
    let root = place.at("s");
    Ask::of(&["linkfarm"], mirror, &root).succeed();
    assert_whole(&root);
    let said = said(&root);
    assert!(said.contains(root.to_str().unwrap()) && !said.contains("/opt/hpc/store"), "{said}");
    let names = prefix(&root, "linkfarm").join("bin");
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        fs_err::metadata(names.join(name)).unwrap().ino()
    };
    assert_eq!(inode("run-farm.sh"), inode("run-farm-hard.sh"));
}

/// Up to Spack 0.20, names began with the last component of the prefix.
#[test]
fn names_that_begin_with_the_base_name_of_the_prefix() {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    forge(&mirror, "linkfarm", |prefix, members| {
        let above = Path::new(prefix).parent().unwrap().to_str().unwrap().to_owned() + "/";
        members.retain(|member| member.path.len() > above.len() && member.path.starts_with(&above));
        for member in members {
            member.path = member.path.strip_prefix(&above).unwrap().to_owned();
            if let Some(target) = &mut member.target {
                *target = target.strip_prefix(&above).unwrap_or(target).to_owned();
            }
        }
    });
    install_and_run(&place, &mirror);
}

/// Spack 0.21 wrote whole paths, and no entries for the parents of the prefix.
#[test]
fn no_parents() {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    forge(&mirror, "linkfarm", |prefix, members| {
        members.retain(|member| member.path.starts_with(prefix));
    });
    install_and_run(&place, &mirror);
}

/// Up to Spack 0.19, and before hard links were listed once.
#[test]
fn prefixes_before_hashes_and_every_name_of_a_file_in_the_lists() {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    forge_info(&mirror, "linkfarm", |info| {
        let begin = info.find("hash_to_prefix: {").unwrap();
        let end = begin + info[begin..].find('}').unwrap();
        let pairs = &info[begin + "hash_to_prefix: {".len()..end];
        let turned: Vec<String> = pairs
            .split(", ")
            .map(|pair| pair.split_once(": ").unwrap())
            .map(|(hash, prefix)| format!("{prefix}: {hash}"))
            .collect();
        let turned = format!("prefix_to_hash: {{{}", turned.join(", "));
        let info = format!("{}{turned}{}", &info[..begin], &info[end..]);
        assert!(info.contains("hardlinks_deduped: true, "), "{info}");
        let info = info.replace("hardlinks_deduped: true, ", "");
        assert!(info.contains("bin/run-farm-hard.sh") && !info.contains("bin/run-farm.sh"));
        info.replace("bin/run-farm-hard.sh", "bin/run-farm-hard.sh, bin/run-farm.sh")
    });
    install_and_run(&place, &mirror);
}

/// As the other name may come first in a list of another order, it must do alone.
#[test]
fn only_the_second_name_of_a_file_in_the_lists() {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    forge_info(&mirror, "linkfarm", |info| info.replace("bin/run-farm-hard.sh", "bin/run-farm.sh"));
    install_and_run(&place, &mirror);
}

/// The spec of a package, with all it depends on.
fn spec_file(mirror: &Path, name: &str) -> Value {
    let (_, manifest) = manifest(mirror, name);
    let file = fs_err::File::open(blob(mirror, &manifest, 1)).unwrap();
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A copy of a node under another hash, that is the binary of the first.
fn spliced(node: &Value, hash: &str) -> Value {
    let mut new = node.clone();
    new["build_spec"] = json!({ "name": node["name"], "hash": node["hash"] });
    new["hash"] = hash.into();
    new
}

/// `linkfarm` is put on another `zlib` than it was built with.
#[test]
fn a_spliced_package_refers_to_what_it_was_spliced_onto() {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    let nodes = spec_file(&mirror, "linkfarm")["spec"]["nodes"].as_array().unwrap().clone();
    let node = |name: &str| nodes.iter().find(|node| node["name"] == name).unwrap().clone();
    // The ends are those of the hashes of what was built, as Spack has it (`spack-format` 2.2).
    let new_hash = |node: &Value| {
        let old = node["hash"].as_str().unwrap();
        format!("{}{}", "a".repeat(25), &old[25..])
    };
    let zlib = spliced(&node("zlib"), &new_hash(&node("zlib")));
    let mut linkfarm = spliced(&node("linkfarm"), &new_hash(&node("linkfarm")));
    for edge in linkfarm["dependencies"].as_array_mut().unwrap() {
        if edge["name"] == "zlib" {
            edge["hash"] = zlib["hash"].clone();
        }
    }
    let mut all = vec![linkfarm.clone(), zlib.clone()];
    all.extend(nodes);
    let lock = json!({ "spec": { "_meta": { "version": 5 }, "nodes": all } });

    let root = place.at("s");
    let ask = Ask { lock: Some(lock.to_string().into_bytes()), ..Ask::of(&[], &mirror, &root) };
    let done = ask.succeed();
    assert_eq!(done.installed(), ["bzip2", "gcc-runtime", "linkfarm", "zlib"]);
    assert_whole(&root);
    let (farm, z) = (prefix(&root, "linkfarm"), prefix(&root, "zlib"));
    for (prefix, node) in [(&farm, &linkfarm), (&z, &zlib)] {
        assert!(prefix.to_str().unwrap().ends_with(node["hash"].as_str().unwrap()));
        let text = fs_err::read_to_string(prefix.join(".spack/spec.json")).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(file["spec"]["nodes"][0]["hash"], node["hash"]);
        assert_eq!(file["spec"]["nodes"][0]["build_spec"], node["build_spec"]);
    }
    let said = said(&root);
    assert!(said.contains(z.to_str().unwrap()), "{said}");
    let ldd = std::process::Command::new("ldd").arg(farm.join("lib/libfarm.so.1")).output();
    if let Ok(output) = ldd {
        let mapped = String::from_utf8(output.stdout).unwrap();
        assert!(mapped.contains(z.to_str().unwrap()), "{mapped}");
    }
}
