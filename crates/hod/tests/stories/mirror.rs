//! Mirrors by name: Spack's `mirrors.yaml`.

use fs_err::read_to_string;
use insta::assert_snapshot;

use crate::story::Story;

fn written(story: &Story) -> String {
    read_to_string(story.at("home/.spack/mirrors.yaml")).unwrap()
}

fn story(mirrors: &str) -> Story {
    let story = Story::new();
    fs_err::create_dir_all(story.at("home/.spack")).unwrap();
    fs_err::write(story.at("home/.spack/mirrors.yaml"), mirrors).unwrap();
    story
}

#[test]
fn a_registry_gets_a_name_and_a_user() {
    let story = Story::new();
    story.tell("mirror list");
    story.tell("mirror add my_registry oci://ghcr.io/user/image");
    story.tell("mirror set --push --oci-username ada --oci-password-variable TOKEN my_registry");
    story.tell("mirror add --unsigned lab ./cache");
    story.tell("mirror ls");
    story.tell("mirror list --json");
    assert_snapshot!(story.told(), @r#"
    $ hod mirror list
    2> No mirrors are configured
    exit 0
    $ hod mirror add my_registry oci://ghcr.io/user/image
    2> Added mirror `my_registry` to `~/.spack/mirrors.yaml`
    exit 0
    $ hod mirror set --push --oci-username ada --oci-password-variable TOKEN my_registry
    2> Changed mirror `my_registry` in `~/.spack/mirrors.yaml`
    2> warning: the variable TOKEN is not set here
    exit 0
    $ hod mirror add --unsigned lab ./cache
    2> Added mirror `lab` to `~/.spack/mirrors.yaml`
    exit 0
    $ hod mirror ls
    lab         [sb] file://[DIR]/cache
    my_registry [sb] oci://ghcr.io/user/image
    exit 0
    $ hod mirror list --json
    {"name":"lab","fetch":"file://[DIR]/cache","push":"file://[DIR]/cache","binary":true,"source":true,"signed":false,"autopush":false,"file":"[DIR]/home/.spack/mirrors.yaml"}
    {"name":"my_registry","fetch":"oci://ghcr.io/user/image","push":"oci://ghcr.io/user/image","binary":true,"source":true,"signed":false,"autopush":false,"file":"[DIR]/home/.spack/mirrors.yaml"}
    exit 0
    "#);
    assert_snapshot!(story.filtered(&written(&story)), @"
    mirrors:
      lab:
        url: [DIR]/cache
        signed: false
      my_registry:
        url: oci://ghcr.io/user/image
        push:
          access_pair:
            id: ada
            secret_variable: TOKEN
    ");
}

#[test]
fn what_is_known_of_a_mirror_is_changed() {
    let story = story("mirrors:\n  # ours\n  lab: oci://lab/cache  # fast\n  far: /srv/far\n");
    story.tell("mirror set lab --url oci://lab/other");
    story.tell("mirror set lab --push --url oci+http://lab:5000/other");
    story.tell("mirror set lab --type binary --autopush");
    story.tell("mirror set lab --no-autopush");
    story.tell("mirror set lab --no-autopush");
    story.tell("mirror list");
    story.tell("mirror rm far");
    assert_snapshot!(story.told(), @"
    $ hod mirror set lab --url oci://lab/other
    2> Changed mirror `lab` in `~/.spack/mirrors.yaml`
    exit 0
    $ hod mirror set lab --push --url oci+http://lab:5000/other
    2> Changed mirror `lab` in `~/.spack/mirrors.yaml`
    exit 0
    $ hod mirror set lab --type binary --autopush
    2> Changed mirror `lab` in `~/.spack/mirrors.yaml`
    exit 0
    $ hod mirror set lab --no-autopush
    2> Changed mirror `lab` in `~/.spack/mirrors.yaml`
    exit 0
    $ hod mirror set lab --no-autopush
    2> The mirror `lab` is like that already
    exit 0
    $ hod mirror list
    lab [ b] fetch: oci://lab/other push: oci+http://lab:5000/other
    far [sb] file:///srv/far
    exit 0
    $ hod mirror rm far
    2> Removed mirror `far` from `~/.spack/mirrors.yaml`
    exit 0
    ");
    assert_snapshot!(written(&story), @"
    mirrors:
      # ours
      lab:  # fast
        url: oci://lab/other
        push: oci+http://lab:5000/other
        binary: true
        source: false
        autopush: false
    ");
}

#[test]
fn a_name_is_given_once() {
    let story = story("mirrors:\n  lab: oci://ghcr.io/acme/cache\n");
    let system = story.at("etc/spack");
    fs_err::create_dir_all(&system).unwrap();
    fs_err::write(system.join("mirrors.yaml"), "mirrors:\n  site: /srv/site\n").unwrap();
    story.tell("mirror add lab s3://hpc-cache/develop");
    story.tell("mirror add site s3://hpc-cache/develop");
    story.tell("mirror set leb --unsigned");
    story.tell("mirror remove nothing-like-it");
    story.tell("mirror remove site");
    story.tell("mirror set site --unsigned");
    story.tell("mirror rm lab");
    story.tell("mirror rm lab");
    assert_snapshot!(story.told(), @"
    $ hod mirror add lab s3://hpc-cache/develop
    2> error: a mirror named `lab` already exists
    2>   cause: it points to `oci://ghcr.io/acme/cache` in `~/.spack/mirrors.yaml`
    2>
    2> hint: choose another name, or change this one with `hod mirror set lab --url s3://hpc-cache/develop`
    exit 1
    $ hod mirror add site s3://hpc-cache/develop
    2> error: a mirror named `site` already exists
    2>   cause: it points to `file:///srv/site` in `[DIR]/etc/spack/mirrors.yaml`
    2>
    2> hint: choose another name
    exit 1
    $ hod mirror set leb --unsigned
    2> error: there is no mirror named `leb` in Spack's configuration
    2>
    2> hint: did you mean `lab`?
    exit 1
    $ hod mirror remove nothing-like-it
    2> error: there is no mirror named `nothing-like-it` in Spack's configuration
    2>
    2> hint: known are lab, site
    exit 1
    $ hod mirror remove site
    2> error: the mirror `site` is defined in `[DIR]/etc/spack/mirrors.yaml`, and not in the user's own configuration
    2>
    2> hint: edit `[DIR]/etc/spack/mirrors.yaml`
    exit 1
    $ hod mirror set site --unsigned
    2> error: the mirror `site` is defined in `[DIR]/etc/spack/mirrors.yaml`, and not in the user's own configuration
    2>
    2> hint: edit `[DIR]/etc/spack/mirrors.yaml`
    exit 1
    $ hod mirror rm lab
    2> Removed mirror `lab` from `~/.spack/mirrors.yaml`
    exit 0
    $ hod mirror rm lab
    2> error: there is no mirror named `lab` in Spack's configuration
    2>
    2> hint: known are site
    exit 1
    ");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let story = Story::new();
    story.tell("mirror add a oci://ghcr.io/user/image:latest");
    story.tell("mirror add a docker://ghcr.io/user/image");
    story.tell("mirror add a htps://example.org");
    story.tell("mirror add a oci://ghcr.io/user/");
    story.tell("mirror add a https://ada:secret@example.org/");
    story.tell("mirror add a/b ./cache");
    story.tell("mirror add a oci://r.io/c --oci-username ada --oci-password secret");
    story.tell("mirror add a oci://r.io/c --oci-username ada");
    story.tell("mirror add a oci://r.io/c --oci-password-variable TOKEN");
    story.tell("mirror add a oci://r.io/c --signed --unsigned");
    story.tell("mirror set a");
    story.tell("mirror set a --push --unsigned");
    assert!(!story.at("home/.spack").exists());
    let told = story.told();
    assert!(!told.lines().any(|line| line.starts_with("2>") && line.contains("ada:secret")));
    assert_snapshot!(told, @r"
    $ hod mirror add a oci://ghcr.io/user/image:latest
    2> error: `oci://ghcr.io/user/image:latest` names one image: a mirror is a whole repository
    2>
    2> hint: leave the tag out: `oci://ghcr.io/user/image`
    exit 2
    $ hod mirror add a docker://ghcr.io/user/image
    2> error: `docker://ghcr.io/user/image` is a URL of an unknown kind, `docker`
    2>
    2> hint: for a registry, write `oci://`
    exit 2
    $ hod mirror add a htps://example.org
    2> error: `htps://example.org` is a URL of an unknown kind, `htps`
    2>
    2> hint: did you mean `https://`?
    exit 2
    $ hod mirror add a oci://ghcr.io/user/
    2> error: `oci://ghcr.io/user/` names no repository of a registry
    2>
    2> hint: write it as `oci://ghcr.io/user/image`
    exit 2
    $ hod mirror add a https://ada:secret@example.org/
    2> error: the URL has a password in it, which everybody could read in the file
    2>
    2> hint: for a registry, use `--oci-username` and `--oci-password-variable`
    exit 2
    $ hod mirror add a/b ./cache
    2> error: `a/b` cannot be the name of a mirror: names have no `/` and no `\`, neither begin nor end with a blank, and do not end with `:`
    exit 2
    $ hod mirror add a oci://r.io/c --oci-username ada --oci-password secret
    2> error: `--oci-password` would show the secret to everybody who lists the processes
    2>
    2> hint: put it into a variable, and name that with `--oci-password-variable`
    exit 2
    $ hod mirror add a oci://r.io/c --oci-username ada
    2> error: the mirror `a` has a user and no variable for the password
    2>
    2> hint: name the variable that has the password: `--oci-password-variable`
    exit 2
    $ hod mirror add a oci://r.io/c --oci-password-variable TOKEN
    2> error: the mirror `a` has a variable for the password and no user
    2>
    2> hint: name the user as well: `--oci-username` or `--oci-username-variable`
    exit 2
    $ hod mirror add a oci://r.io/c --signed --unsigned
    2> error: the argument '--signed' cannot be used with '--unsigned'
    2>
    2> Usage: hod mirror add --signed <NAME> <URL>
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod mirror set a
    2> error: there is nothing to set: name an option, such as `--url`
    exit 2
    $ hod mirror set a --push --unsigned
    2> error: `--type`, `--signed` and `--autopush` hold for the mirror as a whole: set them without `--push` and `--fetch`
    exit 2
    ");
}

#[test]
fn a_broken_file_is_shown_and_left_alone() {
    let story = story("mirrors:\n  lab: /srv/lab\n far: /srv/far\n  near: /srv/near\n");
    story.tell("mirror add new ./cache");
    fs_err::write(story.at("home/.spack/mirrors.yaml"), "mirrors:\n- lab\n").unwrap();
    story.tell("mirror add new ./cache");
    let shared = "mirrors:\n  lab: &lab\n    url: /srv/lab\n  again: *lab\n";
    fs_err::write(story.at("home/.spack/mirrors.yaml"), shared).unwrap();
    story.tell("mirror set lab --unsigned");
    assert_eq!(written(&story), shared);
    assert_snapshot!(story.told(), @"
    $ hod mirror add new ./cache
    2> error: could not read `[DIR]/home/.spack/mirrors.yaml`
    2>   cause: not YAML
    2>   cause: while parsing a block mapping, did not find expected key at byte 26 line 3 column 2
    2>     2 │   lab: /srv/lab
    2> >   3 │  far: /srv/far
    2>     4 │   near: /srv/near
    exit 1
    $ hod mirror add new ./cache
    2> error: could not change `[DIR]/home/.spack/mirrors.yaml`
    2>   cause: [DIR]/home/.spack/mirrors.yaml:2:3: `mirrors` should be a mapping, and is a list
    2>
    2> hint: edit `[DIR]/home/.spack/mirrors.yaml` by hand
    exit 1
    $ hod mirror set lab --unsigned
    2> error: cannot change `lab` in `[DIR]/home/.spack/mirrors.yaml` without changing something else there
    2>
    2> hint: edit `[DIR]/home/.spack/mirrors.yaml` by hand
    exit 1
    ");
}

#[test]
fn the_variables_that_spack_heeds_are_heeded() {
    let story = Story::new();
    let mut elsewhere = story.hod("mirror add lab /srv/lab");
    elsewhere.env("SPACK_USER_CONFIG_PATH", story.at("mine"));
    story.tell_as("SPACK_USER_CONFIG_PATH=mine hod mirror add lab /srv/lab", elsewhere);
    let mut disabled = story.hod("mirror add lab /srv/lab");
    disabled.env("SPACK_DISABLE_LOCAL_CONFIG", "1");
    story.tell_as("SPACK_DISABLE_LOCAL_CONFIG=1 hod mirror add lab /srv/lab", disabled);
    let mut homeless = story
        .hod("mirror add lab /srv/lab --oci-username-variable TOKEN --oci-password-variable TOKEN");
    homeless.env("SPACK_USER_CONFIG_PATH", story.at("third")).env("TOKEN", "secret");
    story.tell_as("TOKEN=… hod mirror add lab /srv/lab", homeless);
    assert_snapshot!(story.told(), @"
    $ SPACK_USER_CONFIG_PATH=mine hod mirror add lab /srv/lab
    2> Added mirror `lab` to `[DIR]/mine/mirrors.yaml`
    exit 0
    $ SPACK_DISABLE_LOCAL_CONFIG=1 hod mirror add lab /srv/lab
    2> Added mirror `lab` to `~/.spack/mirrors.yaml`
    2> warning: SPACK_DISABLE_LOCAL_CONFIG is set: as long as it is, `~/.spack/mirrors.yaml` is not read
    exit 0
    $ TOKEN=… hod mirror add lab /srv/lab
    2> Added mirror `lab` to `[DIR]/third/mirrors.yaml`
    exit 0
    ");
}
