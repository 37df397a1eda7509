//! An image is relocated and signed, or refused as it is; signing again changes nothing.
#![no_main]

use hod_relocate::PrefixMap;
use hod_relocate::macho::{relocate_load_commands, resign};
use libfuzzer_sys::fuzz_target;

const MAGIC: [[u8; 4]; 8] = [
    [0xcf, 0xfa, 0xed, 0xfe],
    [0xfe, 0xed, 0xfa, 0xcf],
    [0xce, 0xfa, 0xed, 0xfe],
    [0xfe, 0xed, 0xfa, 0xce],
    [0xca, 0xfe, 0xba, 0xbe],
    [0xca, 0xfe, 0xba, 0xbf],
    [0xbe, 0xba, 0xfe, 0xca],
    [0xbf, 0xba, 0xfe, 0xca],
];

fuzz_target!(|content: &[u8]| {
    let maps = [
        PrefixMap::new([("/s", "/a/longer/prefix"), ("/s/a", "/b")]),
        PrefixMap::new([("/usr/lib", "/n")]),
    ];
    let mut image = content.to_vec();
    // Other files are passed over, so any beginning is made that of an image.
    if let [first, _, _, _, ..] = image[..]
        && !MAGIC.iter().any(|magic| image.starts_with(magic))
    {
        image[..4].copy_from_slice(&MAGIC[usize::from(first) % MAGIC.len()]);
    }
    for map in maps {
        let before = image.clone();
        match relocate_load_commands(b"lib/libx.dylib", &mut image, &map) {
            Ok(true) => assert_eq!(before.len(), image.len()),
            Ok(false) | Err(_) => assert!(before == image),
        }
    }
    let before = image.clone();
    match resign(b"lib/libx.dylib", &mut image) {
        Ok(true) => {
            let signed = image.clone();
            assert!(resign(b"lib/libx.dylib", &mut image).unwrap());
            assert!(signed == image);
        }
        Ok(false) | Err(_) => assert!(before == image),
    }
});
