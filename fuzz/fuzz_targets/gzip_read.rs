//! Raw gzip bytes: whole members in parallel and one stream must tell the same story.
#![no_main]

use std::io::Read;

use hod_archive::{Codec, Digest, decoder, layer_digests};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut blob = bytes.to_vec();
    // Half of all inputs become what Hod writes, as far as the size field goes.
    if blob.len() > 28 && blob[0] & 1 == 1 {
        let size = u32::try_from(blob.len()).unwrap_or(u32::MAX);
        blob[..16].copy_from_slice(b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x08\0HD\x04\0");
        blob[16..20].copy_from_slice(&size.to_le_bytes());
    }
    let mut streamed = Vec::new();
    let Ok(stream) = decoder(Codec::Gzip, &blob[..]) else { return };
    let stream = stream.take(64 << 20).read_to_end(&mut streamed);
    let parallel = layer_digests(Codec::Gzip, &blob[..]);
    if let (Ok(_), Ok(parallel)) = (stream, parallel) {
        assert_eq!(parallel.diff_id.0, Digest::of(&streamed));
        assert_eq!(parallel.digest, Digest::of(&blob));
    }
});
