//! Packages that were made to do harm, or by somebody who did not care: well formed, with the
//! digests that the mirror says.

use std::path::Path;

use rstest::rstest;

use crate::forge::{Member, blob, forge, forge_info, manifest, put_blob};
use crate::place::{Ask, Place, assert_whole, recorded, strays};

/// Installs zlib, which fails and says so, and of which nothing is left; gcc-runtime is installed.
fn refused(place: &Place, mirror: &Path, expected: &str) {
    let root = place.at("s");
    let done = Ask::of(&["zlib"], mirror, &root).run().unwrap();
    let failures = done.failures();
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert!(failures[0].starts_with("zlib@") && failures[0].contains(expected), "{failures:#?}");
    assert_eq!(recorded(&root), ["gcc-runtime"]);
    assert_whole(&root);
    assert!(!place.at("x").exists() && !root.join("x").exists());
}

#[rstest]
#[case::outside("../x")]
#[case::far_outside("../../../../../../../../../../etc/passwd")]
#[case::inside_again("lib/../../x")]
#[case::absolute("/etc/passwd")]
#[case::missing("share/none")]
#[case::a_directory("lib")]
#[case::itself(".")]
#[case::nothing("''")]
#[case::by_a_link("here/lib/libz.so.1.2.13")]
fn a_list_that_names_what_is_no_file_of_the_package(
    #[case] listed: &str,
    #[values("relocate_textfiles", "relocate_binaries")] list: &str,
) {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    forge_info(&mirror, "zlib", |info| {
        let at = info.find(list).unwrap() + list.len() + ": [".len();
        assert_eq!(&info[at - 1..at], "[", "{info}");
        let comma = if info[at..].starts_with(']') { "" } else { ", " };
        format!("{}{listed}{comma}{}", &info[..at], &info[at..])
    });
    forge(&mirror, "zlib", |prefix, members| {
        members.insert(members.len() - 1, Member::link(&format!("{prefix}/here"), "."));
    });
    refused(&place, &mirror, "to be relocated, and has no such file");
}

#[rstest]
#[case::above("../x", "`..` in its name")]
#[case::absolute("/tmp/x", "an absolute name")]
#[case::beside("x", "outside")]
#[case::twice("{prefix}/.spack/spec.json", "collides")]
#[case::above_from_within("{prefix}/../x", "`..` in its name")]
fn a_member_that_is_not_in_the_prefix(#[case] path: &str, #[case] expected: &str) {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    forge(&mirror, "zlib", |prefix, members| {
        let path = path.replace("{prefix}", prefix);
        members.insert(members.len() - 1, Member::file(&path, b"harm"));
    });
    refused(&place, &mirror, expected);
}

#[test]
fn a_member_below_a_link_that_leads_out() {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    let out = place.at("");
    forge(&mirror, "zlib", |prefix, members| {
        let link = Member::link(&format!("{prefix}/out"), out.to_str().unwrap());
        let file = Member::file(&format!("{prefix}/out/x"), b"harm");
        let last = members.len() - 1;
        members.splice(last..last, [link, file]);
    });
    refused(&place, &mirror, "below a link or file");
}

/// Removes a file of the tree, or puts another content in its place.
fn with_file(mirror: &Path, file: &str, content: Option<&[u8]>) {
    forge(mirror, "zlib", |prefix, members| {
        let path = format!("{prefix}/{file}");
        let at = members.iter().position(|member| member.path == path).unwrap();
        match content {
            Some(content) => members[at].content = content.to_vec(),
            None => drop(members.remove(at)),
        }
    });
}

#[rstest]
#[case::no_spec(".spack/spec.json", None, "has no spec that could be read")]
#[case::a_damaged_spec(".spack/spec.json", Some("{"), "has no spec that could be read")]
#[case::no_information(".spack/binary_distribution", None, "has no `.spack/binary_distribution`")]
#[case::no_yaml(".spack/binary_distribution", Some("{a: ["), "cannot be read")]
#[case::empty(".spack/binary_distribution", Some(""), "cannot be read")]
fn a_tree_that_does_not_say_what_it_is(
    #[case] file: &str,
    #[case] content: Option<&str>,
    #[case] expected: &str,
) {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    with_file(&mirror, file, content.map(str::as_bytes));
    refused(&place, &mirror, expected);
}

#[test]
fn the_tree_of_another_package() {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    let (_, bzip2) = manifest(&mirror, "bzip2");
    let bytes = fs_err::read(blob(&mirror, &bzip2, 0)).unwrap();
    put_blob(&mirror, "zlib", 0, &bytes);
    refused(&place, &mirror, "is `bzip2@1.0.8/");
}

/// The entry of zlib has the spec of bzip2, and the tree: what is asked for by name or by hash is
/// not what would be installed.
#[test]
fn the_spec_of_another_package() {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    let (_, bzip2) = manifest(&mirror, "bzip2");
    for index in [0, 1] {
        let bytes = fs_err::read(blob(&mirror, &bzip2, index)).unwrap();
        put_blob(&mirror, "zlib", index, &bytes);
    }
    for query in ["zlib", "/yox7nsr"] {
        let root = place.at("s");
        let failure = match Ask::of(&[query], &mirror, &root).run() {
            Err(failure) => failure.0,
            Ok(done) => done.failures().join("\n"),
        };
        assert!(failure.contains("zlib") && failure.contains("bzip2"), "{query}: {failure}");
        assert!(!recorded(&root).contains(&"bzip2".to_owned()), "{query}");
    }
}

/// Whatever a package says of where it and others were: it is installed, and whole, or refused; and
/// others are not touched.
#[rstest]
fn nonsense_about_where_it_was(
    #[values("/", "''", "relative", "/usr", "..", "/a//b/", "/opt/hpc/store\\0x", "/l")] old: &str,
    #[values("buildpath", "sbang_install_path", "hash_to_prefix")] what: &str,
) {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    forge_info(&mirror, "zlib", |info| {
        let from = info.find(what).unwrap();
        let at = from + info[from..].find(": /").or_else(|| info[from..].find(": ")).unwrap() + 2;
        let end = at + info[at..].find([',', '}']).unwrap();
        format!("{}{old}{}", &info[..at], &info[end..])
    });
    let root = place.at("s");
    let done = Ask::of(&["zlib"], &mirror, &root).run().unwrap();
    let expected: &[&str] =
        if done.failures().is_empty() { &["gcc-runtime", "zlib"] } else { &["gcc-runtime"] };
    assert_eq!(recorded(&root), expected, "{:?}", done.failures());
    assert_whole(&root);
}

/// Another package in the tree has information of its own, and a shorter name.
#[test]
fn a_second_package_in_the_tree_changes_nothing() {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    forge(&mirror, "zlib", |prefix, members| {
        let path = format!("{prefix}/s/.spack/binary_distribution");
        let info = members.last().unwrap().content.clone();
        members.insert(members.len() - 1, Member::file(&path, &info));
    });
    let root = place.at("s");
    Ask::of(&["zlib"], &mirror, &root).succeed();
    assert_whole(&root);
}

#[rstest]
#[case::above("../{name}")]
#[case::the_database(".spack-db/{name}")]
#[case::absolute("/tmp/{name}")]
fn projections_that_lead_out_of_the_store(#[case] projection: &str) {
    let place = Place::new();
    let projections = vec![("all".to_owned(), projection.to_owned())];
    let root = place.at("s");
    let ask = Ask { projections, ..Ask::of(&["zlib"], &crate::place::v3(), &root) };
    let failure = ask.run().unwrap_err().0;
    assert!(failure.contains("which is no place in the store"), "{failure}");
    assert_eq!(strays(&root, &[]), Vec::<std::path::PathBuf>::new());
}

#[test]
fn two_packages_in_one_place() {
    let place = Place::new();
    let projections = vec![("all".to_owned(), "same".to_owned())];
    let root = place.at("s");
    let ask = Ask { projections, ..Ask::of(&["zlib"], &crate::place::v3(), &root) };
    let failure = ask.run().unwrap_err().0;
    assert!(failure.contains("both go to"), "{failure}");
}

/// Hod reads the lists from the end of its own blobs, before it has verified anything. Somebody puts
/// others there, by which nothing would be relocated.
#[test]
fn a_footer_that_points_to_other_lists() {
    let (place, other) = (Place::new(), Place::new());
    let mirror = place.copy("v3-signed");
    let built = crate::pushed::Place::plain();
    crate::pushed::assert_pushed(&built.push(&["zlib"], &crate::pushed::options()));
    let own = built.at("mirror");
    let good = fs_err::read(blob(&own, &manifest(&own, "zlib").1, 0)).unwrap();
    let mut footer = good[good.len() - 58..].to_vec();
    assert_eq!(&footer[20..24], b"HF\x18\0");

    // A package of nothing but the lists, which lie.
    let lies = other.copy("v3-signed");
    forge(&lies, "zlib", |prefix, members| {
        let path = format!("{prefix}/.spack/binary_distribution");
        members.retain(|member| member.path == path);
        let info = String::from_utf8(members[0].content.clone()).unwrap();
        members[0].content = info.replace("/opt/hpc/store", "/opt/elsewhere").into_bytes();
    });
    let lie = fs_err::read(blob(&lies, &manifest(&lies, "zlib").1, 0)).unwrap();
    for whole in [&good[..good.len() - 58], &good[..]] {
        footer[32..40].copy_from_slice(&(whole.len() as u64).to_le_bytes());
        put_blob(&mirror, "zlib", 0, &[whole, &lie, &footer].concat());
        refused(&place, &mirror, "");
    }
}
