//! How long it takes to read a database of many specs, and how much memory.
//!
//! ```console
//! $ cargo run --release -p hod-spec --example parse_database -- [RECORDS] [pretty]
//! $ cargo run --release -p hod-spec --example parse_database -- FILE
//! ```
#![expect(clippy::print_stdout, reason = "this is a program")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hod_spec::{DagHash, Database};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().unwrap_or_else(|| "100000".into());
    let is_pretty = arguments.next().is_some_and(|word| word == "pretty");
    let bytes = match first.parse() {
        Ok(records) => generate(records, if is_pretty { "\n  " } else { "" }).into_bytes(),
        Err(_) => fs_err::read(&first).expect("the file can be read"),
    };
    let size = bytes.len();
    println!("{:.1} MiB, memory in use {:.1} MiB", mib(size), mib(memory("VmRSS")));
    let (start, before) = (Instant::now(), cpu_time());
    let database = Database::parse(bytes).expect("it is a database");
    let (elapsed, cpu) = (start.elapsed(), cpu_time().saturating_sub(before));
    println!("parsed {} records in {elapsed:.3?}, {cpu:.2?} of processors", database.len());
    let peak = memory("VmHWM");
    println!("peak {:.1} MiB, {:.2} times the file", mib(peak), ratio(peak, size));
    let now = memory("VmRSS");
    println!("in use {:.1} MiB, {:.2} times the file", mib(now), ratio(now, size));
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ratio(a: usize, b: usize) -> f64 {
    a as f64 / b as f64
}

/// What all threads used so far, in the hundredths of seconds Linux counts; 0 elsewhere.
fn cpu_time() -> Duration {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).flat_map(str::parse::<u64>);
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// A field of `/proc/self/status`, in bytes; 0 where there is none.
fn memory(field: &str) -> usize {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let number = line.split_whitespace().nth(1).unwrap_or_default();
    number.parse::<usize>().unwrap_or_default() * 1024
}

/// A store's database with this many specs, each with a target as an object, a dozen parameters and
/// up to eight dependencies, as stores have them.
fn generate(records: u64, gap: &str) -> String {
    let hash = |number: u64| {
        // Spread over all values, as SHA-1 spreads them.
        let mut bytes = [0; DagHash::BYTES];
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
        bytes[..8].copy_from_slice(&mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes());
        bytes[8..16].copy_from_slice(&number.to_be_bytes());
        DagHash::from_bytes(bytes)
    };
    let features = [
        "abm",
        "adx",
        "aes",
        "avx",
        "avx2",
        "avx512_bf16",
        "avx512_bitalg",
        "avx512_vbmi2",
        "avx512_vnni",
        "avx512bw",
        "avx512cd",
        "avx512dq",
        "avx512f",
        "avx512vl",
        "bmi1",
        "bmi2",
        "clflushopt",
        "clwb",
        "clzero",
        "cx16",
        "f16c",
        "fma",
        "fsgsbase",
        "gfni",
        "mmx",
        "movbe",
        "pclmulqdq",
        "popcnt",
        "rdseed",
        "sse",
        "sse2",
        "sse3",
        "sse4_1",
        "sse4_2",
        "sse4a",
        "ssse3",
        "tsc_adjust",
        "vaes",
        "vpclmulqdq",
        "xsave",
        "xsavec",
        "xsaveopt",
    ];
    let features = features.map(|name| format!("\"{name}\"")).join(&format!(",{gap}"));
    let mut out = format!("{{\"database\":{{{gap}\"version\":\"8\",{gap}\"installs\":{{{gap}");
    for number in 0..records {
        let name = format!("package-{:04}", number % 3000);
        let hash_text = hash(number);
        let comma = if number > 0 { "," } else { "" };
        write!(
            out,
            "{comma}{gap}\"{hash_text}\":{{{gap}\"spec\":{{{gap}\"name\":\"{name}\",{gap}\"version\":\"{}.{}.{}\",{gap}\
             \"arch\":{{{gap}\"platform\":\"linux\",{gap}\"platform_os\":\"ubuntu24.04\",{gap}\"target\":{{{gap}\
             \"name\":\"zen4\",{gap}\"vendor\":\"AuthenticAMD\",{gap}\"features\":[{features}],{gap}\
             \"generation\":0,{gap}\"parents\":[\"zen3\",\"x86_64_v4\"],{gap}\"cpupart\":\"\"}}}},{gap}\
             \"namespace\":\"builtin\",{gap}\"parameters\":{{{gap}\"build_system\":\"cmake\",{gap}\
             \"build_type\":\"Release\",{gap}\"generator\":\"ninja\",{gap}\"ipo\":false,{gap}\"mpi\":true,{gap}\
             \"patches\":[\"{number:064x}\"],{gap}\"shared\":true,{gap}\"cflags\":[],{gap}\"cppflags\":[],{gap}\
             \"cxxflags\":[],{gap}\"fflags\":[],{gap}\"ldflags\":[],{gap}\"ldlibs\":[]}},{gap}\
             \"patches\":[\"{number:064x}\"],{gap}\"package_hash\":\"{:a>52}====\",{gap}\"dependencies\":[{gap}",
            number % 9,
            number % 20,
            number % 7,
            number % 10,
        )
        .expect("a string takes everything");
        let count = number.min(number % 9);
        for index in 0..count {
            let (types, virtuals) = match index {
                0 => ("\"build\"", "\"c\",\"cxx\""),
                1 => ("\"build\",\"link\",\"run\"", "\"mpi\""),
                2..5 => ("\"build\",\"link\"", ""),
                _ => ("\"build\"", ""),
            };
            let child = number - 1 - index * (number / 9).max(1).min(number / count.max(1));
            let comma = if index > 0 { "," } else { "" };
            write!(
                out,
                "{comma}{{{gap}\"name\":\"package-{:04}\",{gap}\"hash\":\"{}\",{gap}\"parameters\":{{{gap}\
                 \"deptypes\":[{types}],{gap}\"virtuals\":[{virtuals}]}}}}",
                child % 3000,
                hash(child),
            )
            .expect("a string takes everything");
        }
        write!(
            out,
            "],{gap}\"annotations\":{{{gap}\"original_specfile_version\":5}},{gap}\"hash\":\"{hash_text}\"}},{gap}\
             \"ref_count\":{},{gap}\"path\":\"/opt/spack/opt/spack/linux-zen4/{name}-1.2.3-{hash_text}\",{gap}\
             \"installed\":true,{gap}\"explicit\":false,{gap}\"installation_time\":1700{number:06}.123456,{gap}\
             \"deprecated_for\":null}}",
            number % 12,
        )
        .expect("a string takes everything");
    }
    out.push_str("}}}");
    out
}
