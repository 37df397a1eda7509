use serde::Deserialize;

use super::*;

/// What Spack says about all pairs (`fixtures/spec/README.md`).
#[derive(Deserialize)]
struct Table {
    versions: Vec<String>,
    constraints: Vec<String>,
    satisfied: Vec<String>,
    order: Vec<Vec<String>>,
    empty: Vec<(String, bool)>,
}

fn table() -> Table {
    serde_json::from_str(include_str!("../../../../fixtures/spec/versions.json")).unwrap()
}

/// The elements of a list; only the forms of the table.
fn ranges(list: &str) -> Vec<VersionRange> {
    let end = |text: &str| (!text.is_empty()).then(|| text.into());
    let ranges = list.split(',').map(|text| {
        if let Some((low, high)) = text.split_once(':') {
            VersionRange::Between(end(low), end(high))
        } else if let Some(exact) = text.strip_prefix('=') {
            VersionRange::Exact(exact.into())
        } else if is_git(text) {
            VersionRange::Git(text.into())
        } else {
            VersionRange::Prefix(text.into())
        }
    });
    ranges.collect()
}

#[test]
fn versions_are_in_the_order_of_spack() {
    let order = table().order;
    for (place, group) in order.iter().enumerate() {
        for version in group {
            let version = Version::parse(version);
            for (other_place, other_group) in order.iter().enumerate() {
                for other in other_group {
                    let other = Version::parse(other);
                    assert_eq!(
                        version.cmp(&other),
                        place.cmp(&other_place),
                        "{version:?} {other:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn versions_are_in_the_ranges_of_spack() {
    let table = table();
    let mut count = 0;
    for (constraint, row) in table.constraints.iter().zip(&table.satisfied) {
        for (version, expected) in table.versions.iter().zip(row.bytes()) {
            let found = ranges(constraint).iter().any(|range| range.contains(version));
            assert_eq!(found, expected == b'1', "{version} in {constraint}");
            count += 1;
        }
    }
    assert_eq!(count, table.constraints.len() * table.versions.len());
}

#[test]
fn ranges_are_empty_where_spack_says_so() {
    for (range, is_empty) in table().empty {
        assert_eq!(ranges(&range)[0].is_empty(), is_empty, "{range}");
    }
}

#[test]
fn a_git_reference_without_version_is_in_no_range() {
    let git = "git.main";
    assert!(ranges("git.main")[0].contains(git));
    assert!(ranges("git.main")[0].contains("git.main=1.2"));
    assert!(!ranges("git.main=1.2")[0].contains(git));
    assert!(ranges(":")[0].contains(git));
    assert!(!ranges("0:")[0].contains(git));
    assert!(!ranges("main")[0].contains(git));
}

#[test]
fn odd_text_is_compared_without_harm() {
    for text in ["", "=", "é1", "1é", "...", "git.", "\u{0}"] {
        assert_eq!(Version::parse(text).cmp(&Version::parse(text)), Ordering::Equal);
        assert!(ranges("1.2")[0].contains("1.2\u{0}"));
    }
}
