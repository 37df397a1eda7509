//! A node of an old format as Spack 1.x writes it (`spack-format` 2.1, 2.3).

use std::fmt::Write;

use serde_json::value::RawValue;

use super::Spec;
use crate::parameter;
use crate::python::{write_compact, write_string};
use crate::text::{Pairs, Text};

/// Whether edges that are marked as direct are written so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direct {
    /// As in spec files.
    Written,
    /// As in the indexes of build caches, where Spack loses the mark.
    Dropped,
}

/// The node in the form of version 5, compact and in ASCII.
pub(crate) fn render(spec: &Spec, direct: Direct) -> String {
    // The text was parsed once, so this cannot fail; if it did, a node would lack a field.
    let pairs: Pairs<'_> = serde_json::from_str(spec.text()).unwrap_or_default();
    let mut out = String::with_capacity(spec.text().len() + 128);
    if spec.format >= 5 {
        for (key, value) in &pairs.0 {
            if &**key == "dependencies" {
                write_dependencies(field(&mut out, key), spec, direct);
            } else {
                write_compact(field(&mut out, key), value.get());
            }
        }
    } else {
        write_legacy(&mut out, spec, &pairs, direct);
    }
    out.push('}');
    out
}

fn write_legacy(out: &mut String, spec: &Spec, pairs: &Pairs<'_>, direct: Direct) {
    write_string(field(out, "name"), &spec.name);
    write_string(field(out, "version"), &spec.version);
    if let Some(arch) = pairs.value("arch") {
        write_arch(field(out, "arch"), arch);
    }
    if !spec.namespace.is_empty() {
        write_string(field(out, "namespace"), &spec.namespace);
    }
    if let Some(parameters) = pairs.value("parameters") {
        parameter::write_sorted(out, parameters);
    }
    if let (Some(_), Some(external)) = (&spec.external, pairs.value("external")) {
        write_external(field(out, "external"), external);
    }
    for key in ["patches", "package_hash"] {
        match pairs.value(key) {
            None | Some("null" | "[]" | "\"\"") => {}
            Some(value) => write_compact(field(out, key), value),
        }
    }
    if !spec.dependencies.is_empty() {
        write_dependencies(field(out, "dependencies"), spec, direct);
    }
    if let (Some(hash), Some(build_spec)) = (spec.build_spec, pairs.value("build_spec")) {
        let build_spec: Pairs<'_> = serde_json::from_str(build_spec).unwrap_or_default();
        let name = build_spec.value("name").unwrap_or("\"\"");
        write_compact(
            field(out, "build_spec"),
            &format!("{{\"name\":{name},\"hash\":\"{hash}\"}}"),
        );
    }
    // Spack writes the text of Python's None where there is no compiler.
    let compiler = spec.compiler.as_deref().unwrap_or("None");
    let annotations = field(out, "annotations");
    write!(annotations, "{{\"original_specfile_version\":{},\"compiler\":", spec.original_format)
        .expect("a string takes everything");
    write_string(annotations, compiler);
    annotations.push('}');
    write!(field(out, "hash"), "\"{}\"", spec.hash).expect("a string takes everything");
}

/// Begins the field of an object that is not closed yet.
pub(crate) fn field<'o>(out: &'o mut String, key: &str) -> &'o mut String {
    out.push(if out.is_empty() { '{' } else { ',' });
    write_string(out, key);
    out.push(':');
    out
}

fn write_arch(out: &mut String, arch: &str) {
    let arch: Pairs<'_> = serde_json::from_str(arch).unwrap_or_default();
    let mut object = String::new();
    for key in ["platform", "platform_os", "target"] {
        write_compact(field(&mut object, key), arch.value(key).unwrap_or("null"));
    }
    out.push_str(&object);
    out.push('}');
}

fn write_external(out: &mut String, external: &str) {
    let external: Pairs<'_> = serde_json::from_str(external).unwrap_or_default();
    let mut object = String::new();
    write_compact(field(&mut object, "path"), external.value("path").unwrap_or("null"));
    let module = match external.value("module") {
        None | Some("false" | "[]" | "\"\"") => "null",
        Some(module) => module,
    };
    write_compact(field(&mut object, "module"), module);
    let extra = match external.value("extra_attributes") {
        None | Some("null" | "false" | "[]" | "\"\"") => "{}",
        Some(extra) => extra,
    };
    write_with_sorted_keys(field(&mut object, "extra_attributes"), extra, 0);
    out.push_str(&object);
    out.push('}');
}

/// Objects with their keys in order, at all levels that anybody writes. Below those the text stays
/// as it is, so that nesting cannot exhaust the stack.
fn write_with_sorted_keys(out: &mut String, value: &str, level: usize) {
    const LEVELS: usize = 32;
    if level >= LEVELS {
        write_compact(out, value);
    } else if let Ok(mut pairs) = serde_json::from_str::<Pairs<'_>>(value) {
        pairs.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        write_list(out, ('{', '}'), &pairs.0, |out, (key, value): &(Text<'_>, &RawValue)| {
            write_string(out, key);
            out.push(':');
            write_with_sorted_keys(out, value.get(), level + 1);
        });
    } else if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(value) {
        write_list(out, ('[', ']'), &list, |out, value| {
            write_with_sorted_keys(out, value.get(), level + 1);
        });
    } else {
        write_compact(out, value);
    }
}

fn write_dependencies(out: &mut String, spec: &Spec, direct: Direct) {
    write_list(out, ('[', ']'), &spec.dependencies, |out, edge| {
        out.push_str("{\"name\":");
        write_string(out, &edge.name);
        write!(out, ",\"hash\":\"{}\",\"parameters\":{{\"deptypes\":", edge.hash)
            .expect("a string takes everything");
        let types: Vec<&str> = edge.deptypes.names().collect();
        write_list(out, ('[', ']'), &types, |out, name| write_string(out, name));
        out.push_str(",\"virtuals\":");
        write_list(out, ('[', ']'), &edge.virtuals, |out, name| write_string(out, name));
        if edge.direct && direct == Direct::Written {
            out.push_str(",\"direct\":true");
        }
        out.push_str("}}");
    });
}

/// Writes the items between brackets, with commas.
pub(crate) fn write_list<T>(
    out: &mut String,
    (open, close): (char, char),
    items: &[T],
    write_item: impl Fn(&mut String, &T),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_item(out, item);
    }
    out.push(close);
}
