//! The dialects other programs write.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use hod_archive::{Codec, Limits, UnpackError, UnpackOptions, unpack};

use crate::archive::Archive;
use crate::{Sandbox, names};

fn read(sandbox: &Sandbox, path: impl AsRef<Path>) -> String {
    fs_err::read_to_string(sandbox.tree().join(path.as_ref())).unwrap()
}

#[test]
fn gnu_long_names_and_long_links() {
    let sandbox = Sandbox::new();
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    let gnu = |flag: &'static [u8]| move |it: crate::archive::Header| it.field(257, flag);
    let archive = Archive::new()
        .extension(b'L', format!("{long}\0"))
        .member(|it| gnu(b"ustar  \0")(it.name(&long).content("long")))
        .extension(b'L', format!("{long}-link\0"))
        .extension(b'K', format!("{long}\0"))
        .member(|it| gnu(b"ustar  \0")(it.name("x").kind(b'1')))
        .extension(b'K', "t".repeat(300))
        .symlink("symlink", "t");
    sandbox.unpack(&archive).unwrap();
    assert_eq!(read(&sandbox, format!("{long}-link")), "long");
    let target = fs_err::read_link(sandbox.tree().join("symlink")).unwrap();
    assert_eq!(target.as_os_str().len(), 300);
}

#[test]
fn pax_names_are_bytes() {
    let sandbox = Sandbox::new();
    let name = b"dir\xff/f\xc3\xa4\n";
    let records: &[(&str, &[u8])] = &[
        ("hdrcharset", b"BINARY"),
        ("path", name),
        ("mtime", b"12345.678"),
        ("LIBARCHIVE.xattr.user.x", b""),
    ];
    let archive = Archive::new().extension(b'g', "15 comment=abc\n").pax(records).file("f", "x");
    sandbox.unpack(&archive).unwrap();
    let path = sandbox.tree().join(std::ffi::OsStr::from_bytes(name));
    assert_eq!(fs_err::read_to_string(&path).unwrap(), "x");
    assert_eq!(fs_err::metadata(&path).unwrap().mtime(), 12345);
}

#[test]
fn the_ustar_prefix_and_the_old_directory_slash() {
    let sandbox = Sandbox::new();
    let archive = Archive::new()
        .member(|it| it.name("name").field(345, b"some/prefix").content("x"))
        .member(|it| it.name("old/").field(156, b"\0").field(257, &[0; 8]).mode(0o755))
        .member(|it| it.name("contiguous").kind(b'7').content("y"))
        .member(|it| it.name("big").field(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x03").unannounced("abc"));
    sandbox.unpack(&archive).unwrap();
    assert_eq!(read(&sandbox, "some/prefix/name"), "x");
    assert_eq!(read(&sandbox, "big"), "abc");
    assert!(sandbox.tree().join("old").is_dir());
}

#[test]
fn a_path_longer_than_the_kernel_takes_at_once() {
    let deep = |depth: usize| format!("{}/f", vec!["component-of-some-length"; depth].join("/"));
    let sandbox = Sandbox::new();
    let path = deep(240);
    assert!(path.len() > 4096);
    let archive = Archive::new()
        .pax(&[("path", path.as_bytes())])
        .file("f", "deep")
        .pax(&[("path", b"link"), ("linkpath", path.as_bytes())])
        .hardlink("link", "f");
    sandbox.unpack(&archive).unwrap();
    assert_eq!(read(&sandbox, "link"), "deep");
    // And when it fails afterwards, it can be removed again.
    let sandbox = Sandbox::new();
    sandbox.assert_refused(&archive.file("../x", ""));

    let path = deep(300);
    let archive = Archive::new().pax(&[("path", path.as_bytes())]).file("f", "deeper");
    let error = sandbox.assert_refused(&archive);
    assert!(error.to_string().ends_with("more directories in its name than the limit"), "{error}");
    let name = "n".repeat(300);
    let error =
        sandbox.assert_refused(&Archive::new().pax(&[("path", name.as_bytes())]).file("f", ""));
    assert!(matches!(error, UnpackError::Member { .. }), "{error}");
    let limits = Limits { max_path_bytes: 100, ..Limits::default() };
    let options = UnpackOptions { limits, ..Default::default() };
    let long = Archive::new().pax(&[("path", &[b'n'; 101])]).file("f", "");
    assert!(sandbox.unpack_with(&long, &options).is_err());
}

#[rstest::rstest]
#[case::ustar("tarfile.USTAR_FORMAT")]
#[case::gnu("tarfile.GNU_FORMAT")]
#[case::pax("tarfile.PAX_FORMAT")]
fn what_python_writes(#[case] format: &str) {
    let sandbox = Sandbox::new();
    let script = format!(
        r#"
import io, sys, tarfile
tar = tarfile.open(sys.argv[1], "w:gz", format={format})
def add(name, **fields):
    info = tarfile.TarInfo(name)
    content = fields.pop("content", b"")
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(content))
add("opt", type=tarfile.DIRTYPE, mode=0o755)
add("opt/" + "d" * 90, type=tarfile.DIRTYPE, mode=0o755)
add("opt/" + "d" * 90 + "/" + "f" * 90, content=b"x" * 3000, mode=0o755, mtime=1234)
add("opt/link", type=tarfile.LNKTYPE, linkname="opt/" + "d" * 90 + "/" + "f" * 90)
add("opt/symlink", type=tarfile.SYMTYPE, linkname="/nowhere")
add("opt/\u00e4\u00f6", content=b"umlaut", mtime=5)
tar.close()
"#
    );
    let blob = sandbox.home.path().join("blob");
    let python = Command::new("python3").arg("-c").arg(script).arg(&blob).status();
    let Ok(status) = python else {
        println!("skipped: python3 is not on PATH");
        return;
    };
    if !status.success() && format.contains("USTAR") {
        println!("skipped: this python3 cannot split the name for ustar");
        return;
    }
    assert!(status.success());
    let source = fs_err::File::open(&blob).unwrap();
    let options = UnpackOptions::default();
    let unpacked = unpack(source, Codec::Gzip, &sandbox.tree(), &options).unwrap();
    assert_eq!((unpacked.files, unpacked.directories), (2, 2));
    assert_eq!(read(&sandbox, "opt/link").len(), 3000);
    assert_eq!(read(&sandbox, "opt/äö"), "umlaut");
    let linked = fs_err::metadata(sandbox.tree().join("opt/link")).unwrap();
    assert_eq!((linked.nlink(), linked.mtime(), linked.mode() & 0o777), (2, 1234, 0o755));
    assert_eq!(names(&sandbox.tree().join("opt")).len(), 4);
}
