//! Old prefixes become new ones inside ELF, Mach-O, text and links.
//!
//! An installed package is full of absolute paths to itself and its dependencies. What happens to
//! them is decided once, when the package is pushed: [`Scanner`] reads every byte that is packed
//! and says which of Spack's relocate lists a file belongs in, exactly as Spack would.
//!
//! ```
//! use hod_relocate::{FileKind, Prefixes, Scanner};
//!
//! let prefixes = Prefixes::new(["/opt/store/zlib-1.3-abc", "/opt/store"]);
//! let mut scanner = Scanner::new(&prefixes);
//! scanner.push(b"#!/bin/sh\nexec /opt/st");
//! scanner.push(b"ore/zlib-1.3-abc/bin/zpipe\n");
//! assert_eq!(scanner.finish(), FileKind::Text { holds_prefix: true });
//! ```
//!
//! What it does not do: it opens no files and knows nothing of Spack's directories. Which files
//! are classified at all (regular ones, stored with data, outside `.spack`) is the caller's rule.

mod binary;
mod classify;
mod cstring;
mod elf;
mod image;
mod map;
mod prefixes;
mod search;
mod text;
mod view;

pub use binary::{RelocateError, relocate_binary};
pub use classify::{FileKind, RelocateList, Scanner};
pub use cstring::{StringError, relocate_strings};
pub use elf::{ElfText, Rpath, retain_rpaths, rpaths};
pub use image::Image;
pub use map::PrefixMap;
pub use prefixes::Prefixes;
pub use text::TextRewriter;
