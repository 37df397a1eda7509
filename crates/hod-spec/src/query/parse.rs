//! From text to conditions: what may follow what.

use std::ops::Range;
use std::str::FromStr;

use super::scan::{Fault, Scanner, is_dotted, is_identifier, is_name_start};
use super::{Edge, Node, Query, QueryError, QueryFault, Wanted, package_of};
use crate::parameter::FLAGS;
use crate::version::VersionRange;

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut scanner = Scanner { text, at: 0 };
        scanner.query().map_err(|(range, fault)| QueryError { text: text.into(), range, fault })
    }
}

/// Names that stand for something only the machine Spack runs on knows.
const HOST_DEFAULTS: [&str; 6] =
    ["default_os", "default_target", "fe", "frontend", "be", "backend"];

/// Keys that are no variants.
const KEYS: [&str; 7] =
    ["arch", "architecture", "platform", "os", "operating_system", "target", "namespace"];

impl<'a> Scanner<'a> {
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
