//! Images that lie.

use hod_relocate::macho::MachOError;
use proptest::prelude::*;
use rstest::rstest;

use crate::build::{ARM64, Form, ID, LOAD, RPATH, X86_64, universal};
use crate::{fixture, relocated, resigned};

const PAIRS: &[(&str, &str)] = &[("/s", "/a/longer/prefix")];

fn image(big: bool, wide: bool) -> Vec<u8> {
    let mut form = Form::named(&[(ID, "/s/a"), (LOAD, "/s/b"), (RPATH, "/s"), (RPATH, "/t")]);
    form = Form { cpu: ARM64, big, wide, content: 200, ..form };
    let signed = resigned(&form.build()).unwrap().unwrap();
    universal(false, 4, &[(X86_64, signed.clone()), (ARM64, signed)])
}

/// Neither may panic; the helpers see to it that what is refused is not changed.
fn try_both(bytes: &[u8]) {
    let relocated = relocated(bytes, PAIRS).ok().flatten();
    let _ = resigned(relocated.as_deref().unwrap_or(bytes));
}

#[test]
fn no_number_can_be_made_to_hurt() {
    for (big, wide) in [(false, true), (true, true), (false, false)] {
        let image = image(big, wide);
        for at in (0..900).step_by(4) {
            for value in [0, 1, 0x7f, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX - 7, u32::MAX] {
                for bytes in [value.to_be_bytes(), value.to_le_bytes()] {
                    let mut image = image.clone();
                    image[at..at + 4].copy_from_slice(&bytes);
                    try_both(&image);
                }
            }
        }
    }
}

#[test]
fn no_place_to_cut_can_be_made_to_hurt() {
    let image = image(false, true);
    for length in 0..image.len() {
        try_both(&image[..length]);
    }
}

#[rstest]
#[case::commands_beyond_the_image(20, 0x000f_0000, "exceed")]
#[case::commands_too_large(20, 0x4000_0000, "1 MiB")]
#[case::too_few_commands(16, 1, "contradict")]
#[case::too_many_commands(16, u32::MAX, "contradict")]
fn what_is_wrong_is_said(#[case] at: usize, #[case] value: u32, #[case] part: &str) {
    let mut image = fixture("geos.arm64.so");
    image[at..at + 4].copy_from_slice(&value.to_le_bytes());
    for error in [relocated(&image, PAIRS).unwrap_err(), resigned(&image).unwrap_err()] {
        assert!(matches!(error, MachOError::Malformed { .. }));
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[rstest]
#[case::an_old_signature(X86_64, Some(vec![0; 500]))]
#[case::a_new_signature(ARM64, None)]
fn a_signature_in_place_of_the_header_is_refused(
    #[case] cpu: u32,
    #[case] signature: Option<Vec<u8>>,
) {
    let mut image = Form { cpu, signature, ..Form::default() }.build();
    let linkedit = image.windows(10).position(|name| name == b"__LINKEDIT").unwrap();
    // The segment's start and size, and where the next command says that the signature is.
    image[linkedit + 32..linkedit + 48].fill(0);
    image[linkedit + 72..linkedit + 76].fill(0);
    let error = resigned(&image).unwrap_err();
    assert!(error.to_string().contains("within the load commands"), "{error}");
}

#[test]
fn memory_behind_linkedit_is_not_taken_from_another_segment() {
    let form = Form { signature: Some(vec![0; 16]), ..Form::default() };
    let mut image = form.build();
    let linkedit = image.windows(10).position(|name| name == b"__LINKEDIT").unwrap();
    let text = image.windows(6).position(|name| name == b"__TEXT").unwrap();
    // Its memory ends with the old signature, and there the text begins.
    let number = |at: usize| u16::from_le_bytes(image[at..at + 2].try_into().unwrap());
    let (start, length) = (number(linkedit + 32), number(linkedit + 40));
    image[linkedit + 24..linkedit + 26].copy_from_slice(&length.to_le_bytes());
    image[text + 16..text + 18].copy_from_slice(&(start + length).to_le_bytes());
    let error = resigned(&image).unwrap_err();
    assert!(error.to_string().contains("another segment"), "{error}");
}

#[test]
fn architectures_that_overlap_are_refused() {
    let one = Form::named(&[(LOAD, "/s/a")]).build();
    let mut file = universal(false, 12, &[(X86_64, one.clone()), (ARM64, one)]);
    let first_offset: [u8; 4] = file[16..20].try_into().unwrap();
    file[36..40].copy_from_slice(&first_offset);
    let error = relocated(&file, PAIRS).unwrap_err();
    assert!(error.to_string().contains("overlap"), "{error}");
}

#[test]
fn a_name_that_would_explode_is_refused_before_it_is_made() {
    let name = "/s".repeat(400_000);
    let image = Form { padding: 3000, ..Form::named(&[(LOAD, &name)]) }.build();
    let error = relocated(&image, &[("/s", &"/long".repeat(20_000))]).unwrap_err();
    let MachOError::NoRoom { room, need } = error else { panic!("{error}") };
    assert_eq!(need, 400_000 * 100_000);
    assert!(room < 900_000);
}

proptest! {
    #[test]
    fn random_damage_does_no_harm(
        changes in prop::collection::vec((0_usize..2000, any::<u8>()), 1..20),
    ) {
        let mut image = image(false, true);
        for (at, value) in changes {
            let at = at % image.len();
            image[at] = value;
        }
        try_both(&image);
    }
}
