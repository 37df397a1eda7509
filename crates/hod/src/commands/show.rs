//! `hod show`

use anyhow::Context as _;
use hod_archive::{Cancel, Codec};
use hod_cache::{Found, ImageDocuments, LocalStore, Wanted, find, find_installed};
use hod_mirror::Mirror;
use hod_mirror::oci::PackageFacts;
use hod_mirror::spack::Signature;
use hod_spec::{Deptypes, Spec};
use hod_store::Store;

use super::list::{compiler, layout, mirrors, record_row, row};
use super::reference;
use crate::cli;
use crate::error::NoMirrors;
use crate::settings::local_store;
use crate::surroundings::Surroundings;
use crate::ui::format::{bytes, count};
use crate::ui::{ExitStatus, Printer};

/// What is shown under a heading: a key and its value.
type Lines = Vec<(&'static str, String)>;

pub(crate) fn run(
    arguments: &cli::Show,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let surroundings = Surroundings::new(printer, cancel);
    let wanted = Wanted::new(&arguments.query);
    if let Some(store) = &arguments.source.store {
        let store = surroundings.store(store.as_deref())?;
        in_store(&store, &wanted, printer)?;
        return Ok(ExitStatus::Success);
    }
    let mut missing = None;
    let opener = surroundings.opener(&arguments.registries);
    let local = local_store(printer)?;
    for place in mirrors(&arguments.source, &surroundings)? {
        let mirror = match opener.open(&place) {
            // One of those in Spack's configuration need not exist yet.
            Err(error) if arguments.source.mirror.is_empty() => {
                printer.warn(format_args!("{error:#}"));
                continue;
            }
            mirror => mirror?,
        };
        match find(&mirror, &local, &wanted) {
            Ok(found) => {
                in_mirror(&mirror, &local, &found, printer)?;
                return Ok(ExitStatus::Success);
            }
            // Perhaps the next one has it.
            Err(error @ hod_cache::Error::NotFound { .. }) => {
                missing.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(missing.map_or_else(|| NoMirrors.into(), Into::into))
}

fn in_store(store: &Store, wanted: &Wanted, printer: &Printer) -> anyhow::Result<()> {
    let hash = find_installed(store, wanted)?;
    let record = store.record(&hash).context("found a moment ago")?;
    if printer.is_json() {
        printer.json(&record_row(store, record));
        return Ok(());
    }
    let spec = &record.spec;
    printer.data(spec.label());
    let mut lines = of_spec(spec, compiler(spec, store));
    if let Some(prefix) = store.prefix(&hash) {
        if prefix.location != prefix.recorded {
            lines.push(("lies at", prefix.location.display().to_string()));
        }
        lines.push(("prefix", prefix.recorded.display().to_string()));
    }
    let how = if spec.external.is_some() {
        "external"
    } else if record.explicit {
        "asked for"
    } else {
        "as a dependency"
    };
    lines.push(("installed", how.to_owned()));
    lines.push(("needed by", count(record.ref_count, "package")));
    print(lines, printer);
    dependencies(spec, printer);
    Ok(())
}

fn in_mirror(
    mirror: &Mirror,
    local: &LocalStore,
    found: &Found,
    printer: &Printer,
) -> anyhow::Result<()> {
    if printer.is_json() {
        printer.json(&row(mirror, local, found)?);
        return Ok(());
    }
    printer.data(found.label());
    let mut lines =
        found.spec.as_ref().map_or_else(Vec::new, |spec| of_spec(spec, found.compiler.clone()));
    if let Some(entry) = &found.entry {
        lines.push(("entry", entry.path.display().to_string()));
        lines.push(("layout", layout(entry).to_owned()));
        lines.push((
            "signature",
            match entry.signature {
                Signature::None => "none".to_owned(),
                _ => "signed, not verified".to_owned(),
            },
        ));
        let size = found.size.map_or_else(|| "missing".to_owned(), bytes);
        lines.push(("tarball", format!("{}  {size}", entry.layer.digest)));
    }
    let mut facts = None;
    if let Some(image) = &found.image {
        let ImageDocuments { descriptor, manifest, config, .. } = image.read(mirror, local)?;
        if let (Some(facts), None) = (&config.hod, &found.spec) {
            lines.push(("hash", facts.hash.clone()));
        }
        if let Some(facts) = &config.hod {
            lines.push(("prefix", facts.prefix.clone()));
        }
        lines.push(("image", reference(mirror, &image.tag)));
        lines.push(("platform", format!("{}/{}", config.os, config.architecture)));
        lines.push(("manifest", described(&descriptor.digest, descriptor.size)));
        lines.push(("config", described(&manifest.config.digest, manifest.config.size)));
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            let codec = Codec::from_media_type(&layer.media_type);
            let codec = codec.map_or_else(|| layer.media_type.clone(), |codec| codec.to_string());
            lines.push(("layer", format!("{}, {codec}", described(&layer.digest, layer.size))));
            let is_own = Some(layer) == manifest.layers.last();
            let facts = config.hod.as_ref().filter(|_| is_own);
            let size = facts.map(|facts| format!("  {}", bytes(facts.uncompressed_size)));
            lines.push(("diff id", format!("{diff_id}{}", size.unwrap_or_default())));
        }
        facts.clone_from(&config.hod);
    }
    if let Some(facts) = &facts {
        lines.push(("contains", contents(facts)));
        lines.push(("made with", options(facts)));
    }
    print(lines, printer);
    if let Some(spec) = &found.spec {
        dependencies(spec, printer);
    }
    if let Some(facts) = &facts {
        printer.data("  largest files");
        for (name, size) in &facts.largest {
            printer.data(format_args!("    {:>10}  {name}", bytes(*size)));
        }
    }
    Ok(())
}

fn print(lines: Lines, printer: &Printer) {
    for (key, value) in lines {
        printer.data(format_args!("  {key:<10}{value}"));
    }
}

fn described(digest: &dyn std::fmt::Display, size: u64) -> String {
    format!("{digest}  {}", bytes(size))
}

fn of_spec(spec: &Spec, compiler: Option<String>) -> Lines {
    let mut lines = vec![("hash", spec.hash.to_string()), ("built for", spec.arch.to_string())];
    lines.extend(compiler.map(|compiler| ("compiler", compiler)));
    let label = format!("{}@{}", spec.name, spec.version);
    let summary = spec.summary();
    let variants = summary.strip_prefix(&label).unwrap_or(&summary).trim();
    if !variants.is_empty() {
        lines.push(("variants", variants.to_owned()));
    }
    lines.push(("namespace", spec.namespace.to_string()));
    lines
}

/// What a spec needs, and what for.
fn dependencies(spec: &Spec, printer: &Printer) {
    if spec.dependencies.is_empty() {
        return;
    }
    printer.data("  depends on");
    for edge in &spec.dependencies {
        let types = edge.deptypes.names().collect::<Vec<_>>().join(", ");
        let only_build = !edge.deptypes.intersects(Deptypes::RUNTIME);
        let sign = if only_build { ' ' } else { '*' };
        printer.data(format_args!("  {sign} {}/{}  {types}", edge.name, edge.hash.short()));
    }
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
    let mut options = vec![format!("--compression {}", facts.codec)];
    if facts.codec != "none" {
        options.push(format!("--compression-level {}", facts.level));
    }
    if facts.codec == "gzip" {
        options.push(format!("--gzip-members {}", facts.members));
    }
    options.push(format!("--mtime {}", facts.mtime));
    options.join(" ")
}
