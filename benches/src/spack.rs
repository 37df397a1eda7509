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

    fn command(&self) -> Vec<OsString> {
        let mut command: Vec<OsString> = vec![self.program.clone().into()];
        if let Some(config) = &self.config {
            command.extend(["-C".into(), config.into()]);
        }
        command
    }
}
