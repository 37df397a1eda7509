//! What stands in braces: Spack's format strings (`SPEC_FORMAT_RE` and `Spec.format`), as far as
//! they are about what a spec file says.

use std::collections::{BTreeSet, VecDeque};

use hod_spec::{Deptypes, Nodes, Spec, Variant};

use super::cut;

/// Languages whose compiler is a spec's compiler, the first of them that has one.
const LANGUAGES: [&str; 3] = ["c", "cxx", "fortran"];

/// What Spack writes for a compiler that a spec has not.
const NO_COMPILER: &str = "none";

/// The text with all tokens replaced; the first one that is not known as the error.
pub(super) fn replaced(text: &str, spec: &Spec, nodes: &dyn Nodes) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        match first {
            '\\' => {
                // What follows is meant as it is; at the end there is nothing to mean.
                let escaped = after.chars().next();
                out.push(escaped.unwrap_or('\\'));
                rest = &after[escaped.map_or(0, char::len_utf8)..];
            }
            '{' => {
                let end = after.find('}').ok_or_else(|| rest.to_owned())?;
                let token = &after[..end];
                let value = value(token, spec, nodes);
                out.push_str(&value.ok_or_else(|| format!("{{{token}}}"))?);
                rest = &after[end + 1..];
            }
            '}' => return Err(rest.to_owned()),
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    Ok(out)
}

/// What stands for a token, without its braces.
fn value(token: &str, spec: &Spec, nodes: &dyn Nodes) -> Option<String> {
    let (sigil, rest) = sigil(token);
    let (spec, rest) = match rest.strip_prefix('^') {
        Some(rest) => {
            let (name, rest) = rest.split_once('.')?;
            (dependency(name, spec, nodes)?, rest)
        }
        None => (spec, rest),
    };
    let (attribute, length) = match rest.split_once(':') {
        Some(("hash", digits)) => ("hash", Some(digits)),
        _ => (rest, None),
    };
    let parts: Vec<&str> = attribute.split('.').collect();
    let is_fitting = match sigil.trim_start() {
        "@" => parts.last() == Some(&"version"),
        "%" => matches!(attribute, "compiler" | "compiler.name"),
        "/" => attribute == "hash",
        _ => true,
    };
    if !is_fitting {
        return None;
    }
    let value = match parts[..] {
        ["hash"] => match length {
            Some(digits) => cut(&spec.hash, digits.parse().ok()?),
            None => spec.hash.to_string(),
        },
        ["name"] => spec.name.to_string(),
        ["version"] => spec.version.to_string(),
        ["namespace"] if spec.namespace.is_empty() => return Some(String::new()),
        ["namespace"] => spec.namespace.to_string(),
        ["architecture" | "arch", ref part @ ..] => architecture(part, spec)?,
        ["platform" | "os" | "target"] => architecture(&parts, spec)?,
        ["compiler", ref part @ ..] => match compiler(spec, nodes) {
            // Spack leaves out the sigil, too.
            None => return Some(NO_COMPILER.to_owned()),
            Some((name, version)) => match part {
                // Of one that is a dependency, Spack writes all there is to say.
                [] if spec.original_format() < 5 => format!("{name}@={version}"),
                ["name"] => name,
                ["version"] => version,
                _ => return None,
            },
        },
        ["variants", name] => variant(name, spec)?,
        ["variants", name, "name"] => variant(name, spec).map(|_| name.to_owned())?,
        ["variants", name, "value"] => match spec.parameters().variants.get(name)? {
            Variant::Bool(true) => "True".to_owned(),
            Variant::Bool(false) => "False".to_owned(),
            Variant::One(value) => value.to_string(),
            Variant::Many(_) => return None,
        },
        _ => return None,
    };
    Some(format!("{sigil}{value}"))
}

/// What is printed before the value: `@`, `%` or `/`, or the key of a pair.
fn sigil(token: &str) -> (&str, &str) {
    let bare = token.strip_prefix(' ').unwrap_or(token);
    if bare.starts_with(['@', '%', '/']) {
        return token.split_at(token.len() - bare.len() + 1);
    }
    let is_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | ' ' | '-');
    match token.find(|c: char| !is_key(c)) {
        Some(end) if end > 0 && token[end..].starts_with('=') && !token.starts_with('-') => {
            token.split_at(end + 1)
        }
        _ => ("", token),
    }
}

fn architecture(part: &[&str], spec: &Spec) -> Option<String> {
    let arch = &spec.arch;
    Some(match part {
        [] => format!("{}-{}-{}", arch.platform, arch.os, arch.target),
        ["platform"] => arch.platform.to_string(),
        ["os"] => arch.os.to_string(),
        ["target"] => arch.target.to_string(),
        // The family of a target is in a table that this program has not.
        _ => return None,
    })
}

/// Name and version of the compiler. Of specs of old it is noted; else it is the dependency that
/// compiles one of the languages.
fn compiler(spec: &Spec, nodes: &dyn Nodes) -> Option<(String, String)> {
    if spec.original_format() < 5 {
        let (name, version) = spec.compiler.as_deref()?.split_once('@')?;
        return Some((name.to_owned(), version.trim_start_matches('=').to_owned()));
    }
    let provides = |language: &str| {
        let mut edges = spec.dependencies.iter();
        edges.find(|edge| edge.virtuals.iter().any(|name| **name == *language))
    };
    let compiler = nodes.node(&LANGUAGES.into_iter().find_map(provides)?.hash)?;
    Some((compiler.name.to_string(), compiler.version.to_string()))
}

/// A variant as it would be asked for.
fn variant(name: &str, spec: &Spec) -> Option<String> {
    Some(match spec.parameters().variants.get(name)? {
        Variant::Bool(true) => format!("+{name}"),
        Variant::Bool(false) => format!("~{name}"),
        Variant::One(value) => format!("{name}={}", unquoted(value)?),
        Variant::Many(values) if name != "patches" => {
            let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
            format!("{name}:={}", unquoted(&values.join(","))?)
        }
        Variant::Many(_) => return None,
    })
}

/// A value that Spack writes without quotes (`quote_if_needed` in its `spec_parser.py`).
fn unquoted(value: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ",/_.-[]".contains(c);
    (!value.is_empty() && value.chars().all(is_plain)).then_some(value)
}

/// A dependency by its name or by what it provides: first those that it is built or tested with,
/// then all it links and runs, breadth first, itself among them (`Spec.__getitem__`).
fn dependency<'a>(name: &str, spec: &'a Spec, nodes: &'a dyn Nodes) -> Option<&'a Spec> {
    let is_meant = |edge: &&'a hod_spec::Dependency| {
        *edge.name == *name || edge.virtuals.iter().any(|provided| **provided == *name)
    };
    let building = Deptypes::BUILD | Deptypes::TEST;
    let mut direct = spec.dependencies.iter().filter(|edge| edge.deptypes.intersects(building));
    if let Some(edge) = direct.find(is_meant) {
        return nodes.node(&edge.hash);
    }
    if *spec.name == *name {
        return Some(spec);
    }
    let mut seen = BTreeSet::from([spec.hash]);
    let mut queue = VecDeque::from([spec]);
    while let Some(parent) = queue.pop_front() {
        let edges = parent.dependencies.iter();
        for edge in edges.filter(|edge| edge.deptypes.intersects(Deptypes::RUNTIME)) {
            let child = nodes.node(&edge.hash);
            if is_meant(&edge) {
                return child;
            }
            queue.extend(child.filter(|child| seen.insert(child.hash)));
        }
    }
    None
}
