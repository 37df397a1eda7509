//! Long roots: directories without meaning make a root so long that any other fits in its place.

use std::path::{Path, PathBuf};

/// The name of a padding directory, of which the last may be cut short (`spack-format` 1.1).
pub const PLACEHOLDER: &str = "__spack_path_placeholder__";

/// A single cut-short component is taken for padding from this length on: nobody calls a directory
/// `__spack_` by chance, but `_` is a name.
const TELLING: usize = "__spack_".len();

/// Adds directories to `root` until it has `length` characters. What is too long already stays
/// as it is.
pub fn pad(root: &str, length: usize) -> String {
    let Some(missing) = length.checked_sub(root.chars().count()).filter(|n| *n > 0) else {
        return root.to_owned();
    };
    // One character is the separator.
    let missing = missing - 1;
    let unit = PLACEHOLDER.len() + 1;
    let mut padding = format!("{PLACEHOLDER}/").repeat(missing / unit);
    padding.push_str(&PLACEHOLDER[..missing % unit]);
    if padding.ends_with('/') {
        // A closing separator would not survive normalisation.
        padding.pop();
        padding.push('_');
    }
    format!("{root}/{padding}")
}

/// Whether a path component is padding, wholly or cut short.
pub(crate) fn is_padding(component: &str) -> bool {
    let component = component.strip_suffix('_').filter(|c| *c == PLACEHOLDER).unwrap_or(component);
    !component.is_empty() && PLACEHOLDER.starts_with(component)
}

/// The root without its padding.
pub fn unpadded(root: &Path) -> PathBuf {
    let names: Vec<_> = root.components().collect();
    let text = |index: usize| names[index].as_os_str().to_str().unwrap_or_default();
    let mut end = names.len();
    let last_is_padding = end > 0 && is_padding(text(end - 1));
    if last_is_padding {
        end -= 1;
        while end > 0 && text(end - 1) == PLACEHOLDER {
            end -= 1;
        }
        if end + 1 == names.len() && text(end).len() < TELLING {
            end += 1;
        }
    }
    names[..end].iter().collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(9, "/opt/spack")]
    #[case(10, "/opt/spack")]
    #[case(11, "/opt/spack/")]
    #[case(12, "/opt/spack/_")]
    #[case(30, "/opt/spack/__spack_path_placeh")]
    #[case(37, "/opt/spack/__spack_path_placeholder__")]
    #[case(38, "/opt/spack/__spack_path_placeholder___")]
    #[case(39, "/opt/spack/__spack_path_placeholder__/_")]
    #[case(64, "/opt/spack/__spack_path_placeholder__/__spack_path_placeholder__")]
    #[case(65, "/opt/spack/__spack_path_placeholder__/__spack_path_placeholder___")]
    fn a_root_is_padded_as_spack_does(#[case] length: usize, #[case] expected: &str) {
        assert_eq!(pad("/opt/spack", length), expected);
    }

    #[test]
    fn a_padded_root_is_unpadded_again() {
        for length in 19..200 {
            let padded = pad("/opt/spack", length);
            assert_eq!(unpadded(Path::new(&padded)), Path::new("/opt/spack"), "{padded}");
        }
    }

    #[rstest]
    #[case::no_padding("/opt/spack")]
    #[case::a_short_name("/opt/_")]
    #[case::padding_in_the_middle("/opt/__spack_path_placeholder__/spack")]
    #[case::the_file_system_root("/")]
    fn other_roots_stay(#[case] root: &str) {
        assert_eq!(unpadded(Path::new(root)), Path::new(root));
    }
}
