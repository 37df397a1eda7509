//! What every section needs: the programs, the corpora, fresh directories, and where results go.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{self, Usage};
use crate::spack::Spack;
use crate::table::Table;

/// A prefix to be packed.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) prefix: PathBuf,
}

/// A Spack store, and what of it is to be pushed.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) root: PathBuf,
    pub(crate) specs: Vec<String>,
}

/// The outcome of packing once. Its files vanish with it.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) usage: Usage,
    pub(crate) blob: PathBuf,
    pub(crate) size: u64,
    pub(crate) scratch: TempDir,
}

impl Packed {
    /// The mirror of a push by hod.
    pub(crate) fn mirror(&self) -> PathBuf {
        self.scratch.path().join("mirror")
    }
}

#[derive(Debug)]
pub(crate) struct Harness {
    hod: PathBuf,
    python: PathBuf,
    scripts: PathBuf,
    corpora: PathBuf,
    wanted: Vec<String>,
    store: Option<PathBuf>,
    specs: Vec<String>,
    pub(crate) spack: Option<Spack>,
    pub(crate) runs: usize,
    pub(crate) memory: TempDir,
    pub(crate) disk: TempDir,
    tables: RefCell<Vec<Value>>,
}

impl Harness {
    pub(crate) fn new(cli: &crate::Cli) -> anyhow::Result<Self> {
        let hod = fs_err::canonicalize(&cli.hod)
            .context("build it first: cargo build --release -p hod")?;
        // A corpus that is not there is said to be left out by whoever wants it.
        let corpora = fs_err::canonicalize(&cli.corpus_dir).unwrap_or(cli.corpus_dir.clone());
        let spack = cli.spack.as_ref().map(|path| Spack::new(path, cli.spack_config.as_deref()));
        let harness = Self {
            hod,
            python: interpreter(&cli.python)?,
            scripts: Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(),
            corpora,
            wanted: cli.corpora.clone(),
            store: cli.spack_store.as_ref().map(fs_err::canonicalize).transpose()?,
            specs: cli.specs.clone(),
            spack: spack.transpose()?,
            runs: cli.runs.max(1),
            memory: tempfile::Builder::new().prefix("hod-benches-").tempdir_in(&cli.memory_dir)?,
            disk: tempfile::Builder::new().prefix("hod-benches-").tempdir_in(&cli.disk_dir)?,
            tables: RefCell::default(),
        };
        harness.say(&format!("Machine: {}.", machine()));
        match &harness.spack {
            Some(spack) => harness.say(&format!("Spack: {}.", spack.version)),
            None => {
                harness.say("The real Spack is left out where it would be measured: no --spack.");
            }
        }
        Ok(harness)
    }

    /// Prints a line of the report.
    #[expect(clippy::unused_self, reason = "saying is something the harness does")]
    pub(crate) fn say(&self, line: &str) {
        println!("{line}\n");
    }

    /// Prints a table and keeps it for `--out`.
    pub(crate) fn show(&self, table: &Table) {
        println!("{table}");
        self.tables.borrow_mut().push(table.to_json());
    }

    pub(crate) fn results(&self) -> Value {
        json!({ "machine": machine(), "runs": self.runs, "tables": *self.tables.borrow() })
    }

    /// A new directory on the memory file system.
    pub(crate) fn scratch(&self) -> anyhow::Result<TempDir> {
        Ok(tempfile::tempdir_in(self.memory.path())?)
    }

    /// The subjects called `usual` (or what `--corpus` asked for) that exist here; the others are
    /// reported as left out.
    pub(crate) fn subjects(&self, usual: &[&str]) -> Vec<Subject> {
        let names: Vec<String> = if self.wanted.is_empty() {
            usual.iter().map(|&name| name.to_owned()).collect()
        } else {
            self.wanted.clone()
        };
        names.iter().filter_map(|name| self.subject(name)).collect()
    }

    pub(crate) fn subject(&self, name: &str) -> Option<Subject> {
        let prefix = match name {
            "rust-sysroot" => sysroot(),
            "spack-store" => {
                starting_with(&self.corpora.join("spack-store/corpus/linux-x86_64"), "python-")
            }
            _ => Some(self.corpora.join(name)),
        };
        let found = prefix.filter(|prefix| prefix.is_dir());
        if found.is_none() {
            self.say(&format!("`{name}` is left out: it is not here."));
        }
        found.map(|prefix| Subject { name: name.to_owned(), prefix })
    }

    /// The store to be pushed: the one named, else the corpus's copy; `None` if there is neither,
    /// which is reported.
    pub(crate) fn store(&self) -> Option<Store> {
        let corpus = self.corpora.join("spack-store/corpus");
        let root = self.store.clone().unwrap_or(corpus);
        if !root.join(".spack-db").is_dir() {
            self.say("The store is left out: no --spack-store, and no corpus `spack-store`.");
            return None;
        }
        Some(Store { root, specs: self.specs.clone() })
    }

    /// `hod push` of the runtime closure of a store's specs. The cache of hod is beside the mirror.
    pub(crate) fn push_store(
        &self,
        store: &Store,
        mirror: &Path,
        options: &[&str],
        wrap: &[OsString],
    ) -> anyhow::Result<Usage> {
        let mut arguments: Vec<OsString> = vec!["push".into(), mirror.into()];
        arguments.extend(store.specs.iter().map(OsString::from));
        arguments.extend(["--store".into(), store.root.clone().into()]);
        arguments.extend(["--without-build-dependencies", "-q", "--no-progress"].map(Into::into));
        if let Some(spack) = &self.spack {
            arguments.extend(["--spack-prefix".into(), spack.root.clone().into()]);
        }
        arguments.extend(options.iter().map(OsString::from));
        self.hod(&arguments, beside(mirror)?, wrap)
    }

    /// hod with these arguments, and with its cache in `scratch`.
    pub(crate) fn hod(
        &self,
        arguments: &[OsString],
        scratch: &Path,
        wrap: &[OsString],
    ) -> anyhow::Result<Usage> {
        let mut command = wrap.to_vec();
        command.push(self.hod.clone().into());
        command.extend_from_slice(arguments);
        hod_in(&command, scratch)
    }

    /// `hod push` of one prefix into a fresh mirror with a fresh cache. `wrap` is put before the
    /// command.
    pub(crate) fn push(
        &self,
        subject: &Subject,
        options: &[&str],
        wrap: &[OsString],
    ) -> anyhow::Result<Packed> {
        let scratch = self.scratch()?;
        let mirror = scratch.path().join("mirror");
        let mut command = wrap.to_vec();
        command.extend([self.hod.clone().into(), "push".into(), mirror.clone().into()]);
        command.push(subject.prefix.clone().into());
        if !subject.prefix.join(".spack/spec.json").exists() {
            let name = package_name(subject);
            command.extend(["--name".into(), name.into(), "--version".into(), "1".into()]);
        }
        command.extend(["-q".into(), "--no-progress".into()]);
        command.extend(options.iter().map(OsString::from));
        let usage = hod_in(&command, scratch.path())?;
        let blob = largest_blob(&mirror)?
            .with_context(|| format!("{}: no blob was pushed", subject.name))?;
        let size = fs_err::metadata(&blob)?.len();
        Ok(Packed { usage, blob, size, scratch })
    }

    /// `hod unpack` of what `packed` holds.
    pub(crate) fn unpack(
        &self,
        subject: &Subject,
        packed: &Packed,
        to: &Path,
        wrap: &[OsString],
    ) -> anyhow::Result<Usage> {
        let scratch = self.scratch()?;
        let mut command = wrap.to_vec();
        command.extend([self.hod.clone().into(), "unpack".into(), package_name(subject).into()]);
        command.extend(["-m".into(), packed.mirror().into(), "--to".into(), to.into()]);
        hod_in(&command, scratch.path())
    }

    /// A new directory, with a name as short as it can be, for the root of a store: many packages
    /// cannot be moved to a place with a longer name than the one they were built in.
    #[expect(clippy::unused_self, reason = "the harness says where things are made")]
    pub(crate) fn root(&self, place: &TempDir) -> anyhow::Result<TempDir> {
        let parent = place.path().parent().context("it was made in a directory")?;
        Ok(tempfile::Builder::new().prefix("").rand_bytes(6).tempdir_in(parent)?)
    }

    /// `hod install` of one package, and what it needs, into the store `root`, with a fresh cache.
    pub(crate) fn install(
        &self,
        root: &Path,
        mirror: &Path,
        spec: &str,
        options: &[&str],
        wrap: &[OsString],
    ) -> anyhow::Result<Usage> {
        let scratch = self.scratch()?;
        let mut arguments: Vec<OsString> = vec!["install".into(), spec.into()];
        arguments.extend(["--root".into(), root.into(), "-m".into(), mirror.into()]);
        arguments.extend(["-q", "--no-progress"].map(OsString::from));
        arguments.extend(options.iter().map(OsString::from));
        self.hod(&arguments, scratch.path(), wrap)
    }

    /// The same prefix packed as Spack does it.
    pub(crate) fn peer(&self, subject: &Subject, wrap: &[OsString]) -> anyhow::Result<Packed> {
        let scratch = self.scratch()?;
        let blob = scratch.path().join("peer.tar.gz");
        let mut command = wrap.to_vec();
        command.extend(self.script("peer.py"));
        command.extend([subject.prefix.clone().into(), blob.clone().into()]);
        let usage = child::run(&command, &[("HOME", scratch.path())], scratch.path())?;
        let size = fs_err::metadata(&blob)?.len();
        Ok(Packed { usage, blob, size, scratch })
    }

    pub(crate) fn peer_unpack(
        &self,
        tarball: &Path,
        to: &Path,
        wrap: &[OsString],
    ) -> anyhow::Result<Usage> {
        let scratch = self.scratch()?;
        let mut command = wrap.to_vec();
        command.extend(self.script("peer_unpack.py"));
        command.extend([tarball.into(), to.into()]);
        child::run(&command, &[("HOME", scratch.path())], scratch.path())
    }

    /// Python as Spack's own launcher starts it, without the user's site directory.
    fn script(&self, name: &str) -> [OsString; 3] {
        [self.python.clone().into(), "-I".into(), self.scripts.join(name).into()]
    }
}

/// The directory in which a mirror lies.
pub(crate) fn beside(mirror: &Path) -> anyhow::Result<&Path> {
    mirror.parent().context("a mirror lies in a directory")
}

/// Where hod's cache is in its scratch directory.
pub(crate) const CACHE: &str = "cache";

/// Runs hod with a cache and a home of its own.
fn hod_in(command: &[OsString], scratch: &Path) -> anyhow::Result<Usage> {
    let cache = scratch.join(CACHE);
    child::run(command, &[("XDG_CACHE_HOME", &cache), ("HOME", scratch)], scratch)
}

fn package_name(subject: &Subject) -> String {
    format!("bench-{}", subject.name)
}

/// The interpreter itself: `python3.11` may be a script that looks for it each time.
fn interpreter(python: &Path) -> anyhow::Result<PathBuf> {
    let output = Command::new(python)
        .args(["-c", "import sys; assert sys.version_info[:2] == (3, 11); print(sys.executable)"])
        .output()
        .with_context(|| format!("could not run {}", python.display()))?;
    if !output.status.success() {
        bail!("{} is not Python 3.11, the peer's (--python)", python.display());
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}

fn sysroot() -> Option<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim_end()))
}

fn starting_with(directory: &Path, start: &str) -> Option<PathBuf> {
    let entries = fs_err::read_dir(directory).ok()?;
    let mut paths: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths.into_iter().next()
}

/// The layer among the blobs of a directory mirror: by far the largest.
fn largest_blob(mirror: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut largest: Option<(u64, PathBuf)> = None;
    let mut directories = vec![mirror.join("blobs"), mirror.join("oci/blobs")];
    while let Some(directory) = directories.pop() {
        if !directory.is_dir() {
            continue;
        }
        for entry in fs_err::read_dir(&directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if largest.as_ref().is_none_or(|(size, _)| metadata.len() > *size) {
                largest = Some((metadata.len(), entry.path()));
            }
        }
    }
    Ok(largest.map(|(_, path)| path))
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn machine() -> String {
    let model = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let load = fs_err::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let kernel = fs_err::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or("?").trim();
    format!("{} cores of {model}, Linux {kernel}, load {load} at the start", cores())
}
