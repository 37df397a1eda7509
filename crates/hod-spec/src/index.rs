//! The index of a build cache: a database of what can be had from it (`spack-format` 4.5).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::python::write_compact;
use crate::spec::{Direct, render};
use crate::{DagHash, Database, Nodes, Spec};

/// Writes the index of a build cache that has the specs `available`, as Spack's `update-index`
/// does: a record for each of them and for everything they depend on over any type of edge, with
/// the number of records that depend on it directly. Of a spliced spec the spec that was built gets
/// no record by that alone. What `nodes` does not have gets none either, whether it is available or
/// depended on.
///
/// Spack writes the records in the order in which it came by them. Here they are sorted by hash,
/// and their texts are compact, so that the bytes are a function of the set.
pub fn render_buildcache_index(available: &BTreeSet<DagHash>, nodes: &dyn Nodes) -> String {
    let mut records: BTreeMap<DagHash, (&Spec, u64)> = BTreeMap::new();
    let mut queue: Vec<DagHash> = available.iter().copied().collect();
    while let Some(hash) = queue.pop() {
        if let Some(spec) = nodes.node(&hash).filter(|_| !records.contains_key(&hash)) {
            records.insert(hash, (spec, 0));
            queue.extend(spec.dependencies.iter().map(|edge| edge.hash));
        }
    }
    let specs: Vec<&Spec> = records.values().map(|(spec, _)| *spec).collect();
    for edge in specs.iter().flat_map(|spec| &spec.dependencies) {
        if let Some((_, ref_count)) = records.get_mut(&edge.hash) {
            *ref_count += 1;
        }
    }
    let size = specs.iter().map(|spec| spec.text().len() + 128).sum();
    let mut out = String::with_capacity(size);
    write!(out, "{{\"database\":{{\"version\":\"{}\",\"installs\":{{", Database::NEWEST)
        .expect("a string takes everything");
    for (index, (hash, (spec, ref_count))) in records.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(out, "{comma}\"{hash}\":{{\"spec\":").expect("a string takes everything");
        write_node(&mut out, spec);
        let in_buildcache = available.contains(hash);
        write!(out, ",\"ref_count\":{ref_count},\"in_buildcache\":{in_buildcache}}}")
            .expect("a string takes everything");
    }
    out.push_str("}}}");
    out
}

/// The node as it is in indexes, where Spack does not write which edges are direct.
fn write_node(out: &mut String, spec: &Spec) {
    if spec.format() >= 5 && spec.dependencies.iter().all(|edge| !edge.direct) {
        write_compact(out, spec.text());
    } else {
        out.push_str(&render(spec, Direct::Dropped));
    }
}
