//! Packages in a mirror or a store, and which of them a query means.

mod directory;
mod image;
mod installed;
mod mirrored;
mod registry;
mod similar;

pub use similar::closest;

use std::fmt;
use std::path::PathBuf;

use hod_spec::{Query, QueryError};

pub use image::{FoundImage, ImageDocuments};
pub use installed::{find_installed, installed};
pub use mirrored::{Found, Listing, find, packages};

use crate::Error;

/// Where packages were looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A mirror.
    Mirror(String),
    /// A store.
    Store(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mirror(mirror) => f.write_str(mirror),
            Self::Store(path) => path.display().fmt(f),
        }
    }
}

/// What a user typed for a package: a query, or the whole tag of an image, which need not be one.
#[derive(Debug, Clone)]
pub struct Wanted {
    text: String,
    query: Result<Query, QueryError>,
}

impl Wanted {
    /// Understood as far as it can be without looking.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let query = text.parse();
        Self { text, query }
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The query.
    ///
    /// # Errors
    /// [`Error::Query`] if it is none.
    pub fn query(&self) -> Result<&Query, Error> {
        self.query.as_ref().map_err(|error| Error::Query(Box::new(error.clone())))
    }

    /// Nothing matches: says why it could not, or what is most like it.
    pub(crate) fn not_found(
        &self,
        place: Place,
        packages: usize,
        mut names: Vec<String>,
        unreadable: Vec<String>,
    ) -> Error {
        let query = match self.query() {
            Ok(query) => query,
            Err(error) => return error,
        };
        names.sort();
        names.dedup();
        let similar = query.name().and_then(|name| similar::closest(name, names));
        let query = self.text.clone();
        Error::NotFound { query, packages, place, similar, unreadable }
    }
}
