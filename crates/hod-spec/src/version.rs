//! Versions, compared as Spack compares them (its `spack.version`).

use std::borrow::Cow;
use std::cmp::Ordering;

mod range;

pub(crate) use range::VersionRange;

/// A version as a value that can be compared: `Version::parse("1.9") < Version::parse("1.10")`.
///
/// A version is a row of numbers and words; what parts them does not count. Words come before
/// numbers, and these before the words for a tip of development, of which `develop` is the
/// greatest. `alpha`, `beta` and `rc` at the end come before the version without them. A git
/// reference is compared by the version it was given (`git.main=1.2`), and comes after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version<'a> {
    release: Vec<Component<'a>>,
    stage: Stage<'a>,
    reference: Option<Cow<'a, str>>,
}

/// The order of the variants is the order of versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Component<'a> {
    Word(Cow<'a, str>),
    Number(Number<'a>),
    /// By its place in [`TIPS`], or behind all of them.
    Tip(usize),
}

/// `alpha` to `final`, and a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Stage<'a> {
    kind: usize,
    number: Option<Number<'a>>,
}

/// Digits without leading zeros, of any number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Number<'a>(Cow<'a, str>);

/// Words that are greater than all numbers, in their order.
const TIPS: [&str; 7] = ["stable", "nightly", "trunk", "head", "master", "main", "develop"];

/// Words for what comes before a release, in their order, and the release itself.
const STAGES: [&str; 4] = ["alpha", "beta", "rc", "final"];
const FINAL: usize = 3;

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> Version<'a> {
    /// Reads a version. Whatever is no letter and no digit parts the others.
    pub fn parse(text: &'a str) -> Self {
        if !is_git(text) {
            let (release, stage) = parse_release(text);
            return Self { release, stage, reference: None };
        }
        let text = text.strip_prefix("git.").unwrap_or(text);
        let (reference, version) = text.split_once('=').unwrap_or((text, ""));
        let (release, stage) = parse_release(version);
        Self { release, stage, reference: Some(reference.into()) }
    }

    /// Without the git reference, and nothing if nothing else is known.
    fn place(&self) -> Option<(&[Component<'a>], &Stage<'a>)> {
        let is_known = self.reference.is_none() || !self.release.is_empty();
        is_known.then_some((&*self.release, &self.stage))
    }
}

/// Whether Spack takes this version for a reference into a git repository.
pub(crate) fn is_git(version: &str) -> bool {
    let is_commit = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    version.starts_with("git.") || is_commit || version.chars().skip(1).any(|c| c == '=')
}

enum Segment<'a> {
    Number(Number<'a>),
    Word(&'a str),
}

fn parse_release(text: &str) -> (Vec<Component<'_>>, Stage<'_>) {
    let mut segments = segments(text);
    let stage_of = |word: &str| STAGES.iter().position(|stage| *stage == word);
    let mut stage = Stage { kind: FINAL, number: None };
    match &segments[..] {
        [_, .., Segment::Word(word), Segment::Number(number)] if stage_of(word).is_some() => {
            let kind = stage_of(word).unwrap_or(FINAL);
            stage = Stage { kind, number: Some(number.clone()) };
            segments.truncate(segments.len() - 2);
        }
        [_, .., Segment::Word(word)] if stage_of(word).is_some() => {
            stage.kind = stage_of(word).unwrap_or(FINAL);
            segments.pop();
        }
        _ => {}
    }
    let components = segments.into_iter().map(|segment| match segment {
        Segment::Number(number) => Component::Number(number),
        Segment::Word(word) => match TIPS.iter().position(|tip| *tip == word) {
            Some(tip) => Component::Tip(tip),
            None => Component::Word(word.into()),
        },
    });
    (components.collect(), stage)
}

/// Runs of digits and runs of letters.
fn segments(text: &str) -> Vec<Segment<'_>> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = |is_part: fn(&char) -> bool| {
            rest.chars().take_while(is_part).map(char::len_utf8).sum::<usize>()
        };
        let length = if first.is_ascii_digit() {
            let length = run(char::is_ascii_digit);
            let digits = rest[..length].trim_start_matches('0');
            segments
                .push(Segment::Number(Number(if digits.is_empty() { "0" } else { digits }.into())));
            length
        } else if first.is_ascii_alphabetic() {
            let length = run(char::is_ascii_alphabetic);
            segments.push(Segment::Word(&rest[..length]));
            length
        } else {
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    segments
}

#[cfg(test)]
mod tests;
