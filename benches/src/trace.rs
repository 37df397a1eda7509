//! Which files a command touches: the calls that strace saw, by the place that each of them names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A part of the file system: whether a path is in it.
pub(crate) type Place = Box<dyn Fn(&Path) -> bool>;

/// Calls by name.
type Calls = BTreeMap<String, u64>;

/// The command in front of another that writes its calls on files and descriptors into `report`,
/// each descriptor with its path.
pub(crate) fn tracing(report: &Path) -> Vec<OsString> {
    let words = ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", "trace=%file,%desc", "-o"];
    words.iter().map(OsString::from).chain([report.into()]).collect()
}

/// The calls of a report by place: each call is counted at the first place its path is in, and at
/// the one after the last if it is in none. Calls that name no path are not counted.
pub(crate) fn by_place(report: &str, places: &[Place]) -> Vec<Calls> {
    let mut counts = vec![Calls::new(); places.len() + 1];
    for (call, path) in calls(report) {
        let at = places.iter().position(|place| place(&path)).unwrap_or(places.len());
        *counts[at].entry(call.to_owned()).or_default() += 1;
    }
    counts
}

/// The calls of a report, each with the first path it names; those that name none are left out.
pub(crate) fn calls(report: &str) -> impl Iterator<Item = (&str, PathBuf)> {
    report.lines().filter_map(parse)
}

/// The call of a line and the first path it names. The second half of a call that was interrupted
/// in the report by another thread's is not counted again.
fn parse(line: &str) -> Option<(&str, PathBuf)> {
    let line = line.trim_start_matches(|char: char| char.is_ascii_digit()).trim_start();
    let (call, arguments) = line.split_once('(')?;
    if call.is_empty() || !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    if let Some(text) = arguments.strip_prefix('"') {
        return Some((call, quoted(text)?.into()));
    }
    let (_, rest) = arguments.split_once('<')?;
    let (directory, rest) = rest.split_once('>')?;
    // What follows the descriptor is a path for these, and content for others.
    let takes_path = call.ends_with("at") || call.ends_with("at2") || call == "statx";
    let relative = rest.strip_prefix(", \"").filter(|_| takes_path).and_then(quoted);
    let directory = Path::new(directory);
    Some((call, relative.map_or_else(|| directory.to_owned(), |path| directory.join(path))))
}

/// A quoted word without its end. Quotes within would end it early: no path of ours has any.
fn quoted(text: &str) -> Option<&str> {
    Some(text.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::absolute(r#"12 openat(AT_FDCWD</w>, "/a/b", O_RDONLY) = 3</a/b>"#, "openat", "/a/b")]
    #[case::relative(r#"12 newfstatat(3</a>, "b/c", {st_mode=…}, 0) = 0"#, "newfstatat", "/a/b/c")]
    #[case::itself(r#"12 statx(3</a>, "", AT_EMPTY_PATH, STATX_ALL, {}) = 0"#, "statx", "/a/")]
    #[case::content(r#"12 read(3</a/b>, "/x/y", 4) = 4"#, "read", "/a/b")]
    #[case::plain(r#"12 access("/etc/x", R_OK) = -1 ENOENT"#, "access", "/etc/x")]
    #[case::half(r"12 close(3</a/b> <unfinished ...>", "close", "/a/b")]
    fn the_path_of_a_call(#[case] line: &str, #[case] call: &str, #[case] path: &str) {
        assert_eq!(parse(line), Some((call, PathBuf::from(path))));
    }

    #[rstest]
    #[case::second_half(r#"12 <... read resumed>"x", 4) = 4"#)]
    #[case::exit("12 +++ exited with 0 +++")]
    #[case::memory("12 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f")]
    #[case::signal("12 --- SIGCHLD {si_signo=SIGCHLD} ---")]
    fn lines_without_a_path(#[case] line: &str) {
        assert_eq!(parse(line), None);
    }

    #[test]
    fn a_call_is_counted_at_the_first_place_it_is_in() {
        let below = |root: &'static str| -> Place { Box::new(move |path| path.starts_with(root)) };
        let report = "1 close(3</a/b>) = 0\n1 close(3</a>) = 0\n1 access(\"/c\", R_OK) = 0\n";
        let counts = by_place(report, &[below("/a/b"), below("/a")]);
        let totals: Vec<u64> = counts.iter().map(|calls| calls.values().sum()).collect();
        assert_eq!(totals, [1, 1, 1]);
        assert_eq!(counts[2]["access"], 1);
    }
}
