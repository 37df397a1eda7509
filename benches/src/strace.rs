//! System calls as strace counts them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;

/// Calls on files and descriptors: what a slow file system makes slow.
pub(crate) const FILE_CALLS: &[&str] = &[
    "open",
    "openat",
    "openat2",
    "close",
    "read",
    "readv",
    "pread64",
    "preadv",
    "write",
    "writev",
    "pwrite64",
    "fstat",
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "readlink",
    "readlinkat",
    "getdents64",
    "lseek",
    "ioctl",
    "fcntl",
    "fadvise64",
    "fallocate",
    "ftruncate",
    "copy_file_range",
    "sendfile",
    "mkdir",
    "mkdirat",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "utimensat",
    "access",
    "faccessat2",
    "fsync",
    "fdatasync",
    "flock",
    "getxattr",
    "listxattr",
];

/// Calls by name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// The command in front of another that makes strace count its calls into `report`.
pub(crate) fn counting(report: &Path) -> Vec<OsString> {
    ["strace".into(), "-f".into(), "-c".into(), "-o".into(), report.into()].to_vec()
}

pub(crate) fn read(report: &Path) -> anyhow::Result<Counts> {
    parse(&fs_err::read_to_string(report)?)
}

/// Reads the table of `strace -c`: the call is the last field of a line, its count the fourth; the
/// errors between them are often absent.
fn parse(text: &str) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    let is_rule = |line: &str| line.starts_with("------");
    let body = text.lines().skip_while(|line| !is_rule(line)).skip(1);
    for line in body.take_while(|line| !is_rule(line)) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, _, _, calls, .., name] = fields[..] else {
            anyhow::bail!("no count in {line:?}");
        };
        let calls = calls.parse().with_context(|| format!("no count in {line:?}"))?;
        counts.insert(name.to_owned(), calls);
    }
    anyhow::ensure!(!counts.is_empty(), "strace counted nothing");
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_with_and_without_errors() {
        let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 36.44    0.066734           2     22477           read
 17.84    0.032665           3      8906        63 newfstatat
  0.00    0.000000           0         1         1 access
------ ----------- ----------- --------- --------- ----------------
100.00    0.183139           3     31384        64 total
";
        let counts = parse(text).unwrap();
        assert_eq!(counts.len(), 3);
        assert_eq!(counts["read"], 22_477);
        assert_eq!(counts["newfstatat"], 8906);
        assert_eq!(counts["access"], 1);
    }

    #[test]
    fn an_empty_report_is_an_error() {
        assert!(parse("").is_err());
        assert!(parse("strace: exec: Permission denied").is_err());
    }
}
