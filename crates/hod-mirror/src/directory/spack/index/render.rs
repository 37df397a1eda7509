//! Stands in for `hod_spec::render_buildcache_index` until that is here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use hod_spec::{DagHash, Nodes};

pub(super) fn render_buildcache_index(available: &BTreeSet<DagHash>, nodes: &dyn Nodes) -> String {
    let mut counts: BTreeMap<DagHash, u64> = available.iter().map(|hash| (*hash, 0)).collect();
    let mut open: Vec<DagHash> = available.iter().copied().collect();
    while let Some(hash) = open.pop() {
        for edge in nodes.node(&hash).iter().flat_map(|spec| &spec.dependencies) {
            if nodes.node(&edge.hash).is_some() {
                *counts.entry(edge.hash).or_insert_with(|| {
                    open.push(edge.hash);
                    0
                }) += 1;
            }
        }
    }
    let mut text = r#"{"database":{"version":"8","installs":{"#.to_owned();
    for (position, (hash, count)) in counts.iter().enumerate() {
        let Some(spec) = nodes.node(hash) else { continue };
        let comma = if position > 0 { "," } else { "" };
        let _ = write!(
            text,
            r#"{comma}"{hash}":{{"spec":{},"ref_count":{count},"in_buildcache":{}}}"#,
            spec.text(),
            available.contains(hash)
        );
    }
    text.push_str("}}}");
    text
}
