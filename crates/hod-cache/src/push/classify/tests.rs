use super::*;

const OLD: &str = "/opt/store/zlib-1.3";

fn classifier() -> Classifier {
    Classifier::new(Prefixes::new(["/opt/store/bin/sbang", OLD, "/opt/store"]))
}

/// Shows a file in pieces.
fn show(classifier: &Classifier, name: &str, content: &[u8], piece: usize) -> Option<Mark> {
    let mut file = classifier.begin(name.as_bytes()).unwrap();
    content.chunks(piece).for_each(|piece| file.push(piece));
    file.finish()
}

fn object(strings: &str) -> Vec<u8> {
    [b"\x7fELF\x02\x01\x01\0", strings.as_bytes()].concat()
}

#[test]
fn the_worst_of_all_objects_counts_and_the_first_name_of_those() {
    let files = [
        ("lib/b.so", object("/opt/store/zlib-1.3/x\0")),
        ("lib/a.so", object("/opt/store/zlib-1.3/x\0/opt/store/zlib-1.3/share/long\0")),
        ("bin/far", object("/opt/store/zlib-1.3/share/long\0/opt/store/other\0")),
        // No object, so that nothing in it is a matter of room.
        ("share/text", b"a text with /opt/store/bin/sbang\0 in it".to_vec()),
    ];
    let expected = [
        (OLD.as_bytes().to_vec(), Some(2), b"lib/a.so".to_vec()),
        (b"/opt/store".to_vec(), Some(6), b"bin/far".to_vec()),
    ];
    for piece in [1, 3, 8, 4096] {
        for turn in 0..files.len() {
            let classifier = classifier();
            let mut files: Vec<_> = files.iter().collect();
            files.rotate_left(turn);
            for (name, content) in files {
                let is_object = *name != "share/text";
                let mark = show(&classifier, name, content, piece);
                assert_eq!(mark == Some(BINARY), is_object, "{name}");
            }
            assert_eq!(classifier.needs(), expected, "pieces of {piece}, from {turn}");
        }
    }
}

#[test]
fn room_without_an_end_nearby_has_no_shortest_suffix() {
    let classifier = classifier();
    show(&classifier, "lib/z.so", &object("/opt/store/zlib-1.3/share/zlib\0"), 4096);
    assert_eq!(classifier.needs(), [(OLD.as_bytes().to_vec(), None, b"lib/z.so".to_vec())]);
    assert!(classifier_needs_nothing_of(b"\x7fELF\x02\x01\x01\0 and no prefix"));
}

fn classifier_needs_nothing_of(content: &[u8]) -> bool {
    let classifier = classifier();
    show(&classifier, "lib/z.so", content, 4096);
    classifier.needs().is_empty()
}
