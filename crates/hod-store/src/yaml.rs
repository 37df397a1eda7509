//! YAML as a value that remembers where it was written: configurations, and spec files of old.
//!
//! Scalars keep their text, and what they are is decided where they are used: a mirror called
//! `1.0` has that name.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

mod merge;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use merge::merge;
pub(crate) use read::parse;

/// Why a text is not the YAML it should be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum YamlError {
    /// The bytes are no text.
    #[error("not UTF-8")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// The text is not YAML.
    #[error("not YAML")]
    Syntax(#[from] saphyr_parser::ScanError),
    /// A key that is no scalar.
    #[error("line {line}, column {column}: a key must be text")]
    Key {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
    },
    /// A key that is there twice.
    #[error("line {line}, column {column}: `{key}` is there already")]
    DuplicateKey {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
        /// The key.
        key: String,
    },
    /// Something else than a mapping as the value of `<<`.
    #[error("line {line}, column {column}: only mappings can be merged with `<<`")]
    MergeKey {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
    },
    /// An alias within what it stands for.
    #[error("line {line}, column {column}: an alias stands for what it is in")]
    EndlessAlias {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
    },
    /// Lists and mappings in each other, more than any configuration has.
    #[error("line {line}, column {column}: more than {limit} levels deep, aliases included")]
    TooDeep {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
        /// How many levels there may be.
        limit: usize,
    },
    /// More values than any configuration has.
    #[error("more than {limit} values, aliases included")]
    TooLarge {
        /// How many there may be.
        limit: usize,
    },
    /// A second document.
    #[error("more than one YAML document")]
    SeveralDocuments,
}

impl YamlError {
    /// The line it is about, counted from one.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Syntax(error) => Some(error.marker().line()),
            Self::Key { line, .. }
            | Self::DuplicateKey { line, .. }
            | Self::MergeKey { line, .. }
            | Self::EndlessAlias { line, .. }
            | Self::TooDeep { line, .. } => Some(*line),
            Self::NotUtf8(_) | Self::TooLarge { .. } | Self::SeveralDocuments => None,
        }
    }
}

/// A value and where it begins.
#[derive(Clone)]
pub(crate) struct Yaml {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar {
        text: String,
        /// Without quotes, so that it may stand for something else than text.
        is_plain: bool,
    },
    List(Vec<Yaml>),
    /// In the order in which it is written.
    Map(Vec<(Key, Yaml)>),
}

/// A key in a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    /// Without the colon that says [`replaces`](Self::replaces).
    pub(crate) text: String,
    /// Written with two colons: what is of less weight is replaced and not merged with.
    pub(crate) replaces: bool,
}

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Arc<Path>,
    /// Counted from one.
    pub(crate) line: usize,
    /// Counted from one.
    pub(crate) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl PartialEq for Yaml {
    /// Wherever they are written.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl fmt::Debug for Yaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Scalar { text, .. } => fmt::Debug::fmt(text, f),
            Value::List(items) => f.debug_list().entries(items).finish(),
            Value::Map(entries) => f
                .debug_map()
                .entries(entries.iter().map(|(key, value)| (&key.text, value)))
                .finish(),
        }
    }
}

/// What the YAML that Spack reads (1.2) calls nothing, yes and no.
const NULLS: [&str; 5] = ["", "~", "null", "Null", "NULL"];
const TRUE: [&str; 3] = ["true", "True", "TRUE"];
const FALSE: [&str; 3] = ["false", "False", "FALSE"];

impl Yaml {
    /// The value of a key, unless that is null.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let (_, value) = self.entries()?.iter().find(|(found, _)| found.text == key)?;
        (!value.is_null()).then_some(value)
    }

    pub(crate) fn entries(&self) -> Option<&[(Key, Self)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    fn plain(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, is_plain: true } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.plain().is_some_and(|text| NULLS.contains(&text))
    }

    /// The text of a scalar that is not null, numbers included.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        let text = self.plain()?;
        if TRUE.contains(&text) { Some(true) } else { FALSE.contains(&text).then_some(false) }
    }

    /// A number that is not negative.
    pub(crate) fn number(&self) -> Option<u64> {
        self.plain()?.parse().ok()
    }

    /// The same as JSON: what is plain and looks like something else than text is that.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|(key, value)| (key.text.clone(), value.to_json())).collect()
            }
            Value::Scalar { text, .. } => match (self.boolean(), self.number()) {
                _ if self.is_null() => serde_json::Value::Null,
                (Some(boolean), _) => boolean.into(),
                (_, Some(number)) => number.into(),
                _ => text.clone().into(),
            },
        }
    }

    /// What it is, in words for an error.
    pub(crate) fn kind(&self) -> Cow<'static, str> {
        match &self.value {
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
            Value::Scalar { .. } if self.is_null() => "nothing".into(),
            // A value may be a secret in the wrong place.
            Value::Scalar { .. } if self.boolean().is_some() => "a boolean".into(),
            Value::Scalar { .. } if self.number().is_some() => "a number".into(),
            Value::Scalar { .. } => "text".into(),
        }
    }
}
