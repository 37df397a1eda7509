//! The smallest parts of queries: what belongs together where there are no spaces. Follows Spack's
//! tokens (its `spack.spec_parser`).

use std::ops::Range;

use super::QueryFault;
use crate::version::{VersionRange, is_git};

/// What is wrong, and where.
pub(super) type Fault = (Range<usize>, QueryFault);

/// A place in the text.
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

pub(super) fn is_name_start(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

pub(super) fn is_identifier(c: char) -> bool {
    is_name_start(c) || c == '-'
}

/// In names of variants and in versions.
pub(super) fn is_dotted(c: char) -> bool {
    is_identifier(c) || c == '.'
}

/// `builtin` or `my.repo`.
pub(super) fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|part| part.starts_with(is_name_start) && part.chars().all(is_identifier))
}

/// In values that need no quotes.
pub(super) fn is_bare(c: char) -> bool {
    is_dotted(c) || "+*,:=%^~/\\".contains(c)
}

impl<'a> Scanner<'a> {
    /// `c,cxx=` of `c,cxx=gcc`: what is provided. Nothing if something else stands here.
    pub(super) fn virtuals(&mut self) -> Vec<Box<str>> {
        let Some((virtuals, rest)) = self.rest().split_once('=') else { return Vec::new() };
        let mut names = virtuals.split(',');
        let is_name =
            |name: &str| name.starts_with(is_name_start) && name.chars().all(is_identifier);
        if !names.all(is_name) || !rest.starts_with(is_name_start) {
            return Vec::new();
        }
        self.at += virtuals.len() + 1;
        virtuals.split(',').map(Into::into).collect()
    }

    /// Passes over a comma that is next but for spaces, if there is one.
    pub(super) fn comma(&mut self) -> bool {
        let rest = self.rest().trim_start().strip_prefix(',');
        self.at = rest.map_or(self.at, |rest| self.text.len() - rest.len());
        rest.is_some()
    }

    /// `git.main`, `git.main=1.2`, or a commit.
    pub(super) fn git_version(&mut self) -> Option<VersionRange> {
        let rest = self.rest();
        let is_ref = |c: char| is_dotted(c) || c == '/';
        let length = if let Some(reference) = rest.strip_prefix("git.") {
            if !reference.starts_with(is_name_start) {
                return None;
            }
            "git.".len() + reference.find(|c| !is_ref(c)).unwrap_or(reference.len())
        } else {
            let length = rest.find(|c| !is_dotted(c)).unwrap_or(rest.len());
            if length != 40 || !rest[..length].bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            length
        };
        let start = self.at;
        self.at += length;
        if self.rest().starts_with('=') {
            self.at += 1;
            if self.version().is_empty() {
                self.at -= 1;
            }
        }
        Some(VersionRange::Git(self.text[start..self.at].into()))
    }

    pub(super) fn version_range(&mut self) -> Result<VersionRange, Fault> {
        let start = self.at;
        let is_exact = self.peek() == Some('=');
        self.at += usize::from(is_exact);
        let low = self.version();
        if is_exact {
            return match low {
                "" => Err((self.at..self.at, QueryFault::ExpectedVersion)),
                _ if self.peek() == Some(':') => {
                    Err((start..self.at + 1, QueryFault::ExpectedVersion))
                }
                version => Ok(VersionRange::Exact(version.into())),
            };
        }
        if self.peek() != Some(':') {
            return match low {
                "" => Err((self.at..self.at, QueryFault::ExpectedVersion)),
                version if is_git(version) => Ok(VersionRange::Git(version.into())),
                version => Ok(VersionRange::Prefix(version.into())),
            };
        }
        self.at += 1;
        let end = self.at;
        let mut high = self.version();
        // In `@1.2:os=linux` the range has ended before the key.
        if self.rest().trim_start().starts_with('=') {
            self.at = end;
            high = "";
        }
        let bound = |text: &str| (!text.is_empty()).then(|| text.into());
        Ok(VersionRange::Between(bound(low), bound(high)))
    }

    /// One version, or nothing; never with a dot or a dash at its end.
    pub(super) fn version(&mut self) -> &'a str {
        if !self.rest().starts_with(is_name_start) {
            return "";
        }
        let start = self.at;
        let length = self.take(is_dotted).trim_end_matches(['.', '-']).len();
        self.at = start + length;
        &self.text[start..self.at]
    }

    /// The key of `key=value` or `key:=value`, and whether it is the latter; nothing if there is
    /// no equals sign.
    pub(super) fn key(&mut self) -> Option<(&'a str, bool)> {
        let rest = self.rest();
        let length = rest.find(|c| !is_dotted(c)).unwrap_or(rest.len());
        let (key, rest) = rest.split_at(length);
        let is_exact = rest.starts_with(":=");
        if !is_exact && !rest.starts_with('=') {
            return None;
        }
        self.at += length + usize::from(is_exact) + 1;
        Some((key, is_exact))
    }

    /// A bare value, or one in quotes of either kind. A backslash before a quote makes it part of
    /// the value.
    pub(super) fn text_value(&mut self) -> Result<String, Fault> {
        let Some(quote @ ('\'' | '"')) = self.peek() else {
            let value = self.take(is_bare);
            if value.is_empty() {
                return Err((self.at..self.at, QueryFault::ExpectedValue));
            }
            return Ok(value.to_owned());
        };
        let start = self.at;
        let inner = &self.rest()[1..];
        let mut is_escaped = false;
        let end = inner.find(|c| {
            let is_end = c == quote && !is_escaped;
            is_escaped = c == '\\';
            is_end
        });
        let Some(end) = end else {
            return Err((start..self.text.len(), QueryFault::ExpectedQuote));
        };
        self.at += end + 2;
        Ok(inner[..end].replace(&format!("\\{quote}"), &quote.to_string()))
    }

    /// Whether a path of a spec file stands here.
    #[expect(clippy::case_sensitive_file_extension_comparisons, reason = "so does Spack")]
    pub(super) fn is_file(&self) -> bool {
        let word = self.word();
        let is_path = word.starts_with('.') || word.contains('/');
        is_path && (word.ends_with(".json") || word.ends_with(".yaml"))
    }

    pub(super) fn word(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|c| !is_dotted(c) && c != '/').unwrap_or(rest.len())]
    }

    pub(super) fn file(&self) -> Fault {
        (self.at..self.at + self.word().len(), QueryFault::File)
    }

    pub(super) fn unexpected(&self) -> Fault {
        let length = self.peek().map_or(0, char::len_utf8);
        (self.at..self.at + length, QueryFault::ExpectedConstraint)
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    pub(super) fn take(&mut self, is_part: fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let part = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        self.at += part.len();
        part
    }
}
