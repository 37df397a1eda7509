//! Packs a directory into a layer blob: `cargo run --example pack -- PREFIX BLOB [LEVEL] [CODEC]`.

use std::io::BufWriter;
use std::path::Path;

use hod_archive::{Codec, Encoders, Encoding, Level, Members, PackOptions, pack};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, prefix, blob, rest @ ..] = &arguments[..] else {
        return Err("usage: pack PREFIX BLOB [LEVEL] [CODEC] [MEMBERS]".into());
    };
    let level = rest.first().map_or(Ok(Level::Default), |level| level.parse())?;
    let codec = rest.get(1).map_or(Ok(Codec::Gzip), |codec| codec.parse())?;
    let members = if rest.get(2).is_some() { Members::Single } else { Members::Multi };
    let options =
        PackOptions { encoding: Encoding::new(codec, level, members)?, ..PackOptions::default() };
    let encoders = Encoders::new(std::thread::available_parallelism()?.get());
    let sink = BufWriter::new(std::fs::File::create(blob)?);
    let start = std::time::Instant::now();
    let packed = pack(Path::new(prefix), sink, &encoders, &options, &(), None, &|_| {})?;
    println!("{packed:#?}\n{:?}", start.elapsed());
    Ok(())
}
