//! `hod list`

use std::path::Path;
use std::time::SystemTime;

use hod_archive::Cancel;
use hod_cache::{Found, ImageDocuments, LocalStore, Wanted, installed, packages};
use hod_mirror::spack::{Signature, SpackEntry, SpackLayout};
use hod_mirror::{DirectoryMirror, Mirror};
use hod_spec::{Record, Spec, Variant};
use hod_store::Store;
use serde_json::{Value, json};

use super::reference;
use crate::cli;
use crate::settings::local_store;
use crate::surroundings::{self, Direction, MirrorPlace, Opener, Surroundings};
use crate::ui::format::{bytes, count, duration};
use crate::ui::{ExitStatus, Printer};

pub(crate) fn run(
    arguments: &cli::List,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let surroundings = Surroundings::new(printer, cancel);
    let mut query = arguments.query.clone();
    if let Some(store) = &arguments.source.store {
        let store = surroundings.store(path_or_query(store.as_deref(), &mut query))?;
        return in_store(&store, query, arguments.long, printer);
    }
    let wanted = query.map(Wanted::new);
    let mirrors = mirrors(&arguments.source, &surroundings)?;
    let mut failure = None;
    let opener = surroundings.opener(&arguments.registries);
    let store = local_store(printer)?;
    let (mut has_found, mut all_read) = (false, true);
    for place in &mirrors {
        match in_mirror(&opener, place, &store, wanted.as_ref(), arguments.long, printer) {
            Ok(is_whole) => {
                has_found = true;
                all_read &= is_whole;
            }
            // In one of several mirrors, something may well be missing.
            Err(error) if mirrors.len() > 1 => {
                printer.say(format_args!("{error:#}"));
                failure = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match failure {
        Some(error) if !has_found => Err(error),
        _ if all_read => Ok(ExitStatus::Success),
        _ => Ok(ExitStatus::Failure),
    }
}

/// The mirrors that are meant.
pub(super) fn mirrors(
    source: &cli::Source,
    surroundings: &Surroundings<'_>,
) -> anyhow::Result<Vec<MirrorPlace>> {
    if source.mirror.is_empty() {
        return surroundings.mirrors();
    }
    source.mirror.iter().map(|text| surroundings.mirror(text, Direction::Fetch)).collect()
}

/// The value of `--store`, which need not have one: in `--store zlib`, `zlib` is the query.
pub(super) fn path_or_query<'a>(
    store: Option<&'a Path>,
    query: &mut Option<String>,
) -> Option<&'a Path> {
    let word = store.and_then(Path::to_str).filter(|word| !surroundings::is_path(word));
    match word {
        Some(word) if query.is_none() => {
            *query = Some(word.to_owned());
            None
        }
        _ => store,
    }
}

fn in_store(
    store: &Store,
    query: Option<String>,
    long: bool,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let wanted = query.map(Wanted::new);
    let records = installed(store, wanted.as_ref())?;
    if printer.is_json() {
        for record in &records {
            printer.json(&record_row(store, record));
        }
        return Ok(ExitStatus::Success);
    }
    let rows = records.iter().map(|record| {
        let spec = &record.spec;
        let path = store.prefix(&spec.hash).map(|prefix| prefix.location.display().to_string());
        let path = match (&spec.external, long) {
            (Some(_), _) => format!("external {}", path.unwrap_or_default()),
            (None, true) => path.unwrap_or_default(),
            (None, false) => String::new(),
        };
        let asked = if record.explicit { "explicit" } else { "" };
        let mut row = columns(spec, compiler(spec, store), long, printer);
        row.extend([asked.to_owned(), path]);
        row
    });
    table(&rows.collect::<Vec<_>>(), None, printer);
    let total = store.records().filter(|record| record.installed).count();
    printer.say(format_args!("{} in `{}`", of(records.len(), total), store.location().display()));
    Ok(ExitStatus::Success)
}

/// Whether everything could be read.
fn in_mirror(
    opener: &Opener<'_>,
    place: &MirrorPlace,
    store: &LocalStore,
    wanted: Option<&Wanted>,
    long: bool,
    printer: &Printer,
) -> anyhow::Result<bool> {
    let mirror = opener.open(place)?;
    let listing = packages(&mirror, store, wanted)?;
    for warning in &listing.warnings {
        printer.warn(warning);
    }
    // A list that silently lacks something is worse than none.
    for message in &listing.unreadable {
        printer.error(format_args!("not read: {message}"));
    }
    let is_whole = listing.unreadable.is_empty();
    if printer.is_json() {
        for package in &listing.found {
            printer.json(&row(&mirror, store, package)?);
        }
        return Ok(is_whole);
    }
    let rows = listing.found.iter().map(|found| {
        let mut row = if let Some(spec) = &found.spec {
            columns(spec, found.compiler.clone(), long, printer)
        } else {
            let whole = || format!("{}@{}/{}", found.name, found.version, found.hash);
            let label = if long { whole() } else { found.label() };
            vec![label, found.platform.clone().unwrap_or_default(), String::new()]
        };
        row.push(size(found));
        let signed = found.entry.as_ref().map(|entry| entry.signature);
        let signed = match signed {
            Some(Signature::NotVerified) => "signed, not verified",
            _ => "",
        };
        let place = match (&found.facts, &found.image, long) {
            (Some(facts), _, _) => facts.prefix.clone(),
            (None, Some(image), true) => reference(&mirror, &image.tag),
            _ => String::new(),
        };
        row.extend([signed.to_owned(), place]);
        row
    });
    table(&rows.collect::<Vec<_>>(), Some(3), printer);
    let written =
        mirror.as_directory().and_then(DirectoryMirror::spack_index_time).and_then(|time| {
            let age = SystemTime::now().duration_since(time).ok()?;
            Some(format!(", index written {} ago", duration(age)))
        });
    printer.say(format_args!(
        "{} in `{place}`{}",
        of(listing.found.len(), listing.total),
        written.unwrap_or_default(),
    ));
    if listing.total == 0 && mirror.as_registry().is_some() {
        printer
            .say("A repository that does not exist looks the same: see whether its name is right");
    }
    Ok(is_whole)
}

/// Bytes of a package's tarball, as far as that is known.
pub(super) fn size(found: &Found) -> String {
    match found.size {
        Some(size) => bytes(size),
        None if found.entry.is_some() => "missing".to_owned(),
        // An index does not say.
        None => String::new(),
    }
}

/// The version of the build cache's layout that an entry is in.
pub(super) fn layout(entry: &SpackEntry) -> &'static str {
    match entry.layout {
        SpackLayout::V2 => "v2",
        _ => "v3",
    }
}

fn of(found: usize, total: usize) -> String {
    if found == total {
        count(total as u64, "package")
    } else {
        format!("{found} of {}", count(total as u64, "package"))
    }
}

/// `name@version` of the compiler of an installed spec.
pub(super) fn compiler(spec: &Spec, store: &Store) -> Option<String> {
    let (name, version) = spec.compiler_of(store)?;
    Some(format!("{name}@{version}"))
}

/// Label, architecture and compiler of a spec.
fn columns(spec: &Spec, compiler: Option<String>, long: bool, printer: &Printer) -> Vec<String> {
    let hash = if long { spec.hash.to_string() } else { spec.hash.short() };
    let label = if printer.is_verbose() {
        format!("{} /{hash}", spec.summary())
    } else {
        format!("{}@{}/{hash}", spec.name, spec.version)
    };
    vec![label, spec.arch.to_string(), compiler.unwrap_or_default()]
}

/// Prints rows in columns; nothing is cut, so that the output is the same in a pipe.
fn table(rows: &[Vec<String>], right: Option<usize>, printer: &Printer) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate().filter(|(column, _)| widths[*column] > 0) {
            let width = widths[column];
            if !line.is_empty() {
                line.push_str("  ");
            }
            let cell = if right == Some(column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:width$}")
            };
            line.push_str(&cell);
        }
        printer.data(line.trim_end());
    }
}

/// What is known of a spec, as data.
fn spec_row(spec: &Spec, compiler: Option<&str>) -> Value {
    let parameters = spec.parameters();
    let variants: serde_json::Map<String, Value> = parameters
        .variants
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Variant::Bool(value) => json!(value),
                Variant::One(value) => json!(value),
                Variant::Many(values) => json!(values),
            };
            (name.to_string(), value)
        })
        .collect();
    json!({
        "name": spec.name, "version": spec.version, "hash": spec.hash,
        "namespace": spec.namespace, "platform": spec.arch.platform, "os": spec.arch.os,
        "target": spec.arch.target, "compiler": compiler, "variants": variants,
        "dependencies": spec.dependencies.iter().map(|edge| json!({
            "name": edge.name, "hash": edge.hash,
            "types": edge.deptypes.names().collect::<Vec<_>>(), "virtuals": edge.virtuals,
        })).collect::<Vec<_>>(),
    })
}

pub(super) fn record_row(store: &Store, record: &Record) -> Value {
    let mut row = spec_row(&record.spec, compiler(&record.spec, store).as_deref());
    let prefix = store.prefix(&record.spec.hash);
    row["prefix"] = json!(prefix.as_ref().map(|prefix| &prefix.recorded));
    row["location"] = json!(prefix.as_ref().map(|prefix| &prefix.location));
    row["external"] = json!(record.spec.external.is_some());
    row["explicit"] = json!(record.explicit);
    row["installed"] = json!(record.installed);
    row["installation_time"] = json!(record.installation_time);
    row["ref_count"] = json!(record.ref_count);
    row
}

/// A package in a mirror as data.
pub(super) fn row(mirror: &Mirror, store: &LocalStore, found: &Found) -> anyhow::Result<Value> {
    let mut row = match &found.spec {
        Some(spec) => spec_row(spec, found.compiler.as_deref()),
        None => json!({ "name": found.name, "version": found.version, "hash": found.hash }),
    };
    row["bytes"] = json!(found.size);
    if let Some(entry) = &found.entry {
        row["layout"] = json!(layout(entry));
        row["signed"] = json!(entry.signature != Signature::None);
        row["digest"] = json!(entry.layer.digest.to_string());
        row["manifest_path"] = json!(entry.path);
    }
    let Some(image) = &found.image else { return Ok(row) };
    row["tag"] = json!(image.tag);
    row["image"] = json!(reference(mirror, &image.tag));
    if let Some(descriptor) = &image.descriptor {
        row["manifest"] = json!(descriptor.digest.to_string());
    }
    if found.spec.is_some() {
        // Its config holds the whole spec: too much to be read for each row.
        return Ok(row);
    }
    let ImageDocuments { manifest, config, .. } = image.read(mirror, store)?;
    let layers = manifest.layers.iter().zip(&config.rootfs.diff_ids).map(|(layer, diff_id)| {
        json!({
            "digest": layer.digest.to_string(), "bytes": layer.size,
            "media_type": layer.media_type, "diff_id": diff_id.to_string(),
        })
    });
    row["layers"] = layers.collect();
    row["os"] = json!(config.os);
    row["architecture"] = json!(config.architecture);
    row["config"] = json!(manifest.config.digest.to_string());
    row["package"] = json!(config.hod);
    Ok(row)
}
