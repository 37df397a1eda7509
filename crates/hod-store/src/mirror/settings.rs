//! What can be set of a mirror, and what becomes of its entry: `mirror_add` and `_configure_mirror`
//! in `spack/cmd/mirror.py`, `Mirror.update` in `spack/mirrors/mirror.py`.

use super::Secret;
use super::edit::{EditMirrorsError, MirrorDirection, old_id};
use crate::yaml::{Key, Place, Value, Yaml};

/// What is to be set of a mirror; what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorSettings {
    /// Where it is.
    pub url: Option<String>,
    /// The user, or the variable that has it.
    pub id: Option<Secret>,
    /// The variable that has the password. There is no way to write the password itself.
    pub secret_variable: Option<String>,
    /// The variable that has a session token, for S3.
    pub access_token_variable: Option<String>,
    /// The profile in the user's AWS configuration.
    pub profile: Option<String>,
    /// The S3 server.
    pub endpoint_url: Option<String>,
    /// What it holds. Of the mirror as a whole, as is all that follows.
    pub holds: Option<MirrorHolds>,
    /// Its packages must be signed.
    pub signed: Option<bool>,
    /// Spack pushes to it after each installation.
    pub autopush: Option<bool>,
}

/// What a mirror holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MirrorHolds {
    /// Packages.
    pub binary: bool,
    /// Sources.
    pub source: bool,
}

impl MirrorSettings {
    /// Whether nothing is to be set but the URL.
    fn is_url_only(&self) -> bool {
        *self == Self { url: self.url.clone(), ..Self::default() }
    }
}

/// A key as this crate writes one.
pub(super) fn key(text: &str) -> Key {
    Key { text: text.to_owned(), replaces: false }
}

fn string(text: &str, place: &Place) -> Yaml {
    let value = Value::Scalar { text: text.to_owned(), is_plain: false };
    Yaml { value, place: place.clone() }
}

fn boolean(value: bool, place: &Place) -> Yaml {
    let value = Value::Scalar { text: value.to_string(), is_plain: true };
    Yaml { value, place: place.clone() }
}

/// The entry of a new mirror.
pub(super) fn added(
    name: &str,
    url: &str,
    settings: &MirrorSettings,
    place: &Place,
) -> Result<Yaml, EditMirrorsError> {
    let url = string(url, place);
    if settings.is_url_only() {
        return Ok(url);
    }
    let mut entries = vec![(key("url"), url)];
    put_connection(name, &mut entries, settings, None, place)?;
    put_holds(&mut entries, settings, place);
    if settings.autopush == Some(true) {
        put(&mut entries, "autopush", boolean(true, place));
    }
    if let Some(signed) = settings.signed {
        put(&mut entries, "signed", boolean(signed, place));
    }
    Ok(Yaml { value: Value::Map(entries), place: place.clone() })
}

/// The entry of a mirror after a change. `old` is text or a mapping.
pub(super) fn updated(
    name: &str,
    old: &Yaml,
    direction: Option<MirrorDirection>,
    settings: &MirrorSettings,
) -> Result<Yaml, EditMirrorsError> {
    let place = &old.place;
    let url = settings.url.as_ref().filter(|_| settings.is_url_only());
    // As `Mirror._get_value`: the direction's own, or else the mirror's.
    let in_effect = direction.unwrap_or(MirrorDirection::Fetch).key();
    let own = old.get(in_effect).and_then(|own| own.get("access_pair"));
    let pair = own.or_else(|| old.get("access_pair"));
    let Some(direction) = direction else {
        if let (Some(url), Some(_)) = (url, old.text()) {
            return Ok(string(url, place));
        }
        let mut entries = entries_of(old);
        if let Some(url) = &settings.url {
            put(&mut entries, "url", string(url, place));
        }
        put_connection(name, &mut entries, settings, pair, place)?;
        put_holds(&mut entries, settings, place);
        for (name, value) in [("signed", settings.signed), ("autopush", settings.autopush)] {
            if let Some(value) = value {
                put(&mut entries, name, boolean(value, place));
            }
        }
        return Ok(Yaml { value: Value::Map(entries), place: place.clone() });
    };
    let mut entries = entries_of(old);
    let before = old.get(direction.key());
    let connection = match (url, before) {
        (Some(url), None) => string(url, place),
        (Some(url), Some(before)) if before.text().is_some() => string(url, place),
        _ => {
            let mut inner = before.map(entries_of).unwrap_or_default();
            if let Some(url) = &settings.url {
                put(&mut inner, "url", string(url, place));
            }
            put_connection(name, &mut inner, settings, pair, place)?;
            Yaml { value: Value::Map(inner), place: place.clone() }
        }
    };
    put(&mut entries, direction.key(), connection);
    Ok(Yaml { value: Value::Map(entries), place: place.clone() })
}

/// A mapping's entries; of a mere URL, those of a mapping that says the same.
fn entries_of(value: &Yaml) -> Vec<(Key, Yaml)> {
    match value.entries() {
        Some(entries) => entries.to_vec(),
        None => vec![(key("url"), value.clone())],
    }
}

/// In the place of what has that key, or at the end.
fn put(entries: &mut Vec<(Key, Yaml)>, name: &str, value: Yaml) {
    match entries.iter_mut().find(|(key, _)| key.text == name) {
        Some((_, old)) => *old = value,
        None => entries.push((key(name), value)),
    }
}

/// What both a mirror and its directions have, but for the URL. `pair` is what is in effect.
fn put_connection(
    name: &str,
    entries: &mut Vec<(Key, Yaml)>,
    settings: &MirrorSettings,
    pair: Option<&Yaml>,
    place: &Place,
) -> Result<(), EditMirrorsError> {
    if settings.id.is_some() || settings.secret_variable.is_some() {
        put(entries, "access_pair", access_pair(name, settings, pair, place)?);
    }
    if let Some(variable) = &settings.access_token_variable {
        // The schema of 0.x has the token itself; both at once are refused.
        entries.retain(|(key, _)| key.text != "access_token");
        put(entries, "access_token_variable", string(variable, place));
    }
    for (name, value) in [("profile", &settings.profile), ("endpoint_url", &settings.endpoint_url)]
    {
        if let Some(value) = value {
            put(entries, name, string(value, place));
        }
    }
    Ok(())
}

/// The pair that is in effect with what is to be set. A password that is written in the file is
/// never kept.
fn access_pair(
    name: &str,
    settings: &MirrorSettings,
    before: Option<&Yaml>,
    place: &Place,
) -> Result<Yaml, EditMirrorsError> {
    let known = |key: &str| Some(before?.get(key)?.text()?.to_owned());
    let id = settings
        .id
        .clone()
        .or_else(|| before.and_then(old_id))
        .or_else(|| known("id").map(Secret::Value))
        .or_else(|| known("id_variable").map(Secret::Variable));
    let variable = settings.secret_variable.clone().or_else(|| known("secret_variable"));
    let half = |present, missing| EditMirrorsError::HalfAccessPair {
        name: name.to_owned(),
        present,
        missing,
    };
    let (user, password) = ("user", "variable for the password");
    let id = id.ok_or_else(|| half(password, user))?;
    let variable = variable.ok_or_else(|| half(user, password))?;
    let id = match id {
        Secret::Value(id) => (key("id"), string(&id, place)),
        Secret::Variable(name) => (key("id_variable"), string(&name, place)),
    };
    let entries = vec![id, (key("secret_variable"), string(&variable, place))];
    Ok(Yaml { value: Value::Map(entries), place: place.clone() })
}

fn put_holds(entries: &mut Vec<(Key, Yaml)>, settings: &MirrorSettings, place: &Place) {
    if let Some(MirrorHolds { binary, source }) = settings.holds {
        put(entries, "binary", boolean(binary, place));
        put(entries, "source", boolean(source, place));
    }
}
