//! The files of the base image, as layers: tar archives.
//!
//! Whatever the machine does, the image has its libraries and programs below `/usr`, with links
//! from where they used to be, as Debian has it: <https://wiki.debian.org/UsrMerge>.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use crate::machine::{command, search_path, succeed};

const PACKAGES: [&str; 4] = ["libc6", "libgcc-s1", "libstdc++6", "zlib1g"];
/// Without these it would be no base of a C++ program.
const NEEDED: [&str; 4] = ["/libc.so.6", "/libm.so.6", "/libgcc_s.so.1", "/libstdc++.so.6"];

enum File {
    Directory(u32),
    Link(PathBuf),
    Regular(Vec<u8>, u32),
}

/// Paths without the first slash; parents sort before what is in them.
type Files = BTreeMap<String, File>;

/// Libraries first, then busybox. None if the packages are not there.
pub(super) fn layers() -> Option<[Vec<u8>; 2]> {
    let mut libraries = libraries()?;
    for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        libraries.insert(link.to_owned(), File::Link(target.into()));
        libraries.insert(target.to_owned(), File::Directory(0o755));
    }
    for (directory, mode) in [("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("var", 0o755)] {
        libraries.insert(directory.to_owned(), File::Directory(mode));
    }
    for (path, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/os-release", "ID=base\nNAME=\"Base of a test\"\n"),
    ] {
        libraries.insert(path.to_owned(), File::Regular(text.into(), 0o644));
    }
    Some([archive(libraries), archive(programs()?)])
}

/// A layer with one file.
pub(super) fn note(text: &str) -> Vec<u8> {
    let file = File::Regular(text.into(), 0o644);
    archive(Files::from([("note".to_owned(), file)]))
}

/// The shared libraries of the packages; neither converters of characters nor scripts for debuggers.
fn libraries() -> Option<Files> {
    let mut dpkg = command("dpkg", Path::new("/"));
    dpkg.arg("-L").args(PACKAGES);
    let output = dpkg.output().unwrap();
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_library = |path: &&str| {
        let (directory, name) = path.rsplit_once('/').unwrap_or_default();
        name.contains(".so")
            && Path::new(name).extension().is_none_or(|extension| extension != "py")
            && directory.trim_start_matches("/usr").starts_with("/lib")
            && !["/gconv", "/audit"].iter().any(|part| directory.ends_with(part))
    };
    let mut files = Files::new();
    for path in listed.lines().filter(is_library) {
        let merged = format!("usr{}", path.strip_prefix("/usr").unwrap_or(path));
        // Debian lists files that it has moved since under their old names.
        if let Some(file) = read(Path::new(path)) {
            files.insert(merged, file);
        }
    }
    let has = |name: &&str| files.keys().any(|path| path.ends_with(*name));
    (output.status.success() && NEEDED.iter().all(has)).then_some(files)
}

fn programs() -> Option<Files> {
    let path = search_path();
    let busybox = path.split(':').map(|d| Path::new(d).join("busybox")).find(|p| p.is_file())?;
    let busybox = fs_err::canonicalize(busybox).unwrap();
    let mut files = Files::new();
    files.insert("usr/bin/busybox".into(), read(&busybox)?);
    let mut list = command(busybox.to_str().unwrap(), Path::new("/"));
    list.arg("--list");
    for applet in succeed(list).lines().filter(|applet| *applet != "busybox") {
        files.insert(format!("usr/bin/{applet}"), File::Link("busybox".into()));
    }
    Some(files)
}

fn read(path: &Path) -> Option<File> {
    let metadata = fs_err::symlink_metadata(path).ok()?;
    Some(if metadata.is_symlink() {
        File::Link(fs_err::read_link(path).unwrap())
    } else {
        File::Regular(fs_err::read(path).unwrap(), metadata.permissions().mode() & 0o777)
    })
}

fn archive(mut files: Files) -> Vec<u8> {
    let paths: Vec<String> = files.keys().cloned().collect();
    for path in &paths {
        for (end, _) in path.match_indices('/') {
            files.entry(path[..end].to_owned()).or_insert(File::Directory(0o755));
        }
    }
    let mut tar = tar::Builder::new(Vec::new());
    for (path, file) in &files {
        let mut header = Header::new_gnu();
        header.set_size(0);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        match file {
            File::Directory(mode) => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(*mode);
                tar.append_data(&mut header, format!("{path}/"), &[][..]).unwrap();
            }
            File::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                tar.append_link(&mut header, path, target).unwrap();
            }
            File::Regular(content, mode) => {
                header.set_size(content.len() as u64);
                header.set_mode(*mode);
                tar.append_data(&mut header, path, content.as_slice()).unwrap();
            }
        }
    }
    tar.into_inner().unwrap()
}
