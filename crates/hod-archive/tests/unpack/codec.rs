//! The codecs around the tar stream, whole and damaged.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use hod_archive::{
    Codec, DecodeError, DiffId, Digest, Memory, TarError, UnpackError, UnpackOptions, Unpacked,
    decoder, layer_digests, read_layer, unpack,
};

use crate::archive::Archive;
use crate::{Sandbox, names};

fn package() -> Vec<u8> {
    let mut archive = Archive::new();
    for n in 0..300_u32 {
        let line = format!("line {n} of a file that compresses\n");
        archive = archive.file(&format!("d{}/f{n}", n / 20), line.repeat(n as usize));
    }
    archive.finish()
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A member as Hod writes it: its extra field says its size.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), Compression::new(6));
    deflate.write_all(bytes).unwrap();
    member(&deflate.finish().unwrap(), crc32fast::hash(bytes), length(bytes))
}

fn member(deflated: &[u8], crc: u32, size: u32) -> Vec<u8> {
    let whole = u32::try_from(20 + deflated.len() + 8).unwrap();
    let mut member = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x08\0HD\x04\0".to_vec();
    member.extend(whole.to_le_bytes());
    member.extend(deflated);
    member.extend(crc.to_le_bytes());
    member.extend(size.to_le_bytes());
    member
}

fn footer() -> Vec<u8> {
    let mut footer = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x24\0HD\x04\0\x3a\0\0\0HF\x18\0".to_vec();
    footer.extend([0; 24]);
    footer.extend(b"\x03\0\0\0\0\0\0\0\0\0");
    footer
}

fn members(tar: &[u8], block: usize) -> Vec<u8> {
    let mut blob: Vec<u8> = tar.chunks(block).flat_map(sized).collect();
    blob.extend(footer());
    blob
}

fn try_unpack(blob: &[u8], codec: Codec) -> Result<Unpacked, UnpackError> {
    let sandbox = Sandbox::new();
    let result = unpack(blob, codec, &sandbox.tree(), &UnpackOptions::default());
    match &result {
        Ok(_) => assert_eq!(names(&sandbox.tree()).len(), 15),
        Err(_) => sandbox.assert_untouched(),
    }
    result
}

#[test]
fn the_same_tree_comes_out_of_every_codec_and_every_cut() {
    let tar = package();
    let diff_id = Digest::of(&tar);
    let half = tar.len() / 2;
    let blobs = [
        ("plain", Codec::None, tar.clone()),
        ("gzip", Codec::Gzip, gzip(&tar)),
        ("gzip in two members", Codec::Gzip, [gzip(&tar[..half]), gzip(&tar[half..])].concat()),
        ("gzip with padding", Codec::Gzip, [gzip(&tar), vec![0; 700]].concat()),
        ("sized members", Codec::Gzip, members(&tar, 100_000)),
        ("tiny sized members", Codec::Gzip, members(&tar, 333)),
        ("sized members with padding", Codec::Gzip, [members(&tar, 9999), vec![0; 9]].concat()),
        ("sized, then not", Codec::Gzip, [sized(&tar[..half]), gzip(&tar[half..])].concat()),
        ("zstd", Codec::Zstd, zstd::bulk::compress(&tar, 3).unwrap()),
        (
            "zstd in two frames",
            Codec::Zstd,
            [&tar[..half], &tar[half..]].map(|it| zstd::bulk::compress(it, 1).unwrap()).concat(),
        ),
    ];
    for (name, codec, blob) in blobs {
        let unpacked = try_unpack(&blob, codec).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(unpacked.diff_id, Some(DiffId(diff_id)), "{name}");
        assert_eq!((unpacked.digest, unpacked.size), (Digest::of(&blob), blob.len() as u64));
        let digests = layer_digests(codec, &blob[..]).unwrap();
        assert_eq!((Some(digests.diff_id), digests.digest), (unpacked.diff_id, unpacked.digest));
        let mut decoded = Vec::new();
        decoder(codec, &blob[..]).unwrap().read_to_end(&mut decoded).unwrap();
        assert!(decoded == tar, "{name}");
    }
}

#[test]
fn a_blob_cut_anywhere_is_an_error() {
    let tar = package();
    for (codec, blob) in [
        (Codec::None, tar.clone()),
        (Codec::Gzip, gzip(&tar)),
        (Codec::Gzip, members(&tar, 50_000)),
        (Codec::Zstd, zstd::bulk::compress(&tar, 3).unwrap()),
    ] {
        for cut in [0, 1, 9, 15, 21, 500, blob.len() / 2] {
            let error = try_unpack(&blob[..cut], codec).unwrap_err();
            let expected = matches!(
                error,
                UnpackError::Decode(DecodeError::Truncated { .. })
                    | UnpackError::Tar(TarError::Truncated { .. })
            );
            assert!(expected, "{codec} at {cut}: {error}");
        }
    }
    let blob = gzip(&tar);
    let error = layer_digests(Codec::Gzip, &blob[..blob.len() - 5]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn whoever_looks_into_a_layer_sees_its_stream_and_changes_no_digest() {
    let tar = package();
    for blob in [gzip(&tar), members(&tar, 50_000)] {
        let whole = layer_digests(Codec::Gzip, &blob[..]).unwrap();
        for most in [0, 1, 60_000, u64::MAX] {
            let (digests, seen) = read_layer(Codec::Gzip, &blob[..], |stream| {
                let mut seen = Vec::new();
                stream.take(most).read_to_end(&mut seen).map(|_| seen)
            })
            .unwrap();
            assert_eq!((digests.digest, digests.diff_id), (whole.digest, whole.diff_id), "{most}");
            assert_eq!(digests.uncompressed_size, tar.len() as u64);
            let most = usize::try_from(most).unwrap().min(tar.len());
            assert!(seen.unwrap() == tar[..most], "{most}");
        }
    }
}

/// The members behind the damaged one are good.
#[test]
fn damage_is_an_error_even_if_whoever_looks_does_not_care() {
    let tar = package();
    let mut blob = members(&tar, 50_000);
    blob[1000] ^= 1;
    let ignored = read_layer(Codec::Gzip, &blob[..], |stream| {
        let _ = std::io::copy(stream, &mut std::io::sink());
    });
    assert_eq!(ignored.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn what_follows_the_last_member_is_a_member_or_zeros() {
    let tar = package();
    for blob in [gzip(&tar), members(&tar, 50_000)] {
        for garbage in [&b"garbage"[..], b"\0\0\0x", b"PK\x03\x04"] {
            let error = try_unpack(&[&blob[..], garbage].concat(), Codec::Gzip).unwrap_err();
            assert!(matches!(error, UnpackError::Decode(DecodeError::Garbage { .. })), "{error}");
        }
    }
    // A member after the archive's end is tar data after the archive's end.
    let hidden = [gzip(&tar), gzip(&Archive::new().file("hidden", "x").finish())].concat();
    let error = try_unpack(&hidden, Codec::Gzip).unwrap_err();
    assert!(matches!(error, UnpackError::Tar(TarError::TrailingData { .. })), "{error}");
}

#[test]
fn a_flipped_bit_is_damage_wherever_it_is() {
    let tar = package();
    for blob in [gzip(&tar), members(&tar, 50_000)] {
        for at in [3, 100, blob.len() / 3, blob.len() - 60, blob.len() - 5] {
            let mut damaged = blob.clone();
            damaged[at] ^= 0x10;
            // A flag or a time in the header may change without harm; content may not.
            if let Ok(unpacked) = try_unpack(&damaged, Codec::Gzip) {
                assert_eq!(unpacked.diff_id, Some(DiffId(Digest::of(&tar))), "at {at}");
            }
        }
    }
    let mut damaged = gzip(&tar);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    let error = try_unpack(&damaged, Codec::Gzip).unwrap_err();
    // Where the tar stream suffers before the checksum is reached, that is what is told.
    let expected = matches!(error, UnpackError::Decode(_) | UnpackError::Tar(_));
    assert!(expected, "{error}");
}

#[test]
fn a_member_that_lies_about_itself_is_damage() {
    let tar = package();
    let honest = sized(&tar);
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), Compression::new(6));
    deflate.write_all(&tar).unwrap();
    let deflated = deflate.finish().unwrap();
    let (crc, size) = (crc32fast::hash(&tar), length(&tar));
    let mut too_long = honest.clone();
    too_long[16] = too_long[16].wrapping_add(8);
    for (name, blob) in [
        ("crc", member(&deflated, crc ^ 1, size)),
        ("smaller", member(&deflated, crc, size - 1)),
        ("larger", member(&deflated, crc, size + 1)),
        ("much larger", member(&deflated, crc, 7 << 20)),
        ("beyond any cap", member(&deflated, crc, u32::MAX)),
        ("too long", [too_long, vec![0; 64]].concat()),
    ] {
        let error = try_unpack(&blob, Codec::Gzip).expect_err(name);
        assert!(matches!(error, UnpackError::Decode(_)), "{name}: {error}");
    }
    // A size too small cannot be told from a foreign field of that name: what readers that do not
    // know the field see is what counts.
    let mut too_short = honest;
    too_short[16] = too_short[16].wrapping_sub(8);
    if let Ok(unpacked) = try_unpack(&too_short, Codec::Gzip) {
        assert_eq!(unpacked.diff_id, Some(DiffId(Digest::of(&tar))));
    }
}

#[test]
fn a_member_hidden_behind_a_second_trailer_is_not_overlooked() {
    // Readers that skip `HD` see two members here; one that trusts it would see only the first,
    // whose trailer is repeated at the end.
    let tar = package();
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), Compression::new(6));
    deflate.write_all(&tar).unwrap();
    let mut body = deflate.finish().unwrap();
    let (crc, size) = (crc32fast::hash(&tar), length(&tar));
    body.extend(crc.to_le_bytes());
    body.extend(size.to_le_bytes());
    body.extend(gzip(&[0; 512]));
    let error = try_unpack(&member(&body, crc, size), Codec::Gzip).unwrap_err();
    assert!(matches!(error, UnpackError::Decode(DecodeError::Damaged { .. })), "{error}");
}

#[test]
fn a_failure_early_in_a_large_blob_ends_without_waiting_for_the_rest() {
    // Far more than may be in flight, so that every queue is full when the others stop.
    let filler = |archive: Archive| {
        (0..100).fold(archive, |it, n| it.file(&format!("filler{n}"), vec![n; 1 << 20]))
    };
    let collision = filler(Archive::new().file("a", "1").file("a", "2")).finish();
    let refused = filler(Archive::new().file("../a", "1")).finish();
    for tar in [collision, refused] {
        for (codec, blob) in [(Codec::Gzip, members(&tar, 1 << 20)), (Codec::None, tar.clone())] {
            let sandbox = Sandbox::new();
            let read = std::cell::Cell::new(0);
            let source = Counting(&blob, &read);
            let options = UnpackOptions { jobs: 1, ..Default::default() };
            assert!(unpack(source, codec, &sandbox.tree(), &options).is_err());
            sandbox.assert_untouched();
            let all_is_read = codec == Codec::None && read.get() == blob.len();
            assert!(!all_is_read, "{codec}: {}", read.get());
        }
    }
}

struct Counting<'a>(&'a [u8], &'a std::cell::Cell<usize>);

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.set(self.1.get() + read);
        Ok(read)
    }
}

/// Each of the large members needs most of the memory that there is: while one archive has it, the
/// others wait, and none for ever.
#[test]
fn archives_that_share_memory_take_turns() {
    let mut archive = Archive::new();
    for name in ["a", "b", "c"] {
        archive = archive.file(name, name.repeat(7 << 20));
    }
    let tar = archive.finish();
    let blobs = [members(&tar, 7 << 20), members(&tar, 1 << 20), gzip(&tar)];
    let memory = Memory::new(1);
    std::thread::scope(|scope| {
        for blob in blobs.iter().cycle().take(6) {
            let memory = Some(memory.clone());
            scope.spawn(move || {
                let sandbox = Sandbox::new();
                let options = UnpackOptions { memory, jobs: 2, ..Default::default() };
                unpack(&blob[..], Codec::Gzip, &sandbox.tree(), &options).unwrap();
                for name in ["a", "b", "c"] {
                    let content = fs_err::read(sandbox.tree().join(name)).unwrap();
                    assert!(content == name.repeat(7 << 20).as_bytes());
                }
            });
        }
    });
}
