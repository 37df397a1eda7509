//! Any bytes have digests as a layer, or are an error, in every codec.
#![no_main]

use hod_archive::{Codec, layer_digests};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|blob: &[u8]| {
    for codec in [Codec::Gzip, Codec::Zstd, Codec::None] {
        if let Ok(digests) = layer_digests(codec, blob) {
            assert_eq!(digests.size, blob.len() as u64);
        }
    }
});
