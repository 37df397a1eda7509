use hod_mirror::oci::RoomNeeded;
use rstest::rstest;

use super::*;

const OLD: &str = "/opt/store/zlib-1.3";

/// Facts of a binary that holds the package's own prefix, so far from the end of a string.
fn facts(prefix: &str, shortest_suffix: Option<u8>) -> RelocationFacts {
    let need = RoomNeeded { prefix: prefix.to_owned(), shortest_suffix, file: "bin/z".to_owned() };
    RelocationFacts {
        sbang: Some("/opt/store/bin/sbang".to_owned()),
        prefixes: vec![("abc".to_owned(), OLD.to_owned())],
        root: "/opt/store".to_owned(),
        needs: vec![need],
    }
}

#[rstest]
#[case::shorter("/s", Verdict::Fits)]
#[case::as_long("/mnt/store", Verdict::Fits)]
#[case::the_same("/opt/store", Verdict::Fits)]
#[case::longer("/opt/stores", Verdict::Doubtful)]
fn room_is_what_the_old_prefix_had(#[case] root: &str, #[case] expected: Verdict) {
    let moves = [(OLD, format!("{root}/zlib-1.3")), ("/opt/store", root.to_owned())];
    let moves = moves.map(|(old, new)| (old.as_bytes().to_vec(), new.into_bytes()));
    assert_eq!(by_facts(&facts(OLD, Some(0)), &moves), expected);
    assert_eq!(by_facts(&facts(OLD, None), &moves), expected);
    assert_eq!(
        by_facts(&RelocationFacts { needs: vec![], ..facts(OLD, None) }, &moves),
        Verdict::Fits
    );
}

#[test]
fn another_end_asks_for_much_room_only_where_a_string_ends_nearby() {
    let moves = [(OLD.as_bytes().to_vec(), b"/opt/store/zlib-2".to_vec())];
    assert_eq!(by_facts(&facts(OLD, Some(6)), &moves), Verdict::Doubtful);
    assert_eq!(by_facts(&facts(OLD, None), &moves), Verdict::Fits);
    let moves = [(OLD.as_bytes().to_vec(), b"/o/zlib-2".to_vec())];
    assert_eq!(by_facts(&facts(OLD, Some(6)), &moves), Verdict::Fits);
}

#[test]
fn a_prefix_that_stays_below_one_that_goes_is_not_answered_for() {
    // Where the package is in an upstream store below the root, the root is what is found there.
    let moves = [(OLD, OLD), ("/opt/store", "/mnt/somewhere/else")];
    let moves = moves.map(|(old, new)| (old.as_bytes().to_vec(), new.as_bytes().to_vec()));
    assert_eq!(by_facts(&facts(OLD, None), &moves), Verdict::Unknown);
}
