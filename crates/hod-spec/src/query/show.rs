//! From conditions to text, which is read as the same again.

use std::fmt::{self, Display, Formatter};

use super::parse::{is_bare, is_dotted_name};
use super::{Edge, Node, Query, Wanted};

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let root = self.root.to_string();
        let transitive = self.transitive.iter().map(|edge| format!("^{edge}"));
        let words: Vec<String> = std::iter::once(root).chain(transitive).collect();
        let words: Vec<&str> = words.iter().map(|word| &**word).filter(|w| !w.is_empty()).collect();
        f.write_str(if words.is_empty() { "*" } else { "" })?;
        f.write_str(&words.join(" "))
    }
}

impl Display for Edge {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.virtuals.is_empty() {
            write!(f, "{}=", self.virtuals.join(","))?;
        } else if self.node.name.is_none() {
            // Without it `^a=b` would be something else.
            f.write_str("*")?;
        }
        write!(f, "{}", self.node)
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // What needs no space before it is one word; the others are one each.
        let mut first = String::new();
        let mut words = Vec::new();
        let mut namespace = self.namespace.as_deref();
        if let Some(name) = &self.name {
            if let Some(namespace) = namespace.take_if(|namespace| is_dotted_name(namespace)) {
                first.extend([namespace, "."]);
            }
            first.push_str(name);
        }
        for (index, version) in self.versions.iter().enumerate() {
            first.push(if index > 0 { ',' } else { '@' });
            first.push_str(&version.to_string());
        }
        for (name, wanted) in &self.variants {
            match wanted {
                Wanted::Bool(is_on) => first.extend([if *is_on { "+" } else { "~" }, name]),
                Wanted::Anything => words.push(format!("{name}=*")),
                Wanted::Contains(values) => {
                    words.push(format!("{name}={}", quoted(&values.join(","))));
                }
                Wanted::Equals(values) => {
                    words.push(format!("{name}:={}", quoted(&values.join(","))));
                }
            }
        }
        for (name, flags) in &self.flags {
            words.push(format!("{name}={}", quoted(&flags.join(" "))));
        }
        let keys = [
            ("namespace", namespace),
            ("platform", self.platform.as_deref()),
            ("os", self.os.as_deref()),
            ("target", self.target.as_deref()),
        ];
        let values = keys.into_iter().filter_map(|(key, value)| Some((key, value?)));
        words.extend(values.map(|(key, value)| format!("{key}={}", quoted(value))));
        if let Some(hash) = &self.hash {
            // A slash could belong to a git reference or to a value.
            if self.versions.is_empty() && words.is_empty() {
                first.extend(["/", hash]);
            } else {
                words.push(format!("/{hash}"));
            }
        }
        words.extend(self.direct.iter().map(|edge| format!("%{edge}")));
        f.write_str(&first)?;
        let space = if first.is_empty() || words.is_empty() { "" } else { " " };
        write!(f, "{space}{}", words.join(" "))
    }
}

/// In quotes if it must be. No value ends with a backslash if it must.
fn quoted(value: &str) -> String {
    if !value.is_empty() && !value.starts_with('=') && value.chars().all(is_bare) {
        value.to_owned()
    } else if value.contains('\'') && !value.contains('"') {
        format!("\"{value}\"")
    } else {
        format!("'{}'", value.replace('\'', "\\'"))
    }
}
