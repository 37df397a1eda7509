//! New signatures.

use hod_relocate::macho::{MachOError, resign};
use hod_relocate::{PrefixMap, relocate_binary};
use rstest::rstest;
use sha2::{Digest, Sha256};

use crate::build::{ARM64, DEBUG_SYMBOLS, Form, I386, LOAD, PROGRAM, X86_64, slices, universal};
use crate::judge::{Verified, names, verify};
use crate::{fixture, relocated, resigned};

const AD_HOC: u32 = 2;

#[rstest]
#[case::signed_by_the_linker("geos.arm64.so", "/usr/lib", "_geos.cpython-312-darwin.so")]
#[case::signed_by_codesign("webpdemux.arm64.dylib", "/DLC/PIL", "libwebpdemux.2")]
#[case::with_two_directories("z.x86_64.dylib", "/DLC/h5py/.dylibs", "libz.1")]
fn a_relocated_library_is_signed_again(
    #[case] name: &str,
    #[case] prefix: &str,
    #[case] identifier: &str,
) {
    let image = fixture(name);
    let before = verify(&image).unwrap();
    let relocated = relocated(&image, &[(prefix, "/opt/store/a/new/place")]).unwrap().unwrap();
    let signed = resigned(&relocated).unwrap().unwrap();
    let after = verify(&signed).unwrap();
    assert_eq!(before.identifier, identifier);
    assert_eq!(after.identifier, identifier);
    assert_eq!(after.flags, AD_HOC);
    assert_ne!(after.directory, before.directory);
    assert_eq!(names(&signed), names(&relocated));
    assert!(resigned(&signed).unwrap().unwrap() == signed, "the same again");
}

#[test]
#[should_panic(expected = "page 0")]
fn the_judge_sees_a_stale_signature() {
    let image = fixture("geos.arm64.so");
    verify(&relocated(&image, &[("/usr/lib", "/new/lib")]).unwrap().unwrap());
}

/// It was signed by `codesign --force --sign -` when its wheel was made.
#[test]
fn a_signature_is_that_of_codesign_to_the_last_byte() {
    let image = fixture("webpdemux.arm64.dylib");
    let signed = resigned(&image).unwrap().unwrap();
    assert_eq!(verify(&signed), verify(&image));
    // Its list of blobs is so long. Behind it is left what was there before, which Hod clears.
    let end = 0xc840 + 351;
    assert!(signed[..end] == image[..end]);
    assert!(signed.len() == image.len() && signed[end..].iter().all(|&byte| byte == 0));
}

/// As above, but with a second code directory, with SHA-1, for older systems.
#[test]
fn a_code_directory_is_that_of_codesign_to_the_last_byte() {
    let image = fixture("z.x86_64.dylib");
    let signed = resigned(&image).unwrap().unwrap();
    assert_eq!(verify(&signed), verify(&image));
}

#[test]
fn of_a_universal_file_only_what_needs_a_signature_gets_one() {
    let image = fixture("markupsafe.universal.so");
    let relocated = relocated(&image, &[("/usr/lib", "/opt/lib")]).unwrap().unwrap();
    let signed = resigned(&relocated).unwrap().unwrap();
    let [intel, arm] = slices(&signed)[..] else { panic!("two architectures") };
    assert_eq!(verify(intel), None);
    assert_eq!(intel, slices(&relocated)[0]);
    assert_eq!(verify(arm).unwrap().identifier, "_speedups-arm64.out");
}

#[rstest]
#[case::fat(false)]
#[case::fat_with_64_bits(true)]
fn an_architecture_that_grows_pushes_the_next_ones_on(#[case] wide: bool) {
    let old = signature("a", 2, &[]);
    let signed = Form { signature: Some(old), content: 50_000, ..Form::default() };
    let arm = Form { cpu: ARM64, ..signed.clone() };
    let plain = Form { cpu: I386, wide: false, content: 3, ..Form::default() }.build();
    // Nothing is between them.
    let images = [(X86_64, signed.build()), (I386, plain.clone()), (ARM64, arm.build())];
    let file = universal(wide, 3, &images);
    let signed = resigned(&file).unwrap().unwrap();
    let after = slices(&signed);
    assert!(signed.len() > file.len());
    assert_eq!(verify(after[0]).unwrap().identifier, "a");
    assert_eq!(after[1], plain);
    assert_eq!(verify(after[2]).unwrap().identifier, "a");
    for slice in &after {
        let offset = slice.as_ptr() as usize - signed.as_ptr() as usize;
        assert_eq!(offset % 8, 0);
    }
    assert!(resigned(&signed).unwrap().unwrap() == signed, "the same again");
}

#[test]
fn the_space_of_a_longer_signature_is_kept_and_nothing_of_its_content() {
    let mut old = signature("a", 2, &[]);
    old.resize(20_000, 0xff);
    let form = Form { signature: Some(old), ..Form::default() };
    let file = universal(false, 12, &[(X86_64, form.build()), (ARM64, form.build())]);
    let signed = resigned(&file).unwrap().unwrap();
    assert_eq!(signed.len(), file.len());
    assert!(slices(&signed).into_iter().all(|slice| verify(slice).is_some()));
    let long_run = |image: &[u8]| image.windows(8).any(|window| window == [0xff; 8]);
    assert!(long_run(&file) && !long_run(&signed));
}

#[rstest]
#[case::library(ARM64, 6, true)]
#[case::program(ARM64, PROGRAM, true)]
#[case::debug_symbols(ARM64, DEBUG_SYMBOLS, false)]
#[case::other_processor(X86_64, 6, false)]
fn an_image_without_signature_gets_one_where_macos_requires_it(
    #[case] cpu: u32,
    #[case] file_type: u32,
    #[case] required: bool,
) {
    let image = Form { cpu, file_type, ..Form::named(&[(LOAD, "/s/a")]) }.build();
    let Some(signed) = resigned(&image).unwrap() else { return assert!(!required) };
    assert!(required);
    let Verified { identifier, flags, segment, .. } = verify(&signed).unwrap();
    assert_eq!((&identifier[..], flags), ("libx.dylib", AD_HOC));
    assert_eq!(segment[2], u64::from(file_type == PROGRAM));
    assert_eq!(names(&signed).libraries, ["/s/a"]);
}

#[test]
fn without_room_for_the_command_there_is_no_signature() {
    let image = Form { cpu: ARM64, padding: 15, ..Form::default() }.build();
    let error = resigned(&image).unwrap_err();
    let MachOError::NoRoom { room, need } = error else { panic!("{error}") };
    assert_eq!(need - room, 1);
}

#[test]
fn entitlements_are_kept_and_hardening_is_not() {
    let kept = [(5, 0xfade_7171, &b"<plist/>"[..]), (7, 0xfade_7172, &b"\x70\x00"[..])];
    let requirements = (2, 0xfade_0c01, &b"\0\0\0\x01 old ones"[..]);
    // Ad hoc, hardened runtime, library validation; and a flag that mirrors an entitlement.
    let old = signature("com.example.tool", 0x1_2002, &[requirements, kept[0], kept[1]]);
    let form = Form { file_type: PROGRAM, signature: Some(old), ..Form::default() };
    let after = verify(&resigned(&form.build()).unwrap().unwrap()).unwrap();
    assert_eq!(after.identifier, "com.example.tool");
    assert_eq!(after.flags, AD_HOC);
    assert_eq!(after.segment[2], 0x11);
    let entitlements = kept.map(|(slot, magic, content)| (slot, blob(magic, content)));
    assert_eq!(after.blobs[1..3], entitlements);
    assert_eq!(after.blobs[0], (2, blob(0xfade_0c01, &[0; 4])));
    assert_eq!(after.blobs[3], (0x10000, blob(0xfade_0b01, &[])));
}

#[test]
fn a_property_list_in_the_image_is_sealed() {
    let info = b"<plist><dict/></plist>".to_vec();
    let image = Form { cpu: ARM64, info: Some(info.clone()), ..Form::default() }.build();
    let after = verify(&resigned(&image).unwrap().unwrap()).unwrap();
    let sealed = Sha256::digest(&info);
    assert!(after.directory.windows(32).any(|window| window == &sealed[..]));
}

/// Found by fuzzing: it was sealed as it was before the header got its new numbers.
#[test]
fn a_property_list_that_overlaps_the_header_is_sealed_as_it_will_be() {
    let signature = Some(signature("a", 2, &[]));
    let form = Form { signature, info: Some(vec![0; 200]), ..Form::default() };
    let mut image = form.build();
    let section = image.windows(12).position(|name| name == b"__info_plist").unwrap();
    image[section + 48..section + 52].fill(0);
    let signed = resigned(&image).unwrap().unwrap();
    verify(&signed).unwrap();
    assert!(resigned(&signed).unwrap().unwrap() == signed, "the same again");
    // Nor can it be in the signature itself.
    let mut image = signed;
    image[section + 40..section + 42].copy_from_slice(&0x1800_u16.to_le_bytes());
    let error = resigned(&image).unwrap_err();
    assert!(error.to_string().contains("the part that is signed"), "{error}");
}

#[test]
fn a_signature_that_means_nothing_is_replaced() {
    let form = Form { signature: Some(vec![0xa5; 333]), ..Form::default() };
    let after = verify(&resigned(&form.build()).unwrap().unwrap()).unwrap();
    assert_eq!(after.identifier, "libx.dylib");
    let mut image = form.build();
    assert!(resign(b"dir/", &mut image).unwrap());
    assert_eq!(verify(&image).unwrap().identifier, "a.out");
}

#[test]
fn data_behind_an_image_stays_where_it_is_or_the_image_is_refused() {
    let mut long = signature("a", 2, &[]);
    let short = long.clone();
    long.resize(4096, 0);
    let payload = b"what an installer has appended".repeat(9);
    let appended = |signature| {
        let image = Form { signature: Some(signature), ..Form::default() }.build();
        [image, payload.clone()].concat()
    };
    let image = appended(long);
    let signed = resigned(&image).unwrap().unwrap();
    assert_eq!(signed.len(), image.len());
    assert!(signed.ends_with(&payload));
    verify(&signed).unwrap();
    let error = resigned(&appended(short.clone())).unwrap_err();
    assert!(matches!(error, MachOError::TrailingData { length: 270 }), "{error}");

    let image = Form { signature: Some(short), ..Form::default() }.build();
    let file = [universal(false, 12, &[(X86_64, image)]), payload].concat();
    let error = resigned(&file).unwrap_err();
    assert!(matches!(error, MachOError::TrailingData { length: 270 }), "{error}");
}

fn blob(magic: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + content.len()).unwrap();
    [&magic.to_be_bytes(), &length.to_be_bytes(), content].concat()
}

/// An old signature, with a code directory that has no hashes.
fn signature(identifier: &str, flags: u32, blobs: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut directory = [0x2_0400_u32, flags, 0, 88].map(u32::to_be_bytes).concat();
    directory.resize(72, 0);
    directory.extend(0x11_u64.to_be_bytes());
    directory.extend(identifier.as_bytes());
    directory.push(0);
    let mut all = vec![(0, blob(0xfade_0c02, &directory))];
    all.extend(blobs.iter().map(|&(slot, magic, content)| (slot, blob(magic, content))));
    let mut list = u32::try_from(all.len()).unwrap().to_be_bytes().to_vec();
    let mut at = 12 + 8 * all.len();
    for (slot, blob) in &all {
        list.extend(slot.to_be_bytes());
        list.extend(u32::try_from(at).unwrap().to_be_bytes());
        at += blob.len();
    }
    list.extend(all.into_iter().flat_map(|(_, blob)| blob));
    blob(0xfade_0cc0, &list)
}

/// Names, strings and the signature, in the one call that an installation makes.
#[rstest]
#[case::signed_by_codesign("webpdemux.arm64.dylib", "/DLC/PIL/.dylibs")]
#[case::with_two_directories("z.x86_64.dylib", "/DLC/h5py/.dylibs")]
#[case::signed_by_the_linker("geos.arm64.so", "/Users/runner")]
fn a_whole_library_moves_and_its_signature_holds(#[case] name: &str, #[case] prefix: &str) {
    let mut image = fixture(name);
    let map = PrefixMap::new([(prefix, "/n/w")]);
    assert!(relocate_binary(name.as_bytes(), &mut image, &map).unwrap());
    assert!(verify(&image).is_some());
    let moved = names(&image);
    let mut all = moved.id.iter().chain(&moved.libraries).chain(&moved.rpaths);
    assert!(all.any(|name| name.starts_with("/n/w/")), "{moved:?}");
    assert!(memchr::memmem::find(&image, prefix.as_bytes()).is_none());
    let before = image.clone();
    assert!(!relocate_binary(name.as_bytes(), &mut image, &map).unwrap(), "nothing is left to do");
    assert!(image == before);
}
