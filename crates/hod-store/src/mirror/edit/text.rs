//! The text of a file changed so that it says something else, with the crate `yaml-edit`. Nothing
//! here is trusted: the caller reads what comes out.

use std::str::FromStr as _;

use yaml_edit::{Mapping, MappingBuilder, SequenceBuilder, YamlFile, YamlNode};

use super::same;
use crate::yaml::{Key, Value, Yaml};

/// Texts that may say `wanted`, the best first. `old` is what `text` says.
pub(super) fn candidates(text: &str, old: Option<&Yaml>, wanted: &Yaml) -> Vec<String> {
    let Some(old) = old.and_then(Yaml::entries) else {
        return appended(text, wanted).into_iter().collect();
    };
    let Some(wanted) = wanted.entries() else { return Vec::new() };
    let Some(edited) = edited(text, old, wanted) else { return Vec::new() };
    let lifted = above_comment(text, &edited);
    lifted.into_iter().chain([edited]).collect()
}

/// A text that says nothing yet, such as one of comments, with all of `wanted` at its end.
fn appended(text: &str, wanted: &Yaml) -> Option<String> {
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let rendered = built(wanted.entries()?)?.build_document().to_string();
    text.push_str(rendered.trim_end_matches('\n'));
    text.push('\n');
    Some(text)
}

fn edited(text: &str, old: &[(Key, Yaml)], wanted: &[(Key, Yaml)]) -> Option<String> {
    let file = YamlFile::from_str(text).ok()?;
    let top = file.document()?.as_mapping()?;
    sync(&top, old, wanted)?;
    Some(file.to_string())
}

/// Makes a mapping say `new`, touching only what is not as in `old`.
fn sync(mapping: &Mapping, old: &[(Key, Yaml)], new: &[(Key, Yaml)]) -> Option<()> {
    let has = |entries: &[(Key, Yaml)], key: &Key| entries.iter().any(|(other, _)| other == key);
    for (key, _) in old.iter().filter(|(key, _)| !has(new, key)) {
        mapping.remove(&*written(key));
    }
    for (index, (key, value)) in new.iter().enumerate() {
        let name = written(key);
        let before = old.iter().find(|(other, _)| other == key).map(|(_, before)| before);
        let Some(before) = before else {
            mapping.insert_at_index(index, &*name, node(value)?);
            continue;
        };
        if same(before, value) {
            continue;
        }
        // What was `{}` gets lines of its own, as Spack writes it.
        let entries = before.entries().filter(|entries| !entries.is_empty());
        match (mapping.get_mapping(&*name), entries, value.entries()) {
            (Some(inner), Some(before), Some(value)) => sync(&inner, before, value)?,
            _ => mapping.set(&*name, node(value)?),
        }
    }
    Some(())
}

/// A key as it stands in the file.
fn written(key: &Key) -> String {
    if key.replaces { format!("{}:", key.text) } else { key.text.clone() }
}

/// A value to be put into a file; quotes are up to `yaml-edit`.
fn node(value: &Yaml) -> Option<YamlNode> {
    let key = Key { text: "value".to_owned(), replaces: false };
    built(&[(key, value.clone())])?.build_document().get("value")
}

fn built(entries: &[(Key, Yaml)]) -> Option<MappingBuilder> {
    let mut builder = MappingBuilder::new();
    for (key, value) in entries {
        let key = written(key);
        builder = match &value.value {
            Value::Map(entries) => builder.insert_mapping(key, built(entries)?),
            Value::List(items) => {
                let items = items.iter().map(Yaml::text).collect::<Option<Vec<_>>>()?;
                let add = |list: SequenceBuilder, item: &&str| list.item(*item);
                builder.insert_sequence(key, items.iter().fold(SequenceBuilder::new(), add))
            }
            Value::Scalar { text, .. } => match value.boolean() {
                Some(boolean) => builder.pair(key, boolean),
                None => builder.pair(key, &**text),
            },
        };
    }
    Some(builder)
}

/// `yaml-edit` puts a new first entry below the comment that stands above the one which was first
/// until now. With the comment left where it belongs: the lines that are new, above it.
fn above_comment(before: &str, after: &str) -> Option<String> {
    let old: Vec<&str> = before.split_inclusive('\n').collect();
    let new: Vec<&str> = after.split_inclusive('\n').collect();
    let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let added = new.len().checked_sub(old.len()).filter(|added| *added > 0)?;
    // Nothing but an insertion.
    if old[start..] != new[start + added..] {
        return None;
    }
    let is_comment = |line: &&&str| line.trim_start().starts_with('#') && line.starts_with(' ');
    let above = old[..start].iter().rev().take_while(is_comment).count();
    let (head, comment) = old[..start].split_at(start - above);
    let parts = [head, &new[start..start + added], comment, &old[start..]];
    (above > 0).then(|| parts.concat().concat())
}
