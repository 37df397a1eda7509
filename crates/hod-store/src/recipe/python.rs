//! As much Python as it takes to find a directive in the body of a class.

use super::Redistribution;

/// The package classes of Spack's own repository that forbid it for all that derive from them.
const FORBIDDING: &str = "IntelOneApi";

/// What a recipe says, by its text alone. Nothing is executed, so what is not literally `False`
/// is a condition.
pub(super) fn redistribution(text: &str) -> Redistribution {
    let text = without_strings(text);
    let mut verdict = Redistribution::Allowed;
    if classes(&text).any(|bases| bases.split(',').any(|base| base.trim().starts_with(FORBIDDING)))
    {
        return Redistribution::Forbidden;
    }
    for (start, _) in text.match_indices("redistribute") {
        let Some(arguments) = call(&text, start) else { continue };
        let mut says_no = None;
        let mut is_conditional = !is_in_class_body(&text, start);
        for argument in arguments {
            match argument.split_once('=') {
                Some((name, value)) if name.trim() == "binary" => says_no = Some(value.trim()),
                Some((name, _)) if name.trim() == "when" => is_conditional = true,
                _ => {}
            }
        }
        match says_no {
            None | Some("True" | "None") => {}
            Some("False") if !is_conditional => return Redistribution::Forbidden,
            Some(_) => verdict = Redistribution::Conditional,
        }
    }
    verdict
}

/// The text with blanks for what is in strings and comments, at the same offsets in characters.
fn without_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => string(rest, first),
            _ => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        let (blank, after) = rest.split_at(length);
        out.extend(blank.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    out
}

/// The length of the string literal at the beginning of `text`.
fn string(text: &str, quote: char) -> usize {
    let triple = [quote; 3].iter().collect::<String>();
    let end: &str = if text.starts_with(&triple) { &triple } else { &triple[..1] };
    let mut at = end.len();
    while let Some(next) = text[at..].chars().next() {
        if text[at..].starts_with(end) {
            return at + end.len();
        }
        at += next.len_utf8();
        if next == '\\' {
            at += text[at..].chars().next().map_or(0, char::len_utf8);
        }
        if next == '\n' && end.len() == 1 {
            return at;
        }
    }
    text.len()
}

/// What the classes of a recipe derive from.
fn classes(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (_, bases) = line.strip_prefix("class ")?.split_once('(')?;
        Some(bases.split(')').next().unwrap_or(bases))
    })
}

/// The arguments of a call of the name at `start`, if it is one.
fn call(text: &str, start: usize) -> Option<Vec<&str>> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    if text[..start].ends_with(is_name) {
        return None;
    }
    let after = text[start..].trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    if text.len() - after.len() - start != "redistribute".len() {
        return None;
    }
    let inner = after.trim_start_matches([' ', '\t']).strip_prefix('(')?;
    let (mut depth, mut from, mut arguments) = (0_usize, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            ')' if depth == 0 => {
                arguments.push(&inner[from..at]);
                return Some(arguments);
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                arguments.push(&inner[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// Whether the line of a statement is directly in the body of a class, and not in a `with` or
/// `if` there.
fn is_in_class_body(text: &str, start: usize) -> bool {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let own = indentation(&text[line_start..start]).max(start - line_start);
    let above = text[..line_start].lines().rev().filter(|line| !line.trim().is_empty());
    for line in above {
        if indentation(line) < own {
            return line.trim_start().starts_with("class ");
        }
    }
    false
}
