//! What this machine has, and what a test says when it lacks something.

use std::path::Path;
use std::process::Command;

/// The search path with the directories of daemons, which are not in everybody's.
pub fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}

/// Whether all programs are there. Otherwise says which is not, or panics where
/// `HOD_TEST_REQUIRE_ALL=1` asks for all.
pub fn has(programs: &[&str]) -> bool {
    let path = search_path();
    let is_there = |program: &&&str| path.split(':').any(|d| Path::new(d).join(program).is_file());
    let missing: Vec<_> = programs.iter().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        lacks(&format!("missing {missing:?}"));
    }
    missing.is_empty()
}

/// Something that a machine of ours must have is not there: panics under
/// `HOD_TEST_REQUIRE_ALL=1`, and is a [`skip`] otherwise.
pub fn lacks(reason: &str) {
    let is_required = std::env::var("HOD_TEST_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!is_required, "HOD_TEST_REQUIRE_ALL=1, but {reason}");
    skip(reason);
}

/// Says why a test did nothing.
#[expect(clippy::print_stdout, reason = "a test that does nothing must say so")]
pub fn skip(reason: &str) {
    println!("skipped: {reason}");
}

/// Whether this test may mount and start daemons.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program that inherits nothing but the search path; its home is the given directory.
pub fn command(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(home)
        .env_clear()
        .env("PATH", search_path())
        .env("HOME", home)
        .stdin(std::process::Stdio::null());
    command
}

/// Runs a program that this process has just written. Another thread that starts a program at that
/// time has the file open for writing for a moment, in which nobody can run it.
pub fn run_new(command: &mut Command) -> std::io::Result<std::process::Output> {
    for _ in 0..200 {
        match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            output => return output,
        }
    }
    command.output()
}

/// Runs to the end and must succeed; its stdout.
pub fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{}\n{said}{complained}", output.status);
    said
}
