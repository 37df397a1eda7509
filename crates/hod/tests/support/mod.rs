//! What stories and interop tests share: a directory of their own, trees from text tables, and
//! the program in a clean environment.

pub(crate) mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A place of its own for one test: working directory, home and cache.
#[derive(Debug)]
pub(crate) struct Place {
    // Removed with the place.
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::in_directory(tempfile::tempdir().unwrap())
    }

    /// One with a path of ten bytes.
    #[allow(dead_code, reason = "not all test programs need one")]
    pub(crate) fn short() -> Self {
        let builder = tempfile::Builder::new().prefix("h").rand_bytes(4).tempdir_in("/tmp");
        Self::in_directory(builder.unwrap())
    }

    fn in_directory(directory: tempfile::TempDir) -> Self {
        let path = directory.path().canonicalize().unwrap();
        // Other users must get through, for the tests that run as one.
        tree::set_mode(&path, 0o755);
        fs_err::create_dir(path.join("home")).unwrap();
        Self { _directory: directory, path }
    }

    /// A path below the test's directory.
    pub(crate) fn at(&self, relative: &str) -> PathBuf {
        self.path.join(relative)
    }

    /// A tree from a table, at `relative`.
    pub(crate) fn tree(&self, relative: &str, table: &str) -> PathBuf {
        let root = self.at(relative);
        tree::make(&root, table);
        root
    }

    /// A program in the test's directory that inherits nothing but the search path.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.path)
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", self.at("home"))
            // What this machine has of Spack is nobody's business here.
            .env("SPACK_SYSTEM_CONFIG_PATH", self.at("etc/spack"))
            .env("XDG_CACHE_HOME", self.at("home/.cache"))
            .stdin(std::process::Stdio::null());
        command
    }

    /// Hod with arguments, which are words: no test needs a blank in one.
    pub(crate) fn hod(&self, words: &str) -> Command {
        let mut command = self.command(HOD);
        command.args(words.split_whitespace());
        command
    }
}

/// The program under test.
pub(crate) const HOD: &str = env!("CARGO_BIN_EXE_hod");

/// A tree that is pushed in a few milliseconds and has one of everything.
pub(crate) const ZLIB: &str = r"
    bin/            755
    bin/tool        755  #!/bin/sh\necho tool\n
    include/zlib.h  644  #define ZLIB 1\n
    lib/libz.so     ->   libz.so.1
    lib/libz.so.1   755  *3000
    share/again     =    include/zlib.h
    share/empty     644
";

fn search_path() -> String {
    // Daemons are in `sbin`, which is not in everybody's path.
    let path = std::env::var("PATH").unwrap_or_default();
    let has_spack = |directory: &&str| Path::new(directory).join("spack").exists();
    let path: Vec<&str> = path.split(':').filter(|directory| !has_spack(directory)).collect();
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", path.join(":"))
}

/// Whether all programs are there. Otherwise says which is not, or fails where CI asks for all.
pub(crate) fn has(programs: &[&str]) -> bool {
    let path = search_path();
    let is_there = |program: &&&str| path.split(':').any(|d| Path::new(d).join(program).is_file());
    let missing: Vec<_> = programs.iter().filter(|program| !is_there(program)).collect();
    if missing.is_empty() {
        return true;
    }
    let is_required = std::env::var("HOD_TEST_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!is_required, "missing, but HOD_TEST_REQUIRE_ALL=1: {missing:?}");
    skip(&format!("missing {missing:?}"));
    false
}

/// Says why a test did nothing.
#[expect(clippy::print_stdout, reason = "a test that does nothing must say so")]
pub(crate) fn skip(reason: &str) {
    println!("skipped: {reason}");
}

/// Runs to the end and must succeed; its stdout.
pub(crate) fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything a program said.
pub(crate) fn both(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Whether this test may change owners and mount.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
