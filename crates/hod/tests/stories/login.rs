//! Passwords of registries.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use fs_err::read_to_string;
use insta::assert_snapshot;

use crate::story::{Ended, Story};
use crate::support::succeed;
use crate::support::tree::set_mode;

/// Runs a command that gets `input` on stdin.
pub(crate) fn fed(mut command: Command, input: &str) -> Ended {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

pub(crate) fn login(story: &Story, words: &str, password: &str) {
    let ended = fed(story.hod(words), password);
    story.note(&format!("hod {words}"), &ended);
}

#[test]
fn a_password_is_kept_where_docker_keeps_it() {
    let story = Story::new();
    login(&story, "login ghcr.io -u ada --password-stdin --offline", "secret\n");
    let file = story.at("home/.docker/config.json");
    let kept = read_to_string(&file).unwrap();
    let mode = |path: &str| story.at(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("home/.docker"), mode("home/.docker/config.json")), (0o700, 0o600));
    login(&story, "login docker.io -u ada --password-stdin --offline --json", "more secret");
    story.tell("logout https://ghcr.io/");
    story.tell("logout ghcr.io");
    story.tell("logout docker.io");
    assert_snapshot!(story.told(), @r#"
    $ hod login ghcr.io -u ada --password-stdin --offline
    2> Stored the password for `ghcr.io` in `~/.docker/config.json`
    2> It is not encrypted there: a credential helper could keep it
    exit 0
    $ hod login docker.io -u ada --password-stdin --offline --json
    {"event":"login","registry":"docker.io","file":"[DIR]/home/.docker/config.json","helper":null}
    2> Stored the password for `docker.io` in `~/.docker/config.json`
    2> It is not encrypted there: a credential helper could keep it
    exit 0
    $ hod logout https://ghcr.io/
    2> Removed the password for `ghcr.io` from `~/.docker/config.json`
    exit 0
    $ hod logout ghcr.io
    2> There was no password for `ghcr.io`
    exit 0
    $ hod logout docker.io
    2> Removed the password for `docker.io` from `~/.docker/config.json`
    exit 0
    "#);
    assert_snapshot!(kept, @r#"
    {
    	"auths": {
    		"ghcr.io": {
    			"auth": "YWRhOnNlY3JldA=="
    		}
    	}
    }
    "#);
    assert_snapshot!(read_to_string(&file).unwrap(), @r#"
    {
    	"auths": {}
    }
    "#);
}

#[test]
fn what_else_is_in_the_file_stays() {
    let story = Story::new();
    let file = story.at("auth.json");
    let before = r#"{"z": [1, 2.50], "auths": {"quay.io": {"auth": "eDp5"}, "https://ghcr.io/v1/": {"auth": "b2xkOm9sZA=="}}, "a": "last"}"#;
    fs_err::write(&file, before).unwrap();
    set_mode(&file, 0o644);
    let mut command = story.hod("login ghcr.io -u ada --password-stdin --offline");
    command.env("REGISTRY_AUTH_FILE", &file);
    let ended = fed(command, "secret");
    story.note(
        "REGISTRY_AUTH_FILE=auth.json hod login ghcr.io -u ada --password-stdin --offline",
        &ended,
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_snapshot!(story.told(), @"
    $ REGISTRY_AUTH_FILE=auth.json hod login ghcr.io -u ada --password-stdin --offline
    2> Stored the password for `ghcr.io` in `[DIR]/auth.json`
    2> It is not encrypted there: a credential helper could keep it
    exit 0
    ");
    assert_snapshot!(read_to_string(&file).unwrap(), @r#"
    {
    	"z": [
    		1,
    		2.5
    	],
    	"auths": {
    		"quay.io": {
    			"auth": "eDp5"
    		},
    		"ghcr.io": {
    			"auth": "YWRhOnNlY3JldA=="
    		}
    	},
    	"a": "last"
    }
    "#);
}

#[test]
fn a_helper_keeps_it_if_the_file_names_one() {
    let story = Story::new();
    let helper = story.at("bin/docker-credential-safe");
    fs_err::create_dir(story.at("bin")).unwrap();
    let script = r#"#!/bin/sh
echo "$*" >> "$SAFE/calls"
case $1 in
    store) cat > "$SAFE/kept" ;;
    get) if test -e "$SAFE/kept"; then cat "$SAFE/kept"; else
        echo "credentials not found in native keychain"; exit 1
    fi ;;
    erase) rm "$SAFE/kept" ;;
esac
"#;
    // Written by another process: a file that this one has open for writing could not be run, and
    // whatever another test starts at the same moment inherits it.
    let mut shell = story.command("sh");
    shell.args(["-c", "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"]).arg(&helper);
    succeed({
        shell.arg(script);
        shell
    });
    fs_err::create_dir_all(story.at("docker")).unwrap();
    fs_err::write(story.at("docker/config.json"), r#"{"credsStore": "safe"}"#).unwrap();
    let hod = |words: &str| {
        let mut command = story.hod(words);
        command.env("DOCKER_CONFIG", story.at("docker")).env("SAFE", story.at("bin"));
        command.env("PATH", format!("{}:/usr/bin:/bin", story.at("bin").display()));
        command
    };
    let words = "login ghcr.io -u ada --password-stdin --offline";
    story.note(&format!("hod {words}"), &fed(hod(words), "secret"));
    assert_eq!(
        read_to_string(story.at("bin/kept")).unwrap(),
        r#"{"ServerURL":"ghcr.io","Username":"ada","Secret":"secret"}"#
    );
    assert!(!read_to_string(story.at("docker/config.json")).unwrap().contains("secret"));
    story.tell_as("hod logout ghcr.io", hod("logout ghcr.io"));
    assert!(!story.at("bin/kept").exists());
    story.tell_as("hod logout ghcr.io", hod("logout ghcr.io"));
    // Nothing but the verb is an argument.
    assert_eq!(
        read_to_string(story.at("bin/calls")).unwrap(),
        "store\nget\nerase\nget\nget\nget\n"
    );
    fs_err::remove_file(&helper).unwrap();
    story.note(&format!("hod {words}"), &fed(hod(words), "secret"));
    assert_snapshot!(story.told(), @"
    $ hod login ghcr.io -u ada --password-stdin --offline
    2> Stored the password for `ghcr.io` with `docker-credential-safe`
    exit 0
    $ hod logout ghcr.io
    2> Removed the password for `ghcr.io` from `docker-credential-safe`
    exit 0
    $ hod logout ghcr.io
    2> There was no password for `ghcr.io`
    exit 0
    $ hod login ghcr.io -u ada --password-stdin --offline
    2> error: `[DIR]/docker/config.json` names the credential helper `docker-credential-safe`, which is not in PATH
    2>
    2> hint: install `docker-credential-safe`, or take it out of `[DIR]/docker/config.json`
    exit 1
    ");
}

#[test]
fn what_cannot_be_kept_is_explained() {
    let story = Story::new();
    story.tell("login ghcr.io");
    story.tell("login ghcr.io --password-stdin");
    login(&story, "login ghcr.io -u ada --password-stdin --offline", "\n");
    login(&story, "login ghcr.io -u a:da --password-stdin --offline", "secret");
    login(&story, "login ghcr.io/ada/image -u ada --password-stdin --offline", "secret");
    login(&story, "login ghcr.io -u ada -p secret", "");
    assert!(!story.at("home/.docker").exists());
    fs_err::create_dir(story.at("home/.docker")).unwrap();
    fs_err::write(story.at("home/.docker/config.json"), "{\"auths\": [\"secret\"]}").unwrap();
    login(&story, "login ghcr.io -u ada --password-stdin --offline", "secret");
    fs_err::write(story.at("home/.docker/config.json"), "{\"auths\": secret").unwrap();
    story.tell("logout ghcr.io");
    assert_snapshot!(story.told(), @"
    $ hod login ghcr.io
    2> error: there is no terminal on which to ask for the password: give it on stdin, with `--password-stdin`
    exit 2
    $ hod login ghcr.io --password-stdin
    2> error: `--password-stdin` needs the user as well: `--username`
    exit 2
    $ hod login ghcr.io -u ada --password-stdin --offline
    2> error: there is no password on stdin
    exit 2
    $ hod login ghcr.io -u a:da --password-stdin --offline
    2> error: a user's name cannot have a colon
    exit 2
    $ hod login ghcr.io/ada/image -u ada --password-stdin --offline
    2> error: `ghcr.io/ada/image` is in a registry: passwords are for the whole of `ghcr.io`
    exit 2
    $ hod login ghcr.io -u ada -p secret
    2> error: unexpected argument '-p' found
    2>
    2>   tip: to pass '-p' as a value, use '-- -p'
    2>
    2> Usage: hod login [OPTIONS] <REGISTRY>
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod login ghcr.io -u ada --password-stdin --offline
    2> error: `[DIR]/home/.docker/config.json`: `auths` should be an object, and is a list
    2>
    2> hint: correct `[DIR]/home/.docker/config.json` by hand
    exit 1
    $ hod logout ghcr.io
    2> error: `[DIR]/home/.docker/config.json` is not JSON
    2>   cause: expected value at line 1 column 11
    2>
    2> hint: correct `[DIR]/home/.docker/config.json` by hand
    exit 1
    ");
}

#[test]
fn another_file_with_a_password_is_named() {
    let story = Story::new();
    fs_err::create_dir_all(story.at("home/.config/containers")).unwrap();
    let other = r#"{"auths": {"ghcr.io": {"auth": "YWRhOnNlY3JldA=="}}}"#;
    fs_err::write(story.at("home/.config/containers/auth.json"), other).unwrap();
    story.tell("logout ghcr.io");
    assert_snapshot!(story.told(), @"
    $ hod logout ghcr.io
    2> There was no password for `ghcr.io`
    2> warning: `~/.config/containers/auth.json` still has a password for `ghcr.io`
    exit 0
    ");
}
