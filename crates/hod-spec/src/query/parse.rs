//! From text to conditions. Follows Spack's tokens (its `spack.spec_parser`) in what belongs
//! together where there are no spaces.

use std::ops::Range;
use std::str::FromStr;

use super::{Edge, Node, Query, QueryError, QueryFault, Wanted, package_of};
use crate::parameter::FLAGS;
use crate::version::{VersionRange, is_git};

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parser = Parser { text, at: 0 };
        parser.query().map_err(|(range, fault)| QueryError { text: text.into(), range, fault })
    }
}

type Fault = (Range<usize>, QueryFault);

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

/// Names that stand for something only the machine Spack runs on knows.
const HOST_DEFAULTS: [&str; 6] =
    ["default_os", "default_target", "fe", "frontend", "be", "backend"];

/// Keys that are no variants.
const KEYS: [&str; 7] =
    ["arch", "architecture", "platform", "os", "operating_system", "target", "namespace"];

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_identifier(c: char) -> bool {
    is_name_start(c) || c == '-'
}

/// In names of variants and in versions.
fn is_dotted(c: char) -> bool {
    is_identifier(c) || c == '.'
}

/// `builtin` or `my.repo`.
pub(super) fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|part| part.starts_with(is_name_start) && part.chars().all(is_identifier))
}

/// In values that need no quotes.
pub(super) fn is_bare(c: char) -> bool {
    is_dotted(c) || "+*,:=%^~/\\".contains(c)
}

impl<'a> Parser<'a> {
    fn query(&mut self) -> Result<Query, Fault> {
        let mut query = Query { root: self.node(Node::default())?, transitive: Vec::new() };
        if self.text.trim().is_empty() {
            return Err((self.at..self.at, QueryFault::ExpectedConstraint));
        }
        while let Some(sigil @ ('^' | '%')) = self.peek() {
            let edge = self.edge(sigil)?;
            if sigil == '^' {
                query.transitive.push(edge);
            } else {
                // `a ^b %c`: c is a dependency of b.
                let parent = query.transitive.last_mut().map(|edge| &mut edge.node);
                parent.unwrap_or(&mut query.root).direct.push(edge);
            }
        }
        if self.rest().is_empty() { Ok(query) } else { Err(self.unexpected()) }
    }

    /// What follows `^` or `%`.
    fn edge(&mut self, sigil: char) -> Result<Edge, Fault> {
        let start = self.at;
        self.at += sigil.len_utf8();
        match self.peek() {
            Some('%') if sigil == '%' => {
                return Err((start..self.at + 1, QueryFault::Propagation));
            }
            Some('[') => return Err((start..self.at + 1, QueryFault::EdgeAttributes)),
            _ => self.skip_spaces(),
        }
        let virtuals = self.virtuals();
        let mut node = Node::default();
        if !virtuals.is_empty() {
            self.name(&mut node);
        }
        let from = self.at;
        node = self.node(node)?;
        // An asterisk says that the name does not matter.
        if node == Node::default() && !self.text[from..self.at].trim_start().starts_with('*') {
            return match self.peek() {
                None | Some('^' | '%') => Err((self.at..self.at, QueryFault::ExpectedDependency)),
                Some(_) => Err(self.unexpected()),
            };
        }
        if sigil == '%' {
            node.name = node.name.map(|name| package_of(&name).into());
        }
        Ok(Edge { virtuals, node })
    }

    /// `c,cxx=` of `c,cxx=gcc`: what is provided. Nothing if something else stands here.
    fn virtuals(&mut self) -> Vec<Box<str>> {
        let Some((virtuals, rest)) = self.rest().split_once('=') else { return Vec::new() };
        let mut names = virtuals.split(',');
        let is_name =
            |name: &str| name.starts_with(is_name_start) && name.chars().all(is_identifier);
        if !names.all(is_name) || !rest.starts_with(is_name_start) {
            return Vec::new();
        }
        self.at += virtuals.len() + 1;
        virtuals.split(',').map(Into::into).collect()
    }

    /// As many conditions on one spec as there are.
    fn node(&mut self, mut node: Node) -> Result<Node, Fault> {
        let mut is_first = node.name.is_none();
        loop {
            self.skip_spaces();
            let start = self.at;
            match self.peek() {
                None | Some('^' | '%') => return Ok(node),
                Some('@') => self.versions(&mut node)?,
                Some(sigil @ ('+' | '~' | '-')) => self.switch(sigil, &mut node)?,
                Some('/') => self.hash(&mut node)?,
                Some('*') if is_first => self.at += 1,
                Some('.') if self.is_file() => return Err(self.file()),
                Some(first) if is_name_start(first) => {
                    if self.is_file() {
                        return Err(self.file());
                    } else if let Some(key) = self.key() {
                        self.value(key, start, &mut node)?;
                    } else if is_first {
                        self.name(&mut node);
                    } else {
                        self.take(is_dotted);
                        return Err((start..self.at, QueryFault::SecondSpec));
                    }
                }
                Some(_) => return Err(self.unexpected()),
            }
            is_first = false;
        }
    }

    /// `zlib` or `builtin.zlib`.
    fn name(&mut self, node: &mut Node) {
        let mut name = self.take(is_identifier);
        let start = self.at - name.len();
        while self.rest().starts_with('.') && self.rest()[1..].starts_with(is_name_start) {
            self.at += 1;
            name = self.take(is_identifier);
            node.namespace = Some(self.text[start..self.at - name.len() - 1].into());
        }
        node.name = Some(name.into());
    }

    fn versions(&mut self, node: &mut Node) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        let mut versions: Vec<VersionRange> = self.git_version().into_iter().collect();
        while versions.is_empty() || self.comma() {
            self.skip_spaces();
            let element = self.at;
            let range = self.version_range()?;
            if range.is_empty() {
                return Err((element..self.at, QueryFault::EmptyRange));
            }
            versions.push(range);
        }
        if !node.versions.is_empty() {
            return Err((start..self.at, QueryFault::Repeated));
        }
        node.versions = versions;
        Ok(())
    }

    /// Passes over a comma that is next but for spaces, if there is one.
    fn comma(&mut self) -> bool {
        let rest = self.rest().trim_start().strip_prefix(',');
        self.at = rest.map_or(self.at, |rest| self.text.len() - rest.len());
        rest.is_some()
    }

    /// `git.main`, `git.main=1.2`, or a commit.
    fn git_version(&mut self) -> Option<VersionRange> {
        let rest = self.rest();
        let is_ref = |c: char| is_dotted(c) || c == '/';
        let length = if let Some(reference) = rest.strip_prefix("git.") {
            if !reference.starts_with(is_name_start) {
                return None;
            }
            "git.".len() + reference.find(|c| !is_ref(c)).unwrap_or(reference.len())
        } else {
            let length = rest.find(|c| !is_dotted(c)).unwrap_or(rest.len());
            if length != 40 || !rest[..length].bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            length
        };
        let start = self.at;
        self.at += length;
        if self.rest().starts_with('=') {
            self.at += 1;
            if self.version().is_empty() {
                self.at -= 1;
            }
        }
        Some(VersionRange::Git(self.text[start..self.at].into()))
    }

    fn version_range(&mut self) -> Result<VersionRange, Fault> {
        let start = self.at;
        let is_exact = self.peek() == Some('=');
        self.at += usize::from(is_exact);
        let low = self.version();
        if is_exact {
            return match low {
                "" => Err((self.at..self.at, QueryFault::ExpectedVersion)),
                _ if self.peek() == Some(':') => {
                    Err((start..self.at + 1, QueryFault::ExpectedVersion))
                }
                version => Ok(VersionRange::Exact(version.into())),
            };
        }
        if self.peek() != Some(':') {
            return match low {
                "" => Err((self.at..self.at, QueryFault::ExpectedVersion)),
                version if is_git(version) => Ok(VersionRange::Git(version.into())),
                version => Ok(VersionRange::Prefix(version.into())),
            };
        }
        self.at += 1;
        let end = self.at;
        let mut high = self.version();
        // In `@1.2:os=linux` the range has ended before the key.
        if self.rest().trim_start().starts_with('=') {
            self.at = end;
            high = "";
        }
        let bound = |text: &str| (!text.is_empty()).then(|| text.into());
        Ok(VersionRange::Between(bound(low), bound(high)))
    }

    /// One version, or nothing; never with a dot or a dash at its end.
    fn version(&mut self) -> &'a str {
        if !self.rest().starts_with(is_name_start) {
            return "";
        }
        let start = self.at;
        let length = self.take(is_dotted).trim_end_matches(['.', '-']).len();
        self.at = start + length;
        &self.text[start..self.at]
    }

    /// `+x`, `~x`, `-x`.
    fn switch(&mut self, sigil: char, node: &mut Node) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        if self.peek() == Some(sigil) {
            return Err((start..self.at + 1, QueryFault::Propagation));
        }
        self.skip_spaces();
        if !self.rest().starts_with(is_name_start) {
            return Err((self.at..self.at, QueryFault::ExpectedVariant));
        }
        let name = self.take(is_dotted);
        if KEYS.contains(&name) || FLAGS.contains(&name) {
            return Err((start..self.at, QueryFault::NoVariant));
        }
        self.variant(name, Wanted::Bool(sigil == '+'), start, node)
    }

    fn variant(
        &self,
        name: &str,
        wanted: Wanted,
        start: usize,
        node: &mut Node,
    ) -> Result<(), Fault> {
        if node.variants.contains_key(name) {
            return Err((start..self.at, QueryFault::Repeated));
        }
        node.variants.insert(name.into(), wanted);
        Ok(())
    }

    fn hash(&mut self, node: &mut Node) -> Result<(), Fault> {
        if self.is_file() {
            return Err(self.file());
        }
        let start = self.at;
        self.at += 1;
        let hash = self.take(is_name_start);
        let is_possible = |c: char| matches!(c, 'a'..='z' | '2'..='7');
        if hash.is_empty() || hash.len() > crate::DagHash::LENGTH || !hash.chars().all(is_possible)
        {
            return Err((start + 1..self.at, QueryFault::ExpectedHash));
        }
        set(&mut node.hash, hash, start..self.at)
    }

    /// The key of `key=value` or `key:=value`, and whether it is the latter; nothing if there is
    /// no equals sign.
    fn key(&mut self) -> Option<(&'a str, bool)> {
        let rest = self.rest();
        let length = rest.find(|c| !is_dotted(c)).unwrap_or(rest.len());
        let (key, rest) = rest.split_at(length);
        let is_exact = rest.starts_with(":=");
        if !is_exact && !rest.starts_with('=') {
            return None;
        }
        self.at += length + usize::from(is_exact) + 1;
        Some((key, is_exact))
    }

    fn value(
        &mut self,
        (key, is_exact): (&'a str, bool),
        start: usize,
        node: &mut Node,
    ) -> Result<(), Fault> {
        if self.peek() == Some('=') {
            return Err((start..self.at + 1, QueryFault::Propagation));
        }
        let from = self.at;
        let value = self.text_value()?;
        let place = start..self.at;
        let here = from..self.at;
        match key {
            "arch" | "architecture" => {
                let parts: Vec<&str> = value.split('-').collect();
                let [platform, os, target] = parts[..] else {
                    return set_target(node, &value, place, here);
                };
                if parts.iter().any(|part| part.ends_with('\\')) {
                    return Err((here, QueryFault::ExpectedValue));
                }
                set(&mut node.platform, platform, place.clone())?;
                set_os(node, os, place.clone(), here.clone())?;
                set_target(node, target, place, here)
            }
            "platform" => set(&mut node.platform, &value, place),
            "os" | "operating_system" => set_os(node, &value, place, here),
            "target" => set_target(node, &value, place, here),
            "namespace" => set(&mut node.namespace, &value, place),
            flag if FLAGS.contains(&flag) => {
                if node.flags.contains_key(flag) {
                    return Err((place, QueryFault::Repeated));
                }
                let flags = flags(&value).ok_or((here, QueryFault::ExpectedValue))?;
                node.flags.insert(flag.into(), flags);
                Ok(())
            }
            name => {
                let wanted = wanted(&value, is_exact).ok_or((here, QueryFault::ExpectedValue))?;
                self.variant(name, wanted, start, node)
            }
        }
    }

    /// A bare value, or one in quotes of either kind. A backslash before a quote makes it part of
    /// the value.
    fn text_value(&mut self) -> Result<String, Fault> {
        let Some(quote @ ('\'' | '"')) = self.peek() else {
            let value = self.take(is_bare);
            if value.is_empty() {
                return Err((self.at..self.at, QueryFault::ExpectedValue));
            }
            return Ok(value.to_owned());
        };
        let start = self.at;
        let inner = &self.rest()[1..];
        let mut is_escaped = false;
        let end = inner.find(|c| {
            let is_end = c == quote && !is_escaped;
            is_escaped = c == '\\';
            is_end
        });
        let Some(end) = end else {
            return Err((start..self.text.len(), QueryFault::ExpectedQuote));
        };
        self.at += end + 2;
        Ok(inner[..end].replace(&format!("\\{quote}"), &quote.to_string()))
    }

    /// Whether a path of a spec file stands here.
    #[expect(clippy::case_sensitive_file_extension_comparisons, reason = "so does Spack")]
    fn is_file(&self) -> bool {
        let word = self.word();
        let is_path = word.starts_with('.') || word.contains('/');
        is_path && (word.ends_with(".json") || word.ends_with(".yaml"))
    }

    fn word(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|c| !is_dotted(c) && c != '/').unwrap_or(rest.len())]
    }

    fn file(&self) -> Fault {
        (self.at..self.at + self.word().len(), QueryFault::File)
    }

    fn unexpected(&self) -> Fault {
        let length = self.peek().map_or(0, char::len_utf8);
        (self.at..self.at + length, QueryFault::ExpectedConstraint)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, is_part: fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let part = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        self.at += part.len();
        part
    }
}

fn set(field: &mut Option<Box<str>>, value: &str, place: Range<usize>) -> Result<(), Fault> {
    if field.is_some() {
        return Err((place, QueryFault::Repeated));
    }
    *field = Some(value.into());
    Ok(())
}

fn set_os(node: &mut Node, os: &str, place: Range<usize>, here: Range<usize>) -> Result<(), Fault> {
    if HOST_DEFAULTS.contains(&os) {
        return Err((here, QueryFault::HostDefault));
    }
    set(&mut node.os, os, place)
}

fn set_target(
    node: &mut Node,
    target: &str,
    place: Range<usize>,
    here: Range<usize>,
) -> Result<(), Fault> {
    if target.contains(':') {
        return Err((here, QueryFault::TargetRange));
    }
    if HOST_DEFAULTS.contains(&target) {
        return Err((here, QueryFault::HostDefault));
    }
    set(&mut node.target, target, place)
}

/// `None` for a list with an asterisk in it, which means nothing, or with a backslash at the end of
/// an element, which could not be put in quotes.
fn wanted(value: &str, is_exact: bool) -> Option<Wanted> {
    if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
        return Some(Wanted::Bool(value.eq_ignore_ascii_case("true")));
    }
    if value == "*" {
        return Some(Wanted::Anything);
    }
    let mut values: Vec<Box<str>> = value.split(',').map(Into::into).collect();
    values.sort();
    if values.iter().any(|value| &**value == "*" || value.ends_with('\\')) {
        return None;
    }
    Some(if is_exact { Wanted::Equals(values) } else { Wanted::Contains(values) })
}

/// One flag for each word that begins with a dash, with the words up to the next.
fn flags(value: &str) -> Option<Vec<Box<str>>> {
    let mut flags: Vec<String> = Vec::new();
    for word in value.split_whitespace() {
        if word.ends_with('\\') {
            return None;
        }
        match flags.last_mut() {
            Some(flag) if !word.starts_with('-') => flag.extend([" ", word]),
            _ => flags.push(word.to_owned()),
        }
    }
    Some(flags.into_iter().map(Into::into).collect())
}
