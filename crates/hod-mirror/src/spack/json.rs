//! JSON in the two forms in which Spack writes it into build caches.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// One token per line and no indentation, because `gpg` cuts clear-signed lines at 19 995
/// characters (`spack-format` 4.2). Python's `json.dump(…, indent=0, separators=(",", ":"))`.
pub(super) fn one_token_per_line(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, OneTokenPerLine::default());
    value.serialize(&mut serializer).expect("writing into memory does not fail");
    text
}

#[derive(Default)]
struct OneTokenPerLine {
    /// Whether the innermost list or map has something in it: an empty one stays on its line.
    has_value: bool,
}

impl OneTokenPerLine {
    fn open<W: ?Sized + io::Write>(&mut self, to: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.has_value = false;
        to.write_all(bracket)
    }

    fn close<W: ?Sized + io::Write>(&mut self, to: &mut W, bracket: &[u8]) -> io::Result<()> {
        if self.has_value {
            to.write_all(b"\n")?;
        }
        self.has_value = true;
        to.write_all(bracket)
    }
}

fn separate<W: ?Sized + io::Write>(to: &mut W, is_first: bool) -> io::Result<()> {
    to.write_all(if is_first { b"\n" } else { b",\n" })
}

impl Formatter for OneTokenPerLine {
    fn begin_array<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.open(to, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.close(to, b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        to: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        separate(to, is_first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.open(to, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.close(to, b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        to: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        separate(to, is_first)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }
}

/// JSON without the white space between its tokens; the tokens stay as they were written. `text`
/// must be JSON.
pub(crate) fn compact(text: &str) -> String {
    let mut compact = String::with_capacity(text.len());
    let (mut is_string, mut is_escape) = (false, false);
    for c in text.chars() {
        if !is_string && c.is_ascii_whitespace() {
            continue;
        }
        is_string ^= c == '"' && !is_escape;
        is_escape = is_string && c == '\\' && !is_escape;
        compact.push(c);
    }
    compact
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn white_space_is_pythons() {
        let value = json!({"a": [], "b": {}, "c": [[1, "x"], {"d": null}], "e": 2});
        let expected =
            "{\n\"a\":[],\n\"b\":{},\n\"c\":[\n[\n1,\n\"x\"\n],\n{\n\"d\":null\n}\n],\n\"e\":2\n}";
        assert_eq!(one_token_per_line(&value), expected.as_bytes());
    }

    #[test]
    fn tokens_survive_when_the_space_between_them_goes() {
        let text = "{ \"a b\" :\t[ 1.50 , \"\\\" \\\\\" ,\r\n\" \\\\\\\" \" , \"\" ] }";
        assert_eq!(compact(text), r#"{"a b":[1.50,"\" \\"," \\\" ",""]}"#);
    }
}
