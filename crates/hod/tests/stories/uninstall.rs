//! Packages of a store are removed, if nothing needs them.

use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hod_store::{LockFile, Mode, OpenOptions, Patience, Span, Store};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::golden::unpack_fixture;
use crate::story::{Ended, Story};
use crate::support::tree::{listing, set_mode};
use crate::support::{HOD, has, is_root, skip};

const ZLIB: &str = "yox7nsrab6dhdlxlapu6hg33h4atwgrx";
const HELLO: &str = "arbvturvzrczc6dyodbycjav7qqhraus";
const LIBPNG: &str = "v7moebnyklgc4we4tyf6c2gnpaw54lew";
const LINKFARM: &str = "utvtp6r54rgdsbyrggnzqaijor6jc5jt";
const WRAPPER: &str = "q37zamgucwczsextk7qbgqxtmqjypxqp";

/// A story that begins with a store: zlib, bzip2, libpng, hello, linkfarm and gcc-runtime, made by
/// Spack under `/opt/hpc/store`.
fn story() -> Story {
    let story = Story::new();
    unpack_fixture("store.tar.zst", &story.at(""));
    story
}

fn open(story: &Story) -> Store {
    Store::open(&story.at("store"), &OpenOptions::default()).unwrap()
}

/// Changes the records of the database, as somebody else might have.
fn edit(story: &Story, change: impl FnOnce(&mut Value)) {
    let path = story.at("store/.spack-db/index.json");
    let mut database: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    change(&mut database["database"]["installs"]);
    fs_err::write(&path, database.to_string()).unwrap();
}

/// Nothing is recorded that is not there, and nothing lies around but whole prefixes.
fn assert_sound(story: &Story) {
    let store = open(story);
    for record in store.records().filter(|r| r.installed && r.spec.external.is_none()) {
        let prefix = store.prefix(&record.spec.hash).unwrap().location;
        let spec = hod_store::SpecMetadata::read(&prefix, Some(&record.spec.hash));
        assert!(spec.is_ok(), "{}: {spec:?}", record.spec.label());
    }
}

/// What is in the directory of the prefixes.
fn prefixes(story: &Story) -> Vec<String> {
    let entries = fs_err::read_dir(story.at("store/linux-x86_64")).unwrap();
    let name = |entry: std::io::Result<fs_err::DirEntry>| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.rsplit_once('-').map_or(name.clone(), |(name, _)| name.to_owned())
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn a_package_goes_and_the_list_knows_it() {
    let story = story();
    story.tell("uninstall --dry-run hello --store ./store");
    story.tell("uninstall hello --store ./store");
    assert_sound(&story);
    assert_eq!(
        prefixes(&story),
        ["bzip2-1.0.8", "gcc-runtime-12.2.0", "libpng-1.6.39", "linkfarm-1.0", "zlib-1.2.13"]
    );
    story.tell("list --store ./store");
    story.tell("uninstall hello --store ./store");
    assert_snapshot!(story.told(), @"
    $ hod uninstall --dry-run hello --store ./store
    2> Would uninstall 1 spec from `[DIR]/store`
    2>  - hello@2.10/[hash]  /opt/hpc/store/linux-x86_64/hello-2.10-[hash]
    exit 0
    $ hod uninstall hello --store ./store
    2> Uninstalled 1 spec from `[DIR]/store` in [time] ([size] in 55 files freed)
    2>  - hello@2.10/[hash]  /opt/hpc/store/linux-x86_64/hello-2.10-[hash]
    exit 0
    $ hod list --store ./store
    bzip2@1.0.8/[hash]         linux-debian12-x86_64  gcc@12.2.0
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64
    glibc@2.36/[hash]          linux-debian12-x86_64                        external /usr
    libpng@1.6.39/[hash]       linux-debian12-x86_64  gcc@12.2.0  explicit
    linkfarm@1.0/[hash]        linux-debian12-x86_64  gcc@12.2.0  explicit
    zlib@1.2.13/[hash]         linux-debian12-x86_64  gcc@12.2.0
    2> 6 packages in `[DIR]/store`
    exit 0
    $ hod uninstall hello --store ./store
    2> error: no package matches `hello` among 6 in `[DIR]/store`
    2>
    2> hint: `hod list --store [DIR]/store` shows what is there
    exit 1
    ");
}

/// From a mirror to a store of its own, into the shell, and away again.
#[test]
fn what_was_installed_is_listed_used_and_removed() {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return skip("the programs of the store run on x86_64 only");
    }
    let story = Story::new();
    unpack_fixture("store-padded.tar.zst", &story.at(""));
    story.done("push -q ./cache hello --without-build-dependencies --store ./padded");
    story.done("install -q --root ./new hello -m ./cache");
    story.tell("list --store ./new");
    let mut shell = story.command("sh");
    shell.args(["-c", r#"eval "$("$HOD" env -q hello --store ./new)" && hello"#]).env("HOD", HOD);
    story.tell_as("eval \"$(hod env -q hello --store ./new)\" && hello", shell);
    story.tell("uninstall gcc-runtime hello --store ./new");
    story.tell("list --store ./new");
    // Nothing is left but what every store has.
    let mut left: Vec<_> = fs_err::read_dir(story.at("new"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, [".spack-db", "bin"]);
    assert_snapshot!(story.told(), @r#"
    $ hod list --store ./new
    gcc@12.2.0/[hash]          linux-debian12-x86_64                        external /usr
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64
    glibc@2.36/[hash]          linux-debian12-x86_64                        external /usr
    gmake@4.3/[hash]           linux-debian12-x86_64                        external /usr
    hello@2.10/[hash]          linux-debian12-x86_64  gcc@12.2.0  explicit
    2> 5 packages in `[DIR]/new`
    exit 0
    $ eval "$(hod env -q hello --store ./new)" && hello
    Hello, world!
    exit 0
    $ hod uninstall gcc-runtime hello --store ./new
    2> Uninstalled 2 specs from `[DIR]/new` in [time] ([size] in 67 files freed)
    2>  - hello@2.10/[hash]  [DIR]/new/linux-x86_64/hello-2.10-[hash]
    2>  - gcc-runtime@12.2.0/[hash]  [DIR]/new/linux-x86_64/gcc-runtime-12.2.0-[hash]
    exit 0
    $ hod list --store ./new
    gcc@12.2.0/[hash]  linux-debian12-x86_64  external /usr
    glibc@2.36/[hash]  linux-debian12-x86_64  external /usr
    gmake@4.3/[hash]   linux-debian12-x86_64  external /usr
    2> 3 packages in `[DIR]/new`
    exit 0
    "#);
}

#[test]
fn what_others_need_stays() {
    let story = story();
    let before = listing(&story.at("store"));
    story.tell("uninstall zlib --store ./store");
    story.tell("uninstall zlib libpng --store ./store");
    story.tell("uninstall --dry-run -R zlib --store ./store");
    assert_eq!(listing(&story.at("store")), before);
    story.tell("uninstall zlib linkfarm libpng --store ./store");
    story.tell("uninstall --dependents gcc-runtime --store ./store");
    assert_sound(&story);
    // The directory of the platform was empty, and went as well.
    assert!(!story.at("store/linux-x86_64").exists());
    story.tell("list --store ./store");
    assert_snapshot!(story.told(), @"
    $ hod uninstall zlib --store ./store
    2> error: `zlib@1.2.13/[hash]` is needed by 2 packages that are installed
    2>   libpng@1.6.39/[hash]
    2>   linkfarm@1.0/[hash]
    2>
    2> hint: name those too, or give `--dependents` to remove all that need it
    exit 1
    $ hod uninstall zlib libpng --store ./store
    2> error: `zlib@1.2.13/[hash]` is needed by a package that is installed
    2>   linkfarm@1.0/[hash]
    2>
    2> hint: name those too, or give `--dependents` to remove all that need it
    exit 1
    $ hod uninstall --dry-run -R zlib --store ./store
    2> Selected 3 specs: 1 named, and 2 that need them
    2> Would uninstall 3 specs from `[DIR]/store`
    2>  - linkfarm@1.0/[hash]  /opt/hpc/store/linux-x86_64/linkfarm-1.0-[hash]
    2>  - libpng@1.6.39/[hash]  /opt/hpc/store/linux-x86_64/libpng-1.6.39-[hash]
    2>  - zlib@1.2.13/[hash]  /opt/hpc/store/linux-x86_64/zlib-1.2.13-[hash]
    exit 0
    $ hod uninstall zlib linkfarm libpng --store ./store
    2> Uninstalled 3 specs from `[DIR]/store` in [time] ([size] in 59 files freed)
    2>  - linkfarm@1.0/[hash]  /opt/hpc/store/linux-x86_64/linkfarm-1.0-[hash]
    2>  - libpng@1.6.39/[hash]  /opt/hpc/store/linux-x86_64/libpng-1.6.39-[hash]
    2>  - zlib@1.2.13/[hash]  /opt/hpc/store/linux-x86_64/zlib-1.2.13-[hash]
    exit 0
    $ hod uninstall --dependents gcc-runtime --store ./store
    2> Selected 3 specs: 1 named, and 2 that need them
    2> Uninstalled 3 specs from `[DIR]/store` in [time] ([size] in 91 files freed)
    2>  - hello@2.10/[hash]  /opt/hpc/store/linux-x86_64/hello-2.10-[hash]
    2>  - bzip2@1.0.8/[hash]  /opt/hpc/store/linux-x86_64/bzip2-1.0.8-[hash]
    2>  - gcc-runtime@12.2.0/[hash]  /opt/hpc/store/linux-x86_64/gcc-runtime-12.2.0-[hash]
    exit 0
    $ hod list --store ./store
    glibc@2.36/[hash]  linux-debian12-x86_64  external /usr
    2> 1 package in `[DIR]/store`
    exit 0
    ");
}

#[test]
fn machines_are_told_the_same() {
    let story = story();
    let events = |words: &str| -> Vec<Value> {
        let told = story.done(&format!("uninstall --json -q {words} --store ./store"));
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let would = events("--dry-run -R bzip2");
    assert_eq!(would[0]["event"], "planned");
    let is_named: Vec<_> = would[1..].iter().map(|event| event["named"].clone()).collect();
    assert_eq!(is_named, [json!(false), json!(true)]);
    let done = events("-R bzip2");
    assert_eq!(done.len(), 4);
    assert_eq!((&done[1]["event"], &done[1]["hash"]), (&json!("uninstalled"), &json!(LINKFARM)));
    assert!(done[1]["bytes"].as_u64().unwrap() > 100_000, "{}", done[1]);
    assert_eq!((&done[3]["uninstalled"], &done[3]["failed"]), (&json!(2), &json!(0)));
}

#[test]
fn what_is_not_meant_for_sure_is_not_removed() {
    let story = story();
    let before = listing(&story.at("store"));
    story.tell("uninstall --store ./store");
    story.tell("uninstall zlub --store ./store");
    story.tell("uninstall @1: --store ./store");
    story.tell("uninstall hello zl@@ib --store ./store");
    story.tell("uninstall glibc --store ./store");
    story.tell("uninstall gmake --store ./store");
    story.tell("uninstall hello --store ./nowhere");
    story.tell("uninstall hello --store ./home");
    story.tell("uninstall hello");
    assert_eq!(listing(&story.at("store")), before);
    story.tell("uninstall -a %gcc@12 -q --store ./store");
    assert!(!story.at("store/linux-x86_64").exists());
    assert_snapshot!(story.told(), @"
    $ hod uninstall --store ./store
    2> error: the following required arguments were not provided:
    2>   <SPEC>...
    2>
    2> Usage: hod uninstall --store <PATH> <SPEC>...
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod uninstall zlub --store ./store
    2> error: no package matches `zlub` among 7 in `[DIR]/store`
    2>
    2> hint: did you mean `zlib`?
    exit 1
    $ hod uninstall @1: --store ./store
    2> error: `@1:` matches 6 packages in `[DIR]/store`
    2>   bzip2@1.0.8/[hash]
    2>   gcc-runtime@12.2.0/[hash]
    2>   hello@2.10/[hash]
    2>   libpng@1.6.39/[hash]
    2>   linkfarm@1.0/[hash]
    2>   zlib@1.2.13/[hash]
    2>
    2> hint: name one by its hash, as in `/[hash]`
    exit 1
    $ hod uninstall hello zl@@ib --store ./store
    2> error: cannot read `zl@@ib` as a query: expected a version, such as `1.2`, `=1.2`, `1.2:1.4` or `1.2:`
    2>   zl@@ib
    2>      ^
    exit 2
    $ hod uninstall glibc --store ./store
    2> error: `glibc@2.36/[hash]` is external: the store only knows where it is
    2>
    2> hint: `spack uninstall` makes Spack forget it; nothing on the machine changes
    exit 1
    $ hod uninstall gmake --store ./store
    2> error: no package matches `gmake` among 7 in `[DIR]/store`
    2>
    2> hint: `hod list --store [DIR]/store` shows what is there
    exit 1
    $ hod uninstall hello --store ./nowhere
    2> error: no store at `[DIR]/nowhere`
    2>   cause: failed to query resolved metadata `[DIR]/nowhere`: No such file or directory (os error 2)
    2>
    2> hint: a store is the directory that holds `.spack-db`: Spack's `config:install_tree:root`
    exit 1
    $ hod uninstall hello --store ./home
    2> error: `[DIR]/home` is no store: it has neither a database nor a package
    2>
    2> hint: a store is the directory that holds `.spack-db`: Spack's `config:install_tree:root`
    exit 1
    $ hod uninstall hello
    2> error: found no store: --store is not given, HOD_STORE is not set, SPACK_ROOT is not set, no `spack` on the path, no `config:install_tree` in `[DIR]/etc/spack` or `~/.spack`
    2>
    2> hint: name the store with `--store PATH`, or set HOD_STORE
    exit 1
    $ hod uninstall -a %gcc@12 -q --store ./store
    exit 0
    ");
}

#[test]
fn a_package_of_an_upstream_store_is_left_to_that() {
    let story = story();
    fs_err::create_dir_all(story.at("etc/spack")).unwrap();
    let (own, upstream) = (story.at("own"), story.at("store"));
    let config = format!("config:\n  install_tree:\n    root: {}\n", own.display());
    fs_err::write(story.at("etc/spack/config.yaml"), config).unwrap();
    let upstreams = format!("upstreams:\n  site:\n    install_tree: {}\n", upstream.display());
    fs_err::write(story.at("etc/spack/upstreams.yaml"), upstreams).unwrap();
    fs_err::create_dir_all(own.join(".spack-db")).unwrap();
    let empty = r#"{"database":{"version":"8","installs":{}}}"#;
    fs_err::write(own.join(".spack-db/index.json"), empty).unwrap();
    let before = listing(&upstream);
    story.tell(&format!("uninstall /{HELLO}"));
    story.tell("uninstall hello");
    assert_eq!(listing(&upstream), before);
    assert_snapshot!(story.told(), @"
    $ hod uninstall /[hash]
    2> error: `hello@2.10/[hash]` is installed in an upstream store, and not in this one
    2>
    2> hint: name its store with `--store`
    exit 1
    $ hod uninstall hello
    2> error: no package matches `hello` among 0 in `[DIR]/own`
    exit 1
    ");
}

#[test]
fn what_was_built_with_a_package_is_in_nobodys_way() {
    let story = story();
    let prefix = story.at(&format!("store/linux-x86_64/compiler-wrapper-1.0-{WRAPPER}"));
    fs_err::create_dir_all(prefix.join("bin")).unwrap();
    edit(&story, |installs| installs[WRAPPER]["installed"] = json!(true));
    story.tell("uninstall compiler-wrapper --store ./store");
    assert!(!prefix.exists());
    let store = open(&story);
    let record = store.record(&WRAPPER.parse().unwrap()).unwrap();
    assert!(!record.installed && record.ref_count == 5);
    // With the last that was built with it, its record goes.
    story.tell("uninstall -a @0: --store ./store");
    assert!(open(&story).record(&WRAPPER.parse().unwrap()).is_none());
    assert_snapshot!(story.told(), @"
    $ hod uninstall compiler-wrapper --store ./store
    2> Uninstalled 1 spec from `[DIR]/store` in [time] ([size] in 0 files freed)
    2>  - compiler-wrapper@1.0/[hash]  /opt/hpc/store/linux-x86_64/compiler-wrapper-1.0-[hash]
    2> 1 record stays in the database, as not installed: others were built with it
    exit 0
    $ hod uninstall -a @0: --store ./store
    2> Uninstalled 6 specs from `[DIR]/store` in [time] ([size] in 150 files freed)
    2>  - hello@2.10/[hash]  /opt/hpc/store/linux-x86_64/hello-2.10-[hash]
    2>  - libpng@1.6.39/[hash]  /opt/hpc/store/linux-x86_64/libpng-1.6.39-[hash]
    2>  - linkfarm@1.0/[hash]  /opt/hpc/store/linux-x86_64/linkfarm-1.0-[hash]
    2>  - bzip2@1.0.8/[hash]  /opt/hpc/store/linux-x86_64/bzip2-1.0.8-[hash]
    2>  - zlib@1.2.13/[hash]  /opt/hpc/store/linux-x86_64/zlib-1.2.13-[hash]
    2>  - gcc-runtime@12.2.0/[hash]  /opt/hpc/store/linux-x86_64/gcc-runtime-12.2.0-[hash]
    exit 0
    ");
}

#[test]
fn a_record_without_a_prefix_goes() {
    let story = story();
    fs_err::remove_dir_all(story.at(&format!("store/linux-x86_64/hello-2.10-{HELLO}"))).unwrap();
    story.tell("uninstall hello --store ./store");
    story.tell("list --store ./store hello");
    assert_snapshot!(story.told(), @"
    $ hod uninstall hello --store ./store
    2> Uninstalled 1 spec from `[DIR]/store` in [time] ([size] in 0 files freed)
    2>  - hello@2.10/[hash]  /opt/hpc/store/linux-x86_64/hello-2.10-[hash], which was not there
    exit 0
    $ hod list --store ./store hello
    2> error: no package matches `hello` among 6 in `[DIR]/store`
    2>
    2> hint: `hod list --store [DIR]/store` shows what is there
    exit 1
    ");
}

#[test]
fn a_record_that_leads_elsewhere_removes_nothing() {
    let story = story();
    let before = listing(&story.at("store/linux-x86_64"));
    for path in ["/opt/hpc/store", "/opt/hpc/store/linux-x86_64", "/opt/hpc/store/../home"] {
        edit(&story, |installs| installs[HELLO]["path"] = json!(path));
        story.tell("uninstall hello --store ./store");
    }
    let other = format!("/opt/hpc/store/linux-x86_64/zlib-1.2.13-{ZLIB}");
    edit(&story, |installs| installs[HELLO]["path"] = json!(other));
    story.tell("uninstall hello --store ./store");
    edit(&story, |installs| installs[ZLIB]["installed"] = json!(false));
    story.tell("uninstall hello --store ./store");
    assert_eq!(listing(&story.at("store/linux-x86_64")), before);
    assert_snapshot!(story.told(), @"
    $ hod uninstall hello --store ./store
    2> could not uninstall `hello@2.10/[hash]`
    2> error: the database says that `hello@2.10/[hash]` is at `/opt/hpc/store`, which is no place for it alone
    2>
    2> hint: `spack reindex` makes the database say what is there
    exit 1
    $ hod uninstall hello --store ./store
    2> could not uninstall `hello@2.10/[hash]`
    2> error: the database says that `hello@2.10/[hash]` is at `/opt/hpc/store/linux-x86_64`, which is no place for it alone
    2>
    2> hint: `spack reindex` makes the database say what is there
    exit 1
    $ hod uninstall hello --store ./store
    2> could not uninstall `hello@2.10/[hash]`
    2> error: the database says that `hello@2.10/[hash]` is at `/opt/hpc/store/../home`, which is no place for it alone
    2>
    2> hint: `spack reindex` makes the database say what is there
    exit 1
    $ hod uninstall hello --store ./store
    2> could not uninstall `hello@2.10/[hash]`
    2> error: the database says that `hello@2.10/[hash]` is at `/opt/hpc/store/linux-x86_64/zlib-1.2.13-[hash]`, which is no place for it alone
    2>
    2> hint: `spack reindex` makes the database say what is there
    exit 1
    $ hod uninstall hello --store ./store
    2> could not uninstall `hello@2.10/[hash]`
    2> error: `[DIR]/store/linux-x86_64/zlib-1.2.13-[hash]` holds `/[hash]`, and not `hello@2.10/[hash]`
    2>
    2> hint: `spack reindex` makes the database say what is there
    exit 1
    ");
}

/// `spack deprecate zlib@1.2.12 zlib@1.2.13` leaves a link and a record like this.
#[test]
fn a_deprecated_package_is_a_link_that_others_may_need() {
    let story = story();
    let old = story.at(&format!("store/linux-x86_64/hello-2.10-{HELLO}"));
    let new = story.at(&format!("store/linux-x86_64/linkfarm-1.0-{LINKFARM}"));
    fs_err::remove_dir_all(&old).unwrap();
    symlink(&new, &old).unwrap();
    let note = new.join(format!(".spack/deprecated/{HELLO}_spec.json"));
    fs_err::create_dir_all(note.parent().unwrap()).unwrap();
    fs_err::write(&note, "{}").unwrap();
    edit(&story, |installs| {
        installs[HELLO]["installed"] = json!(false);
        installs[HELLO]["deprecated_for"] = json!(LINKFARM);
        installs[LINKFARM]["ref_count"] = json!(1);
        // libpng was built against what is deprecated now.
        let dependencies = installs[LIBPNG]["spec"]["dependencies"].as_array_mut().unwrap();
        let parameters = json!({"deptypes": ["link"], "virtuals": []});
        dependencies.push(json!({"name": "hello", "hash": HELLO, "parameters": parameters}));
        installs[HELLO]["ref_count"] = json!(1);
    });
    story.tell("uninstall hello --store ./store");
    story.tell("uninstall linkfarm --store ./store");
    edit(&story, |installs| {
        installs[LIBPNG]["spec"]["dependencies"].as_array_mut().unwrap().pop();
        installs[HELLO]["ref_count"] = json!(0);
    });
    story.tell("uninstall hello --store ./store");
    let left = (old.is_symlink(), note.exists(), new.is_dir());
    assert_eq!(left, (false, false, true), "{}", story.told());
    let store = open(&story);
    assert_eq!(store.record(&LINKFARM.parse().unwrap()).unwrap().ref_count, 0);
    assert!(store.record(&HELLO.parse().unwrap()).is_none());
    assert_snapshot!(story.told(), @"
    $ hod uninstall hello --store ./store
    2> error: `hello@2.10/[hash]` is needed by a package that is installed
    2>   libpng@1.6.39/[hash]
    2>
    2> hint: name those too, or give `--dependents` to remove all that need it
    exit 1
    $ hod uninstall linkfarm --store ./store
    2> error: `linkfarm@1.0/[hash]` is needed by a package that is installed
    2>   libpng@1.6.39/[hash]
    2>
    2> hint: name those too, or give `--dependents` to remove all that need it
    exit 1
    $ hod uninstall hello --store ./store
    2> Uninstalled 1 spec from `[DIR]/store` in [time] ([size] in 0 files freed)
    2>  - hello@2.10/[hash]  /opt/hpc/store/linux-x86_64/hello-2.10-[hash]
    exit 0
    ");
}

/// Waits for a program to say something.
fn hear(child: &mut Child, wanted: &str) -> String {
    let stderr = child.stderr.as_mut().unwrap();
    let (mut heard, mut byte) = (Vec::new(), [0]);
    while !String::from_utf8_lossy(&heard).contains(wanted) {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&heard));
        heard.push(byte[0]);
    }
    String::from_utf8(heard).unwrap()
}

#[test]
fn a_package_that_somebody_uses_is_waited_for() {
    let story = story();
    let locks = LockFile::open(&story.at("store/.spack-db/prefix_lock")).unwrap();
    let byte = Span::of(&HELLO.parse().unwrap());
    // As `spack install` holds what a package depends on while it is built.
    let lock = locks.lock(byte, Mode::Shared, &Patience::default()).unwrap();
    let mut command = story.hod("uninstall hello linkfarm --store ./store");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let heard = hear(&mut child, "\n");
    let holder = format!("locked by process {}\n", std::process::id());
    assert!(heard.starts_with("Waiting for a package of `"), "{heard}");
    assert!(heard.ends_with(&holder), "{heard}");
    // The other one is gone meanwhile.
    assert!(open(&story).record(&LINKFARM.parse().unwrap()).is_none());
    assert!(open(&story).record(&HELLO.parse().unwrap()).unwrap().installed);
    drop(lock);
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("Uninstalled 2 specs"), "{ended:?}");
    assert_sound(&story);
}

#[test]
fn who_has_enough_of_waiting_leaves_everything_as_it_was() {
    let story = story();
    let before = listing(&story.at("store"));
    let locks = LockFile::open(&story.at("store/.spack-db/prefix_lock")).unwrap();
    let byte = Span::of(&HELLO.parse().unwrap());
    let _lock = locks.lock(byte, Mode::Shared, &Patience::default()).unwrap();
    let mut command = story.hod("uninstall hello --store ./store");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    hear(&mut child, "\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    story.note(
        "hod uninstall hello --store ./store, then Ctrl-C",
        &child.wait_with_output().unwrap().into(),
    );
    assert_eq!(listing(&story.at("store")), before);
    assert_snapshot!(story.told(), @"
    $ hod uninstall hello --store ./store, then Ctrl-C
    2> Interrupted: 0 of 1 spec uninstalled, nothing half-removed
    2>
    2> hint: run the same command again to uninstall the rest
    exit 130
    ");
}

/// Hod as a user who is not root.
fn as_somebody(story: &Story, words: &str) -> Option<Command> {
    if !is_root() {
        return Some(story.hod(words));
    }
    if !has(&["setpriv"]) {
        return None;
    }
    set_mode(&story.at(""), 0o777);
    set_mode(&story.at("home"), 0o777);
    // The program may be where other users cannot go.
    fs_err::copy(HOD, story.at("hod")).unwrap();
    let mut command = story.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(story.at("hod"));
    command.args(words.split_whitespace());
    Some(command)
}

/// Gives everything in the store to the user that [`as_somebody`] is.
fn give_away(story: &Story) {
    if is_root() {
        let mut chown = story.command("chown");
        chown.args(["-R", "65534:65534"]).arg(story.at("store"));
        crate::support::succeed(chown);
    }
}

#[test]
fn a_store_that_may_only_be_read_stays_as_it_is() {
    let story = story();
    let words = "uninstall hello --store ./store";
    for directory in ["store/.spack-db", "store/linux-x86_64"] {
        set_mode(&story.at(directory), 0o555);
    }
    for file in ["lock", "prefix_lock", "prefix_failures", "index.json", "index_verifier"] {
        set_mode(&story.at(&format!("store/.spack-db/{file}")), 0o444);
    }
    let Some(command) = as_somebody(&story, words) else { return };
    let before = listing(&story.at("store"));
    story.tell_as(&format!("hod {words}"), command);
    assert_eq!(listing(&story.at("store")), before);
    // The database may be written, but not the directory that the prefix is in.
    give_away(&story);
    set_mode(&story.at("store/.spack-db"), 0o755);
    for file in ["lock", "prefix_lock", "prefix_failures", "index.json", "index_verifier"] {
        set_mode(&story.at(&format!("store/.spack-db/{file}")), 0o644);
    }
    let before = listing(&story.at("store"));
    story.tell_as(&format!("hod {words}"), as_somebody(&story, words).unwrap());
    assert_eq!(listing(&story.at("store")), before);
    assert_snapshot!(story.told(), @"
    $ hod uninstall hello --store ./store
    2> could not uninstall `hello@2.10/[hash]`
    2> error: could not use the store
    2>   cause: cannot lock `[DIR]/store/.spack-db/prefix_lock` for writing: the file may only be read
    2>
    2> hint: run it as a user who may write to the store
    exit 1
    $ hod uninstall hello --store ./store
    2> could not uninstall `hello@2.10/[hash]`
    2> error: cannot move away `[DIR]/store/linux-x86_64/hello-2.10-[hash]`
    2>   cause: failed to create directory `[DIR]/store/linux-x86_64/.hello-2.10-[hash].hod-old`: Permission denied (os error 13)
    2>
    2> hint: run it as a user who may do this, or change the permissions
    exit 1
    ");
}

#[test]
fn directories_that_may_not_be_written_go_as_well() {
    let story = story();
    let prefix = story.at(&format!("store/linux-x86_64/hello-2.10-{HELLO}"));
    for directory in ["bin", "share/man/man1", "share/man", ""] {
        set_mode(&prefix.join(directory), 0o555);
    }
    give_away(&story);
    let words = "uninstall hello --store ./store";
    let Some(command) = as_somebody(&story, words) else { return };
    story.tell_as(&format!("hod {words}"), command);
    assert!(!prefixes(&story).iter().any(|name| name.contains("hello")));
    assert_snapshot!(story.told(), @"
    $ hod uninstall hello --store ./store
    2> Uninstalled 1 spec from `[DIR]/store` in [time] ([size] in 55 files freed)
    2>  - hello@2.10/[hash]  /opt/hpc/store/linux-x86_64/hello-2.10-[hash]
    exit 0
    ");
}

/// Killed at any instant: what is recorded is there, whole.
#[test]
fn a_killed_removal_leaves_no_record_without_a_prefix() {
    let story = story();
    let run = || story.hod("uninstall -R gcc-runtime --store ./store");
    let began = Instant::now();
    assert!(run().output().unwrap().status.success());
    let whole = began.elapsed();
    let mut stopped = 0;
    for part in 0..12 {
        fs_err::remove_dir_all(story.at("store")).unwrap();
        unpack_fixture("store.tar.zst", &story.at(""));
        let mut child = run().stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * part / 12 + Duration::from_micros(200));
        let _ = child.kill();
        stopped += u32::from(!child.wait().unwrap().success());
        assert_sound(&story);
        // Run again, it is done.
        let again = Ended::from(run().output().unwrap());
        let is_gone = again.stderr.contains("no package matches");
        assert!(again.code == Some(0) || is_gone, "{again:?}");
        assert_eq!(open(&story).records().filter(|r| r.path.as_deref() != Some("/usr")).count(), 0);
    }
    assert!(stopped > 0, "nothing was killed in time");
}
