//! JSON kept as it was written.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::value::RawValue;

/// A JSON value as text: a part of a larger text that it keeps alive. A database of a hundred
/// thousand specs is one text and a hundred thousand ranges.
#[derive(Clone)]
pub struct RawJson {
    text: Arc<String>,
    range: Range<usize>,
}

impl RawJson {
    /// The whole of `text`.
    pub fn new(text: String) -> Self {
        let range = 0..text.len();
        Self { text: Arc::new(text), range }
    }

    /// The part of `text` that `value` was parsed from.
    ///
    /// # Panics
    /// If `value` was parsed from another text.
    pub(crate) fn part(text: &Arc<String>, value: &RawValue) -> Self {
        let start = value.get().as_ptr() as usize - text.as_ptr() as usize;
        let range = start..start + value.get().len();
        debug_assert_eq!(&text[range.clone()], value.get());
        Self { text: Arc::clone(text), range }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text[self.range.clone()]
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RawJson {}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
