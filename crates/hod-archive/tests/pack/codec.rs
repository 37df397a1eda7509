//! The tar stream in each codec: the same stream inside, and digests that are the blob's.

use std::io::{Read as _, Write as _};

use hod_archive::{
    Codec, DiffId, Digest, Encoding, Level, Members, PackOptions, Packed, decoder, layer_digests,
};

use crate::archive::members;
use crate::tree::Tree;
use crate::{encoding, pack_with, plain};

const TABLE: &str = "
    .spack/spec.json 644 {}
    bin/tool 755 *5000000
    etc/empty 644
    lib/zz 644 *300
";

fn packed(tree: &Tree, encoding: Encoding, last: Option<&str>) -> (Packed, Vec<u8>) {
    let options = PackOptions { encoding, ..PackOptions::default() };
    pack_with(tree.prefix(), &options, last)
}

fn decoded(codec: Codec, blob: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    decoder(codec, blob).unwrap().read_to_end(&mut tar).unwrap();
    tar
}

#[test]
fn every_level_of_every_codec_carries_the_same_stream_and_says_what_it_wrote() {
    let tree = Tree::new("bin/tool 755 *40000\n.spack/spec.json 644 {}\nlib/liba 644 *700");
    let (_, tar) = pack_with(tree.prefix(), &plain(), Some("last"));
    let gzip = (1..=12).map(|level| (Codec::Gzip, level, Members::Multi));
    let single = (1..=9).map(|level| (Codec::Gzip, level, Members::Single));
    let zstd = (1..=19).map(|level| (Codec::Zstd, level, Members::Multi));
    let none = [(Codec::None, 0, Members::Multi)];
    for (codec, level, members) in gzip.chain(single).chain(zstd).chain(none) {
        let encoding = Encoding::new(codec, Level::Number(level), members).unwrap();
        let (packed, blob) = packed(&tree, encoding, Some("last"));
        let context = format!("{codec} {level} {members}");
        assert!(decoded(codec, &blob) == tar, "{context}");
        assert_eq!(
            (packed.digest, packed.size),
            (Digest::of(&blob), blob.len() as u64),
            "{context}"
        );
        let size = packed.uncompressed_size;
        assert_eq!(
            (packed.diff_id, size),
            (DiffId(Digest::of(&tar)), tar.len() as u64),
            "{context}"
        );
        let read = layer_digests(codec, &blob[..]).unwrap();
        assert_eq!((read.digest, read.diff_id), (packed.digest, packed.diff_id), "{context}");
    }
}

/// A gzip member as its header describes it.
struct GzipMember<'b> {
    bytes: &'b [u8],
    /// What follows the `HD` subfield in the extra field.
    more: &'b [u8],
}

/// Cuts the blob at the sizes its members state.
fn walk(mut blob: &[u8]) -> Vec<GzipMember<'_>> {
    let mut members = Vec::new();
    while !blob.is_empty() {
        assert_eq!(blob[..10], [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff]);
        let extra = usize::from(u16::from_le_bytes([blob[10], blob[11]]));
        assert_eq!(blob[12..16], *b"HD\x04\0");
        let size = u32::from_le_bytes(blob[16..20].try_into().unwrap()) as usize;
        let (bytes, rest) = blob.split_at(size);
        members.push(GzipMember { bytes, more: &bytes[20..12 + extra] });
        blob = rest;
    }
    members
}

fn inflate(member: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(member);
    decoder.read_to_end(&mut bytes).unwrap();
    assert!(decoder.into_inner().is_empty(), "the member ends where its header says");
    bytes
}

fn footer(member: &GzipMember<'_>) -> [u64; 3] {
    assert_eq!(member.bytes.len(), 58);
    assert!(inflate(member.bytes).is_empty());
    assert_eq!(member.more[..4], *b"HF\x18\0");
    let number = |at: usize| u64::from_le_bytes(member.more[at..at + 8].try_into().unwrap());
    [number(4), number(12), number(20)]
}

#[test]
fn gzip_members_state_their_sizes_decode_alone_and_end_with_a_footer() {
    let tree = Tree::new(TABLE);
    let (_, blob) = packed(&tree, Encoding::default(), Some("last words"));
    let table = walk(&blob);
    let (foot, table) = table.split_last().unwrap();
    let blocks: Vec<_> = table.iter().map(|member| inflate(member.bytes)).collect();
    assert!(table.iter().all(|member| member.more.is_empty()));
    let tar = blocks.concat();
    let [tar_offset, blob_offset, count] = footer(foot);
    assert_eq!(count, table.len() as u64);

    // Blocks have one size, but for the one before the last entry and the one at the end.
    let block = Encoding::default().block_size();
    let (full, [before, _]) = blocks.split_at(blocks.len() - 2) else { unreachable!() };
    assert!(full.len() > 1 && full.iter().all(|bytes| bytes.len() == block));
    assert_eq!(full.len() * block + before.len(), usize::try_from(tar_offset).unwrap());

    let last = members(&tar).pop().unwrap();
    assert_eq!((last.offset as u64, &last.content[..]), (tar_offset, &b"last words"[..]));
    let alone = decoded(Codec::Gzip, &blob[usize::try_from(blob_offset).unwrap()..]);
    assert!(alone == tar[last.offset..], "the last entry is read without what precedes it");
}

#[test]
fn without_a_last_entry_the_footer_points_nowhere() {
    let tree = Tree::new("a 644 x");
    let (_, blob) = packed(&tree, Encoding::default(), None);
    let table = walk(&blob);
    assert_eq!(footer(table.last().unwrap()), [0, 0, 1]);
}

#[test]
fn a_last_entry_larger_than_a_block_spans_several() {
    let tree = Tree::new("a 644 x");
    let content = "many words ".repeat(500_000);
    let (_, blob) = packed(&tree, Encoding::default(), Some(&content));
    let tar = decoded(Codec::Gzip, &blob);
    assert!(members(&tar).last().unwrap().content == content.as_bytes());
    let spanned = (tar.len() - members(&tar).last().unwrap().offset)
        .div_ceil(Encoding::default().block_size());
    assert_eq!(footer(walk(&blob).last().unwrap())[2], 1 + spanned as u64);
}

#[test]
fn a_single_member_is_one_for_readers_that_stop_at_the_first() {
    let tree = Tree::new(TABLE);
    let (_, tar) = pack_with(tree.prefix(), &plain(), Some("x"));
    let encoding = Encoding::new(Codec::Gzip, Level::Default, Members::Single).unwrap();
    let (_, blob) = packed(&tree, encoding, Some("x"));
    assert_eq!(blob[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    assert!(inflate(&blob) == tar);
}

#[test]
fn zstd_frames_state_their_content_size_and_decode_alone() {
    let tree = Tree::new(TABLE);
    let (_, blob) = packed(&tree, encoding(Codec::Zstd, Level::Default), Some("x"));
    let (mut rest, mut tar) = (&blob[..], Vec::new());
    while !rest.is_empty() {
        let size = zstd::zstd_safe::find_frame_compressed_size(rest).unwrap();
        let stated = zstd::zstd_safe::get_frame_content_size(rest).unwrap().unwrap();
        let frame = zstd::bulk::decompress(&rest[..size], 4 << 20).unwrap();
        assert_eq!(frame.len() as u64, stated);
        tar.write_all(&frame).unwrap();
        rest = &rest[size..];
    }
    assert!(members(&tar).last().unwrap().content == b"x");
}
