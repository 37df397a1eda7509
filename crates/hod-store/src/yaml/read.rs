//! A value from YAML events.
//!
//! A configuration is anybody's file that happens to lie where Spack looks, so depth and size are
//! bounded, aliases included.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::{Key, Place, Value, Yaml, YamlError as Error};

const DEPTH: usize = 64;
const SIZE: usize = 1_000_000;

/// Reads a file of one document. `None` if there is nothing in it.
pub(crate) fn parse(bytes: &[u8], file: &Path) -> Result<Option<Yaml>, Error> {
    let text = std::str::from_utf8(bytes)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (shielded, dash) = crate::buildinfo::shield(text);
    let mut reader = Reader {
        file: file.into(),
        dash,
        stack: Vec::new(),
        anchors: HashMap::new(),
        size: 0,
        documents: 0,
        document: None,
    };
    for event in Parser::new_from_str(&shielded) {
        let (event, span) = event?;
        reader.take(event, span.start)?;
    }
    Ok(reader.document.filter(|document| !document.is_null()))
}

struct Reader {
    file: Arc<Path>,
    /// What stands for a dash in the text.
    dash: Option<char>,
    stack: Vec<Frame>,
    /// What was given a name, and how large and deep it is.
    anchors: HashMap<usize, (Yaml, usize, usize)>,
    size: usize,
    documents: usize,
    document: Option<Yaml>,
}

/// A collection whose end has not come yet.
struct Frame {
    collection: Collection,
    anchor: usize,
    place: Place,
}

enum Collection {
    List(Vec<Yaml>),
    Map {
        entries: Vec<(Key, Yaml)>,
        /// Read, and still without its value.
        key: Option<Key>,
        /// The values of `<<`.
        merged: Vec<Yaml>,
    },
}

impl Reader {
    fn take(&mut self, event: Event<'_>, mark: Marker) -> Result<(), Error> {
        let place = self.place(mark);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Error::SeveralDocuments);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let text = match self.dash {
                    Some(dash) => text.replace(dash, "-"),
                    None => text.into_owned(),
                };
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let value = Yaml { value: Value::Scalar { text, is_plain }, place };
                self.complete(value, anchor)?;
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(Collection::List(Vec::new()), anchor, place)?;
            }
            Event::MappingStart(anchor, _) => {
                let map = Collection::Map { entries: vec![], key: None, merged: vec![] };
                self.begin(map, anchor, place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.stack.pop() {
                    let value = match frame.collection {
                        Collection::List(items) => Value::List(items),
                        Collection::Map { entries, merged, .. } => {
                            Value::Map(with(entries, merged)?)
                        }
                    };
                    self.complete(Yaml { value, place: frame.place }, frame.anchor)?;
                }
            }
            Event::Alias(anchor) => {
                let (line, column) = (place.line, place.column);
                let known = self.anchors.get(&anchor);
                let (value, size, depth) =
                    known.cloned().ok_or(Error::EndlessAlias { line, column })?;
                if self.stack.len() + depth > DEPTH {
                    return Err(Error::TooDeep { line, column, limit: DEPTH });
                }
                self.grow(size)?;
                self.insert(value)?;
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
        }
        Ok(())
    }

    fn place(&self, mark: Marker) -> Place {
        Place { file: Arc::clone(&self.file), line: mark.line(), column: mark.col() + 1 }
    }

    fn begin(&mut self, collection: Collection, anchor: usize, place: Place) -> Result<(), Error> {
        if self.stack.len() >= DEPTH {
            let (line, column) = (place.line, place.column);
            return Err(Error::TooDeep { line, column, limit: DEPTH });
        }
        self.stack.push(Frame { collection, anchor, place });
        Ok(())
    }

    fn grow(&mut self, by: usize) -> Result<(), Error> {
        self.size += by;
        if self.size > SIZE { Err(Error::TooLarge { limit: SIZE }) } else { Ok(()) }
    }

    /// A value whose end has come.
    fn complete(&mut self, value: Yaml, anchor: usize) -> Result<(), Error> {
        self.grow(1)?;
        if anchor > 0 {
            let (size, depth) = (size(&value), depth(&value));
            // A copy is kept, too.
            self.grow(size)?;
            self.anchors.insert(anchor, (value.clone(), size, depth));
        }
        self.insert(value)
    }

    fn insert(&mut self, value: Yaml) -> Result<(), Error> {
        let Some(frame) = self.stack.last_mut() else {
            self.document = Some(value);
            return Ok(());
        };
        match &mut frame.collection {
            Collection::List(items) => items.push(value),
            Collection::Map { entries, key: pending, merged } => match pending.take() {
                None => *pending = Some(key(value)?),
                Some(key) if key.text == "<<" => merged.push(value),
                Some(key) => entries.push((key, value)),
            },
        }
        Ok(())
    }
}

fn key(value: Yaml) -> Result<Key, Error> {
    let Place { line, column, .. } = value.place;
    let Value::Scalar { mut text, .. } = value.value else {
        return Err(Error::Key { line, column });
    };
    // Not the specs that are keys in `packages.yaml`: `OrderedLineConstructor` in `spack_yaml.py`.
    let replaces = text.ends_with(':') && !text.contains('@');
    if replaces {
        text.pop();
    }
    Ok(Key { text, replaces })
}

/// A mapping with what `<<` adds to it: keys that it does not have itself.
fn with(mut entries: Vec<(Key, Yaml)>, merged: Vec<Yaml>) -> Result<Vec<(Key, Yaml)>, Error> {
    let mut keys = HashSet::with_capacity(entries.len());
    for (key, value) in &entries {
        if !keys.insert(key.text.clone()) {
            let Place { line, column, .. } = value.place;
            return Err(Error::DuplicateKey { line, column, key: key.text.clone() });
        }
    }
    for value in merged {
        let Place { line, column, .. } = value.place;
        let maps = match value.value {
            Value::List(items) => items,
            Value::Map(_) => vec![value],
            Value::Scalar { .. } => return Err(Error::MergeKey { line, column }),
        };
        for map in maps {
            let Value::Map(more) = map.value else { return Err(Error::MergeKey { line, column }) };
            entries.extend(more.into_iter().filter(|(key, _)| keys.insert(key.text.clone())));
        }
    }
    Ok(entries)
}

fn size(value: &Yaml) -> usize {
    1 + match &value.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, value)| size(value)).sum(),
    }
}

fn depth(value: &Yaml) -> usize {
    match &value.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
    }
}
