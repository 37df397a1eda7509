//! Unpacks one layer blob: `unpack BLOB gzip|zstd|none DESTINATION [JOBS]`. For measurements.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use hod_archive::{UnpackOptions, unpack};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [blob, codec, destination, jobs @ ..] = &arguments[..] else {
        return Err("usage: unpack BLOB gzip|zstd|none DESTINATION [JOBS]".into());
    };
    let mut options = UnpackOptions::default();
    if let Some(jobs) = jobs.first() {
        options.jobs = jobs.parse()?;
    }
    let start = Instant::now();
    let source = fs_err::File::open(blob)?;
    let unpacked = unpack(source, codec.parse()?, Path::new(destination), &options)?;
    println!("{unpacked:#?}\n{:.3?}", start.elapsed());
    Ok(())
}
