//! From records to text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Database, Record};
use crate::DagHash;
use crate::python::{write_compact, write_float, write_string};

pub(super) fn render(records: &BTreeMap<DagHash, Record>) -> String {
    // What is around a node takes about 250 bytes, half of that the path.
    let size = records.values().map(|record| record.spec.text().len() + 256).sum();
    let mut out = String::with_capacity(size);
    write!(out, "{{\"database\":{{\"version\":\"{}\",\"installs\":{{", Database::NEWEST)
        .expect("a string takes everything");
    for (index, (hash, record)) in records.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(out, "{comma}\"{hash}\":").expect("a string takes everything");
        write_record(&mut out, record);
    }
    out.push_str("}}}");
    out
}

/// The fields in the order of `DEFAULT_INSTALL_RECORD_FIELDS` in Spack's `database.py`.
fn write_record(out: &mut String, record: &Record) {
    out.push_str("{\"spec\":");
    write_compact(out, &record.spec.v5_text());
    write!(out, ",\"ref_count\":{},\"path\":", record.ref_count)
        .expect("a string takes everything");
    match &record.path {
        Some(path) => write_string(out, path),
        None => out.push_str("null"),
    }
    write!(
        out,
        ",\"installed\":{},\"explicit\":{},\"installation_time\":",
        record.installed, record.explicit
    )
    .expect("a string takes everything");
    // Neither infinity nor the lack of a number is JSON.
    let time = record.installation_time;
    write_float(out, if time.is_finite() { time } else { 0.0 });
    match &record.deprecated_for {
        Some(hash) => write!(out, ",\"deprecated_for\":\"{hash}\"").expect("as above"),
        None => out.push_str(",\"deprecated_for\":null"),
    }
    if let Some(origin) = &record.origin {
        out.push_str(",\"origin\":");
        write_string(out, origin);
    }
    out.push('}');
}
