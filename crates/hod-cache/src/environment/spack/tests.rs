use std::os::unix::fs::PermissionsExt as _;

use rstest::rstest;

use super::*;

fn prepend(list: &str) -> Change {
    Change::Prepend(list.to_owned())
}

#[test]
fn what_spack_prints_is_understood() {
    // As `spack load --sh libpng` printed it.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/spack/load-libpng.sh");
    let script = fs_err::read_to_string(path).unwrap();
    // Spack was called from a shell with a longer path.
    let shell = ":/opt/spack/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin;";
    let found = changes(&script.replace(shell, ":/bin:/usr/bin;")).unwrap();
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let expected = ["ACLOCAL_PATH", "CMAKE_PREFIX_PATH", "MANPATH", "PATH", "PKG_CONFIG_PATH"];
    assert_eq!(names, expected);
    let prefix = "/opt/hpc/store/linux-x86_64/libpng-1.6.39-v7moebnyklgc4we4tyf6c2gnpaw54lew";
    assert_eq!(found["PATH"], prepend(&format!("{prefix}/bin")));
    let Change::Prepend(man) = &found["MANPATH"] else { panic!("{:?}", found["MANPATH"]) };
    assert!(man.starts_with(&format!("{prefix}/share/man:")) && man.ends_with(':'), "{man}");
}

#[rstest]
#[case::plain("export A=b;\n", "A", Change::Set("b".to_owned()))]
#[case::quoted("export A='b; c\nd';\n", "A", Change::Set("b; c\nd".to_owned()))]
#[case::a_quote("export A='it'\"'\"'s';\n", "A", Change::Set("it's".to_owned()))]
#[case::double("export A=\"a \\\"b\\\" \\x\";", "A", Change::Set("a \"b\" \\x".to_owned()))]
#[case::escaped("export A=a\\ b", "A", Change::Set("a b".to_owned()))]
#[case::empty("export A='';", "A", Change::Set(String::new()))]
#[case::equals("export A=b=c;", "A", Change::Set("b=c".to_owned()))]
#[case::unset("unset A;\n", "A", Change::Unset)]
#[case::a_list("export PYTHONPATH=/a:/b:/a;", "PYTHONPATH", prepend("/a:/b"))]
#[case::a_path_that_was_replaced("export PATH=/mine;", "PATH", Change::Set("/mine".to_owned()))]
fn statements_become_changes(#[case] script: &str, #[case] name: &str, #[case] expected: Change) {
    let found = changes(script).unwrap();
    assert_eq!(found, BTreeMap::from([(name.to_owned(), expected)]));
}

#[rstest]
#[case::talk("echo hello;")]
#[case::expansion("export A=$(rm -rf /);")]
#[case::expansion_in_quotes("export A=\"$HOME\";")]
#[case::open_quote("export A='b;\n")]
#[case::no_value("export A;")]
#[case::no_name("export 1A=b;")]
#[case::two("export A=b C=d;")]
fn what_is_not_understood_is_an_error(#[case] script: &str) {
    changes(script).unwrap_err();
}

#[test]
fn what_stays_as_it_was_changes_nothing() {
    assert!(
        changes("export PATH=/bin:/usr/bin;\nexport SPACK_LOADED_HASHES=x;").unwrap().is_empty()
    );
}

fn program(place: &tempfile::TempDir, script: &str) -> SpackCommand {
    let path = place.path().join("spack");
    fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let given =
        ["SPACK_ROOT", "SPACK_ENV", "SPACK_LOADED_HASHES", "SPACK_OLD_PATH", "EDITOR", "HOME"];
    SpackCommand::new(path, given.map(|name| (name.into(), "given".into())))
}

fn hash() -> DagHash {
    "v7moebnyklgc4we4tyf6c2gnpaw54lew".parse().unwrap()
}

#[test]
fn spack_runs_in_a_clean_environment() {
    let place = tempfile::tempdir().unwrap();
    let said = place.path().join("said");
    let script = format!("{{ echo \"$@\"; env; }} > {}; echo 'export A=b;'", said.display());
    let found = program(&place, &script).load([hash(), hash()]).unwrap();
    assert_eq!(found["A"], Change::Set("b".to_owned()));
    let said = fs_err::read_to_string(said).unwrap();
    let mut lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.remove(0), format!("load --sh /{0} /{0}", hash()));
    // A shell adds these two.
    lines.retain(|line| !line.starts_with("PWD=") && !line.starts_with("_="));
    lines.sort_unstable();
    assert_eq!(lines, ["HOME=given", "PATH=/bin:/usr/bin", "SPACK_ROOT=given"]);
}

#[test]
fn what_spack_complains_about_is_told() {
    let place = tempfile::tempdir().unwrap();
    let error = program(&place, "echo '==> Error: no such spec' >&2; exit 3").load([hash()]);
    let text = error.unwrap_err().to_string();
    assert!(text.ends_with("load` failed (exit status: 3): ==> Error: no such spec"), "{text}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let command = SpackCommand { program: "/nowhere/spack".into(), variables: Vec::new() };
    let error = command.load([hash()]).unwrap_err();
    assert_eq!(error.to_string(), "there is no program `/nowhere/spack`");
}
