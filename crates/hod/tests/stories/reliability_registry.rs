//! Killed at any moment on the way to a registry, and started again.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hod_testing::proxy::Proxy;
use hod_testing::registry::{Options, Registry};

use crate::golden;
use crate::story::Story;
use crate::support::tree::random;

/// A loop must not hold up everything on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_push_killed_at_any_moment_sends_nothing_complete_twice() {
    let Some(registry) = Registry::start(&Options::default()) else { return };
    let proxy = Proxy::start(registry.host());
    // So that there are moments to be killed in.
    proxy.latency(Duration::from_millis(5));
    let story = Story::new();
    golden::unpack_fixture("store.tar.zst", &story.at(""));
    crate::story::settle();
    let seed = u64::from(std::process::id()) | 1 << 33;
    let mut state = seed;
    let push =
        format!("push -q oci+http://{}/a/b hello libpng linkfarm --store ./store", proxy.host());
    let start = Instant::now();
    let mut kills = 0;
    while start.elapsed() < PATIENCE {
        let mut command = story.hod(&push);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random(&mut state) % 120_000));
        if child.try_wait().unwrap().is_some_and(|status| status.success()) {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        // What was on its way when the kill came arrives before the next one looks.
        std::thread::sleep(Duration::from_millis(50));
    }
    let finished = story.run(&push);
    assert_eq!(finished.code, Some(0), "seed {seed}, {kills} kills: {finished:#?}");
    assert!(kills > 0);

    // Everything that the registry has said it has, and how often it was sent.
    let mut sent: BTreeMap<String, usize> = BTreeMap::new();
    for seen in proxy.requests() {
        let digest = seen.target.split("digest=").nth(1).map(str::to_owned);
        let name =
            if seen.is("PUT", "/manifests/") { Some(seen.path().to_owned()) } else { digest };
        if let (Some(name), "PUT", Some(201)) = (name, seen.method.as_str(), seen.status) {
            *sent.entry(name).or_default() += 1;
        }
    }
    let twice: Vec<_> = sent.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "seed {seed}, {kills} kills: {twice:#?}");
    let check = story.run(&format!("check oci+http://{}/a/b", registry.host()));
    assert_eq!(check.code, Some(0), "{check:#?}");
}
