//! One string as Spack's YAML emitter writes it inside a flow collection.
//!
//! The rules are those of the ruamel.yaml that Spack carries (`analyze_scalar`,
//! `choose_scalar_style` and `write_double_quoted` in `emitter.py`, the YAML 1.2 table in
//! `resolver.py`), with unlimited width and Unicode allowed.
//!
//! In two cases that emitter writes what no reader turns back into the same string, and here the
//! string is quoted instead: text that starts with `? ` or `: ` left plain, and the line breaks
//! U+0085, U+2028 and U+2029 written as themselves between single quotes.

/// Longer keys need a `?` before them: the emitter counts 128 characters with the tag `!!str`.
const LONGEST_SIMPLE_KEY: usize = 122;

/// Appends `text` in the style the emitter would choose.
pub(super) fn write(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else if text.chars().any(needs_escape) || text.contains('\'') {
        write_double_quoted(out, text);
    } else {
        out.push('\'');
        out.push_str(text);
        out.push('\'');
    }
}

/// Appends `text` as the key of a mapping, with the colon and the space after it.
pub(super) fn write_key(out: &mut String, text: &str) {
    let is_simple = text.chars().count() <= LONGEST_SIMPLE_KEY && !text.contains(is_break);
    out.push_str(if is_simple { "" } else { "? " });
    write(out, text);
    out.push_str(if is_simple { ": " } else { " : " });
}

/// Whether the text may stand without quotes.
fn is_plain(text: &str) -> bool {
    const LEADING: &[char] =
        &['#', ',', '[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ' '];
    if text.is_empty()
        || text.starts_with(LEADING)
        || text.ends_with([' ', ':'])
        || text.starts_with("---")
        || text.starts_with("...")
        || text.chars().any(needs_escape)
    {
        return false;
    }
    // A question mark, a colon or a hyphen starts a plain scalar only before something else.
    let mut characters = text.chars();
    if matches!(characters.next(), Some('?' | ':' | '-'))
        && matches!(characters.next(), None | Some(' '))
    {
        return false;
    }
    // All other white space needs an escape, so here it is the space alone.
    !text.contains([',', '[', ']', '{', '}'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !is_other_type(text)
}

/// What can only be written between double quotes. Plain and single-quoted text holds printable
/// characters; a line feed is one to the emitter, yet leads to double quotes as well.
fn needs_escape(character: char) -> bool {
    is_break(character)
        || !matches!(character,
            ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        || character == '\u{feff}'
}

fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn write_double_quoted(out: &mut String, text: &str) {
    use std::fmt::Write as _;

    out.push('"');
    for character in text.chars() {
        let code = u32::from(character);
        let written = match character {
            '\0' => out.write_str("\\0"),
            '\x07' => out.write_str("\\a"),
            '\x08' => out.write_str("\\b"),
            '\t' => out.write_str("\\t"),
            '\n' => out.write_str("\\n"),
            '\x0b' => out.write_str("\\v"),
            '\x0c' => out.write_str("\\f"),
            '\r' => out.write_str("\\r"),
            '\x1b' => out.write_str("\\e"),
            '"' => out.write_str("\\\""),
            '\\' => out.write_str("\\\\"),
            '\u{85}' => out.write_str("\\N"),
            '\u{2028}' => out.write_str("\\L"),
            '\u{2029}' => out.write_str("\\P"),
            '\u{feff}' => out.write_str("\\uFEFF"),
            ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => {
                out.write_char(character)
            }
            _ if code <= 0xff => write!(out, "\\x{code:02X}"),
            _ if code <= 0xffff => write!(out, "\\u{code:04X}"),
            _ => write!(out, "\\U{code:08X}"),
        };
        written.expect("writing to a string cannot fail");
    }
    out.push('"');
}

/// Whether the plain text would be read as something other than a string.
fn is_other_type(text: &str) -> bool {
    match text {
        "~" | "null" | "Null" | "NULL" | "true" | "True" | "TRUE" | "false" | "False" | "FALSE"
        | "<<" | "=" | ".nan" | ".NaN" | ".NAN" => return true,
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF")
        || is_integer(text, unsigned)
        || is_float(unsigned)
        || is_timestamp(text)
}

/// `[-+]?0b[0-1_]+ | [-+]?0o?[0-7_]+ | [-+]?[0-9_]+ | [-+]?0x[0-9a-fA-F_]+`, where the text may not
/// start with an underscore: the resolver tries patterns by the first character.
fn is_integer(text: &str, unsigned: &str) -> bool {
    let all = |digits: &str, is_digit: fn(char) -> bool| {
        !digits.is_empty() && digits.chars().all(|c| c == '_' || is_digit(c))
    };
    if text.starts_with('_') {
        return false;
    }
    all(unsigned, |c| c.is_ascii_digit())
        || unsigned.strip_prefix("0b").is_some_and(|digits| all(digits, |c| c.is_digit(2)))
        || unsigned.strip_prefix("0o").is_some_and(|digits| all(digits, |c| c.is_digit(8)))
        || unsigned.strip_prefix("0x").is_some_and(|digits| all(digits, |c| c.is_ascii_hexdigit()))
}

/// `[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)? | [0-9][0-9_]*[eE][-+]?[0-9]+ | \.[0-9_]+([eE][-+][0-9]+)?`
fn is_float(unsigned: &str) -> bool {
    let digits = |part: &str| part.chars().all(|c| c == '_' || c.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let power = exponent.map(|power| power.strip_prefix(['-', '+']).unwrap_or(power));
    if power.is_some_and(|power| power.is_empty() || !power.chars().all(|c| c.is_ascii_digit())) {
        return false;
    }
    match mantissa.split_once('.') {
        // Without a digit before the point the exponent must have its sign.
        Some(("", fraction)) => {
            !fraction.is_empty() && digits(fraction) && (exponent.is_none() || exponent != power)
        }
        Some((whole, fraction)) => starts_with_digit(whole) && digits(whole) && digits(fraction),
        None => exponent.is_some() && starts_with_digit(mantissa) && digits(mantissa),
    }
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// A date, or a date and a time as in YAML 1.1: `2001-12-14`, `2001-12-14t21:59:43.10-05:00`.
fn is_timestamp(text: &str) -> bool {
    is_date(text) || date_and_time(text).is_some_and(str::is_empty)
}

/// `[0-9]{4}-[0-9]{2}-[0-9]{2}`
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// What remains of the text after a date and a time:
/// `[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?`
/// `([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?`
fn date_and_time(text: &str) -> Option<&str> {
    let rest = number(text, 4, 4)?.strip_prefix('-')?;
    let rest = number(rest, 1, 2)?.strip_prefix('-')?;
    let rest = number(rest, 1, 2)?;
    let rest = match rest.strip_prefix(['T', 't']) {
        Some(rest) => rest,
        None => rest.strip_prefix(' ')?.trim_start_matches(' '),
    };
    let rest = number(rest, 1, 2)?.strip_prefix(':')?;
    let rest = number(rest, 2, 2)?.strip_prefix(':')?;
    let rest = number(rest, 2, 2)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    if rest.is_empty() {
        return Some(rest);
    }
    let zone = rest.trim_start_matches(' ');
    if let Some(rest) = zone.strip_prefix('Z') {
        return Some(rest);
    }
    let rest = number(zone.strip_prefix(['-', '+'])?, 1, 2)?;
    match rest.strip_prefix(':') {
        Some(minutes) => number(minutes, 2, 2),
        None => Some(rest),
    }
}

/// What remains after a run of digits of the given length.
fn number(text: &str, least: usize, most: usize) -> Option<&str> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let length = text.len() - rest.len();
    (least..=most).contains(&length).then_some(rest)
}
