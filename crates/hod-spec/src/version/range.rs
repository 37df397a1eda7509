//! Sets of versions, as people ask for them.

use std::fmt;

use super::{Component, FINAL, Number, Stage, Version, is_git};

/// One element of what can stand behind an `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VersionRange {
    /// `=1.2`: this version only.
    Exact(Box<str>),
    /// `1.2`, which means `1.2:1.2`: this version and those that begin with it.
    Prefix(Box<str>),
    /// `1.2:1.4`, `1.2:`, `:1.4` or `:`; both ends as in [`Prefix`](Self::Prefix).
    Between(Option<Box<str>>, Option<Box<str>>),
    /// `git.main` or a commit, with or without `=1.2`.
    Git(Box<str>),
}

impl VersionRange {
    /// Whether there can be a version in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Between(Some(low), Some(high)) => {
                let (low, high) = (standard(low), standard(high));
                let after = after(high);
                (&after.release, &after.stage) < (&low.release, &low.stage)
            }
            _ => false,
        }
    }

    /// Whether the version is one of these. A git reference that is not known to be some version
    /// is in no range.
    pub(crate) fn contains(&self, version: &str) -> bool {
        let parsed = Version::parse(version);
        match self {
            Self::Exact(exact) if !is_git(exact) => parsed == Version::parse(exact),
            Self::Exact(git) | Self::Git(git) => {
                let wanted = Version::parse(git);
                parsed.reference.is_some()
                    && parsed.reference == wanted.reference
                    && wanted.place().is_none_or(|place| parsed.place() == Some(place))
            }
            Self::Between(None, None) => true,
            Self::Prefix(both) => is_between(&parsed, Some(both), Some(both)),
            Self::Between(low, high) => is_between(&parsed, low.as_deref(), high.as_deref()),
        }
    }
}

fn is_between(version: &Version<'_>, low: Option<&str>, high: Option<&str>) -> bool {
    let Some(place) = version.place() else { return false };
    let is_high_enough = low.map(standard).is_none_or(|low| (&*low.release, &low.stage) <= place);
    let is_low_enough = || {
        high.map(|high| after(standard(high)))
            .is_none_or(|after| place < (&*after.release, &after.stage))
    };
    is_high_enough && is_low_enough()
}

/// The ends of ranges are never git references.
fn standard(text: &str) -> Version<'_> {
    let (release, stage) = super::parse_release(text);
    Version { release, stage, reference: None }
}

/// What is the first not to begin with this version.
fn after(mut version: Version<'_>) -> Version<'_> {
    if version.stage.kind != FINAL {
        let number = version.stage.number.map_or(Number("0".into()), increment);
        version.stage = Stage { kind: version.stage.kind, number: Some(number) };
        return version;
    }
    let last = match version.release.pop() {
        None => Component::Word("A".into()),
        Some(Component::Number(number)) => Component::Number(increment(number)),
        Some(Component::Tip(tip)) => Component::Tip(tip + 1),
        Some(Component::Word(word)) => Component::Word(next_word(&word).into()),
    };
    version.release.push(last);
    version
}

fn increment(number: Number<'_>) -> Number<'_> {
    let mut digits = number.0.into_owned().into_bytes();
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return Number(String::from_utf8(digits).expect("digits are ASCII").into());
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
    Number(String::from_utf8(digits).expect("digits are ASCII").into())
}

/// The next word of `A` to `Z` and `a` to `z`, as Spack counts: `Z` goes to `a`, and `z` cannot be
/// counted up, so a letter is appended. Spack steps over the words in `TIPS`.
fn next_word(word: &str) -> String {
    let mut word = word.to_owned();
    loop {
        match word.pop() {
            None => word.push('A'),
            Some('z') => word.push_str("zA"),
            Some('Z') => word.push('a'),
            Some(letter) => word.extend(char::from_u32(u32::from(letter) + 1)),
        }
        if !super::TIPS.contains(&&*word) {
            return word;
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => write!(f, "={version}"),
            Self::Prefix(version) | Self::Git(version) => f.write_str(version),
            Self::Between(low, high) => {
                let end = |end: &Option<Box<str>>| end.clone().unwrap_or_default();
                write!(f, "{}:{}", end(low), end(high))
            }
        }
    }
}
