//! A tarball that Spack made, unpacked and packed again, is the tarball Spack made.

use std::path::Path;

use hod_archive::{Codec, DiffId, Digest, UnpackOptions, decoder, unpack};

use crate::archive::{Member, members, stem};
use crate::{pack_with, plain};

#[test]
fn what_spack_packed_is_packed_again_with_the_same_members() {
    let blob = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack/linkfarm.tar.gz");
    let blob = fs_err::read(blob).unwrap();
    let mut golden = Vec::new();
    let mut stream = decoder(Codec::Gzip, &blob[..]).unwrap();
    std::io::Read::read_to_end(&mut stream, &mut golden).unwrap();
    let theirs = members(&golden);
    let last = theirs.last().unwrap();
    let prefix = last.name.strip_suffix(b"/.spack/binary_distribution").unwrap();

    let home = tempfile::tempdir().unwrap();
    let root = home.path().canonicalize().unwrap().join("root");
    unpack(&blob[..], Codec::Gzip, &root, &UnpackOptions::default()).unwrap();
    let prefix = root.join(std::str::from_utf8(prefix).unwrap());
    let content = std::str::from_utf8(&last.content).unwrap();
    let (packed, tar) = pack_with(&prefix, &plain(), Some(content));
    assert_eq!(packed.diff_id, DiffId(Digest::of(&tar)));

    // The prefix lies deeper here: more parents, longer names. All else is the same.
    let above = root.components().count() - 1;
    let before = [stem(&root), b"/"].concat();
    let ours: Vec<Member> = members(&tar).into_iter().skip(above).collect();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.name.strip_prefix(&before[..]).unwrap(), theirs.name);
        let link = if theirs.kind == b'1' {
            [&before, &theirs.link[..]].concat()
        } else {
            theirs.link.clone()
        };
        assert_eq!(ours.link, link);
        assert_eq!((ours.kind, ours.mode, ours.mtime), (theirs.kind, theirs.mode, theirs.mtime));
        assert!(ours.content == theirs.content);
    }
}
