//! A program that runs beside a test and never outlives it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::machine::command;

#[derive(Debug)]
pub(crate) struct Daemon {
    // A shell; the daemon is its child.
    shell: Child,
    process: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program with arguments in a directory, where it writes its `log`. It gets the
    /// signal when this is dropped or this process ends, in whatever way: the shell between them
    /// waits for the end of its input.
    pub(crate) fn start(directory: &Path, signal: &str, words: &[&str]) -> Self {
        let log = directory.join("log");
        let script = "log=$1 signal=$2; shift 2; \"$@\" >\"$log\" 2>&1 & echo $!
            read _; kill \"-$signal\" $!; wait";
        let mut shell = command("sh", directory);
        shell.args(["-c", script, "sh"]).arg(&log).arg(signal).args(words);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut id = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut id).unwrap();
        Self { shell, process: Path::new("/proc").join(id.trim()), log }
    }

    /// A process that has ended, and for which nobody has waited, has no program any more.
    pub(crate) fn is_running(&self) -> bool {
        fs_err::read_link(self.process.join("exe")).is_ok()
    }

    /// All it has said.
    pub(crate) fn log(&self) -> String {
        // The shell may not have opened it yet.
        fs_err::read(&self.log)
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Daemon {
    #[expect(clippy::print_stderr, reason = "what the daemon said explains the failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("the end of {}:\n{end}", self.log.display());
        }
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
