//! From text to records.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Database, DatabaseError, Record};
use crate::spec::legacy::{LegacyNode, Single, Targets};
use crate::text::Text;
use crate::{DagHash, RawJson, Spec};

/// Fewer records than this are not worth a thread: they take less than 10 ms.
const RECORDS_PER_THREAD: usize = 1024;

/// More threads than this wait for memory only.
const MOST_THREADS: usize = 16;

/// The version, and the records by hash.
pub(super) fn parse(bytes: Vec<u8>) -> Result<(u32, BTreeMap<DagHash, Record>), DatabaseError> {
    let text = Arc::new(String::from_utf8(bytes)?);
    let outer: Outer<'_, RecordText<'_>> =
        serde_json::from_str(&text).map_err(|error| blame(&text, error))?;
    let Inner { version, installs } = outer.database;
    let known = version.parse().ok().filter(|n| (Database::OLDEST..=Database::NEWEST).contains(n));
    let Some(version) = known else {
        return Err(DatabaseError::Version {
            found: version.to_string(),
            oldest: Database::OLDEST,
            newest: Database::NEWEST,
        });
    };
    let installs = installs.0;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(MOST_THREADS).min(installs.len() / RECORDS_PER_THREAD).max(1);
    let records = if threads == 1 {
        parse_records(&text, version, installs)?
    } else {
        parse_in_threads(&text, version, installs, threads)?
    };
    Ok((version, records.into_iter().map(|record| (record.spec.hash, record)).collect()))
}

type Install<'a> = (DagHash, RecordText<'a>);

fn parse_in_threads(
    text: &Arc<String>,
    version: u32,
    mut installs: Vec<Install<'_>>,
    threads: usize,
) -> Result<Vec<Record>, DatabaseError> {
    std::thread::scope(|scope| {
        let count = installs.len();
        let size = count.div_ceil(threads);
        // The last part goes to this thread, the others to those that are started.
        let mut workers = Vec::new();
        while installs.len() > size {
            let part = installs.split_off(installs.len() - size);
            workers.push(scope.spawn(move || parse_records(text, version, part)));
        }
        let mut records = parse_records(text, version, installs)?;
        records.reserve(count - records.len());
        for worker in workers.into_iter().rev() {
            let parsed = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            records.append(&mut parsed?);
        }
        Ok(records)
    })
}

fn parse_records(
    text: &Arc<String>,
    version: u32,
    installs: Vec<Install<'_>>,
) -> Result<Vec<Record>, DatabaseError> {
    let records = installs.into_iter().map(|(hash, record)| {
        parse_record(text, version, hash, record)
            .map_err(|source| DatabaseError::Record { hash: hash.to_string(), source })
    });
    records.collect()
}

fn parse_record(
    text: &Arc<String>,
    version: u32,
    hash: DagHash,
    record: RecordText<'_>,
) -> Result<Record, serde_json::Error> {
    Ok(Record {
        spec: parse_spec(text, version, hash, record.spec)?,
        ref_count: record.ref_count,
        // Old versions wrote the text of Python's None.
        path: record.path.filter(|path| &**path != "None").map(Into::into),
        installed: record.installed,
        explicit: record.explicit,
        installation_time: record.installation_time.unwrap_or_default(),
        deprecated_for: record.deprecated_for,
        origin: record.origin.map(Into::into),
        in_buildcache: record.in_buildcache,
    })
}

/// Each version of databases has its version of nodes (`spack-format` 1.5).
fn parse_spec(
    text: &Arc<String>,
    version: u32,
    hash: DagHash,
    node: &RawValue,
) -> Result<Spec, serde_json::Error> {
    let node = match version {
        5 => {
            let single: Single<'_> = serde_json::from_str(node.get())?;
            let raw = RawJson::part(text, single.value);
            LegacyNode::parse(raw, Some(single.name.into()), 1, Some(hash))?
        }
        6 | 7 => LegacyNode::parse(RawJson::part(text, node), None, version - 3, Some(hash))?,
        _ => return Spec::parse_v5(RawJson::part(text, node), Some(hash)),
    };
    Ok(node.into_spec(&Targets::Keys).expect("every key leads somewhere"))
}

/// What is wrong in one record says so; what is wrong around them is what it was.
fn blame(text: &str, error: serde_json::Error) -> DatabaseError {
    let outer: Result<Outer<'_, &RawValue>, _> = serde_json::from_str(text);
    let installs = outer.map(|outer| outer.database.installs.0).unwrap_or_default();
    let faults = installs.into_iter().filter_map(|(hash, record)| {
        let source = serde_json::from_str::<RecordText<'_>>(record.get()).err()?;
        Some(DatabaseError::Record { hash: hash.to_string(), source })
    });
    faults.into_iter().next().unwrap_or(DatabaseError::Json(error))
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "R: Deserialize<'de>"))]
struct Outer<'a, R> {
    #[serde(borrow)]
    database: Inner<'a, R>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "R: Deserialize<'de>"))]
struct Inner<'a, R> {
    #[serde(borrow)]
    version: Text<'a>,
    installs: Installs<R>,
}

/// The object of all records, in its order.
struct Installs<R>(Vec<(DagHash, R)>);

impl<'de, R: Deserialize<'de>> Deserialize<'de> for Installs<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InstallsVisitor<R>(PhantomData<R>);
        impl<'de, R: Deserialize<'de>> Visitor<'de> for InstallsVisitor<R> {
            type Value = Installs<R>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("records by hash")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut installs = Vec::new();
                while let Some(install) = map.next_entry()? {
                    installs.push(install);
                }
                Ok(Installs(installs))
            }
        }
        deserializer.deserialize_map(InstallsVisitor(PhantomData))
    }
}

#[derive(Deserialize)]
struct RecordText<'a> {
    #[serde(borrow)]
    spec: &'a RawValue,
    #[serde(default)]
    ref_count: u64,
    #[serde(borrow, default)]
    path: Option<Text<'a>>,
    #[serde(default)]
    installed: bool,
    #[serde(default)]
    explicit: bool,
    #[serde(default)]
    installation_time: Option<f64>,
    #[serde(default)]
    deprecated_for: Option<DagHash>,
    #[serde(borrow, default)]
    origin: Option<Text<'a>>,
    #[serde(default)]
    in_buildcache: bool,
}
