//! A JSON object whose values are never looked at: what a base image's config says survives
//! character for character, whatever it means.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Keys in their order, with their values as text.
#[derive(Debug, Clone, Default)]
pub(super) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    pub(super) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The value of a key as text.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.get())
    }

    /// The object a key holds; an empty one if it holds none.
    pub(super) fn object(&self, key: &str) -> Self {
        let text = self.get(key).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Gives a key a value: in its place if it is there, else at the end.
    pub(super) fn set(
        &mut self,
        key: &str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), serde_json::Error> {
        let value = to_raw_value(value)?;
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, place)) => *place = value,
            None => self.0.push((key.to_owned(), value)),
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|(known, _)| known != key);
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut object = Object::default();
        while let Some(key) = map.next_key::<String>()? {
            if object.get(&key).is_some() {
                return Err(serde::de::Error::custom(format_args!("the key `{key}` comes twice")));
            }
            object.0.push((key, map.next_value()?));
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_stays_as_it_was_written() {
        let text = r#"{"b": 1.50e3,"a":{ "x" : null },"c":"\u00e9"}"#;
        let mut object = Object::parse(text.as_bytes()).unwrap();
        object.set("a", &[1]).unwrap();
        object.set("d", "new").unwrap();
        object.remove("e");
        let expected = r#"{"b":1.50e3,"a":[1],"c":"\u00e9","d":"new"}"#;
        assert_eq!(serde_json::to_string(&object).unwrap(), expected);
        assert!(Object::parse(br#"{"a":1,"a":2}"#).is_err());
    }
}
