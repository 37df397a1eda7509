//! The name under which a manifest is published.

use std::fmt;

/// A tag that any registry takes: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// A tag of an image. One that ends in `.spack` is refused: Spack takes every such tag for one
    /// of its packages, and a single one without a spec breaks its index update.
    pub fn new(text: impl Into<String>) -> Result<Self, TagError> {
        let tag = Self::for_spack_entry(text)?;
        if tag.0.as_bytes().ends_with(b".spack") {
            Err(TagError::ReservedForSpack { tag: tag.0 })
        } else {
            Ok(tag)
        }
    }

    /// A tag of something Spack reads, whose config holds a spec.
    pub fn for_spack_entry(text: impl Into<String>) -> Result<Self, TagError> {
        let text = text.into();
        if is_tag(&text) { Ok(Self(text)) } else { Err(TagError::Malformed { tag: text }) }
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that cannot be a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TagError {
    /// A character or a length no registry takes.
    #[error(
        "`{tag}` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, the first neither `.` \
         nor `-`"
    )]
    Malformed {
        /// The text.
        tag: String,
    },
    /// A tag Spack would take for one of its packages.
    #[error("the tag `{tag}` ends in .spack, which Spack keeps for its own packages")]
    ReservedForSpack {
        /// The text.
        tag: String,
    },
}

/// Whether `text` follows the distribution-spec's grammar of tags.
pub(crate) fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    bytes.len() <= 128
        && bytes.first().is_some_and(|&first| is_word(first))
        && bytes.iter().all(|&byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// Whether `text` follows the wider grammar the image spec has for `ref.name`
/// (`annotations.md`): other tools put whole references such as `example.org/app:1` there.
pub(crate) fn is_reference(text: &str) -> bool {
    text.split('/').all(|component| {
        let component = component.replace("--", "-");
        component
            .split(|c| "-._:@+".contains(c))
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_package("zlib-1.3.1-abcdefg")]
    #[case::an_underscore_first("_x")]
    #[case::the_longest(&"a".repeat(128))]
    fn tags_that_are(#[case] text: &str) {
        assert_eq!(Tag::new(text).unwrap().as_str(), text);
    }

    #[rstest]
    #[case::empty("")]
    #[case::a_dot_first(".x")]
    #[case::a_dash_first("-x")]
    #[case::a_slash("a/b")]
    #[case::a_plus("a+b")]
    #[case::too_long(&"a".repeat(129))]
    #[case::not_ascii("ü")]
    fn tags_that_are_not(#[case] text: &str) {
        assert_eq!(Tag::new(text), Err(TagError::Malformed { tag: text.to_owned() }));
    }

    #[test]
    fn only_a_spack_entry_may_have_a_tag_spack_looks_at() {
        assert!(matches!(Tag::new("a.spack"), Err(TagError::ReservedForSpack { .. })));
        assert_eq!(Tag::for_spack_entry("a.spack").unwrap().to_string(), "a.spack");
    }

    #[rstest]
    #[case("docker.io/library/alpine:3.20", true)]
    #[case("a--b", true)]
    #[case("a---b", false)]
    #[case("a//b", false)]
    #[case("a b", false)]
    #[case("", false)]
    fn references_of_other_tools(#[case] text: &str, #[case] is_one: bool) {
        assert_eq!(is_reference(text), is_one);
    }
}
