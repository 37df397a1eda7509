//! Bytes depend on the tree and the options, and on nothing else.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hod_archive::{
    Codec, Encoders, Encoding, Inspect, InspectFile, LastEntry, Level, Mark, Members, PackError,
    PackOptions, Packed, pack,
};
use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::archive::stem;
use crate::tree::{Tree, grow};
use crate::{LAST, encoding, pack_with, plain, skip, try_pack};

const TABLE: &str = r"
    .spack/spec.json 644 {}
    bin/tool 755 *700000
    bin/alias -> tool
    bin/again = bin/tool
    etc/a/b/c/deep 644 x
    include/a.h 644 *1000
    include/b.h 644 *2000
    include/c.h 644 *3000
    lib/large 644 *2300000
    lib/medium 755 *262144
    lib/\xff 644 raw
    share/doc/readme 644 text
    share/empty/
";

/// Looks at every file, now and then for longer than expected.
struct Dawdler(AtomicU64);

impl Inspect for Dawdler {
    type File<'a> = Look<'a>;

    fn begin(&self, _: &[u8]) -> Option<Look<'_>> {
        Some(Look(&self.0, 0))
    }

    fn link(&self, _: &[u8], target: &[u8]) -> Option<Mark> {
        self.dawdle();
        Some(Mark(target[0]))
    }
}

impl Dawdler {
    fn dawdle(&self) {
        let step = self.0.fetch_add(0x9e37_79b9, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros((step >> 7) % 1500));
    }
}

struct Look<'a>(&'a AtomicU64, u8);

impl InspectFile for Look<'_> {
    fn push(&mut self, content: &[u8]) {
        self.1 = content.iter().fold(self.1, |sum, byte| sum.wrapping_add(*byte));
    }

    fn finish(self) -> Option<Mark> {
        Dawdler(AtomicU64::new(self.0.fetch_add(0x9e37_79b9, Ordering::Relaxed))).dawdle();
        Some(Mark(self.1))
    }
}

fn packed(prefix: &Path, jobs: usize, options: &PackOptions, inspect: &impl Inspect) -> Packed {
    let mut content = |before: hod_archive::BeforeLast<'_>| {
        let marks: Vec<_> = before.marks.iter().map(|(mark, _)| mark.0).collect();
        // Marks are the inspector's; one that makes none must not change the bytes.
        assert!(marks.is_empty() || marks.len() == 11, "{}", marks.len());
        before.digest.to_string().into_bytes()
    };
    let last = Some(LastEntry { name: LAST, content: &mut content });
    let encoders = Encoders::new(jobs);
    pack(prefix, std::io::sink(), &encoders, options, inspect, last, &|_| {}).unwrap()
}

#[test]
fn the_number_of_threads_and_their_luck_leave_no_trace() {
    let tree = Tree::new(TABLE);
    let single = Encoding::new(Codec::Gzip, Level::Fast, Members::Single).unwrap();
    let codecs = [encoding(Codec::Gzip, Level::Fast), single, encoding(Codec::Zstd, Level::Fast)];
    for encoding in codecs {
        let base = PackOptions { encoding, ..PackOptions::default() };
        let expected = packed(tree.prefix(), 1, &PackOptions { io_jobs: 1, ..base.clone() }, &());
        for jobs in [1, 2, 3, 8] {
            for io_jobs in [1, 2, 64] {
                let shares = [1, 4][(jobs + io_jobs) % 2];
                let options = PackOptions { io_jobs, shares, ..base.clone() };
                let dawdler = Dawdler(AtomicU64::new((jobs * 64 + io_jobs) as u64));
                let found = packed(tree.prefix(), jobs, &options, &dawdler);
                assert_eq!(found, expected, "{jobs} encoders, {io_jobs} readers, {shares}");
            }
        }
    }
}

#[test]
fn several_packs_through_the_same_encoders_do_not_mix() {
    let trees = [Tree::new(TABLE), Tree::new("a 644 *3000000"), Tree::new("b/c 644 x")];
    let encoders = Encoders::new(2);
    let options = PackOptions { shares: 3, ..PackOptions::default() };
    let one = |tree: &Tree, encoders: &Encoders| {
        pack(tree.prefix(), std::io::sink(), encoders, &options, &(), None, &|_| {}).unwrap()
    };
    let alone: Vec<_> = trees.iter().map(|tree| one(tree, &Encoders::new(1))).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let packs: Vec<_> = trees.iter().map(|tree| scope.spawn(|| one(tree, &encoders))).collect();
        packs.into_iter().map(|pack| pack.join().unwrap()).collect()
    });
    assert_eq!(together, alone);
}

#[test]
fn the_order_in_which_a_tree_was_made_and_its_times_and_modes_leave_no_trace() {
    let tree = Tree::new(TABLE);
    let (first, _) = pack_with(tree.prefix(), &PackOptions::default(), None);
    fs_err::remove_dir_all(tree.prefix()).unwrap();
    fs_err::create_dir(tree.prefix()).unwrap();
    let backwards: Vec<&str> = TABLE.lines().rev().filter(|line| !line.contains(" = ")).collect();
    tree.grow(&backwards.join("\n").replace(" 644", " 664").replace(" 755", " 711"));
    tree.grow("bin/again = bin/tool");
    let (second, _) = pack_with(tree.prefix(), &PackOptions::default(), None);
    assert_eq!(second.digest, first.digest);
    assert_ne!(second.fingerprint, first.fingerprint);
}

/// A directory of the same absolute path in every run, since the path becomes the members' names.
/// A lock beside it makes runs at the same time take turns.
fn with_fixed_prefix(then: impl FnOnce(&Path)) {
    let (home, prefix) = (Path::new("/tmp/hod-golden"), Path::new("/tmp/hod-golden/prefix"));
    if fs_err::create_dir_all(home).is_err() {
        return skip("there is no place for a tree with a fixed path");
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let Ok(lock) = rustix::fs::open(home, flags, Mode::empty()) else {
        return skip("the place for a tree with a fixed path is not a directory");
    };
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
    // What is left there is of a run that was killed.
    if prefix.exists() && fs_err::remove_dir_all(prefix).is_err()
        || fs_err::create_dir(prefix).is_err()
    {
        return skip("the place for a tree with a fixed path is somebody else's");
    }
    then(prefix);
    fs_err::remove_dir_all(prefix).unwrap();
}

#[test]
fn a_fixed_tree_has_the_digests_it_always_had() {
    with_fixed_prefix(|prefix| {
        grow(prefix, TABLE);
        let single = Encoding::new(Codec::Gzip, Level::Default, Members::Single).unwrap();
        let encodings = [
            Encoding::default(),
            single,
            encoding(Codec::Zstd, Level::Default),
            encoding(Codec::None, Level::Default),
        ];
        let mut digests = Vec::new();
        for encoding in encodings {
            let options = PackOptions { encoding, mtime: 1_700_000_000, ..PackOptions::default() };
            let (packed, _) = pack_with(prefix, &options, Some("{}\n"));
            assert_eq!(packed.diff_id.to_string(), GOLDEN_DIFF_ID);
            digests.push(packed.digest.to_string());
        }
        assert_eq!(digests, GOLDEN_BLOBS);
    });
}

/// Changes with Spack's format only, which is to say never.
const GOLDEN_DIFF_ID: &str =
    "sha256:422664a64a5432b813e1586253ec037b80df291997cd049622302e91ff29db01";

/// Gzip in members, gzip in one, zstd and none. The first three change with a codec's version:
/// then blobs pushed before are no longer met again, which a change log has to say.
const GOLDEN_BLOBS: [&str; 4] = [
    "sha256:56515ef59f16b988f797ece64618b1c302bfc7976759ac0742e52e965fd5e996",
    "sha256:c9555e2fec1fd46b1c41d0053788e682b8b1d9b10584bdb7496153f1de2fe646",
    "sha256:64a39542445438e626aeaadeca80d96031a3ca877b89ea164a6007613d9e3581",
    GOLDEN_DIFF_ID,
];

#[test]
fn encoders_that_have_worked_before_write_what_new_ones_write() {
    let tree = Tree::new("a 644 *5000");
    // A deflate encoder that hashes one byte more than it was given finds, behind the window that
    // primes it, what it worked on before. Here this makes a difference if it is the byte that
    // follows: the first of the last entry's name, with the three zeros before it.
    let name = [stem(tree.prefix()), b"/", LAST.as_bytes()].concat();
    let words = format!("{}\0\0\0{0}", String::from_utf8(name).unwrap());
    let other = Tree::new(&format!("a 644 {}", words[..1].repeat(200_000)));
    let gzip = (1..=12).map(|level| (Codec::Gzip, level, Members::Multi));
    let single = (1..=9).map(|level| (Codec::Gzip, level, Members::Single));
    let zstd = (1..=12).map(|level| (Codec::Zstd, level, Members::Multi));
    let mut differing = Vec::new();
    for (codec, level, members) in gzip.chain(single).chain(zstd) {
        let encoding = Encoding::new(codec, Level::Number(level), members).unwrap();
        let options = PackOptions { encoding, ..PackOptions::default() };
        let digest = |tree: &Tree, encoders: &Encoders| {
            let mut content = |_: hod_archive::BeforeLast<'_>| words.clone().into_bytes();
            let last = Some(LastEntry { name: LAST, content: &mut content });
            let sink = std::io::sink();
            pack(tree.prefix(), sink, encoders, &options, &(), last, &|_| {}).unwrap().digest
        };
        let used = Encoders::new(1);
        digest(&other, &used);
        if digest(&tree, &used) != digest(&tree, &Encoders::new(2)) {
            differing.push(format!("{codec} {level} {members}"));
        }
    }
    assert_eq!(differing, [""; 0]);
}

#[test]
fn a_tree_that_lies_elsewhere_is_named_after_where_it_belongs() {
    let table = r"
        bin/tool 755 run
        bin/again = bin/tool
        lib/link -> ../bin/tool
        ";
    let (here, there) = (Tree::new(table), Tree::new(table));
    let options = PackOptions { named: Some(here.prefix().to_owned()), ..plain() };
    let (moved, bytes) = pack_with(there.prefix(), &options, Some("{}"));
    let (unmoved, expected) = pack_with(here.prefix(), &plain(), Some("{}"));
    assert_eq!((moved.diff_id, bytes), (unmoved.diff_id, expected));
    let relative = PackOptions { named: Some("opt/tool".into()), ..plain() };
    assert!(matches!(
        try_pack(there.prefix(), &relative, &(), None),
        Err(PackError::NotAbsolute { .. })
    ));
}
