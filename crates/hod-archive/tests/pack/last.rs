//! The last entry is found without reading the others.

use std::io::Cursor;

use hod_archive::{Codec, Level, PackOptions, last_file};

use crate::{LAST, encoding, pack_with, plain};

#[test]
fn the_last_file_of_a_blob_that_hod_made_is_read_before_all_others() {
    let source = tempfile::tempdir().unwrap();
    let noise = (0..5_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
    fs_err::write(source.path().join("a"), noise.collect::<Vec<u8>>()).unwrap();
    let options =
        PackOptions { encoding: encoding(Codec::Gzip, Level::Fast), ..PackOptions::default() };
    let (_, blob) = pack_with(source.path(), &options, Some("the end"));
    let last = last_file(Cursor::new(&blob), 100).unwrap().unwrap();
    assert!(last.name.ends_with(format!("/{LAST}").as_bytes()), "{:?}", last.name);
    assert_eq!(last.content, b"the end");
    assert_eq!(last_file(Cursor::new(&blob), 3).unwrap(), None, "larger than allowed");
}

#[test]
fn other_blobs_do_not_say_where_their_last_file_is() {
    let source = tempfile::tempdir().unwrap();
    let (_, tar) = pack_with(source.path(), &plain(), Some("the end"));
    assert_eq!(last_file(Cursor::new(&tar), 100).unwrap(), None);
    assert_eq!(last_file(Cursor::new(b"short"), 100).unwrap(), None);
    let options =
        PackOptions { encoding: encoding(Codec::Gzip, Level::Fast), ..PackOptions::default() };
    let (_, blob) = pack_with(source.path(), &options, Some("the end"));
    assert_eq!(last_file(Cursor::new(&blob[..blob.len() / 2]), 100).unwrap(), None);
    // Nor do damaged ones do any harm.
    for at in 0..blob.len() {
        let mut damaged = blob.clone();
        damaged[at] ^= 0x55;
        let _ = last_file(Cursor::new(&damaged), 100).unwrap();
    }
}
