//! An installation on a file system that answers slowly: strace holds up every call that looks a name
//! up or changes what is known of it, each thread on its own, by a millisecond.

use std::ffi::OsString;
use std::path::Path;

use super::{Mirror, Place, Side};
use crate::harness::Harness;
use crate::strace;
use crate::table::{Table, grouped};

/// The calls that wait for a metadata server. `?` lets an architecture lack one.
const SLOW: &str = "?openat,?openat2,?open,?newfstatat,?statx,?fstat,?stat,?lstat,?access,?faccessat2,\
                    ?readlink,?readlinkat,?getdents64,?mkdir,?mkdirat,?rename,?renameat,?renameat2,\
                    ?link,?linkat,?symlink,?symlinkat,?unlink,?unlinkat,?rmdir,?chmod,?fchmod,\
                    ?fchmodat,?chown,?fchown,?lchown,?fchownat,?utimensat";
const DELAY: &str = "delay_enter=1000";

/// Spack makes so many of these calls that it is measured once.
pub(super) fn run(
    harness: &Harness,
    mirror: &Mirror,
    place: &Place<'_>,
    cache: &Path,
) -> anyhow::Result<()> {
    let heads =
        ["", "slow calls", "wall s", "nothing to do, wall s", "difference s", "times faster"];
    let title = "Installing, each call on a name or its attributes 1 ms slower, one run";
    let mut table = Table::new(title, &heads);
    let slow: Vec<&str> = SLOW.split(',').map(|call| call.trim_start_matches('?')).collect();
    let mut peer = None;
    for side in Side::all(harness) {
        let root = harness.root(place.directory)?;
        let report = harness.memory.path().join("strace.txt");
        let counting = strace::counting(&report);
        side.install(harness, mirror, root.path(), cache, &counting)?;
        let counts = strace::read(&report)?;
        let calls: u64 = slow.iter().filter_map(|call| counts.get(*call)).sum();
        drop(root);
        let root = harness.root(place.directory)?;
        let first = side.install(harness, mirror, root.path(), cache, &wrap())?.wall;
        let again = side.install(harness, mirror, root.path(), cache, &wrap())?.wall;
        let peer = *peer.get_or_insert(first);
        table.row([
            side.name().to_owned(),
            grouped(calls),
            format!("{first:.2}"),
            format!("{again:.2}"),
            format!("{:.2}", first - again),
            format!("{:.2}", peer / first),
        ]);
    }
    harness.show(&table);
    Ok(())
}

fn wrap() -> Vec<OsString> {
    // Calls that are not held up run at full speed.
    let words = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e"];
    let mut wrap: Vec<OsString> = words.iter().map(OsString::from).collect();
    wrap.extend([format!("trace={SLOW}").into(), "-e".into()]);
    wrap.push(format!("inject={SLOW}:{DELAY}").into());
    wrap
}
