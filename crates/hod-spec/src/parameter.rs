//! Variants and compiler flags, the `parameters` of a node (`spack-format` 2.1).

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::python::{write_compact, write_string};
use crate::spec::{field, write_list};
use crate::text::{Pairs, Text};

/// The keys that are compiler flags and not variants.
const FLAGS: [&str; 6] = ["cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs"];

/// Writes the field `parameters` as Spack does: variants by name, then flags by name; several
/// values of one variant in order and once; booleans as such, even if they were strings.
pub(crate) fn write_sorted(out: &mut String, parameters: &str) {
    let pairs: Pairs<'_> = serde_json::from_str(parameters).unwrap_or_default();
    // By whether it is a flag, then by name.
    let sorted: BTreeMap<(bool, Text<'_>), &RawValue> =
        pairs.0.into_iter().map(|(name, value)| ((FLAGS.contains(&&*name), name), value)).collect();
    if sorted.is_empty() {
        return;
    }
    let mut object = String::new();
    for ((is_flag, name), value) in sorted {
        let out = field(&mut object, &name);
        if is_flag { write_compact(out, value.get()) } else { write_variant(out, value.get()) }
    }
    object.push('}');
    field(out, "parameters").push_str(&object);
}

fn write_variant(out: &mut String, value: &str) {
    if let Ok(mut values) = serde_json::from_str::<Vec<Text<'_>>>(value) {
        values.sort();
        values.dedup();
        write_list(out, ('[', ']'), &values, |out, value| write_string(out, value));
        return;
    }
    match serde_json::from_str::<Text<'_>>(value) {
        Ok(text) if text.eq_ignore_ascii_case("true") => out.push_str("true"),
        Ok(text) if text.eq_ignore_ascii_case("false") => out.push_str("false"),
        _ => write_compact(out, value),
    }
}
