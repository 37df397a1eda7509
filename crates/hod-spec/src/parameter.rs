//! Variants and compiler flags, the `parameters` of a node (`spack-format` 2.1).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Spec;
use crate::python::{write_compact, write_string};
use crate::spec::{field, write_list};
use crate::text::{Pairs, Text};

/// The keys that are compiler flags and not variants.
pub(crate) const FLAGS: [&str; 6] =
    ["cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs"];

/// Variants and compiler flags of one spec, each sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    /// How the package was configured.
    pub variants: BTreeMap<Box<str>, Variant>,
    /// What was given to the compiler besides, by kind: `cflags` and five others.
    pub flags: BTreeMap<Box<str>, Vec<Box<str>>>,
}

/// The value of one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variant {
    /// On or off.
    Bool(bool),
    /// One value.
    One(Box<str>),
    /// Any number of values, sorted, each once.
    Many(Vec<Box<str>>),
}

impl Spec {
    /// Reads variants and flags. What has not the form it should have is left out.
    pub fn parameters(&self) -> Parameters {
        #[derive(Deserialize)]
        struct Node<'a> {
            #[serde(borrow, default)]
            parameters: Option<&'a RawValue>,
            #[serde(borrow, default)]
            patches: Option<&'a RawValue>,
        }
        let Ok(node) = serde_json::from_str::<Node<'_>>(self.text()) else {
            return Parameters::default();
        };
        let pairs = node.parameters.and_then(|json| serde_json::from_str(json.get()).ok());
        let mut parameters = Parameters::default();
        for (name, value) in pairs.unwrap_or(Pairs::default()).0 {
            if FLAGS.contains(&&*name) {
                if let Ok(flags) = serde_json::from_str(value.get()) {
                    parameters.flags.insert(name.into(), flags);
                }
            } else if let Some(variant) = Variant::parse(value.get()) {
                parameters.variants.insert(name.into(), variant);
            }
        }
        // What is beside the parameters, in order of application, counts more than what is in them.
        if let Some(Variant::Many(patches)) =
            node.patches.and_then(|json| Variant::parse(json.get()))
            && !patches.is_empty()
        {
            parameters.variants.insert("patches".into(), Variant::Many(patches));
        }
        parameters
    }

    /// The hash of the recipe this was built with: opaque, since computing it takes Python. Absent
    /// in specs of before version 3.
    pub fn package_hash(&self) -> Option<Box<str>> {
        #[derive(Deserialize)]
        struct Node {
            #[serde(default)]
            package_hash: Option<Box<str>>,
        }
        serde_json::from_str::<Node>(self.text()).ok()?.package_hash
    }
}

impl Variant {
    /// As Spack reads it: a list has many values, a text that says so is a boolean.
    fn parse(json: &str) -> Option<Self> {
        let text = match json.as_bytes().first()? {
            b'[' => {
                let mut values: Vec<Text<'_>> = serde_json::from_str(json).ok()?;
                values.sort();
                values.dedup();
                return Some(Self::Many(values.into_iter().map(Into::into).collect()));
            }
            b'{' => return None,
            b'"' => serde_json::from_str(json).ok()?,
            // Spack writes no numbers and nulls here, and reads them as Python prints them.
            b'n' => Text("None".into()),
            _ => Text(json.into()),
        };
        Some(match &*text {
            text if text.eq_ignore_ascii_case("true") => Self::Bool(true),
            text if text.eq_ignore_ascii_case("false") => Self::Bool(false),
            text => Self::One(text.into()),
        })
    }
}

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
        match Variant::parse(value.get()) {
            Some(Variant::Bool(value)) if !is_flag => {
                out.push_str(if value { "true" } else { "false" });
            }
            Some(Variant::Many(values)) if !is_flag => {
                write_list(out, ('[', ']'), &values, |out, value| write_string(out, value));
            }
            _ => write_compact(out, value.get()),
        }
    }
    object.push('}');
    field(out, "parameters").push_str(&object);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::on("true", Some(Variant::Bool(true)))]
    #[case::off_as_text(r#""False""#, Some(Variant::Bool(false)))]
    #[case::one(r#""Release""#, Some(Variant::One("Release".into())))]
    #[case::empty(r#""""#, Some(Variant::One("".into())))]
    #[case::number("17", Some(Variant::One("17".into())))]
    #[case::null("null", Some(Variant::One("None".into())))]
    #[case::text_of_null(r#""null""#, Some(Variant::One("null".into())))]
    #[case::bracket(r#""[x""#, Some(Variant::One("[x".into())))]
    #[case::none("[]", Some(Variant::Many(vec![])))]
    #[case::many(r#"["b","a","b"]"#, Some(Variant::Many(vec!["a".into(), "b".into()])))]
    #[case::object("{}", None)]
    #[case::list_of_numbers("[1]", None)]
    fn values_are_read(#[case] json: &str, #[case] expected: Option<Variant>) {
        assert_eq!(Variant::parse(json), expected);
    }
}
