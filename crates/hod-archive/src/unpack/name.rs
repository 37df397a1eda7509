//! Member names as paths below the destination: checked once, here, before anything is opened.

use super::{Limits, UnpackError};
use crate::tar::shown;

/// `name` without `.` components and doubled or trailing slashes; empty for the root itself.
pub(super) fn relative(name: &[u8], limits: &Limits) -> Result<Vec<u8>, UnpackError> {
    let refuse = |problem| UnpackError::Name { member: shown(name), problem };
    if name.first() == Some(&b'/') {
        return Err(refuse("an absolute name"));
    }
    if name.contains(&0) {
        return Err(refuse("a NUL in its name"));
    }
    let mut path = Vec::with_capacity(name.len());
    let mut depth = 0;
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => return Err(refuse("`..` in its name")),
            _ => {}
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
        depth += 1;
    }
    if path.len() > limits.max_path_bytes {
        return Err(refuse("a name longer than the limit"));
    }
    if depth > limits.max_depth {
        return Err(refuse("more directories in its name than the limit"));
    }
    Ok(path)
}

/// Where a member goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The destination itself.
    Root,
    /// A parent of the prefix: not part of what is unpacked.
    AbovePrefix,
    /// This path below the destination.
    Below(Vec<u8>),
    /// Beside the prefix.
    Outside,
}

/// Strips `prefix`, compared by whole components.
pub(super) fn place(path: Vec<u8>, prefix: Option<&[u8]>) -> Place {
    let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) else {
        return if path.is_empty() { Place::Root } else { Place::Below(path) };
    };
    if path == prefix {
        return Place::Root;
    }
    match path.strip_prefix(prefix) {
        Some([b'/', rest @ ..]) => Place::Below(rest.to_vec()),
        _ if path.is_empty() => Place::AbovePrefix,
        _ if prefix.strip_prefix(&path[..]).is_some_and(|rest| rest[0] == b'/') => {
            Place::AbovePrefix
        }
        _ => Place::Outside,
    }
}

/// The parent of a path, empty for the root, and the last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&path[..0], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(b"a/b", b"a/b")]
    #[case(b"./a//b/./c/", b"a/b/c")]
    #[case(b"./", b"")]
    #[case(b"a\\..\\b", b"a\\..\\b")]
    #[case(b"..a/b..", b"..a/b..")]
    #[case(b"C:x/\xff", b"C:x/\xff")]
    fn a_harmless_name_is_normalised(#[case] name: &[u8], #[case] path: &[u8]) {
        assert_eq!(relative(name, &Limits::default()).unwrap(), path);
    }

    #[rstest::rstest]
    #[case(b"/etc/passwd")]
    #[case(b"//a")]
    #[case(b"..")]
    #[case(b"a/../../b")]
    #[case(b"a/..")]
    #[case(b"a\0b")]
    fn a_name_that_leads_elsewhere_is_refused(#[case] name: &[u8]) {
        assert!(relative(name, &Limits::default()).is_err());
    }

    #[rstest::rstest]
    #[case("opt/x", Place::Root)]
    #[case("opt/x/bin", Place::Below(b"bin".to_vec()))]
    #[case("opt", Place::AbovePrefix)]
    #[case("", Place::AbovePrefix)]
    #[case("opt/xy", Place::Outside)]
    #[case("op", Place::Outside)]
    #[case("opt/y", Place::Outside)]
    fn a_prefix_is_stripped_by_components(#[case] path: &str, #[case] expected: Place) {
        assert_eq!(place(path.as_bytes().to_vec(), Some(b"opt/x")), expected);
    }
}
