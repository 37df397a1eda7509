//! What a shell reads to use packages of a store.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use hod_testing::golden::golden;
use insta::assert_snapshot;
use serde_json::Value;

use crate::golden::unpack_fixture;
use crate::story::Story;
use crate::support::{has, skip, succeed, tree};

/// A story that begins with a store: zlib, bzip2, libpng, hello, linkfarm and gcc-runtime, made by
/// Spack under `/opt/hpc/store`.
fn story() -> Story {
    let story = Story::new();
    unpack_fixture("store.tar.zst", &story.at(""));
    story
}

/// What `spack load --sh` sets variables to.
fn spack_says(script: &str) -> BTreeMap<String, Vec<String>> {
    let assignment = |line: &str| {
        let (name, value) = line.strip_prefix("export ")?.strip_suffix(';')?.split_once('=')?;
        Some((name.to_owned(), value.split(':').map(str::to_owned).collect()))
    };
    script.lines().filter_map(assignment).collect()
}

/// Compares what hod puts first with what Spack did: each directory once, and of this machine's
/// own `/usr` what is here.
fn compare(story: &Story, words: &str, script: &str) {
    let row: Value = serde_json::from_str(&story.done(words)).unwrap();
    let store = story.at("store").display().to_string();
    let own: BTreeMap<String, Vec<String>> =
        serde_json::from_value(row["prepend"].clone()).unwrap();
    for (name, list) in spack_says(script) {
        let mut expected: Vec<String> = Vec::new();
        for item in list {
            // The rest is the environment that Spack was called in.
            let is_found = item.starts_with("/usr/") && Path::new(&item).is_dir();
            let is_given = name == "PATH" && !item.starts_with("/opt/hpc/store/");
            let is_hash = name == "SPACK_LOADED_HASHES";
            let item = item.replace("/opt/hpc/store", &store);
            if (is_hash || item.starts_with(&store) || is_found)
                && !is_given
                && !expected.contains(&item)
            {
                expected.push(item);
            }
        }
        assert_eq!(own.get(&name).cloned().unwrap_or_default(), expected, "{name}");
    }
    assert!(own.contains_key("PATH") && own.contains_key("CMAKE_PREFIX_PATH"), "{own:?}");
}

#[test]
fn the_same_comes_first_as_with_spack_load() {
    let story = story();
    let script = fs_err::read_to_string(golden("load-libpng.sh")).unwrap();
    compare(&story, "env --json -q libpng --store ./store", &script);
    let script = fs_err::read_to_string(golden("load-linkfarm-hello.sh")).unwrap();
    compare(&story, "env --json -q linkfarm hello --store ./store", &script);
}

#[test]
fn words_that_mean_no_package_print_nothing() {
    let story = story();
    story.tell("env --store ./store");
    story.tell("env zlub --store ./store");
    story.tell("env @1: --store ./store");
    story.tell("env zlib --store ./nowhere");
    story.tell("env zlib --shell ksh --store ./store");
    fs_err::remove_dir_all(
        story.at("store/linux-x86_64/zlib-1.2.13-yox7nsrab6dhdlxlapu6hg33h4atwgrx"),
    )
    .unwrap();
    story.tell("env libpng zlib --store ./store");
    assert_snapshot!(story.told(), @"
    $ hod env --store ./store
    2> error: the following required arguments were not provided:
    2>   <SPEC>...
    2>
    2> Usage: hod env --store <PATH> <SPEC>...
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod env zlub --store ./store
    2> error: no package matches `zlub` among 7 in `[DIR]/store`
    2>
    2> hint: did you mean `zlib`?
    exit 1
    $ hod env @1: --store ./store
    2> error: `@1:` matches 7 packages in `[DIR]/store`
    2>   bzip2@1.0.8/[hash]
    2>   gcc-runtime@12.2.0/[hash]
    2>   glibc@2.36/[hash]
    2>   hello@2.10/[hash]
    2>   libpng@1.6.39/[hash]
    2>   linkfarm@1.0/[hash]
    2>   zlib@1.2.13/[hash]
    2>
    2> hint: name one by its hash, as in `/[hash]`
    exit 1
    $ hod env zlib --store ./nowhere
    2> error: no store at `[DIR]/nowhere`
    2>   cause: failed to query resolved metadata `[DIR]/nowhere`: No such file or directory (os error 2)
    2>
    2> hint: a store is the directory that holds `.spack-db`: Spack's `config:install_tree:root`
    exit 1
    $ hod env zlib --shell ksh --store ./store
    2> error: invalid value 'ksh' for '--shell <SHELL>'
    2>   [possible values: sh, csh, fish]
    2>
    2>   tip: a similar value exists: 'csh'
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod env libpng zlib --store ./store
    2> error: `zlib@1.2.13/[hash]` should be at `[DIR]/store/linux-x86_64/zlib-1.2.13-[hash]`, and is not there
    2>
    2> hint: install it again, or leave a dependency out with `--exclude`
    exit 1
    ");
}

#[test]
fn what_is_printed_is_for_one_shell() {
    let story = story();
    // What the machine has differs, and Spack counts that in.
    let path = story.at("store/.spack-db/index.json");
    let database = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, database.replace("\"/usr\"", "\"/nowhere/usr\"")).unwrap();
    story.tell("env bzip2 --store ./store");
    story.tell("env bzip2 -q --shell csh --store ./store");
    story.tell("env bzip2 -q --shell fish --store ./store");
    assert_snapshot!(story.told(), @r#"
    $ hod env bzip2 --store ./store
    _hod_first() {
        _hod_list=":$_hod_list:"
        while :; do
            case $_hod_list in
                *":$1:"*) _hod_list="${_hod_list%%":$1:"*}:${_hod_list#*":$1:"}" ;;
                *) break ;;
            esac
        done
        _hod_list="${_hod_list#:}"
        _hod_list="${_hod_list%:}"
        _hod_list="$1${_hod_list:+:$_hod_list}"
    }
    _hod_list="${CMAKE_PREFIX_PATH-}"
    _hod_first '[DIR]/store/linux-x86_64/gcc-runtime-12.2.0-[hash]'
    _hod_first '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]'
    export CMAKE_PREFIX_PATH="$_hod_list"
    _hod_list="${MANPATH-}"
    _hod_first '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]/man'
    case ":$_hod_list:" in *::*) ;; *) _hod_list="$_hod_list:" ;; esac
    export MANPATH="$_hod_list"
    _hod_list="${PATH-}"
    _hod_first '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]/bin'
    export PATH="$_hod_list"
    _hod_list="${SPACK_LOADED_HASHES-}"
    _hod_first '[hash]'
    export SPACK_LOADED_HASHES="$_hod_list"
    unset -f _hod_first
    unset _hod_list
    2> warning: the store lies at `[DIR]/store`, and its files refer to `/opt/hpc/store`: programs may not find what they need
    2> Left to Spack: what recipes set (`setup_run_environment`), `spack load` knows it
    exit 0
    $ hod env bzip2 -q --shell csh --store ./store
    if ( ! $?CMAKE_PREFIX_PATH ) setenv CMAKE_PREFIX_PATH '';
    if ( "${CMAKE_PREFIX_PATH}:" !~ '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]:[DIR]/store/linux-x86_64/gcc-runtime-12.2.0-[hash]':* ) setenv CMAKE_PREFIX_PATH '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]:[DIR]/store/linux-x86_64/gcc-runtime-12.2.0-[hash]':"${CMAKE_PREFIX_PATH}";
    if ( "${CMAKE_PREFIX_PATH}" == '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]:[DIR]/store/linux-x86_64/gcc-runtime-12.2.0-[hash]': ) setenv CMAKE_PREFIX_PATH '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]:[DIR]/store/linux-x86_64/gcc-runtime-12.2.0-[hash]';
    if ( ! $?MANPATH ) setenv MANPATH '';
    if ( "${MANPATH}:" !~ '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]/man':* ) setenv MANPATH '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]/man':"${MANPATH}";
    if ( "${MANPATH}" !~ *: ) setenv MANPATH "${MANPATH}:";
    if ( ! $?PATH ) setenv PATH '';
    if ( "${PATH}:" !~ '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]/bin':* ) setenv PATH '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]/bin':"${PATH}";
    if ( "${PATH}" == '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]/bin': ) setenv PATH '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]/bin';
    if ( ! $?SPACK_LOADED_HASHES ) setenv SPACK_LOADED_HASHES '';
    if ( "${SPACK_LOADED_HASHES}:" !~ '[hash]':* ) setenv SPACK_LOADED_HASHES '[hash]':"${SPACK_LOADED_HASHES}";
    if ( "${SPACK_LOADED_HASHES}" == '[hash]': ) setenv SPACK_LOADED_HASHES '[hash]';
    exit 0
    $ hod env bzip2 -q --shell fish --store ./store
    begin
        set -l _hod_item
        set -l _hod_first '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]' '[DIR]/store/linux-x86_64/gcc-runtime-12.2.0-[hash]'
        set -l _hod_list $_hod_first
        if test -n "$CMAKE_PREFIX_PATH"
            for _hod_item in (string split -- : "$CMAKE_PREFIX_PATH")
                contains -- $_hod_item $_hod_first; or set -a _hod_list $_hod_item
            end
        end
        set -gx --path CMAKE_PREFIX_PATH $_hod_list
        set -l _hod_first '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]/man'
        set -l _hod_list $_hod_first
        if test -n "$MANPATH"
            for _hod_item in (string split -- : "$MANPATH")
                contains -- $_hod_item $_hod_first; or set -a _hod_list $_hod_item
            end
        end
        contains -- '' $_hod_list; or set -a _hod_list ''
        set -gx --path MANPATH $_hod_list
        set -l _hod_first '[DIR]/store/linux-x86_64/bzip2-1.0.8-[hash]/bin'
        set -l _hod_list $_hod_first
        if test -n "$PATH"
            for _hod_item in (string split -- : "$PATH")
                contains -- $_hod_item $_hod_first; or set -a _hod_list $_hod_item
            end
        end
        set -gx --path PATH $_hod_list
        set -l _hod_first '[hash]'
        set -l _hod_list $_hod_first
        if test -n "$SPACK_LOADED_HASHES"
            for _hod_item in (string split -- : "$SPACK_LOADED_HASHES")
                contains -- $_hod_item $_hod_first; or set -a _hod_list $_hod_item
            end
        end
        set -gx SPACK_LOADED_HASHES (string join -- : $_hod_list)
    end
    exit 0
    "#);
}

/// A store in a place that every shell would understand otherwise, and a program in it.
fn odd(story: &Story) -> String {
    let odd = "it's $HOME, \"a\" `b` [*]!1\\ {store}";
    fs_err::rename(story.at("store"), story.at(odd)).unwrap();
    // The programs in it look for `/opt/hpc/store`; a script needs nothing.
    let bin = "linux-x86_64/hello-2.10-arbvturvzrczc6dyodbycjav7qqhraus/bin";
    tree::make(&story.at(odd).join(bin).join("more"), "greet 755 #!/bin/sh\\necho greeted\\n");
    fs_err::rename(
        story.at(odd).join(bin).join("more/greet"),
        story.at(odd).join(bin).join("greet"),
    )
    .unwrap();
    odd.to_owned()
}

/// The script for a shell, in a file.
fn script(story: &Story, store: &str, words: &str, shell: &str) {
    let mut command = story.hod(&format!("env -q --shell {shell} {words}"));
    let text = succeed({
        command.arg("--store").arg(story.at(store));
        command
    });
    fs_err::write(story.at("script"), text).unwrap();
}

/// A shell with no more in its environment than it needs and what is given.
fn shell(story: &Story, program: &str, script: &str, variables: &[(&str, &str)]) -> String {
    let mut command: Command = story.command(program);
    // Startup files are somebody else's.
    match program {
        "tcsh" => command.args(["-f", "-c", script]),
        "fish" => command.args(["--no-config", "-c", script]),
        _ => command.args(["-c", script]),
    };
    command.envs(variables.iter().copied());
    succeed(command)
}

/// Whether a shell is here that need not be on any machine.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// What a shell has in variables after the script was read once, and once more: that must be the
/// same.
fn sourced(story: &Story, program: &str, source: &str) {
    let own = story.at("it's $HOME, \"a\" `b` [*]!1\\ {store}/linux-x86_64");
    let own = own.to_str().unwrap();
    let hello = format!("{own}/hello-2.10-arbvturvzrczc6dyodbycjav7qqhraus/bin");
    let path = std::env::var("PATH").unwrap();
    let print = "/usr/bin/printenv PATH MANPATH SPACK_LOADED_HASHES; greet";
    let path = format!("/odd dir:/a:{path}");
    let once = shell(
        story,
        program,
        &format!("{source}; {print}"),
        &[("PATH", &path), ("MANPATH", "/my/man")],
    );
    let twice = shell(
        story,
        program,
        &format!("{source}; {source}; {print}"),
        &[("PATH", &path), ("MANPATH", "/my/man")],
    );
    assert_eq!(once, twice, "{program}");
    let lines: Vec<String> = once.lines().map(str::to_owned).collect();
    assert_eq!(lines[0], format!("{hello}:{path}"), "{program}");
    assert!(lines[1].starts_with(&format!("{own}/hello-2.10-")), "{program}: {lines:?}");
    assert!(lines[1].ends_with(":/my/man:"), "{program}: {lines:?}");
    assert_eq!(lines[2..], ["arbvturvzrczc6dyodbycjav7qqhraus", "greeted"], "{program}");
    // Where nothing was set, nothing empty is added, which would be the working directory.
    let none = shell(
        story,
        program,
        &format!("{source}; /usr/bin/printenv PKG_CONFIG_PATH CMAKE_PREFIX_PATH"),
        &[],
    );
    assert!(none.lines().all(|line| !line.is_empty() && !line.ends_with(':')), "{program}: {none}");
}

#[test]
fn shells_of_posix_find_the_programs() {
    let story = story();
    let store = odd(&story);
    script(&story, &store, "hello", "sh");
    for program in ["sh", "bash", "dash", "zsh", "ksh"] {
        if !is_there(program) {
            skip(&format!("missing {program}"));
            continue;
        }
        sourced(&story, program, ". ./script");
        sourced(&story, program, "set -eu; eval \"$(cat ./script)\"");
    }
}

#[test]
fn what_is_there_already_moves_to_the_front() {
    let story = story();
    let store = odd(&story);
    script(&story, &store, "hello", "sh");
    let own = story.at(&store);
    let hello = own.join("linux-x86_64/hello-2.10-arbvturvzrczc6dyodbycjav7qqhraus/bin");
    let hello = hello.to_str().unwrap();
    let path = format!("/first:{hello}:/usr/bin:{hello}:{hello}:/bin");
    let shown = shell(&story, "sh", ". ./script; printenv PATH; set", &[("PATH", &path)]);
    assert_eq!(shown.lines().next(), Some(&*format!("{hello}:/first:/usr/bin:/bin")));
    // The script leaves nothing of its own behind.
    assert!(!shown.contains("_hod_"), "{shown}");
}

#[test]
fn csh_finds_the_programs() {
    let story = story();
    let store = odd(&story);
    script(&story, &store, "hello", "csh");
    if has(&["tcsh"]) {
        sourced(&story, "tcsh", "source ./script");
        sourced(&story, "tcsh", "eval \"`cat ./script`\"");
    }
}

#[test]
fn fish_finds_the_programs() {
    let story = story();
    let store = odd(&story);
    script(&story, &store, "hello", "fish");
    if has(&["fish"]) {
        sourced(&story, "fish", "source ./script");
        sourced(&story, "fish", "cat ./script | source");
    }
}
