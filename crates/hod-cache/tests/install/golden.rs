//! Every golden cache, installed, against Spack's own relocated stores.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use hod_testing::golden::golden;
use hod_testing::golden::larger_golden;
use hod_testing::machine::{run_new, skip};
use rstest::rstest;
use serde_json::Value;

use crate::place::{Ask, Place, assert_whole, prefix, recorded, v3};

/// Where Spack's relocated stores are.
const SHORT: &str = "/tmp/gs";
const LONG: &str = "/opt/a-much-longer-place-than-before/store";

/// A root whose path has as many bytes as the one Spack installed into: relocation then leaves the
/// same bytes, but for the path itself, and tests need no place that others may use.
struct Twin {
    /// Removed at the end.
    directory: PathBuf,
    root: PathBuf,
}

impl Twin {
    fn of(root: &str) -> Option<Self> {
        let letters = "abcdefghijklmnopqrstuvwxyz0123456789";
        let pairs = letters.chars().flat_map(|a| letters.chars().map(move |b| format!("{a}{b}")));
        // Tests that begin at the same time should not try the same names.
        let first = std::process::id() as usize % 1296;
        let pairs: Vec<String> = pairs.collect();
        for pair in pairs.iter().cycle().skip(first).take(pairs.len()) {
            let directory = Path::new("/tmp").join(pair);
            match std::fs::create_dir(&directory) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => {
                    skip(&format!("a store of {} bytes cannot be made: {error}", root.len()));
                    return None;
                }
                Ok(()) => {}
            }
            let more = root.len() - directory.as_os_str().len();
            let below = if more == 0 { String::new() } else { "l".repeat(more - 1) };
            let path = if more == 0 { directory.clone() } else { directory.join(below) };
            assert_eq!(path.as_os_str().len(), root.len());
            return Some(Self { directory, root: path });
        }
        skip("no short name is free in `/tmp`");
        None
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = fs_err::remove_dir_all(&self.directory);
    }
}

/// A file of a store as it is compared.
#[derive(PartialEq, Eq)]
enum Entry {
    Directory,
    Symlink(Vec<u8>),
    /// Content, whether somebody may execute it, and which other name it has first.
    File(Vec<u8>, bool, Option<String>),
}

/// What is below a prefix, `from` written for `to` wherever it occurs.
fn tree(prefix: &Path, from: &str, to: &str) -> BTreeMap<String, Entry> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    let mut entries = BTreeMap::new();
    let mut inodes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut open = vec![prefix.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs_err::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(prefix).unwrap().to_string_lossy().into_owned();
            let metadata = fs_err::symlink_metadata(&path).unwrap();
            let value = if metadata.is_dir() {
                open.push(path);
                Entry::Directory
            } else if metadata.is_symlink() {
                let target = fs_err::read_link(&path).unwrap();
                Entry::Symlink(replaced(target.as_os_str().as_bytes(), from, to))
            } else {
                if metadata.nlink() > 1 {
                    inodes.entry(metadata.ino()).or_default().push(name.clone());
                }
                let content = replaced(&fs_err::read(&path).unwrap(), from, to);
                Entry::File(content, metadata.permissions().mode() & 0o111 != 0, None)
            };
            entries.insert(name, value);
        }
    }
    for mut names in inodes.into_values() {
        names.sort();
        for name in &names {
            if let Some(Entry::File(_, _, first)) = entries.get_mut(name) {
                *first = Some(names[0].clone());
            }
        }
    }
    entries
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    assert_eq!(from.len(), to.len());
    let mut out = bytes.to_vec();
    if from.is_empty() {
        return out;
    }
    let mut at = 0;
    while at + from.len() <= out.len() {
        if out[at..].starts_with(from) {
            out[at..at + to.len()].copy_from_slice(to);
            at += to.len();
        } else {
            at += 1;
        }
    }
    out
}

/// What Hod made, against what Spack made; the list of files is new, and tested elsewhere.
fn assert_same(ours: &BTreeMap<String, Entry>, spacks: &BTreeMap<String, Entry>, package: &str) {
    // The list is written anew, which Spack does not; and Spack notes how long it took itself,
    // where Hod keeps how long it took to build.
    let own = [".spack/install_manifest.json", ".spack/install_times.json"];
    let is_compared = |name: &&String| !own.contains(&name.as_str());
    let names = |tree: &BTreeMap<String, Entry>| -> Vec<String> {
        tree.keys().filter(is_compared).cloned().collect()
    };
    assert_eq!(names(ours), names(spacks), "{package}");
    for (name, entry) in ours.iter().filter(|(name, _)| is_compared(name)) {
        assert!(*entry == spacks[name], "`{name}` of {package} is not what Spack made of it");
    }
}

/// Databases as they are compared: without times, and with one root.
fn database(root: &Path, from: &str, to: &str) -> Value {
    let bytes = fs_err::read(root.join(".spack-db/index.json")).unwrap();
    let mut database: Value = serde_json::from_slice(&replaced(&bytes, from, to)).unwrap();
    for record in database["database"]["installs"].as_object_mut().unwrap().values_mut() {
        record.as_object_mut().unwrap().remove("installation_time");
    }
    database
}

/// Installs and compares with a store that Spack filled, package by package and record by record.
fn compare(
    place: &Place,
    mirror: &Path,
    queries: &[&str],
    archive: &Path,
    top: &str,
    spacks: &str,
) {
    let Some(twin) = Twin::of(spacks) else { return };
    let golden = place.unpack(archive, "golden").join(top);
    Ask::of(queries, mirror, &twin.root).succeed();
    let ours = twin.root.to_str().unwrap();
    assert_whole(&twin.root);
    assert_eq!(database(&twin.root, ours, spacks), database(&golden, spacks, spacks));
    for name in recorded(&twin.root) {
        let own = prefix(&twin.root, &name);
        let spack = golden.join(own.strip_prefix(&twin.root).unwrap());
        assert_same(&tree(&own, ours, spacks), &tree(&spack, spacks, spacks), &name);
    }
    assert_works(&twin.root);
}

/// Programs run, and find what they need in this store.
fn assert_works(root: &Path) {
    let run = |program: &Path| {
        let mut command = Command::new(program);
        let output = run_new(command.env_clear().env("PATH", "/usr/bin:/bin"));
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        assert!(output.status.success(), "{}: {output:?}", program.display());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(run(&prefix(root, "hello").join("bin/hello")).starts_with("Hello, world!"));
    let farm = prefix(root, "linkfarm");
    for entry in fs_err::read_dir(farm.join("bin")).unwrap() {
        let path = entry.unwrap().path();
        let is_program = fs_err::metadata(&path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        if is_program {
            let said = run(&path);
            assert!(!said.contains("/opt/hpc/store") && !said.contains("/opt/padded"), "{said}");
        }
    }
}

#[test]
fn linkfarm_in_a_shorter_place() {
    let place = Place::new();
    let Some(twin) = Twin::of(SHORT) else { return };
    Ask::of(&["linkfarm", "hello"], &v3(), &twin.root).succeed();
    assert_whole(&twin.root);
    let ours = twin.root.to_str().unwrap();
    let spacks = place.unpack(&golden("relocated.tar.zst"), "golden").join("short");
    let own = prefix(&twin.root, "linkfarm");
    let spack = spacks.join(own.strip_prefix(&twin.root).unwrap());
    let mut found = tree(&own, ours, SHORT);
    found.retain(|name, _| name != ".spack" && !name.starts_with(".spack/"));
    assert_same(&found, &tree(&spack, SHORT, SHORT), "linkfarm");
    assert_works(&twin.root);
}

/// The same from blobs that Hod made, whose lists are known before the first file is written.
#[test]
fn linkfarm_from_a_cache_that_hod_made() {
    let built = crate::pushed::Place::plain();
    crate::pushed::assert_pushed(&built.push(&["linkfarm", "hello"], &crate::pushed::options()));
    let Some(twin) = Twin::of(SHORT) else { return };
    Ask::of(&["linkfarm", "hello"], &built.at("mirror"), &twin.root).succeed();
    assert_whole(&twin.root);
    let ours = twin.root.to_str().unwrap();
    let Some(other) = Twin::of(SHORT) else { return };
    Ask::of(&["linkfarm", "hello"], &v3(), &other.root).succeed();
    let spacks = other.root.to_str().unwrap();
    for name in recorded(&twin.root) {
        let own = tree(&prefix(&twin.root, &name), ours, SHORT);
        assert_same(&own, &tree(&prefix(&other.root, &name), spacks, SHORT), &name);
    }
    assert_works(&twin.root);
}

#[rstest]
#[case::short("v3-unsigned", "store/reloc-short-from-v3-unsigned.tar.zst", "gs", SHORT)]
#[case::long("v3-padded", "store/reloc-long-from-v3-padded.tar.zst", "store", LONG)]
fn whole_stores(
    #[case] mirror: &str,
    #[case] archive: &str,
    #[case] top: &str,
    #[case] spacks: &str,
) {
    let (Some(mirror), Some(archive)) = (larger_golden(mirror), larger_golden(archive)) else {
        return;
    };
    let queries: &[&str] =
        if top == "gs" { &["linkfarm", "hello", "libpng"] } else { &["linkfarm", "hello"] };
    compare(&Place::new(), &mirror, queries, &archive, top, spacks);
}

/// Every layout there is, into a place that no golden store is in.
#[rstest]
#[case::v3_signed("v3-signed", "/opt/hpc/store")]
#[case::v2_signed("v2-signed", "/opt/hpc/store-old")]
fn every_layout(#[case] name: &str, #[case] old: &str) {
    moved(&golden(name), old, &["linkfarm", "hello"]);
}

#[rstest]
#[case::v3_unsigned("v3-unsigned", "/opt/hpc/store")]
#[case::v3_padded("v3-padded", "/opt/padded")]
#[case::v2_unsigned("v2-unsigned", "/opt/hpc/store-old")]
#[case::oci_without_base("oci-layout/nobase", "/opt/hpc/store")]
#[case::oci_on_a_base_image("oci-layout/withbase", "/opt/hpc/store")]
fn every_layout_of_the_larger_set(#[case] name: &str, #[case] old: &str) {
    let Some(mirror) = larger_golden(name) else { return };
    moved(&mirror, old, &["linkfarm", "hello"]);
}

fn moved(mirror: &Path, old: &str, queries: &[&str]) {
    // As long as the place of the shorter one of Spack's stores, which fits everywhere.
    let Some(twin) = Twin::of(SHORT) else { return };
    let done = Ask::of(queries, mirror, &twin.root).succeed();
    assert_eq!(done.installed(), ["bzip2", "gcc-runtime", "hello", "linkfarm", "zlib"]);
    assert_whole(&twin.root);
    for name in recorded(&twin.root) {
        let own = prefix(&twin.root, &name);
        for (file, entry) in tree(&own, "", "") {
            let bytes = match &entry {
                Entry::File(bytes, ..) | Entry::Symlink(bytes) => bytes,
                Entry::Directory => continue,
            };
            let is_left = bytes.windows(old.len()).any(|window| window == old.as_bytes());
            // Spack looks into object files and texts, not into archives and what it does not know.
            let may_be_left = [".a", "blob.bin"].iter().any(|end| file.ends_with(end))
                || file.starts_with(".spack/");
            assert!(!is_left || may_be_left, "`{file}` of {name} refers to `{old}`");
        }
        let farm = own.join("bin/farm");
        if farm.exists() {
            assert_links(&farm, &twin.root);
        }
    }
    assert_works(&twin.root);
}

/// What the dynamic linker maps is of this store or of the system.
fn assert_links(program: &Path, root: &Path) {
    if !hod_testing::machine::has(&["ldd"]) {
        return;
    }
    let output = Command::new("ldd").arg(program).env_clear().env("PATH", "/usr/bin:/bin").output();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    let libz = said.lines().find(|line| line.contains("libz.so")).unwrap();
    assert!(libz.contains(root.to_str().unwrap()), "{said}");
    assert!(!said.contains("not found") && !said.contains("/opt/"), "{said}");
}
