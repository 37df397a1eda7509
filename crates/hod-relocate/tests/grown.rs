//! Programs whose search path and interpreter needed more room than they had: they run.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy knows no tests in the helpers of a test file"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use hod_relocate::{PrefixMap, relocate_binary, rpaths};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// Whether there is what these tests need.
fn can_build() -> bool {
    let missing = if !Path::new(LOADER).exists() {
        format!("no `{LOADER}`")
    } else if Command::new("gcc").arg("--version").output().is_err() {
        "no gcc".to_owned()
    } else {
        return true;
    };
    assert!(std::env::var_os("HOD_TEST_REQUIRE_ALL").is_none(), "may not be skipped: {missing}");
    println!("skipped: {missing}");
    false
}

/// Symbols of the inner library are what search paths end with: linkers let such strings share
/// their bytes.
const INNER: &str = "int lib(void) { return 30; } int ib(void) { return 10; } int b = 1;";
const OUTER: &str = "int lib(void); int ib(void); extern int b; \
    int outer(void) { return lib() + ib() + b; }";
/// Uninitialised memory lies between the program and what is put behind it; the rest proves that it
/// is zero and that the heap is elsewhere.
const PROGRAM: &str = "#include <stdio.h>\n#include <stdlib.h>\n\
    int outer(void); static char room[ROOM];\n\
    int main(void) { char *heap = malloc(100000); long sum = 0;\n\
    for (long i = 0; i < ROOM; i++) { sum += room[i]; room[i] = 1; }\n\
    for (int i = 0; i < 100000; i++) heap[i] = 1;\n\
    printf(\"%d %ld\\n\", outer() + 1, sum); return 0; }";

struct Tree {
    _directory: tempfile::TempDir,
    old: PathBuf,
    new: PathBuf,
}

impl Tree {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let old = directory.path().join("s");
        let new = directory.path().join("a-place-with-a-much-longer-name");
        fs_err::create_dir_all(old.join("lib")).unwrap();
        fs_err::copy(LOADER, old.join("lib/ld.so")).unwrap();
        Self { _directory: directory, old, new }
    }

    fn gcc(&self, source: &str, output: &str, arguments: &[&str]) {
        let file = self.old.with_extension("c");
        fs_err::write(&file, source).unwrap();
        let status = Command::new("gcc")
            .arg(file)
            .args(["-O1", "-o"])
            .arg(self.old.join(output))
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Moves all to the new place and leaves nothing in the old one.
    fn relocate(&self) {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let map = PrefixMap::new([(text(&self.old), text(&self.new))]);
        fs_err::rename(&self.old, &self.new).unwrap();
        for name in ["lib/libinner.so", "lib/libouter.so", "program"] {
            let path = self.new.join(name);
            let mut file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
            let before = file.metadata().unwrap().len();
            let has_changed = relocate_binary(name.as_bytes(), &mut file, &map).unwrap();
            assert_eq!(has_changed, file.metadata().unwrap().len() > before, "{name}");
            assert_eq!(has_changed, name != "lib/libinner.so");
            let old = text(&self.old);
            let mut content = fs_err::read(&path).unwrap();
            assert!(!content.windows(old.len()).any(|part| part == old.as_bytes()), "{name}");
            let expected = has_changed.then(|| [text(&self.new), "/lib".to_owned()].concat());
            let found = rpaths(&content).unwrap().map(|rpath| rpath.entries.concat());
            assert_eq!(found, expected.map(String::into_bytes));
            assert!(!relocate_binary(name.as_bytes(), &mut content, &map).unwrap());
        }
    }
}

fn story(kind: &[&str], room: usize) {
    if !can_build() {
        return;
    }
    let tree = Tree::new();
    let lib = tree.old.join("lib");
    let lib = lib.to_str().unwrap();
    let (path, search) = (format!("-Wl,-rpath,{lib}"), format!("-L{lib}"));
    tree.gcc(INNER, "lib/libinner.so", &["-shared", "-fPIC"]);
    tree.gcc(OUTER, "lib/libouter.so", &["-shared", "-fPIC", &search, "-linner", &path]);
    let loader = format!("-Wl,-dynamic-linker,{lib}/ld.so");
    let room = format!("-DROOM={room}");
    let arguments = ["-louter", "-linner", &search, &path, &loader, &room];
    tree.gcc(PROGRAM, "program", &[kind, &arguments].concat());
    let run = |place: &Path| {
        let mut command = Command::new(place.join("program"));
        // Another thread that starts a program just now has this one open for writing as well.
        let output = loop {
            match command.env_clear().output() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                output => break output.unwrap(),
            }
        };
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&tree.old), (true, "42 0\n".to_owned()));
    tree.relocate();
    assert_eq!(run(&tree.new), (true, "42 0\n".to_owned()), "{kind:?} {room}");

    // The loader can be called with it too, which then maps it itself.
    let output = Command::new(LOADER).arg(tree.new.join("program")).env_clear().output().unwrap();
    assert_eq!(output.stdout, b"42 0\n");
    for arguments in [["-lW"], ["-dW"], ["-SW"]] {
        let Ok(output) =
            Command::new("readelf").args(arguments).arg(tree.new.join("program")).output()
        else {
            println!("skipped: no readelf");
            return;
        };
        let complaints = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    }
}

#[test]
fn a_program_for_any_address() {
    story(&["-pie", "-fPIE"], 1);
}

#[test]
fn a_program_for_one_address() {
    story(&["-no-pie"], 1);
}

#[test]
fn a_program_with_much_uninitialised_memory() {
    story(&["-pie", "-fPIE"], 8 << 20);
    story(&["-no-pie"], 3 << 20);
}

#[test]
fn a_program_with_an_old_kind_of_search_path_and_large_pages() {
    story(&["-pie", "-fPIE", "-Wl,--disable-new-dtags", "-Wl,-z,max-page-size=0x200000"], 5000);
}
