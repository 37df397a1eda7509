//! Images go from mirror to mirror, of whatever kind, and stay what they are.

use std::path::{Path, PathBuf};

use hod_testing::proxy::{Action, Proxy, Rule};
use hod_testing::registry::{Auth, Options, Registry};
use insta::assert_snapshot;

use crate::story::Story;

/// Two packages and their index, as the real Spack pushed them to a registry and skopeo copied
/// them from there.
fn by_spack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack/oci-layout")
}

/// What an index of a layout leads to, by tag; that of Spack's own index left out.
fn manifests(layout: &Path) -> Vec<(String, Vec<u8>)> {
    let index = fs_err::read(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let mut manifests: Vec<(String, Vec<u8>)> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let tag = entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
            let digest = entry["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = fs_err::read(layout.join("blobs/sha256").join(digest)).unwrap();
            (tag.to_owned(), bytes)
        })
        .filter(|(tag, _)| tag != "index.spack")
        .collect();
    manifests.sort();
    manifests
}

#[test]
fn a_mirror_becomes_a_layout_and_a_mirror_again() {
    let story = Story::with_zlib();
    story.done("push ./cache ./zlib-1.3.1");
    story.tell("copy --dry-run ./cache oci-layout:./layout");
    story.tell("copy ./cache oci-layout:./layout");
    story.tell("copy ./cache oci-layout:./layout");
    story.tell("list -m oci-layout:./layout");
    story.tell("check oci-layout:./layout");
    story.tell("list -m ./layout");
    story.tell("copy oci-layout:./layout ./again zlib");
    story.tell("check ./again");
    story.tell("copy ./cache oci-layout:./layout zlip");
    assert_snapshot!(story.told(), @"
    $ hod copy --dry-run ./cache oci-layout:./layout
    2> Would copy 1 image to `oci-layout:./layout`
    2>  + zlib-1.3.1-[hash]
    exit 0
    $ hod copy ./cache oci-layout:./layout
    2> Copied 1 image to `oci-layout:./layout` in [time] ([size])
    2>  + zlib-1.3.1-[hash]
    exit 0
    $ hod copy ./cache oci-layout:./layout
    2> 1 of 1 already there in `oci-layout:./layout` in [time], nothing to copy
    2>  = zlib-1.3.1-[hash]
    exit 0
    $ hod list -m oci-layout:./layout
    zlib@1.3.1/[hash]  [platform] [size]  [DIR]/zlib-1.3.1
    2> 1 package in `oci-layout:./layout`
    exit 0
    $ hod check oci-layout:./layout
    2> Checked 3 blobs ([size]) of 1 entry in `oci-layout:./layout` in [time]: all good
    exit 0
    $ hod list -m ./layout
    2> error: `./layout` is not a mirror: it is a bare OCI image layout
    2>
    2> hint: name it as what it is: `oci-layout:./layout`
    exit 1
    $ hod copy oci-layout:./layout ./again zlib
    2> Copied 1 image to `./again` in [time] ([size])
    2>  + zlib-1.3.1-[hash]
    exit 0
    $ hod check ./again
    2> Checked 3 blobs ([size]) of 1 entry in `./again` in [time]: all good
    exit 0
    $ hod copy ./cache oci-layout:./layout zlip
    2> error: no package matches `zlip` among 1 in `./cache`
    2>
    2> hint: did you mean `zlib`?
    exit 1
    ");
    assert_eq!(manifests(&story.at("cache/oci")), manifests(&story.at("again/oci")));
}

#[test]
fn what_spack_pushed_to_a_registry_is_listed_unpacked_and_copied_to_a_build_cache() {
    let story = Story::new();
    let layout = format!("oci-layout:{}", by_spack().display());
    assert_eq!(story.done(&format!("list -m {layout}")).lines().count(), 2);
    let hello = story.done(&format!("list -m {layout} build_system=autotools --json"));
    assert!(hello.contains(r#""name":"hello""#) && hello.lines().count() == 1, "{hello}");

    // Spack wrote no prefix into the image: it is found in the tarball.
    story.done(&format!("unpack hello -m {layout} --to ./hello"));
    assert!(story.at("hello/bin/hello").is_file() && story.at("hello/.spack/spec.json").is_file());

    story.done(&format!("copy {layout} ./cache --update-index"));
    assert_eq!(manifests(&by_spack()), manifests(&story.at("cache/oci")));
    assert!(story.at("cache/v3/manifests/spec/hello").is_dir());
    assert!(story.at("cache/v3/manifests/index/index.manifest.json").is_file());
    story.done("check ./cache");
}

#[test]
fn images_go_through_registries_and_come_back_as_they_were() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let proxy = Proxy::start(server.host());
    let story = Story::new();
    let from = format!("oci-layout:{}", by_spack().display());
    let (a, b) =
        (format!("oci+http://{}/a/x", proxy.host()), format!("oci+http://{}/b", proxy.host()));
    let events = |words: &str| -> Vec<serde_json::Value> {
        let lines = story.done(&format!("{words} --json"));
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let last = |words: &str| events(words).pop().unwrap();
    let gets = |proxy: &Proxy| {
        let is_blob = |path: &str| path.contains("/blobs/sha256");
        let seen = proxy.requests();
        seen.iter().filter(|seen| seen.method == "GET" && is_blob(seen.path())).count()
    };

    let sent = last(&format!("copy {from} {a}"));
    assert_eq!((&sent["copied"], &sent["blobs_sent"]), (&2.into(), &4.into()), "{sent}");
    let again = last(&format!("copy {from} {a}"));
    assert_eq!((&again["copied"], &again["present"]), (&0.into(), &2.into()), "{again}");

    // Within the registry nothing is sent, and the blobs are not read.
    let before = gets(&proxy);
    let mounted = last(&format!("copy {a} {b}"));
    assert_eq!(
        (&mounted["copied"], &mounted["blobs_sent"], &mounted["blobs_mounted"]),
        (&2.into(), &0.into(), &4.into()),
        "{mounted}"
    );
    assert!(gets(&proxy) <= before + 2, "only configs are read");

    assert_eq!(events(&format!("list -m {b}")).len(), 2);
    let found = events(&format!("show hello@2.10 -m {b}"));
    assert!(found[0]["image"].as_str().unwrap().starts_with(proxy.host()), "{found:?}");
    story.done(&format!("unpack hello -m {b} --to ./hello"));
    assert!(story.at("hello/bin/hello").is_file());
    // All of it was kept here.
    let before = gets(&proxy);
    story.done(&format!("unpack hello -m {b} --to ./hello-again"));
    story.done(&format!("list -m {b}"));
    assert_eq!(gets(&proxy), before);

    story.done(&format!("copy {b} oci-layout:./layout"));
    story.done("copy oci-layout:./layout ./cache");
    assert_eq!(manifests(&by_spack()), manifests(&story.at("layout")));
    assert_eq!(manifests(&by_spack()), manifests(&story.at("cache/oci")));
    story.done("check oci-layout:./layout");
    story.done("check ./cache");
}

#[test]
fn a_copy_publishes_nothing_whose_content_is_damaged_or_missing() {
    let story = Story::with_zlib();
    story.tree("tool-2.0", "bin/tool 755 *100\n");
    crate::story::settle();
    story.done("push ./cache ./zlib-1.3.1 ./tool-2.0");
    story.done("copy ./cache oci-layout:./layout zlib");
    // The layer of the other one is damaged, in its length or in a byte.
    let blobs = story.at("cache/oci/blobs/sha256");
    let known: Vec<_> = names(&story.at("layout/blobs/sha256"));
    let is_new = |name: &String| !known.contains(name);
    let largest = names(&blobs).into_iter().filter(is_new).max_by_key(|name| {
        let is_gzip = fs_err::read(blobs.join(name)).unwrap().starts_with(&[0x1f, 0x8b]);
        u8::from(is_gzip)
    });
    let layer = blobs.join(largest.unwrap());
    let mut bytes = fs_err::read(&layer).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs_err::remove_file(&layer).unwrap();
    fs_err::write(&layer, bytes).unwrap();
    let ended = story.run("copy ./cache oci-layout:./layout");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("could not copy `tool-2.0-"), "{}", ended.stderr);
    fs_err::remove_file(&layer).unwrap();
    assert_eq!(story.run("copy ./cache oci-layout:./layout").code, Some(1));
    assert_eq!(manifests(&story.at("layout")).len(), 1);
    // The other blobs of that image did come, and lead nowhere.
    let check = story.run("check oci-layout:./layout");
    assert!(check.stdout.lines().all(|line| line.starts_with("orphaned")), "{check:?}");
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_is_kept_here_is_shown_and_forgotten() {
    let story = Story::with_zlib();
    story.done("push ./cache ./zlib-1.3.1");
    story.tell("cache show");
    story.tell("cache prune --max-size 0 --dry-run");
    story.tell("cache prune --max-size 0");
    story.tell("cache prune");
    story.tell("cache prune --max-size lots");
    assert_snapshot!(story.told(), @"
    $ hod cache show
    [DIR]/home/.cache/hod
    2> [size] in 1 blob, at most [size]
    exit 0
    $ hod cache prune --max-size 0 --dry-run
    2> Would forget 1 blob ([size]), [size] left
    exit 0
    $ hod cache prune --max-size 0
    2> Forgot 1 blob ([size]), [size] left
    exit 0
    $ hod cache prune
    2> Forgot 0 blobs ([size]), [size] left
    exit 0
    $ hod cache prune --max-size lots
    2> error: invalid value 'lots' for '--max-size <SIZE>': expected a number of bytes, as in 500M or 2G
    2>
    2> For more information, try '--help'.
    exit 2
    ");
}

#[test]
fn what_a_registry_has_lost_is_found() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let story = Story::new();
    let mirror = format!("oci+http://{}/a", server.host());
    story.done(&format!("copy oci-layout:{} {mirror} --update-index", by_spack().display()));
    let words = ["", " --read"].map(|how| format!("check {mirror}{how}"));
    for words in &words {
        let ended = story.run(words);
        assert_eq!((ended.code, &*ended.stdout), (Some(0), ""), "{ended:?}");
        assert!(ended.stderr.contains("2 specs"), "{ended:?}");
    }

    // The layer of hello: a byte turns over, then it is gone.
    let show = story.done(&format!("show hello -m {mirror}"));
    let layers: Vec<&str> = show.lines().filter(|line| line.starts_with("  layer")).collect();
    let digest = layers.last().unwrap().split_whitespace().nth(1).unwrap();
    let file = server.blob(digest);
    let mut bytes = fs_err::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(&file, bytes).unwrap();
    assert_eq!(story.run(&words[0]).code, Some(0), "it is there, in its size");
    let read = story.run(&words[1]);
    assert_eq!(read.code, Some(1), "{read:?}");
    assert!(read.stdout.contains(digest) && read.stdout.contains("hello-2.10"), "{read:?}");

    fs_err::remove_file(&file).unwrap();
    for words in &words {
        let ended = story.run(words);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stdout.contains("is missing, a layer"), "{ended:?}");
    }
    // Nothing that needs it is published elsewhere.
    let ended = story.run(&format!("copy {mirror} oci-layout:./layout"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let there: Vec<String> =
        manifests(&story.at("layout")).into_iter().map(|(tag, _)| tag).collect();
    assert!(there.len() == 1 && there[0].starts_with("gcc-runtime"), "{there:?}");
}

#[test]
fn what_a_registry_refuses_comes_with_what_to_do() {
    let auth = Auth::Htpasswd { user: "me", password: "secret" };
    let Some(server) = Registry::start(&Options { auth, ..Options::default() }) else { return };
    let story = Story::new();
    let mirror = format!("oci+http://{}/a", server.host());
    let ended = story.run(&format!("list -m {mirror}"));
    let hint = format!("hint: `hod login {}` says who you are", server.host());
    assert!(ended.code == Some(1) && ended.stderr.contains(&hint), "{ended:?}");

    // Speaking TLS to who does not.
    let mirror = format!("oci://{}/a", server.host());
    let ended = story.run(&format!("list -m {mirror} --retries 1"));
    assert!(ended.code == Some(1) && ended.stderr.contains("`oci+http://"), "{ended:?}");

    let ended = story.run("list -m oci+http://127.0.0.1:1/a --retries 1");
    assert!(ended.code == Some(1) && ended.stderr.contains("HTTPS_PROXY"), "{ended:?}");
}

#[test]
fn a_list_asks_for_no_more_than_it_needs() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let proxy = Proxy::start(server.host());
    let story = Story::new();
    let mirror = format!("oci+http://{}/a", proxy.host());
    let from = format!("oci-layout:{}", by_spack().display());
    let asked = |words: &str| -> Vec<String> {
        let before = proxy.requests().len();
        story.done(words);
        let seen = proxy.requests();
        seen.iter().skip(before).map(|seen| seen.path().to_owned()).collect()
    };
    let of = |paths: &[String], what: &str| paths.iter().filter(|p| p.contains(what)).count();

    // Without an index, what the tag tells saves the rest.
    story.done(&format!("copy {from} {mirror}"));
    story.done("cache prune --max-size 0");
    let paths = asked(&format!("list -m {mirror} hello"));
    assert_eq!((of(&paths, "/manifests/"), of(&paths, "/blobs/")), (1, 1), "{paths:?}");
    let paths = asked(&format!("list -m {mirror} hello"));
    assert_eq!((of(&paths, "/manifests/"), of(&paths, "/blobs/")), (1, 0), "{paths:?}");
    let paths = asked(&format!("list -m {mirror} /alcu"));
    assert_eq!((of(&paths, "hello"), of(&paths, "gcc-runtime")), (0, 1), "{paths:?}");

    // With one, no package is asked for at all.
    story.done(&format!("index {mirror}"));
    let paths = asked(&format!("list -m {mirror}"));
    assert_eq!((of(&paths, "hello"), of(&paths, "gcc-runtime")), (0, 0), "{paths:?}");
    assert!(paths.len() <= 5, "{paths:?}");
    let paths = asked(&format!("list -m {mirror} hello%gcc@12"));
    assert_eq!(of(&paths, "/blobs/"), 0, "the index is kept: {paths:?}");
    assert_eq!(story.run(&format!("list -m {mirror} hello@3")).code, Some(1));
}

#[test]
fn a_download_that_breaks_off_or_is_damaged_is_taken_up_again_or_told() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let proxy = Proxy::start(server.host());
    let story = Story::new();
    let mirror = format!("oci+http://{}/a", proxy.host());
    story.done(&format!("copy oci-layout:{} {mirror}", by_spack().display()));

    // One breaks off: the rest is asked for.
    let of_layers =
        |action| Rule { method: "GET", path: "/blobs/sha256:5fa342d4", ..Rule::new(action) };
    proxy.rule(Rule { times: 1, ..of_layers(Action::TruncateResponse(50_000)) });
    story.done(&format!("unpack hello -m {mirror} --to ./hello"));
    assert!(story.at("hello/bin/hello").is_file());
    story.done("cache prune --max-size 0");
    proxy.clear_rules();

    // A byte that is another one: nothing of it stays, neither the tree nor the blob.
    proxy.rule(of_layers(Action::CorruptResponse(50_000)));
    let ended = story.run(&format!("unpack hello -m {mirror} --to ./damaged"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(!story.at("damaged").exists());
    let ended = story.run(&format!("copy {mirror} ./cache"));
    assert!(ended.code == Some(1) && ended.stderr.contains("could not copy `hello-2.10"));
    assert!(
        !names(&story.at("home/.cache/hod/blobs/sha256")).iter().any(|n| n.starts_with("5fa3"))
    );
    proxy.clear_rules();
    story.done(&format!("copy {mirror} ./cache"));
    story.done("check ./cache");
}

#[test]
fn the_prefix_in_a_tarball_of_spack_is_found_without_an_image() {
    for (name, layout) in [("v3-signed", "v3"), ("v2-signed", "v2")] {
        let story = Story::new();
        hod_testing::golden::copy_golden(name, &story.at("cache"));
        let shown = story.done("show hello -m ./cache");
        assert!(shown.contains(&format!("layout    {layout}")), "{shown}");
        story.done("unpack hello -m ./cache --to ./hello");
        assert!(story.at("hello/bin/hello").is_file());
        assert!(story.at("hello/.spack/spec.json").is_file());
        // It is an entry and no image: there is nothing that a registry would hold.
        let ended = story.run("copy ./cache oci-layout:./layout hello");
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("has no image that could be copied"), "{ended:?}");
    }
}
