//! Packing: which bytes a tree becomes, and what happens when it does not hold still.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod codec;
#[cfg(target_os = "linux")]
mod descriptor;
mod determinism;
mod fault;
mod fingerprint;
mod header;
mod last;
mod order;
mod python;
mod round_trip;
mod spack;
mod tree;

use std::path::Path;

use hod_archive::{
    Codec, Encoders, Encoding, Inspect, LastEntry, Level, Members, PackError, PackOptions, Packed,
    pack,
};

/// Where Spack looks for its build information.
const LAST: &str = ".spack/binary_distribution";

/// Options that give the plain tar stream.
fn plain() -> PackOptions {
    PackOptions { encoding: encoding(Codec::None, Level::Default), ..PackOptions::default() }
}

fn encoding(codec: Codec, level: Level) -> Encoding {
    Encoding::new(codec, level, Members::Multi).unwrap()
}

/// Packs `prefix` with a last entry of `last`, if that is given.
fn try_pack(
    prefix: &Path,
    options: &PackOptions,
    inspect: &impl Inspect,
    last: Option<&str>,
) -> Result<(Packed, Vec<u8>), PackError> {
    let mut blob = Vec::new();
    let encoders = Encoders::new(2);
    let mut content = |_: hod_archive::BeforeLast<'_>| last.unwrap_or_default().into();
    let last = last.map(|_| LastEntry { name: LAST, content: &mut content });
    let packed = pack(prefix, &mut blob, &encoders, options, inspect, last, &|_| {})?;
    Ok((packed, blob))
}

fn pack_with(prefix: &Path, options: &PackOptions, last: Option<&str>) -> (Packed, Vec<u8>) {
    try_pack(prefix, options, &(), last).unwrap()
}

/// The tar stream `prefix` becomes.
fn tar_of(prefix: &Path) -> Vec<u8> {
    pack_with(prefix, &plain(), None).1
}

/// A test cannot do what it is for, and says so; where nothing may be skipped, it fails.
fn skip(reason: &str) {
    assert!(std::env::var_os("HOD_TEST_REQUIRE_ALL").is_none(), "may not be skipped: {reason}");
    note(reason);
}

/// A test cannot do what it is for, where it runs; nobody could help that.
#[expect(clippy::print_stderr, reason = "whoever reads the log must see what was not tested")]
fn note(reason: &str) {
    eprintln!("skipped: {reason}");
}
