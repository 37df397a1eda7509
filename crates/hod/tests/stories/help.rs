//! What hod says of itself, and to words it does not know.

use insta::assert_snapshot;

use crate::story::Story;

#[test]
fn help_lists_the_verbs() {
    let story = Story::new();
    story.tell("--help");
    assert_snapshot!(story.told(), @"
    $ hod --help
    Carries installed software: packs an install prefix into one reproducible blob that is at once a
    build cache entry and a container image layer

    Usage: hod [OPTIONS] <COMMAND>

    Commands:
      push         Pack installed specs or install prefixes and push them to a mirror
      install      Install packages and what they depend on from mirrors into a store
      uninstall    Remove installed packages that nothing else needs from a store
      env          Print what a shell is to read to use packages of a store
      list         List the packages in a mirror or a store
      show         Show what a mirror or a store knows of one package
      index        Rebuild the index of a mirror, from which Spack knows what there is
      check        Read everything in a mirror again and compare it with its digests
      copy         Copy images from one mirror to another, byte for byte
      unpack       Unpack a package to a directory, as it was packed
      mirror       Name mirrors, for hod and Spack alike
      login        Remember the password for a registry
      logout       Forget the password for a registry
      cache        Show or shrink what is kept on this machine, to save work and downloads
      completions  Print a completion script for a shell
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Output:
      -q, --quiet         Say less: errors and asked-for data only
      -v, --verbose       Say more: nothing is cut to twenty lines
          --json          Write JSON on stdout, one object per line
          --color <WHEN>  When to use colour [default: auto] [possible values: auto, always, never]
          --no-progress   Do not show moving progress

    Exit codes: 0 done (also: nothing to do), 1 something failed or was not found, 2 wrong usage, 130
    interrupted
    exit 0
    ");
}

#[test]
fn help_of_push_shows_examples() {
    let story = Story::new();
    story.tell("push --help");
    assert_snapshot!(story.told(), @"
    $ hod push --help
    Pack installed specs or install prefixes and push them to a mirror

    Usage: hod push [OPTIONS] <MIRROR> <SPEC|PREFIX>...

    Arguments:
      <MIRROR>          The mirror: a directory, `oci://HOST/NAME`, `oci-layout:DIR`, or a name in
                        Spack's mirrors.yaml; a directory is made if it does not exist
      <SPEC|PREFIX>...  Installed specs and install prefixes

    Options:
      -j, --jobs <N>      Threads that compress [default: cores]
          --io-jobs <N>   Most threads that wait for the file system [default: 32]
          --dry-run       Say what would be pushed, and change nothing
      -f, --force         Push what is there already: a prefix in any case, a spec if its tree has
                          changed
          --fail-fast     After the first failure, begin nothing new
          --update-index  Bring the mirror's index up to date afterwards [alias: --rebuild-index]
          --refs          Print the reference of each package's image on stdout
      -h, --help          Print help

    Prefixes that Spack did not make:
          --name <NAME>        Name of the package [default: from the directory's name]
          --version <VERSION>  Version of the package [default: from the directory's name]

    Specs:
          --store <PATH>                The Spack store [env: `HOD_STORE`] [default: that of Spack's
                                        configuration]
          --only <WHICH>                Push only the specs themselves, or only what they depend on
                                        [default: both] [possible values: package, dependencies]
          --with-build-dependencies     Push what was needed to build them as well; the default, as in
                                        Spack
          --without-build-dependencies  Leave out what was needed only to build them
          --exclude <QUERY>             Leave out dependencies that match (may be given several times)
          --private                     Push specs too whose recipes forbid to redistribute binaries
          --spack-prefix <PATH>         Where Spack is, for the build information [env: `SPACK_ROOT`]

    Images:
          --base-image <IMAGE>  Put the images on this one: `ubuntu:24.04`, `oci://…`, `oci+http://…`,
                                `oci-layout:DIR:TAG` or `./DIR:TAG` of a directory mirror
          --tag <TAG>           Make one more image of all specs named, with this tag; beside images for
                                other machines that have it
          --max-layers <N>      Most layers of the tagged image, those of its base counted; more are
                                merged [default: 120]
          --entrypoint <WORD>   The command that containers start, one word each time it is given; empty
                                for none
          --cmd <WORD>          The arguments of the command, or the command, one word each time it is
                                given
          --env <NAME=VALUE>    Set a variable (may be given several times)
          --workdir <DIR>       The directory in which the command starts
          --label <NAME=VALUE>  Add a label (may be given several times)
          --user <USER>         The user that runs the command, by name or number, perhaps with a group:
                                USER:GROUP
          --env-from <WHO>      Who knows the environment of specs: the directories of their prefixes,
                                or `spack load` [default: inspections] [possible values: inspections,
                                spack]
          --source <URL>        Where the sources are, for the annotation by which registries link an
                                image to a repository

    Registries:
          --connections <N>    Most requests at the same time [default: 16]
          --ca-file <PEM>      Certificates to trust besides those of the system, as a PEM file [env:
                               `HOD_CA_FILE`]
          --tls-verify <BOOL>  Whether certificates are verified [default: true] [possible values: true,
                               false]
          --retries <N>        Attempts at what may succeed a moment later [default: 6]

    Format (each of these changes the digests):
          --compression <CODEC>        gzip, zstd or none; Spack reads gzip only [default: gzip]
          --compression-level <LEVEL>  A number, or fast, default or best (gzip 1, 6, 9; zstd 1, 3, 12)
                                       [default: default]
          --gzip-members <HOW>         multi (decompresses in parallel) or single (for readers that stop
                                       at the first member) [default: multi]
          --mtime <TIME>               Modification time of all entries, in seconds since 1970, or
                                       `source-date-epoch` to take it from that variable [default: 0]

    Output:
      -q, --quiet         Say less: errors and asked-for data only
      -v, --verbose       Say more: nothing is cut to twenty lines
          --json          Write JSON on stdout, one object per line
          --color <WHEN>  When to use colour [default: auto] [possible values: auto, always, never]
          --no-progress   Do not show moving progress

    What is pushed:
      hdf5@1.14 +mpi      the installed spec that matches, in the store (--store, HOD_STORE, or the
                          one Spack's configuration names); /k3x7qpl names it by its hash
      ./build, /opt/zlib  a prefix: whatever contains a `/`, or `.` or `..`
                          (one that Spack made is pushed as its spec)

    Examples:
      hod push ./cache python --update-index        python and all it depends on
      hod push lab 'hdf5+mpi' --only package        to the mirror `lab` of Spack's mirrors.yaml
      hod push ./cache /opt/zlib-1.3.1              what somebody's `make install` made
      hod push ./cache ./build --name zlib --version 1.3.1
      hod push oci://ghcr.io/me/cache python --base-image ubuntu:24.04 --tag python-3.11
                                                    to a registry, with an image to run
      hod push --dry-run ./cache python             say what would be done
      hod push --refs -q ./cache python             print the image reference for the next program

    Then:
      spack mirror add cache ./cache && spack install --cache-only --no-check-signature python
      podman run --rm oci:cache/oci:TAG COMMAND     or skopeo inspect oci:cache/oci:TAG
    exit 0
    ");
}

#[test]
fn nothing_typed_is_wrong_usage_and_shows_help() {
    let story = Story::new();
    let nothing = story.run("");
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(2), ""));
    assert_eq!(nothing.stderr, story.run("--help").stdout);
}

#[test]
fn every_verb_has_help_with_an_example() {
    let story = Story::new();
    for verb in [
        "push",
        "install",
        "uninstall",
        "env",
        "list",
        "show",
        "check",
        "unpack",
        "mirror",
        "login",
        "logout",
        "completions",
    ] {
        let help = story.done(&format!("help {verb}"));
        assert!(help.contains("Example"), "{help}");
    }
}

#[test]
fn words_that_are_none_are_explained() {
    let story = Story::new();
    story.tell("psuh ./cache ./zlib-1.3.1");
    story.tell("push ./cache");
    story.tell("push ./cache ./zlib-1.3.1 --forse");
    story.tell("list");
    story.tell("push ./cache ./zlib-1.3.1 -j 0");
    story.tell("push ./cache ./zlib-1.3.1 -q -v");
    assert_snapshot!(story.told(), @"
    $ hod psuh ./cache ./zlib-1.3.1
    2> error: unrecognized subcommand 'psuh'
    2>
    2>   tip: a similar subcommand exists: 'push'
    2>
    2> Usage: hod [OPTIONS] <COMMAND>
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod push ./cache
    2> error: the following required arguments were not provided:
    2>   <SPEC|PREFIX>...
    2>
    2> Usage: hod push <MIRROR> <SPEC|PREFIX>...
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --forse
    2> error: unexpected argument '--forse' found
    2>
    2>   tip: a similar argument exists: '--force'
    2>
    2> Usage: hod push --force <MIRROR> <SPEC|PREFIX>...
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod list
    2> error: no mirror was named, and Spack's configuration has none that can be read
    2>
    2> hint: name one with `-m DIR`, or for all commands with `hod mirror add`
    exit 1
    $ hod push ./cache ./zlib-1.3.1 -j 0
    2> error: invalid value '0' for '--jobs <N>': number would be zero for non-zero type
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod push ./cache ./zlib-1.3.1 -q -v
    2> error: the argument '--quiet' cannot be used with '--verbose'
    2>
    2> Usage: hod push --quiet <MIRROR> <SPEC|PREFIX>...
    2>
    2> For more information, try '--help'.
    exit 2
    ");
}

#[test]
fn every_shell_gets_a_completion_script_that_names_the_verbs() {
    let story = Story::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = story.done(&format!("completions {shell}"));
        for word in ["push", "unpack", "compression-level"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    story.tell("completions csh");
    assert_snapshot!(story.told(), @"
    $ hod completions csh
    2> error: invalid value 'csh' for '<SHELL>'
    2>   [possible values: bash, elvish, fish, powershell, zsh]
    2>
    2>   tip: a similar value exists: 'zsh'
    2>
    2> For more information, try '--help'.
    exit 2
    ");
}
