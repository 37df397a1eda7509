//! A store pushed to a registry on this machine: hod against the real Spack, against the time its
//! parts take alone, and from far away.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hod_testing::proxy::Proxy;
use hod_testing::registry::{Options, Registry};

use crate::child::Usage;
use crate::harness::{Harness, Store};
use crate::table::{Samples, Table};

/// How far away the registry is in the second table.
const LATENCY: Duration = Duration::from_millis(50);
/// Requests of which each waits for the one before: a look, three for a layer, two for a config, the
/// manifest, and two to spare.
const ROUND_TRIPS: u32 = 9;

/// Who pushes: Spack, or hod with these options.
#[derive(Clone, Copy)]
enum Side {
    Spack,
    Hod(&'static [&'static str]),
}

const HOD: &[(&str, Side)] =
    &[("hod", Side::Hod(&[])), ("hod, fast", Side::Hod(&["--compression-level", "fast"]))];
const PEER: &str = "spack buildcache push";

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    let Some(store) = harness.store() else { return Ok(()) };
    let Some(registry) = Server::start(harness)? else {
        harness.say("The registry is left out: docker-registry is not installed.");
        return Ok(());
    };
    drop(registry);
    // Warms the page cache, for both alike.
    crate::parts::walk_and_read(&store.root)?;
    let alone = alone(harness, &store)?;
    table(harness, &store, None, alone.0)?;
    harness.say(&format!(
        "Alone: hod packs all of it into a directory in memory in {}; `curl` sends the same {} blobs to the \
         registry in {}.",
        alone.0, alone.2, alone.1
    ));
    table(harness, &store, Some(LATENCY), alone.0)
}

/// A registry with its storage in memory, and nothing in it.
struct Server {
    registry: Registry,
    _storage: tempfile::TempDir,
}

impl Server {
    fn start(harness: &Harness) -> anyhow::Result<Option<Self>> {
        let storage = harness.scratch()?;
        let options = Options { storage: Some(storage.path()), ..Options::default() };
        Ok(Registry::start(&options).map(|registry| Self { registry, _storage: storage }))
    }
}

impl Side {
    fn push(
        self,
        harness: &Harness,
        store: &Store,
        to: &str,
        scratch: &Path,
    ) -> anyhow::Result<Usage> {
        match self {
            Self::Spack => {
                let spack = harness.spack.as_ref().context("there is no Spack")?;
                spack.push(Path::new(to), &store.specs, scratch)
            }
            Self::Hod(options) => {
                let mut arguments: Vec<OsString> = vec!["push".into(), to.into()];
                arguments.extend(store.specs.iter().map(OsString::from));
                arguments.extend(["--store".into(), store.root.clone().into()]);
                arguments.extend(
                    ["--without-build-dependencies", "-q", "--no-progress"].map(Into::into),
                );
                arguments.extend(options.iter().map(OsString::from));
                harness.hod(&arguments, scratch, &[])
            }
        }
    }
}

/// Samples of one side.
#[derive(Default)]
struct Column {
    wall: Samples,
    cpu: Samples,
    again: Samples,
    requests: usize,
    requests_again: usize,
}

fn table(
    harness: &Harness,
    store: &Store,
    latency: Option<Duration>,
    compress: f64,
) -> anyhow::Result<()> {
    let mut sides = Vec::new();
    if harness.spack.is_some() {
        sides.push((PEER, Side::Spack));
    }
    sides.extend(HOD);
    let mut columns: Vec<Column> = sides.iter().map(|_| Column::default()).collect();
    for _ in 0..harness.runs {
        for ((name, side), column) in sides.iter().zip(&mut columns) {
            let server = Server::start(harness)?.context("the registry is gone")?;
            // Only what is far away goes through the proxy: it costs time of its own.
            let proxy = latency.map(|latency| {
                let proxy = Proxy::start(server.registry.host());
                proxy.latency(latency);
                proxy
            });
            let host = proxy.as_ref().map_or(server.registry.host(), Proxy::host);
            let to = format!("oci+http://{host}/bench/store");
            let scratch = harness.scratch()?;
            let usage = side
                .push(harness, store, &to, scratch.path())
                .with_context(|| (*name).to_owned())?;
            column.requests = proxy.as_ref().map_or(0, |proxy| proxy.requests().len());
            column.wall.push(usage.wall);
            column.cpu.push(usage.cpu());
            if let Some(proxy) = &proxy {
                proxy.clear();
            }
            column.again.push(side.push(harness, store, &to, scratch.path())?.wall);
            column.requests_again = proxy.as_ref().map_or(0, |proxy| proxy.requests().len());
        }
    }
    show(harness, &sides, &columns, latency, compress);
    Ok(())
}

fn show(
    harness: &Harness,
    sides: &[(&str, Side)],
    columns: &[Column],
    latency: Option<Duration>,
    compress: f64,
) {
    let place = latency.map_or("a registry on this machine".to_owned(), |latency| {
        format!("a registry {} ms away for each request", latency.as_millis())
    });
    let title = format!("Pushing the store to {place}, {} interleaved runs", harness.runs);
    let heads =
        ["", "wall s", "user + sys s", "again s", "times faster", "again", "requests", "again"];
    let mut table = Table::new(title, &heads);
    let peer = harness.spack.as_ref().and(columns.first());
    for ((name, _), column) in sides.iter().zip(columns) {
        let faster = |of: fn(&Column) -> f64| {
            peer.map_or("-".to_owned(), |peer| format!("{:.2}", of(peer) / of(column)))
        };
        let counted = |count: usize| match latency {
            Some(_) => count.to_string(),
            None => "-".to_owned(),
        };
        table.row([
            (*name).to_owned(),
            column.wall.to_string(),
            column.cpu.to_string(),
            column.again.to_string(),
            faster(|column| column.wall.median()),
            faster(|column| column.again.median()),
            counted(column.requests),
            counted(column.requests_again),
        ]);
        table.keep(format!("{name}, wall"), &column.wall);
        table.keep(format!("{name}, again"), &column.again);
    }
    harness.show(&table);
    if let (Some(latency), Some(hod)) =
        (latency, sides.iter().position(|(name, _)| *name == "hod").map(|at| &columns[at]))
    {
        let floor = compress + (latency * ROUND_TRIPS).as_secs_f64();
        harness.say(&format!(
            "Packing alone and {ROUND_TRIPS} round trips are {floor:.3} s: hod takes {:.2} of that.",
            hod.wall.median() / floor
        ));
    }
}

/// What packing takes without a network, and what sending takes without packing: the median of
/// both in seconds, and how many blobs there are.
fn alone(harness: &Harness, store: &Store) -> anyhow::Result<(f64, f64, usize)> {
    let (mut packing, mut sending, mut blobs) = (Samples::default(), Samples::default(), 0);
    for _ in 0..harness.runs {
        let scratch = harness.scratch()?;
        let mirror = scratch.path().join("mirror");
        packing.push(harness.push_store(store, &mirror, &[], &[])?.wall);
        let files = layers(&mirror)?;
        blobs = files.len();
        let server = Server::start(harness)?.context("the registry is gone")?;
        sending.push(send(&files, server.registry.host())?);
    }
    Ok((packing.median(), sending.median(), blobs))
}

/// The layers of a directory mirror.
fn layers(mirror: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for directory in fs_err::read_dir(mirror.join("blobs/sha256"))? {
        for file in fs_err::read_dir(directory?.path())? {
            let path = file?.path();
            // Spec blobs are far smaller than any layer here.
            if fs_err::metadata(&path)?.len() > 32 << 10 {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Seconds that one `curl` takes for all of them, to uploads that were opened before.
fn send(files: &[PathBuf], host: &str) -> anyhow::Result<f64> {
    let mut command = std::process::Command::new("curl");
    for file in files {
        let opened =
            hod_testing::http::request(host, "POST", "/v2/bench/curl/blobs/uploads/", &[], b"")?;
        let location = opened.headers.get("Location").context("no upload was opened")?.to_owned();
        let digest = file.file_name().context("a blob has a name")?.to_string_lossy().into_owned();
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{separator}digest=sha256:{digest}");
        if file != &files[0] {
            command.arg("--next");
        }
        command.args(["--silent", "--show-error", "--fail", "--upload-file"]);
        command.arg(file).arg(url);
    }
    let start = Instant::now();
    let output = command.output().context("curl is needed")?;
    let took = start.elapsed().as_secs_f64();
    ensure!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}
