//! The same tree gives the same bytes, whoever packs it, wherever, however.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::story::Story;
use crate::support::{HOD, ZLIB, is_root, skip, succeed};

/// A path that is the same in every test, everywhere: the archive holds the prefix.
const PREFIX: &str = "/proc/self/cwd/zlib-1.3.1";

/// What a push says of its only package.
fn pushed(mut push: Command) -> serde_json::Value {
    push.args(["--json", "-q"]);
    let line = succeed(push).lines().nth(1).unwrap().to_owned();
    serde_json::from_str(&line).unwrap()
}

/// Digest and diff id of the package at [`PREFIX`].
fn digests(mut push: Command) -> [String; 2] {
    push.args(["push", "./cache", PREFIX]);
    let package = pushed(push);
    ["digest", "diff_id"].map(|key| package[key].as_str().unwrap().to_owned())
}

fn reference() -> [String; 2] {
    let story = Story::with_zlib();
    digests(story.command(HOD))
}

/// Never changes without a new `FORMAT` of the local store, a line in the change log and a
/// good reason: every mirror's digests change with it.
#[test]
fn the_bytes_are_those_of_the_first_release() {
    let expected = [
        (
            "gzip",
            "multi",
            [
                "sha256:1e0a92bc1d3f507713ce13dee3fb901c0ff82d76b499a4596c5b9b45387e1f67",
                "sha256:4f7c389520ec1db5afb59e7e3e9c07424b1907d9495ffc156242093839df044b",
            ],
        ),
        (
            "gzip",
            "single",
            [
                "sha256:c785125ba5ccb6a68935b77b720f99a59f47d08c2d2815ef57eec2271e662afa",
                "sha256:4f7c389520ec1db5afb59e7e3e9c07424b1907d9495ffc156242093839df044b",
            ],
        ),
        (
            "zstd",
            "multi",
            [
                "sha256:1f5e89f7070ede93b36e0a82c483ac36658d4ec19d8ae4f0c65d6d5dd16065c4",
                "sha256:4f7c389520ec1db5afb59e7e3e9c07424b1907d9495ffc156242093839df044b",
            ],
        ),
        (
            "none",
            "multi",
            [
                "sha256:4f7c389520ec1db5afb59e7e3e9c07424b1907d9495ffc156242093839df044b",
                "sha256:4f7c389520ec1db5afb59e7e3e9c07424b1907d9495ffc156242093839df044b",
            ],
        ),
    ];
    for (codec, members, expected) in expected {
        let story = Story::with_zlib();
        let mut push = story.hod("push ./cache");
        push.args([PREFIX, "--compression", codec, "--gzip-members", members]);
        let package = pushed(push);
        let found = ["digest", "diff_id"].map(|key| package[key].as_str().unwrap());
        assert_eq!(found, expected, "{codec} {members}");
    }
}

#[test]
fn the_environment_does_not_matter() {
    let expected = reference();
    let variables = [
        ("TZ", "Pacific/Kiritimati"),
        ("LANG", "C"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("SOURCE_DATE_EPOCH", "1700000000"),
        ("RUST_LOG", "trace"),
        ("COLUMNS", "20"),
    ];
    for (name, value) in variables {
        let story = Story::with_zlib();
        let mut push = story.command(HOD);
        push.env(name, value);
        assert_eq!(digests(push), expected, "{name}={value}");
    }
}

#[test]
fn the_umask_does_not_matter() {
    let expected = reference();
    for mask in ["000", "077"] {
        let story = Story::with_zlib();
        let mut push = story.command("sh");
        push.args(["-c", r#"umask "$0"; exec "$@""#, mask, HOD]);
        assert_eq!(digests(push), expected, "umask {mask}");
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let expected = reference();
    for options in ["-j1", "-j2", "-j3", "-j4", "--io-jobs=1", "--io-jobs=64"] {
        let story = Story::with_zlib();
        let mut push = story.hod("push ./cache");
        push.args([PREFIX, options]);
        let package = pushed(push);
        let found = ["digest", "diff_id"].map(|key| package[key].as_str().unwrap().to_owned());
        assert_eq!(found, expected, "{options}");
    }
}

#[test]
fn the_order_of_creation_and_the_times_do_not_matter() {
    let expected = reference();
    let story = Story::new();
    // The file that has two names must come first.
    let mut lines: Vec<_> = ZLIB.lines().collect();
    lines.sort_by_key(|line| (line.contains(" = "), std::cmp::Reverse(*line)));
    let prefix = story.tree("zlib-1.3.1", &lines.join("\n"));
    for name in ["bin/tool", "lib/libz.so.1"] {
        let file = std::fs::File::open(prefix.join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    }
    assert_eq!(digests(story.command(HOD)), expected);
}

#[test]
fn the_owner_does_not_matter() {
    if !is_root() {
        return skip("only root can give files away");
    }
    let expected = reference();
    let story = Story::with_zlib();
    for name in ["", "bin", "bin/tool", "lib/libz.so.1"] {
        std::os::unix::fs::chown(story.at("zlib-1.3.1").join(name), Some(12345), Some(54321))
            .unwrap();
    }
    assert_eq!(digests(story.command(HOD)), expected);
}

#[test]
fn the_working_directory_and_the_mirror_do_not_matter() {
    let story = Story::with_zlib();
    let reference = |directory: &Path, mirror: &str| {
        let prefix = story.at("zlib-1.3.1");
        let mut push = story.hod("push --force");
        push.arg(mirror).arg(prefix).current_dir(directory);
        pushed(push)["manifest"].as_str().unwrap().to_owned()
    };
    let here = reference(&story.at(""), "./cache");
    assert_eq!(reference(&story.at("home"), "./cache"), here);
    assert_eq!(reference(Path::new("/"), story.at("another").to_str().unwrap()), here);
}
