//! Trees made from nothing but a seed.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Made;

/// `SplitMix64`: small, fast, and the same everywhere.
pub(super) struct Random(u64);

impl Random {
    /// A generator of its own for each `name` (FNV-1a), so the order of making does not matter.
    pub(super) fn of(name: &str) -> Self {
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform enough for filling files: below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("less than a usize")
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

const WORDS: &[&str] = &[
    "alpha", "band", "cache", "delta", "edge", "field", "graph", "host", "index", "joint",
    "kernel", "lattice", "mesh", "node", "orbit", "phase", "queue", "region", "solver", "tensor",
    "unit", "vector", "wave", "zone", "return", "value", "static", "const", "import", "default",
];
const SUFFIXES: &[&str] = &["txt", "json", "h", "py", "conf", "dat", "mod", "yaml"];

/// Text of exactly `size` bytes that compresses like source code rather than like noise.
fn text(random: &mut Random, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size + 32);
    while out.len() < size {
        let _ = match random.below(6) {
            0 => writeln!(out, "{} = {:x};", random.pick(WORDS), random.next() & 0xff_ffff),
            1 => write!(out, "{}_{} ", random.pick(WORDS), random.pick(WORDS)),
            _ => write!(out, "{} ", random.pick(WORDS)),
        };
    }
    out.truncate(size);
    out
}

fn directory(path: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(path)?;
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o755))
}

/// Fills `at` with `count` files called like those of a data directory, each of less than `bound`
/// bytes; one in forty is executable.
fn fill(at: &Path, label: &str, count: usize, bound: usize) -> std::io::Result<()> {
    for number in 0..count {
        let mut random = Random::of(&format!("{label}/{number}"));
        let (word, suffix) = (random.pick(WORDS), random.pick(SUFFIXES));
        let path = at.join(format!("{word}_{number:04}.{suffix}"));
        let size = random.below(bound);
        let content = text(&mut random, size);
        fs_err::write(&path, content)?;
        let mode = if random.below(40) == 0 { 0o755 } else { 0o644 };
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode))?;
    }
    Ok(())
}

/// 100,000 files of 0 to 200 bytes in about 1,000 directories: metadata decides.
pub(super) fn tiny(root: &Path) -> anyhow::Result<Made> {
    for group in 0..40 {
        let group_path = root.join(format!("share/package-{group:02}"));
        directory(&group_path)?;
        for number in 0..25 {
            let at = group_path.join(format!("data-{number:02}"));
            directory(&at)?;
            fill(&at, &format!("tiny/{group}/{number}"), 100, 201)?;
        }
    }
    directory(&root.join("share"))?;
    Ok(Made::Fixed)
}

/// 3,000 files of up to 8 KiB in about 150 directories: for a file system that answers slowly.
pub(super) fn small_3000(root: &Path) -> anyhow::Result<Made> {
    for group in 0..15 {
        let group_path = root.join(format!("lib/module-{group:02}"));
        directory(&group_path)?;
        for number in 0..9 {
            let at = group_path.join(format!("part-{number}"));
            directory(&at)?;
            fill(&at, &format!("small/{group}/{number}"), 22, 8193)?;
        }
    }
    directory(&root.join("lib"))?;
    fill(&root.join("lib"), "small/rest", 30, 8193)?;
    Ok(Made::Fixed)
}

/// A million tiny files, 600,000 of them in one directory: for memory.
pub(super) fn million(root: &Path) -> anyhow::Result<Made> {
    let flat = root.join("flat");
    directory(&flat)?;
    fill(&flat, "million/flat", 600_000, 65)?;
    for number in 0..400 {
        let at = root.join(format!("nested/{:02}/{:02}", number / 20, number % 20));
        directory(&at)?;
        fill(&at, &format!("million/{number}"), 1000, 65)?;
    }
    for number in 0..20 {
        directory(&root.join(format!("nested/{number:02}")))?;
    }
    directory(&root.join("nested"))?;
    Ok(Made::Fixed)
}

/// One compressible file of 10 GB: for memory.
pub(super) fn huge(root: &Path) -> anyhow::Result<Made> {
    const SIZE: usize = 10_000_000_000;
    const BLOCK: usize = 1 << 20;
    let path = root.join("huge.dat");
    let mut file = std::io::BufWriter::with_capacity(BLOCK, fs_err::File::create(&path)?);
    let mut random = Random::of("huge");
    let block = text(&mut random, BLOCK);
    let mut left = SIZE;
    while left > 0 {
        // Noise for a sixteenth of each block, then a rotation of one block of text.
        let mut noise = Vec::with_capacity(BLOCK / 16);
        while noise.len() < BLOCK / 16 {
            noise.extend_from_slice(&random.next().to_le_bytes());
        }
        let start = random.below(BLOCK);
        for part in [&noise[..], &block[start..], &block[..start]] {
            let part = &part[..part.len().min(left)];
            file.write_all(part)?;
            left -= part.len();
        }
    }
    file.flush()?;
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o644))?;
    Ok(Made::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_fixed() {
        let mut random = Random(0);
        // First output of SplitMix64 for seed 0, as published.
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn text_has_the_size_asked_for() {
        for size in [0, 1, 200, 8192] {
            assert_eq!(text(&mut Random::of("x"), size).len(), size);
        }
        assert_eq!(text(&mut Random::of("x"), 64), text(&mut Random::of("x"), 64));
    }
}
