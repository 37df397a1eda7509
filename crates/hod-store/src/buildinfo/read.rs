//! Build information from YAML events.
//!
//! The text may be anybody's, so no tree is built: two levels are read, and what is deeper in
//! unknown keys is passed over. Aliases, which Spack never writes, are refused with it.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::{BuildInfo, ParseBuildInfoError as Error};

/// What a null stands for where a collection is expected.
const NULLS: [&str; 5] = ["", "~", "null", "Null", "NULL"];

pub(super) fn build_info(text: &str) -> Result<BuildInfo, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // JSON is YAML but for its surrogate pairs, which are gone once it is written again.
    let json = serde_json::from_str::<serde_json::Value>(text).map(|value| value.to_string());
    let text = json.as_deref().unwrap_or(text);

    let (shielded, dash) = shield(text);
    let mut events = Events { parser: Parser::new_from_str(&shielded), dash };
    loop {
        match events.next()? {
            Event::StreamStart | Event::DocumentStart(_) => {}
            Event::MappingStart(..) => break,
            _ => return Err(Error::NotAMapping),
        }
    }

    let mut info = BuildInfo::default();
    let (mut buildpath, mut hash_to_prefix, mut prefix_to_hash) = (None, None, None);
    let (mut binaries, mut textfiles) = (None, None);
    while let Some(key) = events.key()? {
        match key.as_str() {
            "sbang_install_path" => info.sbang_install_path = Some(events.text(&key)?),
            "buildpath" => buildpath = Some(events.text(&key)?),
            "spackprefix" => info.spackprefix = events.text(&key)?,
            "relative_prefix" => info.relative_prefix = events.text(&key)?,
            "hardlinks_deduped" => {
                info.hardlinks_deduped = events.text(&key)?.eq_ignore_ascii_case("true");
            }
            "hash_to_prefix" => hash_to_prefix = Some(events.pairs(&key)?),
            "prefix_to_hash" => prefix_to_hash = Some(events.pairs(&key)?),
            "relocate_binaries" => binaries = Some(events.list(&key)?),
            "relocate_links" => info.relocate_links = events.list(&key)?,
            "relocate_textfiles" => textfiles = Some(events.list(&key)?),
            _ => events.skip()?,
        }
    }

    let missing = |key| Error::Missing { key };
    info.buildpath = buildpath.ok_or(missing("buildpath"))?;
    info.hash_to_prefix =
        hash_to_prefix.or_else(|| prefix_to_hash.map(inverted)).ok_or(missing("hash_to_prefix"))?;
    info.relocate_binaries = binaries.ok_or(missing("relocate_binaries"))?;
    info.relocate_textfiles = textfiles.ok_or(missing("relocate_textfiles"))?;
    Ok(info)
}

/// saphyr-parser 0.3.3 takes the last word of a plain scalar such as `[a -]`, which Spack's YAML
/// writes and reads, for the beginning of a list item. Such dashes are hidden from it behind a
/// private character that the text does not hold; it is returned too.
pub(crate) fn shield(text: &str) -> (Cow<'_, str>, Option<char>) {
    let ends = [',', ']', '}', '[', '{'];
    if !ends.iter().any(|end| text.contains(&format!(" -{end}"))) {
        return (Cow::Borrowed(text), None);
    }
    let Some(dash) = ('\u{100000}'..='\u{10fffd}').find(|dash| !text.contains(*dash)) else {
        return (Cow::Borrowed(text), None);
    };
    let hide = |text: String, end| text.replace(&format!(" -{end}"), &format!(" {dash}{end}"));
    (Cow::Owned(ends.into_iter().fold(text.to_owned(), hide)), Some(dash))
}

fn inverted(pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(prefix, hash)| (hash, prefix)).collect()
}

struct Events<'t> {
    parser: Parser<'t, StrInput<'t>>,
    dash: Option<char>,
}

impl<'t> Events<'t> {
    fn next(&mut self) -> Result<Event<'t>, Error> {
        let event = self.parser.next_event().transpose()?;
        Ok(event.map_or(Event::StreamEnd, |(event, _)| event))
    }

    /// A scalar's text as it was before [`shield`].
    fn own(&self, text: Cow<'_, str>) -> String {
        match self.dash {
            Some(dash) => text.replace(dash, "-"),
            None => text.into_owned(),
        }
    }

    /// The next key of the outermost mapping, or `None` at its end.
    fn key(&mut self) -> Result<Option<String>, Error> {
        match self.next()? {
            Event::Scalar(text, ..) => Ok(Some(self.own(text))),
            Event::MappingEnd => Ok(None),
            _ => Err(Error::NotAMapping),
        }
    }

    fn text(&mut self, key: &str) -> Result<String, Error> {
        match self.next()? {
            Event::Scalar(text, ..) => Ok(self.own(text)),
            _ => Err(mismatch(key, "text")),
        }
    }

    fn list(&mut self, key: &str) -> Result<Vec<String>, Error> {
        match self.next()? {
            Event::SequenceStart(..) => {}
            event if is_null(&event) => return Ok(Vec::new()),
            _ => return Err(mismatch(key, "list of names")),
        }
        let mut names = Vec::new();
        loop {
            match self.next()? {
                Event::Scalar(name, ..) => names.push(self.own(name)),
                Event::SequenceEnd => return Ok(names),
                _ => return Err(mismatch(key, "list of names")),
            }
        }
    }

    fn pairs(&mut self, key: &str) -> Result<Vec<(String, String)>, Error> {
        match self.next()? {
            Event::MappingStart(..) => {}
            event if is_null(&event) => return Ok(Vec::new()),
            _ => return Err(mismatch(key, "mapping of texts")),
        }
        let mut pairs = Vec::new();
        loop {
            match self.next()? {
                Event::Scalar(name, ..) => pairs.push((self.own(name), self.text(key)?)),
                Event::MappingEnd => return Ok(pairs),
                _ => return Err(mismatch(key, "mapping of texts")),
            }
        }
    }

    /// Passes over a value of any depth.
    fn skip(&mut self) -> Result<(), Error> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
                Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
                Event::StreamEnd => return Err(Error::NotAMapping),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

fn is_null(event: &Event<'_>) -> bool {
    matches!(event, Event::Scalar(text, ScalarStyle::Plain, ..) if NULLS.contains(&text.as_ref()))
}

fn mismatch(key: &str, expected: &'static str) -> Error {
    Error::Mismatch { key: key.to_owned(), expected }
}
