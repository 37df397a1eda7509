//! Prefixes in text files.
//!
//! Spack's pattern is `(?<![\w\-_/])([\w\-_]*?)(P1|P2|...)([\w\-_/]*)` over bytes; the second group
//! is replaced and the search goes on after the third (`relocate_text.py`, `spack-format` 7.4). The
//! same in words: a prefix counts unless the word it is glued to follows a slash, and after one that
//! counts, the rest of its path is passed over. There is no boundary on the right.

use crate::map::PrefixMap;
use crate::search::{Context, is_word};

#[cfg(test)]
mod tests;

/// Bytes looked at together. What is not yet decided is copied before them, so this must be large
/// against a prefix and small against the caches of a processor.
const BLOCK: usize = 32 << 10;

/// Rewrites one text file while its bytes pass by. How they are cut into chunks changes nothing, and
/// memory is bounded by the longest prefix and a constant.
#[derive(Debug)]
pub struct TextRewriter<'m> {
    position: Position<'m>,
    /// What was taken but not given out: an old prefix may begin in it and end in the next chunk.
    held: Vec<u8>,
}

impl<'m> TextRewriter<'m> {
    /// A rewriter for one file.
    pub fn new(map: &'m PrefixMap) -> Self {
        Self { position: Position::start(map), held: Vec::new() }
    }

    /// Takes the next bytes of the file, and appends to `out` what is decided.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.position.map.is_empty() {
            out.extend_from_slice(chunk);
            return;
        }
        let reach = self.position.map.search().longest() - 1;
        for block in chunk.chunks(BLOCK) {
            self.held.extend_from_slice(block);
            let limit = self.held.len().saturating_sub(reach);
            let passed = self.position.rewrite(&self.held, limit, out);
            self.held.drain(..passed);
        }
    }

    /// Appends the end of the file to `out`, and says whether anything was changed.
    pub fn finish(mut self, out: &mut Vec<u8>) -> bool {
        let end = self.held.len();
        self.position.rewrite(&self.held, end, out);
        self.position.has_changed
    }
}

impl PrefixMap {
    /// What the content of a text file becomes, or `None` if it stays as it is.
    pub fn relocate_text(&self, content: &[u8]) -> Option<Vec<u8>> {
        // Most files hold no prefix, and those are not copied.
        self.search().find(content, 0)?;
        let mut out = Vec::with_capacity(content.len());
        let mut position = Position::start(self);
        position.rewrite(content, content.len(), &mut out);
        position.has_changed.then_some(out)
    }
}

/// What is to be known of the bytes that were passed.
#[derive(Debug)]
struct Position<'m> {
    map: &'m PrefixMap,
    context: Context,
    /// Whether the rest of a path is passed over whose prefix was replaced.
    is_in_tail: bool,
    has_changed: bool,
}

impl<'m> Position<'m> {
    fn start(map: &'m PrefixMap) -> Self {
        Self { map, context: Context::Open, is_in_tail: false, has_changed: false }
    }

    /// Passes `text` up to `limit`, or as far beyond as something reaches that began before it, and
    /// appends what it becomes. The answer is where it stopped.
    fn rewrite(&mut self, text: &[u8], limit: usize, out: &mut Vec<u8>) -> usize {
        let mut from = 0;
        loop {
            if self.is_in_tail {
                let is_outside = |&byte: &u8| !is_word(byte) && byte != b'/';
                let length = text[from..].iter().position(is_outside);
                let end = length.map_or(text.len(), |length| from + length);
                out.extend_from_slice(&text[from..end]);
                if length.is_none() {
                    return end;
                }
                from = end;
                self.is_in_tail = false;
                // The next byte is neither of a word nor a slash, so whatever it follows is
                // forgotten after it.
                self.context = Context::Open;
            }
            let Some(found) = self.map.search().next(text, from, limit) else {
                let end = limit.max(from);
                self.pass(&text[from..end], out);
                return end;
            };
            self.pass(&text[from..found.at], out);
            if self.context == Context::Open {
                out.extend_from_slice(self.map.pair(found.index).1);
                from = found.end;
                self.is_in_tail = true;
                self.has_changed = true;
            } else {
                // Occurrences may overlap, so the search goes on one byte after a refused one.
                self.pass(&text[found.at..=found.at], out);
                from = found.at + 1;
            }
        }
    }

    /// Gives out bytes as they are.
    fn pass(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.context = self.context.after(text);
        out.extend_from_slice(text);
    }
}
