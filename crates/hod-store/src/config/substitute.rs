//! What stands for something else in paths: Spack's names, environment variables, `~`
//! (`canonicalize_path` in `spack/util/path.py`).

use std::path::{Path, PathBuf};

use data_encoding::HEXUPPER;
use nix::unistd::{Uid, User};

use super::ConfigWarning;
use crate::Environment;
use crate::environment::normalised;
use crate::yaml::Place;

/// Names that only a running Spack can replace.
const SPACKS_OWN: [&str; 9] = [
    "spack_instance_id",
    "architecture",
    "arch",
    "operating_system",
    "os",
    "target",
    "target_family",
    "date",
    "spack_short_version",
];

/// What variables stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variables<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) spack_root: Option<&'a Path>,
    /// The directory of the active Spack environment.
    pub(crate) spack_environment: Option<&'a Path>,
}

/// The platform as Spack names it.
pub(crate) fn platform() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

impl Variables<'_> {
    /// An absolute path; what is relative is so to the file that it is written in. `None` for
    /// what is a URL elsewhere.
    pub(crate) fn path(
        &self,
        text: &str,
        place: &Place,
        warnings: &mut Vec<ConfigWarning>,
    ) -> Option<PathBuf> {
        let text = self.substituted(text, place, warnings);
        let base = place.file.parent().unwrap_or(Path::new(""));
        let base = self.environment.cwd.join(base);
        match scheme(&text) {
            None => Some(normalised(&base.join(text))),
            Some("file") => {
                let path = text["file:".len()..].strip_prefix("//").map_or_else(
                    || text["file:".len()..].to_owned(),
                    // What is before the path would be a host.
                    |rest| rest.find('/').map_or(String::new(), |at| rest[at..].to_owned()),
                );
                Some(normalised(&base.join(percent_decoded(&path))))
            }
            Some(_) => None,
        }
    }

    /// The text with everything replaced that can be.
    pub(crate) fn substituted(
        &self,
        text: &str,
        place: &Place,
        warnings: &mut Vec<ConfigWarning>,
    ) -> String {
        // Spack's own names go first, without regard to case; they may give way to others.
        let text = replaced(text, |name| {
            let name = name.to_lowercase();
            let value = self.own(&name);
            let needs_spack = name == "spack" || SPACKS_OWN.contains(&&*name);
            if value.is_none() && needs_spack {
                warnings.push(ConfigWarning::Variable { place: place.to_string(), name });
            }
            value
        });
        let text = replaced(&text, |name| self.environment.variable(name).map(str::to_owned));
        self.at_home(text)
    }

    fn own(&self, name: &str) -> Option<String> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        match name {
            "spack" => self.spack_root.map(|root| text(root.to_owned())),
            "user" => self.user(),
            "tempdir" => Some(self.temporary()),
            "user_cache_path" => Some(text(self.user_path("SPACK_USER_CACHE_PATH", "~/.spack"))),
            "platform" => Some(platform().to_owned()),
            "env" => self.spack_environment.map(|path| text(path.to_owned())),
            _ => None,
        }
    }

    /// A directory of the user's: what a variable says, or else its default.
    pub(crate) fn user_path(&self, variable: &str, default: &str) -> PathBuf {
        let text = self.environment.nonempty(variable).unwrap_or(default);
        normalised(&self.environment.cwd.join(self.at_home(text.to_owned())))
    }

    fn user(&self) -> Option<String> {
        let known = self.environment.user.clone();
        known.or_else(|| Some(User::from_uid(Uid::effective()).ok()??.name))
    }

    /// As Python's `tempfile.gettempdir` chooses it.
    fn temporary(&self) -> String {
        let variables = ["TMPDIR", "TEMP", "TMP"].map(|name| self.environment.nonempty(name));
        let named = variables.into_iter().flatten().chain(["/tmp", "/var/tmp", "/usr/tmp"]);
        named.map(str::to_owned).find(|path| Path::new(path).is_dir()).unwrap_or("/tmp".into())
    }

    /// With `~` or `~name` at the beginning replaced by that user's home.
    fn at_home(&self, text: String) -> String {
        let Some(rest) = text.strip_prefix('~') else { return text };
        let (name, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let home = if name.is_empty() {
            self.environment.home.clone()
        } else {
            User::from_name(name).ok().flatten().map(|user| user.dir)
        };
        let Some(home) = home else { return text };
        let path = format!("{}{rest}", home.to_string_lossy().trim_end_matches('/'));
        if path.is_empty() { "/".to_owned() } else { path }
    }
}

/// Replaces `$name` and `${name}` where there is a value, once.
fn replaced(text: &str, mut value: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = &from[1..];
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let word = |text: &str| text.find(|c| !is_word(c)).unwrap_or(text.len());
        let (name, length) = match after.strip_prefix('{') {
            Some(inner) if inner[word(inner)..].starts_with('}') => {
                (&inner[..word(inner)], word(inner) + 3)
            }
            _ => (&after[..word(after)], word(after) + 1),
        };
        match value(name).filter(|_| !name.is_empty()) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&from[..length]),
        }
        rest = &from[length..];
    }
    out + rest
}

/// The scheme of a URL, as Python's `urlparse` sees it.
pub(crate) fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some(scheme)
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%');
        let byte = hex.and_then(|hex| HEXUPPER.decode(&hex.to_ascii_uppercase()).ok());
        rest = if byte.is_some() { &after[2..] } else { after };
        out.extend(byte.unwrap_or_else(|| vec![*first]));
    }
    String::from_utf8_lossy(&out).into_owned()
}
