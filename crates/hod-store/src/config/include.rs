//! Files that a configuration includes (`spack-format` 6.3).

use std::path::PathBuf;

use super::scope::Source;
use super::substitute::platform;
use super::{ConfigWarning, Variables, mapping, mismatch, text};
use crate::Error;
use crate::yaml::Yaml;

/// An entry of an `include` list.
pub(super) struct Include {
    /// `None` if it is to be left out.
    path: Option<PathBuf>,
    is_optional: bool,
}

impl Include {
    pub(super) fn read(
        item: &Yaml,
        variables: &Variables<'_>,
        warnings: &mut Vec<ConfigWarning>,
    ) -> Result<Self, Error> {
        const LEFT_OUT: Include = Include { path: None, is_optional: false };
        let place = || item.place.to_string();
        if let Some(path) = item.text() {
            return Ok(Self::of(path, item, false, variables, warnings));
        }
        if item.entries().is_none() {
            return Err(mismatch(item, "include", "a path or a mapping"));
        }
        mapping(item, "include")?;
        if let Some(condition) = item.get("when") {
            let condition = text(condition, "include:when")?;
            match evaluate(condition, variables) {
                Some(true) => {}
                Some(false) => return Ok(LEFT_OUT),
                None => {
                    let condition = condition.to_owned();
                    warnings.push(ConfigWarning::Condition { place: place(), condition });
                    return Ok(LEFT_OUT);
                }
            }
        }
        if let Some(repository) = item.get("git") {
            let what = text(repository, "include:git")?.to_owned();
            warnings.push(ConfigWarning::RemoteInclude { place: place(), what });
            return Ok(LEFT_OUT);
        }
        let is_optional = match item.get("optional") {
            Some(value) => value
                .boolean()
                .ok_or_else(|| mismatch(value, "include:optional", "true or false"))?,
            None => false,
        };
        let instead = item.get("path_override_env_var").and_then(Yaml::text);
        let path = if let Some(path) = instead.and_then(|name| variables.environment.variable(name))
        {
            path
        } else {
            let path = item.get("path");
            let missing = || mismatch(item, "include", "a mapping with `path`");
            text(path.ok_or_else(missing)?, "include:path")?
        };
        Ok(Self::of(path, item, is_optional, variables, warnings))
    }

    fn of(
        path: &str,
        item: &Yaml,
        is_optional: bool,
        variables: &Variables<'_>,
        warnings: &mut Vec<ConfigWarning>,
    ) -> Self {
        let found = variables.path(path, &item.place, warnings);
        if found.is_none() {
            let (place, what) = (item.place.to_string(), path.to_owned());
            warnings.push(ConfigWarning::RemoteInclude { place, what });
        }
        Self { path: found, is_optional }
    }

    /// What it stands for, if it is there or need not be.
    pub(super) fn source(self, item: &Yaml) -> Result<Option<Source>, Error> {
        let Some(path) = self.path else { return Ok(None) };
        if !path.exists() {
            return if self.is_optional {
                Ok(None)
            } else {
                Err(Error::MissingInclude { place: item.place.to_string(), path })
            };
        }
        Ok(Some(if path.is_dir() { Source::Directory(path) } else { Source::File(path, None) }))
    }
}

/// Whether a condition holds, if it is one of those that Spack's own configuration has:
/// `"NAME" in env` and `"NAME" not in env`; and `platform == "linux"` and the like.
fn evaluate(condition: &str, variables: &Variables<'_>) -> Option<bool> {
    let literal = |text: &str| -> Option<String> {
        let text = text.trim();
        let quote = text.chars().next().filter(|c| ['"', '\''].contains(c))?;
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains([quote, '\\'])).then(|| inner.to_owned())
    };
    if let Some(name) = condition.trim().strip_suffix(" env") {
        let name = name.trim_end().strip_suffix(" in")?.trim_end();
        let (name, expected) = name.strip_suffix(" not").map_or((name, true), |name| (name, false));
        let is_set = variables.environment.variable(&literal(name)?).is_some();
        return Some(is_set == expected);
    }
    for (operator, expected) in [("==", true), ("!=", false)] {
        if let Some((left, right)) = condition.split_once(operator) {
            let name = if left.trim() == "platform" { right } else { left };
            let other = if left.trim() == "platform" { left } else { right };
            let is_it = literal(name)? == platform();
            return (other.trim() == "platform").then_some(is_it == expected);
        }
    }
    None
}
