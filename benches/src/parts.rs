//! The parts of packing, each done alone by the leanest code we know, on one thread. Each returns
//! the CPU seconds of this thread, which a busy machine disturbs less than wall time.

use std::ffi::CString;
use std::io::Write;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::path::Path;

use hod_relocate::{Prefixes, Scanner};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};

use crate::stream::Member;

/// CPU seconds of this thread for `work`, and what it returned.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a benchmark fit in 53 bits")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let start = now();
    let result = work();
    (now() - start, result)
}

/// What a walk met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) files: u64,
    pub(crate) directories: u64,
    pub(crate) others: u64,
    pub(crate) bytes: u64,
}

/// Lists every directory and reads every file: getdents64, openat, fstat, read, close.
pub(crate) fn walk_and_read(root: &Path) -> anyhow::Result<(f64, Seen)> {
    let (seconds, seen) = timed(|| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
        let (mut seen, mut buffer) = (Seen::default(), vec![0; 1 << 20]);
        read_directory(&root, &mut buffer, &mut seen)?;
        Ok::<_, rustix::io::Errno>(seen)
    });
    Ok((seconds, seen?))
}

fn read_directory(at: &OwnedFd, buffer: &mut [u8], seen: &mut Seen) -> rustix::io::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(at, &mut space);
    let mut children: Vec<CString> = Vec::new();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        match entry.file_type() {
            FileType::Directory if name != c"." && name != c".." => children.push(name.to_owned()),
            FileType::Directory => {}
            FileType::RegularFile => {
                let file = rustix::fs::openat(at, name, flags, Mode::empty())?;
                let size = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
                let mut left = size;
                while left > 0 {
                    let read = rustix::io::read(&file, &mut *buffer)?;
                    if read == 0 {
                        break;
                    }
                    left = left.saturating_sub(read as u64);
                }
                seen.files += 1;
                seen.bytes += size;
            }
            _ => seen.others += 1,
        }
    }
    for child in children {
        let flags = flags | OFlags::DIRECTORY;
        let child = rustix::fs::openat(at, &*child, flags, Mode::empty())?;
        seen.directories += 1;
        read_directory(&child, buffer, seen)?;
    }
    Ok(())
}

pub(crate) fn sha256(bytes: &[u8]) -> f64 {
    timed(|| std::hint::black_box(Sha256::digest(bytes))).0
}

/// Goes through a JSON document without keeping anything of it.
pub(crate) fn json(bytes: &[u8]) -> anyhow::Result<f64> {
    let (seconds, parsed) = timed(|| serde_json::from_slice::<serde::de::IgnoredAny>(bytes));
    parsed?;
    Ok(seconds)
}

/// Shows the content of every regular member to `scan` and counts those it returns true for.
pub(crate) fn scan_members(
    tar: &[u8],
    members: &[Member],
    scan: &dyn Fn(&[u8]) -> bool,
) -> (f64, usize) {
    timed(|| {
        let regular = members.iter().filter(|member| member.kind == b'0');
        let listed = regular.filter(|member| scan(std::hint::black_box(&tar[member.data.clone()])));
        std::hint::black_box(listed.count())
    })
}

/// hod's own scan: whether a file with this content goes into one of the relocate lists.
pub(crate) fn relocation_scan(prefixes: &[String]) -> impl Fn(&[u8]) -> bool + use<> {
    let prefixes = Prefixes::new(prefixes);
    move |content: &[u8]| {
        let mut scanner = Scanner::new(&prefixes);
        scanner.push(content);
        scanner.finish().relocate_list().is_some()
    }
}

/// The encoder whose time is taken alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoder {
    /// libdeflate, one gzip member per block.
    Members(i32),
    /// zlib-rs, one gzip member over everything.
    Single(u32),
    /// One zstd frame per block.
    Zstd(i32),
}

/// Compresses each block; returns the total size as well, to be compared with the blob's.
pub(crate) fn encode(
    encoder: Encoder,
    tar: &[u8],
    blocks: &[Range<usize>],
) -> anyhow::Result<(f64, u64)> {
    let largest = blocks.iter().map(Range::len).max().unwrap_or(0);
    let (seconds, size) = timed(|| -> anyhow::Result<u64> {
        let mut total = 0;
        match encoder {
            Encoder::Members(level) => {
                let level = libdeflater::CompressionLvl::new(level)
                    .map_err(|_| anyhow::anyhow!("libdeflate has no level {level}"))?;
                let mut compressor = libdeflater::Compressor::new(level);
                let mut out = vec![0; compressor.gzip_compress_bound(largest)];
                for block in blocks {
                    total += compressor.gzip_compress(&tar[block.clone()], &mut out)? as u64;
                }
            }
            Encoder::Single(level) => {
                let level = flate2::Compression::new(level);
                let mut encoder = flate2::write::GzEncoder::new(Counter::default(), level);
                for block in blocks {
                    encoder.write_all(&tar[block.clone()])?;
                }
                total = encoder.finish()?.0;
            }
            Encoder::Zstd(level) => {
                let mut compressor = zstd::bulk::Compressor::new(level)?;
                let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(largest));
                for block in blocks {
                    out.clear();
                    total += compressor.compress_to_buffer(&tar[block.clone()], &mut out)? as u64;
                }
            }
        }
        Ok(total)
    });
    Ok((seconds, size?))
}

#[derive(Debug, Default)]
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_sees_everything_once() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("a/b")).unwrap();
        fs_err::write(root.path().join("a/x"), "12345").unwrap();
        fs_err::write(root.path().join("a/b/y"), "").unwrap();
        fs_err::os::unix::fs::symlink("x", root.path().join("a/l")).unwrap();
        let (_, seen) = walk_and_read(root.path()).unwrap();
        assert_eq!(seen, Seen { files: 2, directories: 2, others: 1, bytes: 5 });
    }

    #[test]
    fn the_scan_finds_prefixes_in_text_and_objects_anywhere() {
        let scan = relocation_scan(&["/opt/x".to_owned()]);
        assert!(scan(b"#!/opt/x/bin/sh"));
        assert!(scan(b"\x7fELF\x02\x01\x01\0"));
        assert!(!scan(b"no prefix is here"));
        assert!(!scan(b"\0\xff binary /opt/x"));
        assert!(!scan(b"/opt/x"));
    }

    #[test]
    fn encoders_agree_on_the_blocks() {
        let data = b"some text that repeats, ".repeat(1000);
        let blocks = [0..10_000, 10_000..data.len()];
        for encoder in [Encoder::Members(6), Encoder::Single(6), Encoder::Zstd(3)] {
            let (_, size) = encode(encoder, &data, &blocks).unwrap();
            assert!(size > 20 && size < 1000, "{encoder:?} {size}");
        }
    }
}
