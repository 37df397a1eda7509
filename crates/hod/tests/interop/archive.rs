//! Archivers and decompressors read the layer.

use std::path::Path;
use std::process::Command;

use crate::image::Image;
use crate::support::{has, succeed};

const GZIP: &str = "--compression gzip";
const SINGLE: &str = "--compression gzip --gzip-members single";
const ZSTD: &str = "--compression zstd";
const NONE: &str = "--compression none";

#[test]
fn gnu_tar_lists_and_extracts_every_codec() {
    if !has(&["tar", "gzip", "zstd"]) {
        return;
    }
    for (options, program) in
        [(GZIP, Some("-z")), (SINGLE, Some("-z")), (ZSTD, Some("--zstd")), (NONE, None)]
    {
        let image = Image::new(options);
        let out = image.place.at("out");
        fs_err::create_dir(&out).unwrap();
        let tar = |action: &str| {
            let mut tar = image.place.command("tar");
            tar.args(program).args([action, "-f"]).arg(image.layer()).arg("-C").arg(&out);
            tar
        };
        let listed = succeed(tar("-t"));
        let name = image.prefix.strip_prefix("/").unwrap().display().to_string();
        assert!(listed.contains(&format!("{name}/bin/tool\n")), "{listed}");
        assert_eq!(listed.lines().last().unwrap(), format!("{name}/.spack/binary_distribution"));
        let mut extract = tar("-x");
        extract.arg("--preserve-permissions");
        succeed(extract);
        image.assert_unpacked(&out);
    }
}

#[test]
fn gzip_and_zstd_find_their_files_whole() {
    for (program, all) in [("gzip", &[GZIP, SINGLE][..]), ("zstd", &[ZSTD])] {
        if !has(&[program]) {
            return;
        }
        for options in all {
            let image = Image::new(options);
            let mut test = image.place.command(program);
            // From stdin: gzip asks for a suffix.
            test.arg("-t").stdin(std::fs::File::open(image.layer()).unwrap());
            succeed(test);
        }
    }
}

#[test]
fn python_reads_members_of_gzip_one_after_the_other() {
    for options in [GZIP, SINGLE, NONE] {
        let image = Image::new(options);
        extract_with_python(&image, "tarfile.open(sys.argv[1], 'r')");
    }
}

/// Which stops at the end of the first member: what `--gzip-members single` is for.
#[test]
fn python_reads_a_single_member_as_a_stream() {
    extract_with_python(&Image::new(SINGLE), "tarfile.open(sys.argv[1], 'r|gz')");
    extract_with_python(&Image::new(NONE), "tarfile.open(sys.argv[1], 'r|')");
}

fn extract_with_python(image: &Image, open: &str) {
    if !has(&["python3"]) {
        return;
    }
    let script = format!("import sys, tarfile\nwith {open} as tar: tar.extractall(sys.argv[2])");
    let out = image.place.at("out");
    let mut python = image.place.command(python());
    python.args(["-W", "ignore", "-c", &script]).arg(image.layer()).arg(&out);
    succeed(python);
    image.assert_unpacked(&out);
}

/// The interpreter itself: `python3` may be a script that looks for it below the home directory.
fn python() -> String {
    let mut python = Command::new("python3");
    python.args(["-c", "import sys; print(sys.executable)"]);
    let path = succeed(python).trim().to_owned();
    assert!(Path::new(&path).is_file(), "{path}");
    path
}
