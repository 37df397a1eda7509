//! JSON as Python's `json.dumps(…, ensure_ascii=True, separators=(",", ":"))` writes it, which is
//! what Spack hashes and stores (`spack-format` 2.2). Not a general serializer: it turns one text
//! into another and so keeps what a tree of values would lose, such as the digits of an integer.

use std::fmt::Write;

/// Appends the JSON text `json` as Python would write it after reading it.
///
/// `json` must have been parsed once, as all text of a [`RawJson`](crate::RawJson) was. Does not
/// recurse, so that nesting costs nothing.
pub(crate) fn write_compact(out: &mut String, json: &str) {
    let mut rest = json;
    while let Some(&first) = rest.as_bytes().first() {
        let length = match first {
            b' ' | b'\t' | b'\n' | b'\r' => {
                rest = &rest[1..];
                continue;
            }
            b'"' => {
                let length = string_length(rest);
                rewrite_string(out, &rest[..length]);
                length
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = rest.bytes().take_while(is_part).count();
                write_number(out, &rest[..length]);
                length
            }
            _ => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                out.push_str(&rest[..length]);
                length
            }
        };
        rest = &rest[length..];
    }
}

/// Appends `text` as a JSON string.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        write_character(out, character);
    }
    out.push('"');
}

/// How long the JSON string at the start of `json` is, with its quotes.
fn string_length(json: &str) -> usize {
    let bytes = json.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

fn rewrite_string(out: &mut String, string: &str) {
    if string.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\') {
        out.push_str(string);
        return;
    }
    out.push('"');
    let mut characters = string.get(1..string.len() - 1).unwrap_or_default().chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            write_character(out, character);
            continue;
        }
        match characters.next() {
            Some('u') => {
                let unit =
                    characters.as_str().get(..4).and_then(|d| u32::from_str_radix(d, 16).ok());
                characters.nth(3);
                match unit.map(char::from_u32) {
                    Some(Some(character)) => write_character(out, character),
                    // Half of a pair. Python joins the halves and parts them again, or keeps the
                    // one half there is; both give what was there.
                    Some(None) => write_unit(out, unit.unwrap_or_default()),
                    None => {}
                }
            }
            Some('b') => write_character(out, '\u{8}'),
            Some('f') => write_character(out, '\u{c}'),
            Some('n') => write_character(out, '\n'),
            Some('r') => write_character(out, '\r'),
            Some('t') => write_character(out, '\t'),
            Some(character) => write_character(out, character),
            None => {}
        }
    }
    out.push('"');
}

fn write_character(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        ' '..='~' => out.push(character),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write_unit(out, u32::from(*unit));
            }
        }
    }
}

fn write_unit(out: &mut String, unit: u32) {
    write!(out, "\\u{unit:04x}").expect("a string takes everything");
}

fn write_number(out: &mut String, number: &str) {
    if number.contains(['.', 'e', 'E']) {
        match number.parse::<f64>() {
            Ok(value) if value.is_finite() => write_float(out, value),
            // Python would write what is too large for it as `Infinity`, which is no JSON.
            _ => out.push_str(number),
        }
    } else {
        // Python's integers have any size, and no negative zero.
        out.push_str(if number == "-0" { "0" } else { number });
    }
}

/// `repr(float)`: the shortest digits that are read back as the same number, in scientific
/// notation below 1e-4 and from 1e16. `value` must be finite: JSON has nothing else.
pub fn write_float(out: &mut String, value: f64) {
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        out.push_str(&plain);
        if !plain.contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{mantissa}e{sign}{:02}", exponent.abs()).expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // The right side is `json.dumps(json.loads(left), separators=(",", ":"))` of Python 3.11.
    #[rstest]
    #[case::spaces("{ \"a\" :\n\t[ 1 , true , null ] }", r#"{"a":[1,true,null]}"#)]
    #[case::spaces_in_strings(r#"" a : b ""#, r#"" a : b ""#)]
    #[case::quotes(r#""a\"b\\c\/d""#, r#""a\"b\\c/d""#)]
    #[case::controls(r#""\b\f\n\r\t\u0000\u001F""#, r#""\b\f\n\r\t\u0000\u001f""#)]
    #[case::delete("\"\u{7f}\"", r#""\u007f""#)]
    #[case::latin("\"é\"", r#""\u00e9""#)]
    #[case::escaped_ascii(r#""\u0041\u0022\u005c""#, r#""A\"\\""#)]
    #[case::escaped_case(r#""\u00E9\u20AC""#, r#""\u00e9\u20ac""#)]
    #[case::astral("\"\u{1f600}\"", r#""\ud83d\ude00""#)]
    #[case::astral_escaped(r#""\uD83D\uDE00""#, r#""\ud83d\ude00""#)]
    #[case::half_a_pair(r#""\uD83D x""#, r#""\ud83d x""#)]
    #[case::key_that_is_not_ascii("{\"ü\":1}", r#"{"\u00fc":1}"#)]
    #[case::integers("[0,-0,-17,12345678901234567890123]", "[0,0,-17,12345678901234567890123]")]
    #[case::floats("[1.0,0.10,-0.0,1.5e3,100E-2]", "[1.0,0.1,-0.0,1500.0,1.0]")]
    #[case::large_floats("[1e15,1e16,1.25E+22]", "[1000000000000000.0,1e+16,1.25e+22]")]
    #[case::small_floats("[0.0001,0.00001,-1.5e-7,5e-324]", "[0.0001,1e-05,-1.5e-07,5e-324]")]
    #[case::time("1744963943.3079917", "1744963943.3079917")]
    #[case::too_large_for_python("[1e999,-1E999]", "[1e999,-1E999]")]
    #[case::empty("{}", "{}")]
    fn text_becomes_what_python_writes(#[case] text: &str, #[case] expected: &str) {
        let mut out = String::new();
        write_compact(&mut out, text);
        assert_eq!(out, expected);
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        let mut out = String::new();
        write_compact(&mut out, &deep);
        assert_eq!(out, deep);
    }
}
