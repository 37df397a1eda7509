//! Specs that nobody built: as many as one likes, the same everywhere, and of the size and shape
//! that Spack writes on a machine with a named processor. They become the database of a store, the
//! store itself with tiny prefixes, or a mirror with its index.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::entries::hex;

/// Levels of the graph, as shares of all specs out of a hundred: few that much depends on, many
/// that only one of the last level does, as what somebody asked for brings along.
const LEVELS: &[usize] = &[4, 12, 30, 52, 2];
/// Which specs of the level below one depends on, counted from the one at the same height.
const NEIGHBOURS: &[usize] = &[0, 1, 2, 5];
/// Direct dependencies on the lowest level: compilers, the C library, build tools.
const BASE: usize = 3;

/// What every node says of its target: about as much as is said of a named x86-64 processor.
const FEATURES: &[&str] = &[
    "abm",
    "adx",
    "aes",
    "avx",
    "avx2",
    "avx512bw",
    "avx512cd",
    "avx512dq",
    "avx512f",
    "avx512vl",
    "avx512vnni",
    "bmi1",
    "bmi2",
    "clflushopt",
    "clwb",
    "cx16",
    "f16c",
    "fma",
    "fsgsbase",
    "mmx",
    "movbe",
    "pclmulqdq",
    "popcnt",
    "rdrand",
    "rdseed",
    "sse",
    "sse2",
    "sse4_1",
    "sse4_2",
    "ssse3",
    "xsavec",
    "xsaveopt",
];

/// How large a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A word: about 1.4 KB.
    Plain,
    /// A named processor with all its features: about 2 KB.
    Object,
}

/// A graph of specs. Every one depends on earlier ones only.
pub(crate) struct Specs {
    target: Target,
    /// How many builds of each package there are.
    builds: usize,
    /// Where each level begins, and where the last one ends.
    levels: Vec<usize>,
}

/// One spec by its number.
type Number = usize;

impl Specs {
    pub(crate) fn new(count: usize, builds: usize, target: Target) -> Self {
        let mut levels = vec![0];
        let mut share = 0;
        for level in LEVELS {
            share += level;
            levels.push((count * share).div_ceil(100));
        }
        Self { target, builds, levels }
    }

    pub(crate) fn len(&self) -> usize {
        self.levels[LEVELS.len()]
    }

    /// Those that nothing depends on; all others are in their closure.
    pub(crate) fn roots(&self) -> std::ops::Range<Number> {
        self.levels[LEVELS.len() - 1]..self.len()
    }

    pub(crate) fn name(&self, spec: Number) -> String {
        format!("package-{:05}", spec / self.builds)
    }

    fn version(&self, spec: Number) -> String {
        format!("{}.{}.{}", 1 + spec % 7, spec % self.builds, spec % 13)
    }

    /// 160 bits of a digest, in the letters that Spack writes hashes with.
    pub(crate) fn hash(spec: Number) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let digest = Sha256::digest(format!("spec {spec}"));
        digest.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
    }

    fn dependencies(&self, spec: Number) -> Vec<Number> {
        let level = self.levels.iter().rposition(|start| *start <= spec).unwrap_or(0);
        let level = level.min(LEVELS.len() - 1);
        if level == 0 {
            return Vec::new();
        }
        let size = |level: usize| self.levels[level + 1] - self.levels[level];
        let same_height = (spec - self.levels[level]) * size(level - 1) / size(level);
        // The last level is the smaller one: its specs share out all of those below.
        let share = size(level - 1).div_ceil(size(level));
        let offsets = NEIGHBOURS.iter().copied().chain(0..share);
        let below =
            offsets.map(|offset| self.levels[level - 1] + (same_height + offset) % size(level - 1));
        let mut all: Vec<Number> = below.chain((0..BASE).map(|base| base % size(0))).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// A spec and all it depends on, itself first.
    fn closure(&self, spec: Number) -> Vec<Number> {
        let (mut all, mut at) = (vec![spec], 0);
        while let Some(&next) = all.get(at) {
            for dependency in self.dependencies(next) {
                if !all.contains(&dependency) {
                    all.push(dependency);
                }
            }
            at += 1;
        }
        all
    }

    /// The node of a spec, as it is in every file that has it.
    fn node(&self, spec: Number) -> String {
        let word = Value::from("x86_64_v4");
        let target = match self.target {
            Target::Plain => word,
            Target::Object => json!({
                "name": "cascadelake", "vendor": "GenuineIntel", "features": FEATURES,
                "generation": 0, "parents": ["skylake_avx512"], "cpupart": "",
            }),
        };
        let dependencies = self.dependencies(spec).into_iter().enumerate().map(|(at, number)| {
            let kinds: &[&str] = if at == 0 { &["build"] } else { &["build", "link", "run"] };
            json!({
                "name": self.name(number), "hash": Self::hash(number),
                "parameters": { "deptypes": kinds, "virtuals": [] },
            })
        });
        let digest = format!("{}{}====", Self::hash(spec), &Self::hash(spec + 1)[..20]);
        json!({
            "name": self.name(spec), "version": self.version(spec),
            "arch": { "platform": "linux", "platform_os": "debian12", "target": target },
            "namespace": "builtin",
            "parameters": {
                "build_system": "cmake", "build_type": "Release", "generator": "make",
                "ipo": false, "mpi": spec.is_multiple_of(3), "pic": true, "shared": true,
                "cflags": [], "cppflags": [], "cxxflags": [], "fflags": [], "ldflags": [],
                "ldlibs": [],
            },
            "package_hash": digest,
            "dependencies": dependencies.collect::<Vec<_>>(),
            "annotations": { "original_specfile_version": 5 },
            "hash": Self::hash(spec),
        })
        .to_string()
    }

    fn prefix(&self, root: &Path, spec: Number) -> PathBuf {
        let name = format!("{}-{}-{}", self.name(spec), self.version(spec), Self::hash(spec));
        root.join("linux-x86_64_v4").join(name)
    }

    /// Writes a store that has its database, in which all specs are installed, and of each prefix
    /// no more than its metadata directory. Returns the size of the database.
    pub(crate) fn write_database(&self, root: &Path) -> anyhow::Result<u64> {
        for spec in 0..self.len() {
            fs_err::create_dir_all(self.prefix(root, spec).join(".spack"))?;
        }
        let directory = root.join(".spack-db");
        fs_err::create_dir_all(&directory)?;
        for lock in ["lock", "prefix_lock"] {
            fs_err::write(directory.join(lock), "")?;
        }
        let roots = self.roots();
        let rest = |spec| {
            let (path, asked) = (self.prefix(root, spec), roots.contains(&spec));
            format!(
                r#""path":{},"installed":true,"explicit":{asked},"installation_time":1795335206.5,"deprecated_for":null"#,
                json!(path)
            )
        };
        self.write_records(&directory.join("index.json"), &rest)
    }

    /// Writes a store with all its prefixes.
    pub(crate) fn write_store(&self, root: &Path) -> anyhow::Result<()> {
        for spec in 0..self.len() {
            let prefix = self.prefix(root, spec);
            fs_err::create_dir_all(prefix.join("bin"))?;
            fs_err::create_dir_all(prefix.join(".spack"))?;
            let script = format!("#!/bin/sh\necho {} from {}\n", spec, prefix.display());
            fs_err::write(prefix.join("bin").join(self.name(spec)), script)?;
            let nodes: Vec<String> =
                self.closure(spec).into_iter().map(|spec| self.node(spec)).collect();
            let text =
                format!(r#"{{"spec":{{"_meta":{{"version":5}},"nodes":[{}]}}}}"#, nodes.join(","));
            fs_err::write(prefix.join(".spack/spec.json"), text)?;
        }
        self.write_database(root).map(drop)
    }

    /// Writes a mirror with an index of all specs, and manifests for the first `present` of them.
    /// Their blobs are missing: whoever lists does not look for them. Returns the size of the index.
    pub(crate) fn write_mirror(&self, mirror: &Path, present: usize) -> anyhow::Result<u64> {
        let manifests = mirror.join("v3/manifests");
        fs_err::create_dir_all(manifests.join("index"))?;
        fs_err::create_dir_all(mirror.join("blobs/sha256"))?;
        fs_err::write(mirror.join("v3/layout.json"), r#"{"signing": "gpg"}"#)?;
        let staged = mirror.join("blobs/index.json");
        let size = self.write_records(&staged, &|_| r#""in_buildcache":true"#.to_owned())?;
        let digest = hex(&Sha256::digest(fs_err::read(&staged)?));
        fs_err::create_dir_all(mirror.join("blobs/sha256").join(&digest[..2]))?;
        fs_err::rename(&staged, mirror.join("blobs/sha256").join(&digest[..2]).join(&digest))?;
        let index = manifest(&[("application/vnd.spack.db.v8+json", "none", size, &digest)]);
        fs_err::write(manifests.join("index/index.manifest.json"), index)?;
        for spec in 0..present {
            let (name, hash) = (self.name(spec), Self::hash(spec));
            let directory = manifests.join("spec").join(&name);
            fs_err::create_dir_all(&directory)?;
            let digest = hex(&Sha256::digest(format!("layer of {spec}")));
            let text = manifest(&[
                ("application/vnd.spack.install.v2.tar+gzip", "gzip", 100_000, &digest),
                ("application/vnd.spack.spec.v5+json", "gzip", 4000, &digest),
            ]);
            let file = format!("{name}-{}-{hash}.spec.manifest.json", self.version(spec));
            fs_err::write(directory.join(file), text)?;
        }
        Ok(size)
    }

    /// Writes a database whose records have `rest` beside the spec and its count.
    fn write_records(&self, to: &Path, rest: &dyn Fn(Number) -> String) -> anyhow::Result<u64> {
        let mut counts = vec![0; self.len()];
        for spec in 0..self.len() {
            self.dependencies(spec).into_iter().for_each(|dependency| counts[dependency] += 1);
        }
        let mut file = std::io::BufWriter::new(fs_err::File::create(to)?);
        write!(file, r#"{{"database":{{"version":"8","installs":{{"#)?;
        for (spec, count) in counts.iter().enumerate() {
            let comma = if spec > 0 { "," } else { "" };
            let (hash, node, rest) = (Self::hash(spec), self.node(spec), rest(spec));
            write!(file, r#"{comma}"{hash}":{{"spec":{node},"ref_count":{count},{rest}}}"#)?;
        }
        write!(file, "}}}}}}")?;
        file.flush()?;
        Ok(fs_err::metadata(to)?.len())
    }
}

/// A manifest as Spack lays it out: media type, compression, length and digest of each blob.
fn manifest(blobs: &[(&str, &str, u64, &str)]) -> String {
    let data = blobs.iter().map(|(media_type, compression, length, digest)| {
        json!({
            "contentLength": length, "mediaType": media_type, "compression": compression,
            "checksumAlgorithm": "sha256", "checksum": digest,
        })
    });
    let data: Vec<_> = data.collect();
    json!({ "version": 3, "data": data }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_specs_are_in_the_closures_of_the_roots() {
        let specs = Specs::new(300, 1, Target::Plain);
        assert_eq!(specs.len(), 300);
        let mut reached: Vec<_> = specs.roots().flat_map(|root| specs.closure(root)).collect();
        reached.sort_unstable();
        reached.dedup();
        assert_eq!(reached.len(), 300);
        let sizes: Vec<_> = (0..300).map(|spec| specs.closure(spec).len()).collect();
        assert!((8..20).contains(&(sizes.iter().sum::<usize>() / 300)), "{sizes:?}");
        assert!(sizes.iter().all(|size| *size < 80), "{sizes:?}");
    }

    #[test]
    fn nodes_are_as_large_as_real_ones() {
        let size = |target| {
            let specs = Specs::new(100, 50, target);
            specs.node(97).len()
        };
        assert!((1200..1700).contains(&size(Target::Plain)), "{}", size(Target::Plain));
        assert!((1700..2300).contains(&size(Target::Object)), "{}", size(Target::Object));
    }

    #[test]
    fn what_is_written_is_json() {
        let place = tempfile::tempdir().unwrap();
        let specs = Specs::new(40, 2, Target::Object);
        specs.write_store(place.path()).unwrap();
        let text = fs_err::read(place.path().join(".spack-db/index.json")).unwrap();
        let database: Value = serde_json::from_slice(&text).unwrap();
        let installs = database["database"]["installs"].as_object().unwrap();
        assert_eq!(installs.len(), 40);
        for record in installs.values() {
            let prefix = Path::new(record["path"].as_str().unwrap());
            let spec = fs_err::read(prefix.join(".spack/spec.json")).unwrap();
            let spec: Value = serde_json::from_slice(&spec).unwrap();
            assert_eq!(spec["spec"]["nodes"][0]["hash"], record["spec"]["hash"]);
        }
        let size = specs.write_mirror(&place.path().join("mirror"), 3).unwrap();
        assert!(size > 40 * 1000);
    }
}
