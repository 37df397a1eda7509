//! `hod show`

use hod_archive::Codec;
use hod_cache::{Found, Query, find};
use hod_mirror::oci::PackageFacts;

use super::list::row;
use super::{open, reference};
use crate::cli;
use crate::ui::format::{bytes, count};
use crate::ui::{ExitStatus, Printer};

pub(crate) fn run(arguments: &cli::Show, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let path = &arguments.from.mirror;
    let mirror = open(path)?;
    let query: Query = match arguments.name.parse() {
        Ok(query) => query,
        Err(never) => match never {},
    };
    let found = find(&mirror, &query)?;
    if printer.is_json() {
        printer.json(&row(path, &found));
        return Ok(ExitStatus::Success);
    }
    printer.data(found.label());
    for (key, value) in lines(path, &found) {
        printer.data(format_args!("  {key:<10}{value}"));
    }
    if let Some(facts) = &found.config.hod {
        printer.data("  largest files");
        for (name, size) in &facts.largest {
            printer.data(format_args!("    {:>10}  {name}", bytes(*size)));
        }
    }
    Ok(ExitStatus::Success)
}

fn lines(mirror: &std::path::Path, found: &Found) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(facts) = &found.config.hod {
        lines.push(("hash", facts.hash.clone()));
        lines.push(("prefix", facts.prefix.clone()));
    }
    lines.push(("image", reference(mirror, &found.tag)));
    lines.push(("platform", format!("{}/{}", found.config.os, found.config.architecture)));
    let described = |digest: &dyn std::fmt::Display, size| format!("{digest}  {}", bytes(size));
    lines.push(("manifest", described(&found.descriptor.digest, found.descriptor.size)));
    let config = &found.manifest.config;
    lines.push(("config", described(&config.digest, config.size)));
    for (layer, diff_id) in found.manifest.layers.iter().zip(&found.config.rootfs.diff_ids) {
        let codec = Codec::from_media_type(&layer.media_type);
        let codec = codec.map_or_else(|| layer.media_type.clone(), |codec| codec.to_string());
        lines.push(("layer", format!("{}, {codec}", described(&layer.digest, layer.size))));
        let size = found.config.hod.as_ref().map(|facts| bytes(facts.uncompressed_size));
        lines.push(("diff id", format!("{diff_id}  {}", size.unwrap_or_default())));
    }
    if let Some(facts) = &found.config.hod {
        lines.push(("contains", contents(facts)));
        lines.push(("made with", options(facts)));
    }
    lines
}

fn contents(facts: &PackageFacts) -> String {
    let mut parts = vec![
        format!("{} ({})", count(facts.files, "file"), bytes(facts.file_bytes)),
        count(facts.directories, "directory"),
        count(facts.symlinks, "symbolic link"),
        count(facts.hardlinks, "hard link"),
    ];
    if facts.skipped > 0 {
        parts.push(format!("{} left out", count(facts.skipped, "special file")));
    }
    parts.join(", ")
}

/// The options that give the same bytes again.
fn options(facts: &PackageFacts) -> String {
    let mut options = format!("--compression {}", facts.codec);
    if facts.codec != "none" {
        options += &format!(" --compression-level {}", facts.level);
    }
    if facts.codec == "gzip" {
        options += &format!(" --gzip-members {}", facts.members);
    }
    options + &format!(" --mtime {}", facts.mtime)
}
