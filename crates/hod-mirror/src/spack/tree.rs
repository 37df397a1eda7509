//! What an install tree says of itself: a prefix has its spec in `.spack/spec.json`. Nothing else
//! ties a tarball to the entry that names it.

use std::io::Read;

use hod_archive::{MemberKind, TarError, TarReader};
use hod_spec::SpecFile;

use super::{EntryName, SPEC_LIMIT};

/// How the name of the file ends (`spack-format` 1.3).
const SPEC_FILE: &[u8] = b"/.spack/spec.json";
/// An extension header (a long name) may claim this much.
const MOST_EXTENSION: u64 = 1 << 20;

/// The spec whose install tree a tar stream holds, as the entry of that spec would be called; the
/// stream is read to its end. `None` if the tree has no spec file, or one that cannot be understood.
///
/// # Errors
/// The stream is no archive, or cannot be read.
pub fn packed_name(tar: impl Read) -> Result<Option<EntryName>, TarError> {
    let mut archive = TarReader::new(tar, MOST_EXTENSION);
    let (mut found, mut shortest) = (None, usize::MAX);
    while let Some(member) = archive.next_member()? {
        let length = member.name.len();
        let is_file = member.kind == MemberKind::Regular && member.name.ends_with(SPEC_FILE);
        // A tree may hold other prefixes. Spack tells its own by the shortest name as well
        // (`spack-format` 3.8).
        if !is_file || length >= shortest {
            continue;
        }
        shortest = length;
        found = None;
        if member.size <= SPEC_LIMIT {
            let mut bytes = Vec::new();
            archive.read_to_end(&mut bytes).map_err(TarError::Read)?;
            let file = SpecFile::parse(bytes).ok();
            found = file.and_then(|file| EntryName::of(file.root()).ok());
        }
    }
    Ok(found)
}

/// How the name of Spack's mark ends (`spack-format` 3.8).
const MARK: &[u8] = b"/.spack/binary_distribution";

/// Where in a tar stream the package is that it holds, without a leading `/`; the stream is read
/// to its end. `None` if it does not say. As Spack finds it: the shortest name of a regular member
/// that ends in its mark says (`spack-format` 3.8).
///
/// # Errors
/// The stream is no archive, or cannot be read.
pub fn packed_prefix(tar: impl Read) -> Result<Option<Vec<u8>>, TarError> {
    let mut archive = TarReader::new(tar, MOST_EXTENSION);
    let mut shortest: Option<Vec<u8>> = None;
    while let Some(member) = archive.next_member()? {
        let prefix = member.name.strip_suffix(MARK).filter(|prefix| !prefix.is_empty());
        let Some(prefix) = prefix.filter(|_| member.kind == MemberKind::Regular) else { continue };
        if shortest.as_ref().is_none_or(|shortest| prefix.len() < shortest.len()) {
            shortest = Some(prefix.to_vec());
        }
    }
    Ok(shortest)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const HELLO: &str = "hello-1.0-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh";
    const OTHER: &str = "other-1.0-oooooooooooooooooooooooooooooooo";

    /// A spec file of the package an entry of this name would be of.
    fn spec_file(entry: &str) -> String {
        let (name, hash) = entry.split_once("-1.0-").unwrap();
        format!(
            r#"{{"spec":{{"_meta":{{"version":5}},"nodes":[{{"name":"{name}","version":"1.0","arch":{{"platform":"linux","platform_os":"debian12","target":"x86_64"}},"namespace":"test","parameters":{{}},"hash":"{hash}"}}]}}}}"#
        )
    }

    /// An archive of regular files.
    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, content) in files {
            let mut header = [0; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[100..108].copy_from_slice(b"0000644\0");
            header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
            header[136..148].copy_from_slice(b"00000000000\0");
            header[148..156].fill(b' ');
            header[156] = b'0';
            header[257..265].copy_from_slice(b"ustar\x0000");
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            tar.extend(header);
            tar.extend(content.as_bytes());
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    #[rstest]
    #[case::its_own(&[("opt/hello/.spack/spec.json", HELLO)], Some(HELLO))]
    #[case::a_prefix_in_it_before(
        &[("opt/hello/+/opt/other/.spack/spec.json", OTHER), ("opt/hello/.spack/spec.json", HELLO)],
        Some(HELLO)
    )]
    #[case::a_prefix_in_it_behind(
        &[("opt/hello/.spack/spec.json", HELLO), ("opt/hello/opt/other/.spack/spec.json", OTHER)],
        Some(HELLO)
    )]
    #[case::another_file(&[("opt/hello/share/spec.json", HELLO)], None)]
    #[case::nothing(&[], None)]
    fn a_tree_says_whose_it_is(#[case] files: &[(&str, &str)], #[case] expected: Option<&str>) {
        let files: Vec<(&str, String)> =
            files.iter().map(|&(name, entry)| (name, spec_file(entry))).collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let found = packed_name(&archive(&files)[..]).unwrap();
        assert_eq!(found.map(|name| name.to_string()).as_deref(), expected);
    }

    #[test]
    fn a_spec_file_of_garbage_says_nothing() {
        let tar = archive(&[("opt/hello/.spack/spec.json", "garbage")]);
        assert_eq!(packed_name(&tar[..]).unwrap(), None);
    }

    #[test]
    fn an_archive_cut_short_is_an_error() {
        let tar = archive(&[("opt/hello/.spack/spec.json", &spec_file(HELLO))]);
        assert!(packed_name(&tar[..600]).is_err());
        assert!(packed_name(&tar[..1100]).is_err());
    }

    #[rstest]
    #[case::its_own(&["opt/a/bin/x", "opt/a/.spack/binary_distribution"], Some("opt/a"))]
    #[case::a_prefix_in_it(
        &["opt/a/opt/b/.spack/binary_distribution", "opt/a/.spack/binary_distribution"],
        Some("opt/a")
    )]
    #[case::before_0_21(&["a-1.0/.spack/binary_distribution"], Some("a-1.0"))]
    #[case::in_no_directory(&[".spack/binary_distribution"], None)]
    #[case::none(&["opt/a/binary_distribution"], None)]
    fn a_tree_says_where_it_is(#[case] names: &[&str], #[case] expected: Option<&str>) {
        let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, "{}\n")).collect();
        let found = packed_prefix(&archive(&files)[..]).unwrap();
        assert_eq!(found.as_deref(), expected.map(str::as_bytes));
    }
}
