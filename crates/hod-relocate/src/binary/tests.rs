use super::*;
use crate::elf::sample::{RPATH, Sample};

fn elf(rest: &[u8]) -> Vec<u8> {
    let strings = vec![(RPATH, "/old/store/lib")];
    Sample { strings, interpreter: None, rest: rest.to_vec(), ..Sample::default() }.build()
}

#[test]
fn an_old_search_path_is_no_string_that_needs_an_end() {
    // As a string, `/old/store/lib` could not become `/new-store/lib`: too near to its end.
    let map = PrefixMap::new([("/old/store", "/other-one")]);
    let mut as_string = b"....\0/old/store/lib\0".to_vec();
    assert!(matches!(
        relocate_binary(b"x", &mut as_string, &map),
        Err(RelocateError::String(StringError::CannotShrink { offset: 5, .. }))
    ));
    let mut image = elf(b"/old/store/share/data\0");
    assert!(relocate_binary(b"x", &mut image, &map).unwrap());
    let expected = elf(b"/other-one/share/data\0");
    let at = expected.windows(10).position(|part| part == b"/old/store").unwrap();
    let expected = [&expected[..at], b"/other-one", &expected[at + 10..]].concat();
    assert_eq!(image, expected);
}

#[test]
fn a_string_that_does_not_fit_leaves_the_headers_alone_too() {
    let map = PrefixMap::new([("/old/store", "/n"), ("/z", "/long")]);
    let before = elf(b"/z/file\0");
    let mut image = before.clone();
    let error = relocate_binary(b"x", &mut image, &map).unwrap_err();
    assert!(matches!(error, RelocateError::String(StringError::CannotGrow { .. })));
    assert_eq!(image, before);
}

#[test]
fn files_on_disk_and_files_without_a_format_are_changed_alike() {
    use std::io::{Read, Seek};
    let map = PrefixMap::new([("/old/store", "/n")]);
    for content in [elf(b"/old/store/library\0"), b"/old/store/library\0".to_vec(), vec![]] {
        let mut memory = content.clone();
        let mut disk = tempfile::tempfile().unwrap();
        disk.write_at(0, &content).unwrap();
        let in_memory = relocate_binary(b"x", &mut memory, &map).unwrap();
        assert_eq!(relocate_binary(b"x", &mut disk, &map).unwrap(), in_memory);
        let mut read = Vec::new();
        disk.rewind().unwrap();
        disk.read_to_end(&mut read).unwrap();
        assert_eq!(read, memory);
        assert_eq!(in_memory, !content.is_empty());
    }
}

#[test]
fn nothing_is_changed_by_an_empty_map() {
    let mut image = elf(b"");
    assert!(!relocate_binary(b"x", &mut image, &PrefixMap::new([("/old", "/old")])).unwrap());
}
