//! The real Spack, where the command line says that there is one.
//!
//! It runs in the environment of the benchmark, not in an empty one: which Python it runs on and where
//! its caches are is for whoever set it up to say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::child::{self, Environment, Usage};

#[derive(Debug)]
pub(crate) struct Spack {
    program: PathBuf,
    config: Option<PathBuf>,
    /// Where it is, by its own account: build information says it.
    pub(crate) root: String,
    pub(crate) version: String,
}

/// What Spack installs from where to where.
pub(crate) struct Install<'a> {
    pub(crate) root: &'a Path,
    /// A directory, with an index.
    pub(crate) mirror: &'a Path,
    pub(crate) spec: &'a str,
    /// What Spack knows of recipes and indices, if it ran before: making that again takes much longer
    /// than the installation.
    pub(crate) cache: &'a Path,
}

impl Spack {
    pub(crate) fn new(program: &Path, config: Option<&Path>) -> anyhow::Result<Self> {
        let program = fs_err::canonicalize(program)?;
        let config = config.map(fs_err::canonicalize).transpose()?;
        let ask = |arguments: &[&str]| {
            let output = Command::new(&program)
                .args(arguments)
                .output()
                .with_context(|| format!("could not run {}", program.display()))?;
            ensure!(output.status.success(), "{}: {}", program.display(), output.status);
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        };
        let (root, version) = (ask(&["location", "--spack-root"])?, ask(&["--version"])?);
        Ok(Self { program, config, root, version })
    }

    /// `spack buildcache push` of the runtime closure of `specs`. The tarballs are staged beside
    /// the mirror, so that they are on the same file system.
    pub(crate) fn push(
        &self,
        mirror: &Path,
        specs: &[String],
        scratch: &Path,
    ) -> anyhow::Result<Usage> {
        let stage = format!("config:build_stage:[{}]", scratch.join("stage").display());
        let mut command = self.command();
        command.extend(["-c".into(), stage.into()]);
        command.extend(["buildcache", "push", "--unsigned"].map(OsString::from));
        command.extend(["--without-build-dependencies".into(), mirror.into()]);
        command.extend(specs.iter().map(OsString::from));
        child::run_in(Environment::Ours, &command, scratch)
    }

    /// `spack buildcache update-index`, which reads all of the mirror.
    pub(crate) fn update_index(&self, mirror: &Path, scratch: &Path) -> anyhow::Result<Usage> {
        let mut command = self.command();
        command.extend(["buildcache".into(), "update-index".into(), mirror.into()]);
        child::run_in(Environment::Ours, &command, scratch)
    }

    /// `spack install --cache-only` of one package, and what it needs, into a store of its own. What
    /// it stages is beside its configuration in `scratch`.
    pub(crate) fn install(
        &self,
        job: &Install<'_>,
        scratch: &Path,
        wrap: &[OsString],
    ) -> anyhow::Result<Usage> {
        let scope = scratch.join("scope");
        fs_err::create_dir_all(&scope)?;
        let (root, cache) = (job.root.display(), job.cache.display());
        let stage = scratch.join("stage");
        let config = format!(
            "config:\n  install_tree:\n    root: {root}\n  misc_cache: {cache}\n  build_stage: [{}]\n",
            stage.display()
        );
        let mirrors = format!(
            "mirrors::\n  bench:\n    url: file://{}\n    binary: true\n    source: false\n    \
             signed: false\n",
            job.mirror.display()
        );
        let reuse = "concretizer:\n  reuse:\n    roots: true\n    from:\n    - type: buildcache\n    \
                     - type: external\n";
        for (name, text) in [("config", &*config), ("mirrors", &mirrors), ("concretizer", reuse)] {
            fs_err::write(scope.join(name).with_extension("yaml"), text)?;
        }
        let mut command = wrap.to_vec();
        command.extend(self.command());
        command.extend(["-C".into(), scope.into(), "install".into(), "--cache-only".into()]);
        command.extend(["--no-check-signature", "--reuse", job.spec].map(OsString::from));
        child::run_in(Environment::Ours, &command, scratch)
    }

    fn command(&self) -> Vec<OsString> {
        let mut command: Vec<OsString> = vec![self.program.clone().into()];
        if let Some(config) = &self.config {
            command.extend(["-C".into(), config.into()]);
        }
        command
    }
}
