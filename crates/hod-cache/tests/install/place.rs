//! Mirrors to install from and stores to install into.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use hod_archive::{Cancel, Codec, Limits, decoder};
use hod_cache::{
    Absent, Dependencies, Event, Graph, InstallError, InstallJob, InstallOptions, InstallPlan,
    InstallSource, InstallSummary, InstalledAs, LocalStore, PlanOptions, Wanted, install,
    plan_install, resolve,
};
use hod_mirror::{DirectoryMirror, Mirror};
use hod_store::{
    Difference, InstallManifest, Layout, OpenOptions, Patience, Permissions, Store, StoreWriter,
    WriteOptions,
};
use hod_testing::golden::golden;

/// A directory of the test's own.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        // The packages were built in `/opt/hpc/store` without padding: they fit in places that are
        // no longer, which the temporary directory of a machine may be.
        let builder = tempfile::Builder::new().prefix("h").rand_bytes(4).tempdir_in("/tmp");
        Self { directory: builder.unwrap() }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A copy of golden data that may be damaged.
    pub(crate) fn copy(&self, name: &str) -> PathBuf {
        let to = self.at(name);
        hod_testing::golden::copy_golden(name, &to);
        to
    }

    /// Unpacks an archive of golden data to a new directory.
    pub(crate) fn unpack(&self, archive: &Path, to: &str) -> PathBuf {
        let to = self.at(to);
        let file = fs_err::File::open(archive).unwrap();
        let stream = decoder(Codec::Zstd, std::io::BufReader::new(file)).unwrap();
        let mut archive = tar::Archive::new(stream);
        archive.set_preserve_permissions(true);
        archive.unpack(&to).unwrap();
        to
    }
}

/// A build cache of layout 3 with its blobs: bzip2, gcc-runtime, hello, linkfarm, zlib.
pub(crate) fn v3() -> PathBuf {
    golden("v3-signed")
}

/// What is asked for.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) root: PathBuf,
    pub(crate) mirrors: Vec<PathBuf>,
    pub(crate) queries: Vec<&'a str>,
    pub(crate) lock: Option<Vec<u8>>,
    pub(crate) dependencies: Dependencies,
    pub(crate) is_forced: bool,
    pub(crate) is_signed: bool,
    pub(crate) upstreams: Vec<PathBuf>,
    pub(crate) projections: Vec<(String, String)>,
    pub(crate) timeout: Option<std::time::Duration>,
    pub(crate) jobs: usize,
}

impl<'a> Ask<'a> {
    pub(crate) fn of(queries: &[&'a str], mirror: &Path, root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            mirrors: vec![mirror.to_owned()],
            queries: queries.to_vec(),
            lock: None,
            dependencies: Dependencies::Runtime,
            is_forced: false,
            is_signed: false,
            upstreams: Vec::new(),
            projections: Vec::new(),
            timeout: Some(std::time::Duration::from_secs(20)),
            jobs: 2,
        }
    }

    fn options(&self) -> WriteOptions<'_> {
        WriteOptions {
            open: OpenOptions { upstreams: self.upstreams.clone(), ..OpenOptions::default() },
            projections: self.projections.clone(),
            hash_length: None,
        }
    }

    /// Plans and installs; nobody else uses the store.
    pub(crate) fn run(&self) -> Result<Done, Failure> {
        let mirrors: Vec<Mirror> = self.mirrors.iter().map(|path| open(path)).collect();
        let sources: Vec<InstallSource<'_>> = mirrors
            .iter()
            .map(|mirror| InstallSource { mirror, is_signed: self.is_signed })
            .collect();
        let local = LocalStore::none();
        let options = self.options();
        let writer = StoreWriter::ensure(&self.root, &options).map_err(InstallError::from)?;
        hod_store::ensure_sbang(writer.unpadded_root()).map_err(InstallError::from)?;
        let store = writer.read(&Patience::default()).map_err(InstallError::from)?;
        let mut graph = Graph::default();
        if let Some(lock) = &self.lock {
            graph.add_lock(lock.clone()).unwrap();
        }
        for query in &self.queries {
            resolve(&mut graph, &Wanted::new(*query), &sources, &local, Some(&store))
                .map_err(InstallError::from)?;
        }
        let layout = Layout::new(writer.root(), &self.projections, None).unwrap();
        let plan_options = PlanOptions {
            dependencies: self.dependencies,
            is_forced: self.is_forced,
            ..PlanOptions::default()
        };
        let plan = plan_install(&graph, Some(&store), &layout, &sources, &local, &plan_options)?;
        let told = Mutex::new(Vec::new());
        let options = InstallOptions {
            jobs: self.jobs,
            limits: Limits::default(),
            permissions: &|_| Ok(Permissions::default()),
            on_wait: &|_| told.lock().unwrap().push("waits".to_owned()),
            lock_timeout: self.timeout,
            cancel: Cancel::default(),
        };
        let job = InstallJob {
            plan: &plan,
            graph: &graph,
            store: &store,
            writer: &writer,
            sources: &sources,
            local: &local,
        };
        let summary = install(&job, &options, &|event: Event<'_>| {
            if let Event::Warning { package, message } = event {
                told.lock().unwrap().push(format!("{package}: {message}"));
            }
        })?;
        drop(options);
        Ok(Done { plan, summary, told: told.into_inner().unwrap() })
    }

    /// All of it must be installed.
    pub(crate) fn succeed(&self) -> Done {
        let done = self.run().unwrap_or_else(|failure| panic!("{}", failure.0));
        assert_eq!(done.failures(), Vec::<String>::new());
        assert_eq!(done.absent(), Vec::<String>::new());
        done
    }
}

fn open(path: &Path) -> Mirror {
    Mirror::Directory(if path.join("oci-layout").exists() {
        DirectoryMirror::open_layout(path).unwrap()
    } else {
        DirectoryMirror::open(path).unwrap()
    })
}

/// Why there is no outcome at all.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        Self(chain(&error))
    }
}

/// What was planned and done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) plan: InstallPlan,
    pub(crate) summary: InstallSummary,
    pub(crate) told: Vec<String>,
}

impl Done {
    /// Names of what was installed, sorted.
    pub(crate) fn installed(&self) -> Vec<&str> {
        let outcomes = self.summary.outcomes.iter();
        let new = outcomes.filter(|outcome| matches!(outcome.result, Ok(InstalledAs::New { .. })));
        let mut names: Vec<&str> = new.map(|o| o.label.split('@').next().unwrap()).collect();
        names.sort_unstable();
        names
    }

    /// `name: error: its cause`, sorted.
    pub(crate) fn failures(&self) -> Vec<String> {
        let failed = self.summary.outcomes.iter().filter_map(|outcome| {
            let error = outcome.result.as_ref().err()?;
            Some(format!("{}: {}", outcome.label, chain(error)))
        });
        let mut failed: Vec<String> = failed.collect();
        failed.sort();
        failed
    }

    pub(crate) fn absent(&self) -> Vec<String> {
        let told = |absent: &Absent| format!("{}: {}", absent.spec.label(), chain(&absent.error));
        self.plan.absent.iter().map(told).collect()
    }
}

/// All that an error says.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

pub(crate) fn open_store(root: &Path) -> Store {
    Store::open(root, &OpenOptions::default()).unwrap()
}

/// Names of what a store has, by its database.
pub(crate) fn recorded(root: &Path) -> Vec<String> {
    let store = open_store(root);
    let installed = store.records().filter(|record| record.installed);
    let mut names: Vec<String> = installed
        .filter(|record| record.spec.external.is_none())
        .map(|record| record.spec.name.to_string())
        .collect();
    names.sort_unstable();
    names
}

/// The prefix of a package.
pub(crate) fn prefix(root: &Path, name: &str) -> PathBuf {
    let store = open_store(root);
    let record = store.records().find(|record| &*record.spec.name == name).unwrap();
    store.prefix(&record.spec.hash).unwrap().location
}

/// Every recorded package is whole, as `spack verify manifest` sees it, every package is recorded,
/// and nothing else was left behind.
pub(crate) fn assert_whole(root: &Path) {
    let store = open_store(root);
    let mut known = Vec::new();
    for record in store.records().filter(|record| record.installed) {
        if record.spec.external.is_some() {
            continue;
        }
        let prefix = store.prefix(&record.spec.hash).unwrap();
        let found = InstallManifest::verify(&prefix.location, &prefix.recorded).unwrap();
        assert_eq!(found, Vec::<Difference>::new(), "{}", record.spec.label());
        known.push(prefix.location);
    }
    assert_eq!(strays(root, &known), Vec::<PathBuf>::new());
}

/// What is in a store and is neither a package, nor leads to one, nor is the store's own.
pub(crate) fn strays(root: &Path, known: &[PathBuf]) -> Vec<PathBuf> {
    let mut strays = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs_err::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let is_own =
                directory == root && (path.ends_with(".spack-db") || path.ends_with("bin"));
            if is_own || known.contains(&path) {
                continue;
            }
            if known.iter().any(|known| known.starts_with(&path)) {
                open.push(path);
            } else if !path.is_dir() || fs_err::read_dir(&path).unwrap().next().is_some() {
                strays.push(path);
            }
        }
    }
    strays.sort();
    strays
}
