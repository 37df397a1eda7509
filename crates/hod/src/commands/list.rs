//! `hod list`

use hod_cache::{Found, Query, packages};
use hod_mirror::DirectoryMirror;
use hod_mirror::oci::PackageFacts;
use serde_json::{Value, json};

use super::{open, reference};
use crate::cli;
use crate::ui::format::{bytes, count};
use crate::ui::{ExitStatus, Printer};

pub(crate) fn run(arguments: &cli::List, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let path = &arguments.from.mirror;
    let mirror: DirectoryMirror = open(path)?;
    let query: Option<Query> = arguments.name.as_deref().map(|name| match name.parse() {
        Ok(query) => query,
        Err(never) => match never {},
    });
    let found = packages(&mirror, query.as_ref())?;
    if printer.is_json() {
        for package in &found {
            printer.json(&row(path, package));
        }
        return Ok(ExitStatus::Success);
    }
    let rows: Vec<[String; 4]> = found
        .iter()
        .map(|package| {
            let config = &package.config;
            let prefix = config.hod.as_ref().map_or("", |facts| &facts.prefix);
            let platform = format!("{}/{}", config.os, config.architecture);
            [package.label(), platform, bytes(package.size()), prefix.to_owned()]
        })
        .collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for [label, platform, size, prefix] in &rows {
        let [a, b, c] = widths;
        printer.data(format!("{label:a$}  {platform:b$}  {size:>c$}  {prefix}").trim_end());
    }
    printer.say(format_args!("{} in `{}`", count(found.len() as u64, "package"), path.display()));
    Ok(ExitStatus::Success)
}

/// A package as data.
pub(super) fn row(mirror: &std::path::Path, package: &Found) -> Value {
    let layers: Vec<Value> = package
        .manifest
        .layers
        .iter()
        .zip(&package.config.rootfs.diff_ids)
        .map(|(layer, diff_id)| {
            json!({
                "digest": layer.digest.to_string(), "bytes": layer.size,
                "media_type": layer.media_type, "diff_id": diff_id.to_string(),
            })
        })
        .collect();
    let facts: Option<&PackageFacts> = package.config.hod.as_ref();
    json!({
        "name": package.name, "version": package.version, "hash": package.hash, "tag": package.tag,
        "image": reference(mirror, &package.tag),
        "os": package.config.os, "architecture": package.config.architecture,
        "manifest": package.descriptor.digest.to_string(),
        "config": package.manifest.config.digest.to_string(),
        "layers": layers, "bytes": package.size(), "package": facts,
    })
}
