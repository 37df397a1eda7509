//! Names of registries, which have been written in several ways.

/// Docker Hub's names.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
/// How docker writes Docker Hub as a key.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The other names of a host, itself first. Only Docker Hub has several.
pub(super) fn names(host: &str) -> Vec<String> {
    let host = host.to_ascii_lowercase();
    if !DOCKER_HUB.contains(&&*host) {
        return vec![host];
    }
    let others = DOCKER_HUB.iter().filter(|other| **other != host).map(|&other| other.to_owned());
    std::iter::once(host.clone()).chain(others).collect()
}

pub(super) fn same_host(left: &str, right: &str) -> bool {
    names(left).contains(&right.to_ascii_lowercase())
}

/// What a host is called in docker's files, and to a helper.
pub(super) fn key_of(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if DOCKER_HUB.contains(&&*host) { DOCKER_HUB_KEY.to_owned() } else { host }
}

/// The host that a key stands for as a whole: docker has written keys as URLs, and with the
/// version of the protocol (`ConvertToHostname` in `docker/cli`). `None` for a repository's key.
pub(super) fn host_of(key: &str) -> Option<&str> {
    let (has_scheme, rest) = match key.split_once("://") {
        Some(("http" | "https", rest)) => (true, rest),
        Some(_) => return None,
        None => (false, key),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_whole = has_scheme || matches!(path.trim_end_matches('/'), "" | "v1" | "v2");
    (is_whole && !host.is_empty()).then_some(host)
}
