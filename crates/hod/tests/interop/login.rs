//! Passwords that Hod keeps are those that other programs find.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::{Place, has, succeed};

#[test]
fn podman_and_skopeo_know_who_logged_in() {
    if !has(&["skopeo", "podman"]) {
        return;
    }
    let place = Place::new();
    for (registry, user) in [("ghcr.io", "ada"), ("docker.io", "grace"), ("localhost:5000", "joan")]
    {
        let mut login =
            place.hod(&format!("login -q --offline {registry} -u {user} --password-stdin"));
        let mut login = login.stdin(Stdio::piped()).spawn().unwrap();
        login.stdin.take().unwrap().write_all(b"secret\n").unwrap();
        assert!(login.wait().unwrap().success());
    }
    for program in ["skopeo", "podman"] {
        for (registry, user) in
            [("ghcr.io", "ada"), ("docker.io", "grace"), ("localhost:5000", "joan")]
        {
            let mut asked = place.command(program);
            asked.args(["login", "--get-login", registry]);
            assert_eq!(succeed(asked).trim(), user, "{program} {registry}");
        }
    }
    succeed(place.hod("logout ghcr.io"));
    let mut asked = place.command("skopeo");
    asked.args(["login", "--get-login", "ghcr.io"]);
    assert!(!asked.output().unwrap().status.success());
}
