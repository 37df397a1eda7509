//! What an image says, by readers that share nothing with the crate: `goblin` for the load
//! commands, and for the signature a small one after XNU's `cs_blobs.h`.

use goblin::mach::MachO;
use goblin::mach::load_command::CommandVariant;
use sha2::{Digest, Sha256};

/// The names that an image holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) id: Option<String>,
    pub(crate) libraries: Vec<String>,
    pub(crate) rpaths: Vec<String>,
}

/// The names in one image, as `goblin` reads them.
pub(crate) fn names(image: &[u8]) -> Names {
    let image = MachO::parse(image, 0).unwrap();
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    Names {
        id: image.name.map(str::to_owned),
        // The first one stands for the image itself.
        libraries: owned(&image.libs[1..]),
        rpaths: owned(&image.rpaths),
    }
}

/// What a signature says that was found to be right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) identifier: String,
    pub(crate) flags: u32,
    /// The whole code directory with the best hash.
    pub(crate) directory: Vec<u8>,
    /// Slot and bytes of all other blobs.
    pub(crate) blobs: Vec<(u32, Vec<u8>)>,
    /// Offset, size and flags of the executable segment.
    pub(crate) segment: [u64; 3],
}

/// Recomputes every hash of an image's signature; `None` if it has none.
///
/// Panics, as a test does, where the signature is not that of the image.
pub(crate) fn verify(bytes: &[u8]) -> Option<Verified> {
    let image = MachO::parse(bytes, 0).unwrap();
    let signatures: Vec<_> = image
        .load_commands
        .iter()
        .filter_map(|command| match command.command {
            CommandVariant::CodeSignature(data) => {
                Some((data.dataoff as usize, data.datasize as usize))
            }
            _ => None,
        })
        .collect();
    let &[(start, size)] = signatures.as_slice() else {
        assert!(signatures.is_empty(), "two signatures");
        return None;
    };
    let linkedit = image.segments.iter().find(|s| s.name().unwrap() == "__LINKEDIT").unwrap();
    assert_eq!(start % 16, 0, "the signature is aligned");
    assert_eq!(linkedit.fileoff + linkedit.filesize, (start + size) as u64, "it ends __LINKEDIT");
    assert!(linkedit.vmsize >= linkedit.filesize, "all of __LINKEDIT is in memory");

    let signature = &bytes[start..start + size];
    assert_eq!(number(signature, 0), 0xfade_0cc0);
    assert!(number(signature, 4) as usize <= size, "the list of blobs is within its space");
    let mut directory = None;
    let mut blobs = Vec::new();
    let mut filled = 12 + 8 * number(signature, 8) as usize;
    for entry in signature[12..filled].chunks(8) {
        let (slot, at) = (number(entry, 0), number(entry, 4) as usize);
        let blob = &signature[at..at + number(signature, at + 4) as usize];
        assert_eq!(at, filled, "blobs follow each other");
        filled += blob.len();
        if number(blob, 0) == 0xfade_0c02 && blob[37] == 2 {
            directory = Some(blob.to_vec());
        } else if number(blob, 0) != 0xfade_0c02 {
            blobs.push((slot, blob.to_vec()));
        }
    }
    assert_eq!(filled, number(signature, 4) as usize, "nothing is in no blob");

    let directory = directory.expect("a code directory with SHA-256");
    let [flags, hashes, identifier, special, pages, limit] =
        [12, 16, 20, 24, 28, 32].map(|at| number(&directory, at) as usize);
    let page = 1 << directory[39];
    assert_eq!(limit, start, "all before the signature is sealed");
    assert_eq!(pages, limit.div_ceil(page));
    assert_eq!(directory[36], 32);
    let hash = |slot: isize| {
        let at = hashes.checked_add_signed(slot * 32).unwrap();
        &directory[at..at + 32]
    };
    for (index, page) in bytes[..limit].chunks(page).enumerate() {
        let slot = isize::try_from(index).unwrap();
        assert_eq!(hash(slot), &Sha256::digest(page)[..], "page {index}");
    }
    for slot in 1..=u32::try_from(special).unwrap() {
        let blob = blobs.iter().find(|(known, _)| *known == slot).map(|(_, blob)| blob.clone());
        let content = if slot == 1 { info(&image, bytes) } else { blob };
        let expected = content.map_or(vec![0; 32], |content| Sha256::digest(content).to_vec());
        assert_eq!(hash(-isize::try_from(slot).unwrap()), expected, "slot {slot}");
    }
    for (slot, _) in &blobs {
        assert!(*slot as usize <= special || *slot == 0x10000, "blob {slot} is sealed");
    }
    let end = identifier + directory[identifier..].iter().position(|&b| b == 0).unwrap();
    let long = |at: usize| u64::from_be_bytes(directory[at..at + 8].try_into().unwrap());
    Some(Verified {
        identifier: String::from_utf8(directory[identifier..end].to_vec()).unwrap(),
        flags: u32::try_from(flags).unwrap(),
        segment: [long(64), long(72), long(80)],
        directory,
        blobs,
    })
}

/// The property list in the image.
fn info(image: &MachO<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
    let sections = image.segments.iter().flat_map(|segment| segment.sections().unwrap());
    let section = sections.map(|(section, _)| section);
    let found = section.into_iter().find(|section| section.name().unwrap() == "__info_plist")?;
    let start = found.offset as usize;
    Some(bytes[start..start + usize::try_from(found.size).unwrap()].to_vec())
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}
