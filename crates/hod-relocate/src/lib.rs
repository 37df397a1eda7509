//! Old prefixes become new ones inside ELF, Mach-O, text and links.
//!
//! An installed package is full of absolute paths to itself and its dependencies. What happens to
//! them is decided once, when the package is pushed: [`Scanner`] reads every byte that is packed
//! and says which of Spack's relocate lists a file belongs in, exactly as Spack would. When it is
//! installed elsewhere, a [`PrefixMap`] says what becomes what: texts are rewritten as a stream
//! ([`TextRewriter`]), objects are changed in place ([`relocate_binary`]) or not at all, and links
//! point elsewhere ([`PrefixMap::relocate_link`]). Whether a place is possible is known beforehand
//! by a [`Forecast`].
//!
//! ```
//! use hod_relocate::{FileKind, PrefixMap, Prefixes, Scanner, relocate_binary};
//!
//! let prefixes = Prefixes::new(["/opt/store/zlib-1.3-abc", "/opt/store"]);
//! let mut scanner = Scanner::new(&prefixes);
//! scanner.push(b"#!/bin/sh\nexec /opt/st");
//! scanner.push(b"ore/zlib-1.3-abc/bin/zpipe\n");
//! assert_eq!(scanner.finish(), FileKind::Text { holds_prefix: true });
//!
//! let map = PrefixMap::new([("/opt/store/zlib-1.3-abc", "/s/zlib-1.3-abc"), ("/opt/store", "/s")]);
//! let text = map.relocate_text(b"exec /opt/store/zlib-1.3-abc/bin/zpipe\n");
//! assert_eq!(text.as_deref(), Some(&b"exec /s/zlib-1.3-abc/bin/zpipe\n"[..]));
//!
//! let mut object = b"...\0/opt/store/zlib-1.3-abc/share/data\0".to_vec();
//! assert!(relocate_binary(b"zpipe", &mut object, &map)?);
//! assert_eq!(object, b"...\0/////////s/zlib-1.3-abc/share/data\0");
//! # Ok::<(), hod_relocate::RelocateError>(())
//! ```
//!
//! What it does not do: it opens no files and knows nothing of Spack's directories. Which files
//! are classified at all (regular ones, stored with data, outside `.spack`) is the caller's rule.

mod binary;
mod classify;
mod cstring;
mod elf;
mod forecast;
mod image;
pub mod macho;
mod map;
mod prefixes;
mod search;
mod text;
mod view;

pub use binary::{RelocateError, relocate_binary};
pub use classify::{FileKind, RelocateList, Scanner};
pub use cstring::{StringError, relocate_strings};
pub use elf::{ElfText, Rpath, retain_rpaths, rpaths};
pub use forecast::{Forecast, Misfit, Need};
pub use image::Image;
pub use map::PrefixMap;
pub use prefixes::Prefixes;
pub use text::TextRewriter;
