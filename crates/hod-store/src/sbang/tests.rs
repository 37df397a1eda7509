//! Stories of scripts with long first lines.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use rstest::rstest;
use tempfile::TempDir;

use super::*;

const SBANG: &str = "/s/bin/sbang";

fn wrap(content: &[u8]) -> Option<String> {
    let wrapped = wrap_shebang(content, true, Path::new(SBANG))?;
    Some(String::from_utf8(wrapped).unwrap())
}

/// A path of this length, its name included.
fn long(length: usize, name: &str) -> String {
    let path = format!("/{}/{name}", "x".repeat(length - name.len() - 2));
    assert_eq!(path.len(), length);
    path
}

#[test]
fn a_line_is_wrapped_from_the_first_byte_too_many() {
    let line = |length: usize| format!("#!{}\n", long(length - 3, "sh"));
    assert_eq!(wrap(format!("{}echo\n", line(SYSTEM_LIMIT)).as_bytes()), None);
    let script = format!("{}echo\n", line(SYSTEM_LIMIT + 1));
    let expected = format!("#!/bin/sh /s/bin/sbang\n{script}");
    assert_eq!(wrap(script.as_bytes()), Some(expected.clone()));
    // Once is enough.
    assert_eq!(wrap(expected.as_bytes()), None);
    assert_eq!(wrap_shebang(script.as_bytes(), false, Path::new(SBANG)), None);
}

#[test]
fn a_line_may_have_4096_bytes() {
    let script = |length: usize| format!("#!{}\necho\n", long(length - 3, "sh"));
    assert!(wrap(script(4096).as_bytes()).is_some());
    assert_eq!(wrap(script(4097).as_bytes()), None);
    // The end of the file ends the line as well, but not at the limit.
    let bare = |length: usize| format!("#!{}", long(length - 2, "sh"));
    assert!(wrap(bare(4095).as_bytes()).is_some());
    assert_eq!(wrap(bare(4096).as_bytes()), None);
}

#[rstest]
#[case::lua("lua", "--!PATH -e\n")]
#[case::luajit("luajit", "--!PATH -e\n")]
#[case::node("node", "//!PATH -e\n")]
#[case::php("php", "<?php #!PATH -e\n ?>")]
#[case::others("perl", "#!PATH -e\n")]
#[case::versions_are_others("lua5.4", "#!PATH -e\n")]
fn languages_have_their_comments(#[case] name: &str, #[case] second: &str) {
    let path = long(600, name);
    let expected = format!("#!/bin/sh {SBANG}\n{}rest", second.replace("PATH", &path));
    assert_eq!(wrap(format!("#!{path} -e\nrest").as_bytes()), Some(expected));
}

#[rstest]
#[case::no_script(vec![b'x'; 900])]
#[case::only_blanks([b"#!".as_slice(), &[b' '; 600], b"\n"].concat())]
#[case::nothing_but_an_end([b"#! \0".as_slice(), &[b'x'; 600], b"\n"].concat())]
#[case::empty(Vec::new())]
fn other_files_stay(#[case] content: Vec<u8>) {
    assert_eq!(wrap(&content), None);
}

#[test]
fn the_helper_is_written_once_and_never_over_another() {
    let place = tempfile::tempdir().unwrap();
    assert!(ensure_sbang(place.path()).unwrap());
    let path = place.path().join("bin/sbang");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o755);
    fs::write(&path, "Spack's").unwrap();
    assert!(!ensure_sbang(place.path()).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "Spack's");
    assert_eq!(fs::read_dir(place.path().join("bin")).unwrap().count(), 1);
    let deep = place.path().join(long(600, "deep").trim_start_matches('/'));
    assert!(matches!(ensure_sbang(&deep).unwrap_err(), Error::SbangPath { .. }));
}

/// A place with the helper and a directory whose path is longer than the system reads.
struct Place {
    directory: TempDir,
    long: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        ensure_sbang(directory.path()).unwrap();
        let long = (0..4).fold(directory.path().to_owned(), |path, _| path.join("x".repeat(150)));
        fs::create_dir_all(&long).unwrap();
        Self { directory, long }
    }

    /// Runs a script with this interpreter, which is in the long directory, and two arguments.
    fn run(&self, interpreter: &str, script: &str) -> String {
        let sbang = self.directory.path().join("bin/sbang");
        let content = format!("#!{}/{interpreter}\n{script}", self.long.display());
        let content = wrap_shebang(content.as_bytes(), true, &sbang).unwrap();
        let path = self.directory.path().join("a script");
        self.executable(&path, &content);
        let output = Command::new(&path).args(["one", "* two"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn executable(&self, path: &Path, content: &[u8]) {
        // Written in another process: a descriptor that a child of another test has inherited
        // makes the file busy.
        let draft = self.directory.path().join("draft");
        fs::write(&draft, content).unwrap();
        let status = Command::new("cp").args([&draft, path]).status().unwrap();
        assert!(status.success());
        fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[rstest]
#[case::sh("sh", "printf '%s|' \"$@\"; printf %s \"${0##*/}\"\n", "one|* two|a script")]
#[case::python("python3", "import sys; print(sys.argv[1:])\n", "['one', '* two']\n")]
#[case::perl("perl -w", "print join('|', @ARGV), $^W;\n", "one|* two1")]
fn real_interpreters_run_their_scripts(
    #[case] interpreter: &str,
    #[case] script: &str,
    #[case] expected: &str,
) {
    let name = interpreter.split(' ').next().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|path| path.join(name)).find(|p| p.is_file());
    let Some(found) = found else {
        let is_required = std::env::var("HOD_TEST_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(!is_required, "missing, but HOD_TEST_REQUIRE_ALL=1: {name}");
        return println!("skipped: no {name} on this machine");
    };
    let place = Place::new();
    symlink(found, place.long.join(name)).unwrap();
    assert_eq!(place.run(interpreter, script), expected);
}

/// Their interpreters are played by a script that tells how it was called.
#[rstest]
#[case::lua("lua", "")]
#[case::luajit("luajit -O", "-O ")]
#[case::node("node", "")]
#[case::php("php -f", "-f ")]
#[case::ruby("ruby", "-x ")]
#[case::perl_of_a_version("perl5.36 -w", "-w -x ")]
#[case::another_in_a_directory_of_perl("perl/x", "")]
fn interpreters_are_called_as_they_should(#[case] interpreter: &str, #[case] options: &str) {
    let place = Place::new();
    let name = interpreter.split(' ').next().unwrap();
    let path = place.long.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    place.executable(&path, b"#!/bin/sh\nprintf '%s ' \"$@\"\n");
    let script = place.directory.path().join("a script");
    let expected = format!("{options}{} one * two ", script.display());
    assert_eq!(place.run(interpreter, "the rest\n"), expected);
}

#[test]
fn without_an_interpreter_the_helper_says_so() {
    let place = Place::new();
    let script = place.directory.path().join("script");
    fs::write(&script, "#!/bin/sh /s/bin/sbang\nnothing here\n").unwrap();
    let sbang = place.directory.path().join("bin/sbang");
    let output = Command::new("sh").arg(&sbang).arg(&script).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no interpreter"));
    let output = Command::new("sh").arg(&sbang).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
