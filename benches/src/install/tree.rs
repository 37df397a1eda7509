//! What the blobs of a package hold, and the leanest code we know that makes the same files of it:
//! the parts of an installation, each done alone on one thread. Each returns the CPU seconds of this
//! thread.

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, ensure};
use flate2::bufread::GzDecoder;
use hod_relocate::{PrefixMap, Prefixes, RelocateList, Scanner, relocate_binary};
use libdeflater::Decompressor;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};

use crate::entries::{Entries, Layer};
use crate::parts::timed;
use crate::stream::{self, Member, Stream};

const BUILD_INFO: &str = ".spack/binary_distribution";
/// A stream is inflated into so many bytes at a time, again and again the same.
const ROOM: usize = 512 << 10;

/// A package in memory.
pub(super) struct Package {
    pub(super) name: String,
    pub(super) stream: Stream,
    items: Vec<Item>,
    /// The prefix in which it was built.
    pub(super) prefix: String,
    /// The root of the store in which it was built.
    pub(super) root: String,
}

struct Item {
    /// Below the prefix.
    path: String,
    mode: u32,
    kind: Kind,
}

enum Kind {
    Directory,
    File { data: Range<usize>, mtime: i64 },
    Symlink(String),
    Hardlink(String),
}

impl Package {
    fn read(name: &str, layer: &Layer) -> anyhow::Result<Self> {
        let stream = Stream::read(&layer.path)?;
        let members = stream::members(&stream.tar)?;
        let described = members.iter().map(|member| describe(&stream.tar, member));
        let described: Vec<Described> = described.collect::<anyhow::Result<_>>()?;
        let own = described.last().context("an empty archive")?;
        let prefix = own.path.strip_suffix(BUILD_INFO).context("it says nothing of itself")?;
        let prefix = prefix.trim_end_matches('/').to_owned();
        let root = build_path(&stream.tar[members[members.len() - 1].data.clone()])?;
        let below = |path: &str| Some(path.strip_prefix(&prefix)?.strip_prefix('/')?.to_owned());
        let mut items = Vec::new();
        for (member, Described { path, mode, mtime, target }) in members.iter().zip(&described) {
            let Some(path) = below(path.trim_end_matches('/')) else { continue };
            let kind = match member.kind {
                b'5' => Kind::Directory,
                b'0' => Kind::File { data: member.data.clone(), mtime: *mtime },
                b'2' => Kind::Symlink(target.clone()),
                b'1' => Kind::Hardlink(below(target).context("a link to another package")?),
                kind => anyhow::bail!("a member of kind {kind}"),
            };
            items.push(Item { path, mode: *mode, kind });
        }
        Ok(Self { name: name.to_owned(), stream, items, prefix: format!("/{prefix}"), root })
    }

    /// Whether its blob is one gzip member, which only one thread can inflate.
    pub(super) fn is_single(&self) -> bool {
        self.stream.units.len() == 1
    }

    /// Inflates the blob, and keeps nothing.
    pub(super) fn inflate(&self) -> anyhow::Result<f64> {
        let Stream { compressed, units, blocks, .. } = &self.stream;
        if self.is_single() {
            let mut room = vec![0; ROOM];
            let (seconds, read) = timed(|| {
                let mut decoder = GzDecoder::new(&compressed[..]);
                let mut total = 0;
                loop {
                    match decoder.read(std::hint::black_box(&mut room))? {
                        0 => return Ok::<_, std::io::Error>(total),
                        read => total += read,
                    }
                }
            });
            ensure!(read? == self.stream.tar.len(), "{} inflates to something else", self.name);
            return Ok(seconds);
        }
        let mut room = vec![0; blocks.iter().map(Range::len).max().unwrap_or(0)];
        let mut decompressor = Decompressor::new();
        let (seconds, done) = timed(|| {
            units.iter().zip(blocks).try_for_each(|(unit, block)| {
                let room = std::hint::black_box(&mut room[..block.len()]);
                decompressor.gzip_decompress(&compressed[unit.clone()], room).map(drop)
            })
        });
        done?;
        Ok(seconds)
    }

    /// Relocates the files that a packer lists; the seconds, and how many there are.
    pub(super) fn relocate(
        &self,
        prefixes: &Prefixes,
        map: &PrefixMap,
    ) -> anyhow::Result<(f64, usize)> {
        let mut listed = Vec::new();
        for item in &self.items {
            let Kind::File { data, .. } = &item.kind else { continue };
            let content = &self.stream.tar[data.clone()];
            let mut scanner = Scanner::new(prefixes);
            scanner.push(content);
            match scanner.finish().relocate_list() {
                Some(list) if !item.path.starts_with(".spack/") => {
                    listed.push((item.path.as_bytes(), list, content.to_vec()));
                }
                _ => {}
            }
        }
        let count = listed.len();
        let (seconds, done) = timed(|| {
            listed.iter_mut().try_for_each(|(path, list, content)| match list {
                RelocateList::Binaries => relocate_binary(path, content, map).map(drop),
                RelocateList::TextFiles => {
                    std::hint::black_box(map.relocate_text(content));
                    Ok(())
                }
            })
        });
        done?;
        Ok((seconds, count))
    }

    /// Makes the files in `root`, which is there: for each one `openat`, `write`, `utimensat` and
    /// `close`, by name in the directory of the one before where they share it.
    pub(super) fn write(&self, root: &Path) -> anyhow::Result<f64> {
        let (seconds, done) = timed(|| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let open = |path: &str| rustix::fs::openat(CWD, root.join(path), flags, Mode::empty());
            let top = open("")?;
            let (mut parent, mut parent_path) = (open("")?, "");
            for item in &self.items {
                let mode = Mode::from_raw_mode(item.mode);
                let (directory, name) = item.path.rsplit_once('/').unwrap_or(("", &item.path));
                if !matches!(item.kind, Kind::Directory) && directory != parent_path {
                    (parent, parent_path) = (open(directory)?, directory);
                }
                match &item.kind {
                    Kind::Directory => rustix::fs::mkdirat(&top, &item.path, mode)?,
                    Kind::Symlink(target) => rustix::fs::symlinkat(target, &parent, name)?,
                    Kind::Hardlink(target) => {
                        rustix::fs::linkat(&top, target, &parent, name, AtFlags::empty())?;
                    }
                    Kind::File { data, mtime } => {
                        let flags =
                            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                        let file = rustix::fs::openat(&parent, name, flags, mode)?;
                        let mut rest = &self.stream.tar[data.clone()];
                        while !rest.is_empty() {
                            rest = &rest[rustix::io::write(&file, rest)?..];
                        }
                        let time = Timespec { tv_sec: *mtime, tv_nsec: 0 };
                        let times = Timestamps { last_access: time, last_modification: time };
                        rustix::fs::futimens(&file, &times)?;
                    }
                }
            }
            Ok::<_, rustix::io::Errno>(())
        });
        done.with_context(|| format!("{} cannot be written", self.name))?;
        Ok(seconds)
    }
}

/// The packages of a mirror that are called so.
pub(super) fn read(entries: &Entries, names: &[String]) -> anyhow::Result<Vec<Package>> {
    let one = |name: &String| {
        let layer = entries.get(name).with_context(|| format!("the mirror has no {name}"))?;
        Package::read(name, layer).with_context(|| name.clone())
    };
    names.iter().map(one).collect()
}

/// What a member says of itself, in its header and the extended one before it.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    path: String,
    mode: u32,
    mtime: i64,
    target: String,
}

fn describe(tar: &[u8], member: &Member) -> anyhow::Result<Described> {
    let header = &tar[member.data.start - 512..member.data.start];
    let text = |range: Range<usize>| {
        let field = header[range].split(|byte| *byte == 0).next().unwrap_or_default();
        Ok::<_, anyhow::Error>(std::str::from_utf8(field)?.trim_end().to_owned())
    };
    let number = |range| anyhow::Ok(u64::from_str_radix(&text(range)?, 8)?);
    let (mut path, mut target) = (text(0..100)?, text(157..257)?);
    let parent = text(345..500)?;
    if !parent.is_empty() {
        path = format!("{parent}/{path}");
    }
    let mut mtime = i64::try_from(number(136..148)?)?;
    if member.start < member.data.start - 512 {
        let mut records = &tar[member.start + 512..member.data.start - 512];
        while let Some(space) = records.iter().position(|byte| *byte == b' ') {
            let Ok(length) = std::str::from_utf8(&records[..space])?.parse::<usize>() else {
                break;
            };
            let record = records.get(space + 1..length - 1).context("a record is cut short")?;
            let (key, value) = std::str::from_utf8(record)?.split_once('=').context("no value")?;
            match key {
                "path" => value.clone_into(&mut path),
                "linkpath" => value.clone_into(&mut target),
                "mtime" => mtime = value.split('.').next().unwrap_or_default().parse()?,
                _ => {}
            }
            records = &records[length..];
        }
    }
    Ok(Described { path, mode: u32::try_from(number(100..108)?)? & 0o777, mtime, target })
}

/// The root of the store by the build information, which names it without quotes where they are not
/// needed.
fn build_path(build_info: &[u8]) -> anyhow::Result<String> {
    let text = std::str::from_utf8(build_info)?;
    let (_, after) =
        text.split_once("buildpath: ").context("it does not say where it was built")?;
    let path = after.split([',', '\n', '}']).next().unwrap_or_default();
    Ok(path.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use super::*;
    use crate::parts;

    fn member(name: &str, kind: u8, target: &str, data: &[u8]) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000755");
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[136..147].copy_from_slice(b"00000000007");
        header[156] = kind;
        header[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.extend_from_slice(data);
        header.resize(header.len().next_multiple_of(512), 0);
        header
    }

    #[test]
    fn the_floor_writes_what_the_archive_holds() {
        let tar = [
            member("opt/s/x/", b'5', "", b""),
            member("opt/s/x/bin/", b'5', "", b""),
            member("././@PaxHeader", b'x', "", b"22 path=opt/s/x/bin/a\n"),
            member("cut", b'0', "", b"#!/opt/s/x/bin/b\n"),
            member("opt/s/x/bin/h", b'1', "opt/s/x/bin/a", b""),
            member("opt/s/x/l", b'2', "bin/a", b""),
            member("opt/s/x/.spack/", b'5', "", b""),
            member("opt/s/x/.spack/binary_distribution", b'0', "", b"{buildpath: /opt/s, a: b}"),
            vec![0; 1024],
        ];
        let place = tempfile::tempdir().unwrap();
        let blob = place.path().join("blob");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar.concat()).unwrap();
        fs_err::write(&blob, gzip.finish().unwrap()).unwrap();
        let entries = BTreeMap::from([("x".to_owned(), Layer::of_file(&blob))]);

        let packages = read(&entries, &["x".to_owned()]).unwrap();
        let [package] = &packages[..] else { panic!("one was asked for") };
        assert_eq!((&*package.prefix, &*package.root), ("/opt/s/x", "/opt/s"));
        assert!(package.is_single() && package.inflate().unwrap() > 0.0);
        let prefixes = Prefixes::new(["/opt/s/x", "/opt/s"]);
        let map = PrefixMap::new([("/opt/s", "/n")]);
        assert_eq!(package.relocate(&prefixes, &map).unwrap().1, 1);
        let root = place.path().join("root");
        fs_err::create_dir(&root).unwrap();
        package.write(&root).unwrap();
        assert_eq!(fs_err::read(root.join("bin/h")).unwrap(), b"#!/opt/s/x/bin/b\n");
        assert_eq!(fs_err::read_link(root.join("l")).unwrap(), Path::new("bin/a"));
        assert_eq!(parts::walk_and_read(&root).unwrap().1.files, 3);
        assert!(read(&entries, &["y".to_owned()]).is_err());
    }
}
