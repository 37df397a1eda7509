//! Specs: from a store that Spack made into a build cache that Spack reads.

use hod_testing::golden::copy_golden;
use insta::assert_snapshot;

use crate::golden::unpack_fixture;
use crate::story::{Story, settle};

/// A story that begins with a store: zlib, bzip2, libpng, hello, linkfarm and gcc-runtime, made by
/// Spack under `/opt/hpc/store`.
fn story() -> Story {
    let story = Story::new();
    unpack_fixture("store.tar.zst", &story.at(""));
    // So that what is packed is remembered.
    settle();
    story
}

#[test]
fn a_spec_is_pushed_with_all_it_depends_on() {
    let story = story();
    story.tell("push -j 1 ./cache linkfarm --store ./store --update-index");
    story.tell("push -j 1 ./cache linkfarm hello --store ./store --update-index");
    story.tell("list -m ./cache");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 ./cache linkfarm --store ./store --update-index
    2> Selected 4 specs: `linkfarm@1.0/[hash]` and 3 dependencies
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> [1/4] Pushed zlib@1.2.13/[hash] ([size], [time])
    2> [2/4] Pushed gcc-runtime@12.2.0/[hash] ([size], [time])
    2> [3/4] Pushed bzip2@1.0.8/[hash] ([size], [time])
    2> [4/4] Pushed linkfarm@1.0/[hash] ([size], [time])
    2> Pushed 4 specs to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.2.13/[hash] [size]  oci:cache/oci:zlib-1.2.13-[hash].spack
    2>  + gcc-runtime@12.2.0/[hash] [size]  oci:cache/oci:gcc-[hash]-12.2.0-[hash].spack
    2>  + bzip2@1.0.8/[hash] [size]  oci:cache/oci:bzip2-1.0.8-[hash].spack
    2>  + linkfarm@1.0/[hash] [size]  oci:cache/oci:linkfarm-1.0-[hash].spack
    2> Indexed 4 specs
    exit 0
    $ hod push -j 1 ./cache linkfarm hello --store ./store --update-index
    2> Selected 5 specs: 2 roots and 3 dependencies
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> Found 4 of 5 in `./cache` in [time]
    2> Pushed 1 spec to `./cache` in [time] ([size] from [size]), 4 already there
    2>  = zlib@1.2.13/[hash] [size]  oci:cache/oci:zlib-1.2.13-[hash].spack
    2>  = gcc-runtime@12.2.0/[hash] [size]  oci:cache/oci:gcc-[hash]-12.2.0-[hash].spack
    2>  = bzip2@1.0.8/[hash] [size]  oci:cache/oci:bzip2-1.0.8-[hash].spack
    2>  + hello@2.10/[hash] [size]  oci:cache/oci:hello-2.10-[hash].spack
    2>  = linkfarm@1.0/[hash] [size]  oci:cache/oci:linkfarm-1.0-[hash].spack
    2> Indexed 5 specs
    exit 0
    $ hod list -m ./cache
    bzip2@1.0.8/[hash]         linux-debian12-x86_64  gcc@12.2.0 [size]
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64 [size]
    hello@2.10/[hash]          linux-debian12-x86_64  gcc@12.2.0 [size]
    linkfarm@1.0/[hash]        linux-debian12-x86_64  gcc@12.2.0 [size]
    zlib@1.2.13/[hash]         linux-debian12-x86_64  gcc@12.2.0 [size]
    2> 5 packages in `./cache`, index written [time] ago
    exit 0
    $ hod check ./cache
    superseded  ./cache/blobs/sha256/32/[digest] is an older index ([n] bytes)
    2> Checked 22 blobs ([size]) of 5 specs and 5 images in `./cache` in [time]: 1 superseded
    exit 0
    ");
}

#[test]
fn a_prefix_that_spack_made_is_pushed_as_its_spec() {
    let story = story();
    let prefix = "./store/linux-x86_64/zlib-1.2.13-yox7nsrab6dhdlxlapu6hg33h4atwgrx";
    story.tell(&format!("push ./cache {prefix} --only package"));
    story.tell(&format!("push ./cache {prefix} --name z"));
    // Elsewhere it is another matter: what it refers to is not there.
    fs_err::rename(story.at(prefix), story.at("zlib-1.2.13")).unwrap();
    story.tell("push ./other ./zlib-1.2.13");
    story.tell("push ./other ./zlib-1.2.13 --store ./store");
    assert!(!story.at("other").exists());
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./store/linux-x86_64/zlib-1.2.13-[hash] --only package
    2> Pushed 1 spec to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.2.13/[hash] [size]  oci:cache/oci:zlib-1.2.13-[hash].spack
    exit 0
    $ hod push ./cache ./store/linux-x86_64/zlib-1.2.13-[hash] --name z
    2> error: `--name` and `--version` need a single prefix that Spack did not make
    exit 2
    $ hod push ./other ./zlib-1.2.13
    2> error: cannot push `./zlib-1.2.13` as a spec
    2>   cause: found no store: --store is not given, HOD_STORE is not set, SPACK_ROOT is not set, no `spack` on the path, no `config:install_tree` in `[DIR]/etc/spack` or `~/.spack`
    2>
    2> hint: name the store with `--store PATH`, or set HOD_STORE
    exit 1
    $ hod push ./other ./zlib-1.2.13 --store ./store
    2> error: `[DIR]/zlib-1.2.13` holds zlib@1.2.13/[hash], which the store `[DIR]/store` has at `[DIR]/store/linux-x86_64/zlib-1.2.13-[hash]`
    2>
    2> hint: name the store it belongs to with `--store`
    exit 1
    ");
}

#[test]
fn only_and_exclude_say_what_is_pushed() {
    let story = story();
    story.tell("push -j 1 ./a linkfarm --store ./store --only package");
    story.tell("push -j 1 ./b linkfarm --store ./store --only dependencies");
    story.tell("push -j 1 ./c linkfarm --store ./store --exclude zlib");
    story.tell("push -j 1 ./d linkfarm --store ./store --dry-run");
    assert!(!story.at("d").exists());
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 ./a linkfarm --store ./store --only package
    2> Pushed 1 spec to `./a` in [time] ([size] from [size])
    2>  + linkfarm@1.0/[hash] [size]  oci:a/oci:linkfarm-1.0-[hash].spack
    exit 0
    $ hod push -j 1 ./b linkfarm --store ./store --only dependencies
    2> Selected 3 specs: 3 dependencies
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> [1/3] Pushed zlib@1.2.13/[hash] ([size], [time])
    2> [2/3] Pushed gcc-runtime@12.2.0/[hash] ([size], [time])
    2> [3/3] Pushed bzip2@1.0.8/[hash] ([size], [time])
    2> Pushed 3 specs to `./b` in [time] ([size] from [size])
    2>  + zlib@1.2.13/[hash] [size]  oci:b/oci:zlib-1.2.13-[hash].spack
    2>  + gcc-runtime@12.2.0/[hash] [size]  oci:b/oci:gcc-[hash]-12.2.0-[hash].spack
    2>  + bzip2@1.0.8/[hash] [size]  oci:b/oci:bzip2-1.0.8-[hash].spack
    exit 0
    $ hod push -j 1 ./c linkfarm --store ./store --exclude zlib
    2> Selected 3 specs: `linkfarm@1.0/[hash]` and 2 dependencies
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> Excluded zlib@1.2.13/[hash]
    2> [1/3] Pushed gcc-runtime@12.2.0/[hash] ([size], [time])
    2> [2/3] Pushed bzip2@1.0.8/[hash] ([size], [time])
    2> [3/3] Pushed linkfarm@1.0/[hash] ([size], [time])
    2> Pushed 3 specs to `./c` in [time] ([size] from [size])
    2>  + gcc-runtime@12.2.0/[hash] [size]  oci:c/oci:gcc-[hash]-12.2.0-[hash].spack
    2>  + bzip2@1.0.8/[hash] [size]  oci:c/oci:bzip2-1.0.8-[hash].spack
    2>  + linkfarm@1.0/[hash] [size]  no image, for lack of zlib@1.2.13/[hash]
    2> warning: an image was held back: an image holds all its package needs, and something of that is missing
    exit 0
    $ hod push -j 1 ./d linkfarm --store ./store --dry-run
    2> Selected 4 specs: `linkfarm@1.0/[hash]` and 3 dependencies
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> Would push 4 specs to `./d` ([size] before compression)
    2>  + zlib@1.2.13/[hash]  14 files, [size]
    2>  + gcc-runtime@12.2.0/[hash]  10 files, [size]
    2>  + bzip2@1.0.8/[hash]  26 files, [size]
    2>  + linkfarm@1.0/[hash]  24 files, [size]
    exit 0
    ");
}

#[test]
fn a_store_is_listed_and_its_packages_are_shown() {
    let story = story();
    story.tell("list --store ./store");
    story.tell("list --store ./store -v libpng");
    story.tell("list --store ./store lib");
    story.tell("list --store ./store %gcc@13");
    story.tell("list --store ./store ^zlib");
    story.tell("show libpng --store ./store");
    let rows = story.done("list --store ./store --json zlib");
    let row: serde_json::Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(
        row["prefix"],
        "/opt/hpc/store/linux-x86_64/zlib-1.2.13-yox7nsrab6dhdlxlapu6hg33h4atwgrx"
    );
    assert_eq!(row["variants"]["pic"], true);
    assert_eq!(row["compiler"], "gcc@12.2.0");
    assert_snapshot!(story.told(), @"
    $ hod list --store ./store
    bzip2@1.0.8/[hash]         linux-debian12-x86_64  gcc@12.2.0
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64
    glibc@2.36/[hash]          linux-debian12-x86_64                        external /usr
    hello@2.10/[hash]          linux-debian12-x86_64  gcc@12.2.0  explicit
    libpng@1.6.39/[hash]       linux-debian12-x86_64  gcc@12.2.0  explicit
    linkfarm@1.0/[hash]        linux-debian12-x86_64  gcc@12.2.0  explicit
    zlib@1.2.13/[hash]         linux-debian12-x86_64  gcc@12.2.0
    2> 7 packages in `[DIR]/store`
    exit 0
    $ hod list --store ./store -v libpng
    libpng@1.6.39+pic build_system=generic libs:=shared,static /v7moebn  linux-debian12-x86_64  gcc@12.2.0  explicit
    2> 1 of 7 packages in `[DIR]/store`
    exit 0
    $ hod list --store ./store lib
    2> error: no package matches `lib` among 7 in `[DIR]/store`
    2>
    2> hint: did you mean `zlib`?
    exit 1
    $ hod list --store ./store %gcc@13
    2> error: no package matches `%gcc@13` among 7 in `[DIR]/store`
    2>
    2> hint: `hod list --store [DIR]/store` shows what is there
    exit 1
    $ hod list --store ./store ^zlib
    libpng@1.6.39/[hash]  linux-debian12-x86_64  gcc@12.2.0  explicit
    linkfarm@1.0/[hash]   linux-debian12-x86_64  gcc@12.2.0  explicit
    2> 2 of 7 packages in `[DIR]/store`
    exit 0
    $ hod show libpng --store ./store
    libpng@1.6.39/[hash]
      hash      [hash]
      built for linux-debian12-x86_64
      compiler  gcc@12.2.0
      variants  +pic build_system=generic libs:=shared,static
      namespace golden
      lies at   [DIR]/store/linux-x86_64/libpng-1.6.39-[hash]
      prefix    /opt/hpc/store/linux-x86_64/libpng-1.6.39-[hash]
      installed asked for
      needed by 0 packages
      depends on
        compiler-wrapper/q37zamg  build
        gcc/umaathb  build
      * gcc-runtime/alcuvrz  link
      * glibc/qggmgd4  link
        gmake/5ss4sv5  build
      * zlib/yox7nsr  build, link
    exit 0
    ");
}

#[test]
fn caches_that_spack_made_are_read_and_checked() {
    let story = Story::new();
    for cache in ["v3-signed", "v2-signed"] {
        copy_golden(cache, &story.at(cache));
        story.tell(&format!("list -m ./{cache}"));
        story.tell(&format!("check ./{cache}"));
    }
    story.tell("show hello -m ./v3-signed");
    story.tell("show hello -m ./v2-signed");
    assert_snapshot!(story.told(), @"
    $ hod list -m ./v3-signed
    bzip2@1.0.8/[hash]         linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64 [size]  signed, not verified
    hello@2.10/[hash]          linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    linkfarm@1.0/[hash]        linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    zlib@1.2.13/[hash]         linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    2> 5 packages in `./v3-signed`, index written [time] ago
    exit 0
    $ hod check ./v3-signed
    2> Checked 13 blobs ([size]) of 5 specs in `./v3-signed` in [time]: all good
    2> 5 specs signed, not verified
    exit 0
    $ hod list -m ./v2-signed
    bzip2@1.0.8/[hash]         linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    hello@2.10/[hash]          linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    linkfarm@1.0/[hash]        linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    zlib@1.2.13/[hash]         linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    2> 5 packages in `./v2-signed`
    exit 0
    $ hod check ./v2-signed
    2> Checked 5 blobs ([size]) of 5 specs in `./v2-signed` in [time]: all good
    2> 5 specs signed, not verified
    exit 0
    $ hod show hello -m ./v3-signed
    hello@2.10/[hash]
      hash      [hash]
      built for linux-debian12-x86_64
      compiler  gcc@12.2.0
      variants  build_system=autotools
      namespace golden
      entry     ./v3-signed/v3/manifests/spec/hello/hello-2.10-[hash].spec.manifest.json
      layout    v3
      signature signed, not verified
      tarball   sha256:[digest] [size]
      depends on
        compiler-wrapper/q37zamg  build
        gcc/umaathb  build
      * gcc-runtime/alcuvrz  link
      * glibc/qggmgd4  link
        gmake/5ss4sv5  build
    exit 0
    $ hod show hello -m ./v2-signed
    hello@2.10/[hash]
      hash      [hash]
      built for linux-debian12-x86_64
      compiler  gcc@12.2.0
      variants  build_system=autotools
      namespace golden
      entry     ./v2-signed/build_cache/linux-debian12-x86_64-gcc-12.2.0-hello-2.10-[hash].spec.json.sig
      layout    v2
      signature signed, not verified
      tarball   sha256:[digest] [size]
      depends on
      * gcc-runtime/vroqplf  link
      * glibc/qfqnapi  link
        gmake/fucdbr2  build
    exit 0
    ");
}

#[test]
fn a_cache_of_spack_gets_what_it_lacks() {
    let story = story();
    copy_golden("v3-signed", &story.at("cache"));
    story.tell(
        "push -j 1 ./cache hello libpng --store ./store --without-build-dependencies --update-index",
    );
    story.tell("list -m ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 ./cache hello libpng --store ./store --without-build-dependencies --update-index
    2> Selected 4 specs: 2 roots and 2 dependencies
    2> [1/4] Pushed zlib@1.2.13/[hash] ([size], [time])
    2> [2/4] Pushed gcc-runtime@12.2.0/[hash] ([size], [time])
    2> [3/4] Pushed libpng@1.6.39/[hash] ([size], [time])
    2> [4/4] Pushed hello@2.10/[hash] ([size], [time])
    2> Pushed 4 specs to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.2.13/[hash] [size]  oci:cache/oci:zlib-1.2.13-[hash].spack
    2>  + gcc-runtime@12.2.0/[hash] [size]  oci:cache/oci:gcc-[hash]-12.2.0-[hash].spack
    2>  + libpng@1.6.39/[hash] [size]  oci:cache/oci:libpng-1.6.39-[hash].spack
    2>  + hello@2.10/[hash] [size]  oci:cache/oci:hello-2.10-[hash].spack
    2> Indexed 6 specs
    exit 0
    $ hod list -m ./cache
    bzip2@1.0.8/[hash]         linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64 [size]  signed, not verified
    hello@2.10/[hash]          linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    libpng@1.6.39/[hash]       linux-debian12-x86_64  gcc@12.2.0 [size]
    linkfarm@1.0/[hash]        linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    zlib@1.2.13/[hash]         linux-debian12-x86_64  gcc@12.2.0 [size]  signed, not verified
    2> 6 packages in `./cache`, index written [time] ago
    exit 0
    ");
}

#[test]
fn an_index_is_rebuilt_and_says_what_it_could_not_read() {
    let story = story();
    story.done("push ./cache hello --store ./store --update-index");
    story.tell("index ./cache");
    let manifests = story.at("cache/v3/manifests");
    fs_err::remove_dir_all(manifests.join("index")).unwrap();
    story.tell("index ./cache");
    fs_err::write(
        manifests.join("spec/hello/hello-2.10-arbvturvzrczc6dyodbycjav7qqhraus.spec.manifest.json"),
        "{",
    )
    .unwrap();
    story.tell("index ./cache");
    story.tell("list -m ./cache");
    story.tell("push -q ./cache hello --store ./store --update-index");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod index ./cache
    2> Indexed 2 specs in `./cache` in [time], nothing new
    exit 0
    $ hod index ./cache
    2> Indexed 2 specs in `./cache` in [time]
    exit 0
    $ hod index ./cache
    2> Indexed 1 spec in `./cache` in [time]
    2> not indexed: `./cache/v3/manifests/spec/hello/hello-2.10-[hash].spec.manifest.json`
    2>   cause: cannot understand `./cache/v3/manifests/spec/hello/hello-2.10-[hash].spec.manifest.json`
    2>   cause: not the expected JSON
    2>   cause: EOF while parsing an object at line 1 column 1
    2>
    2> hint: push these specs again with `--force`; `hod check MIRROR` names all damage
    exit 1
    $ hod list -m ./cache
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64 [size]
    2> not read: cannot understand `./cache/v3/manifests/spec/hello/hello-2.10-[hash].spec.manifest.json`: not the expected JSON: EOF while parsing an object at line 1 column 1
    2> 1 of 2 packages in `./cache`, index written [time] ago
    exit 1
    $ hod push -q ./cache hello --store ./store --update-index
    exit 0
    $ hod check ./cache
    superseded  ./cache/blobs/sha256/d3/[digest] is an older index ([n] bytes)
    2> Checked 10 blobs ([size]) of 2 specs and 2 images in `./cache` in [time]: 1 superseded
    exit 0
    ");
}

/// The file of a blob that `show` names.
fn layer(story: &Story) -> std::path::PathBuf {
    let row = story.done("show --json hello -m ./cache");
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    let digest = row["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    story.at("cache/oci/blobs/sha256").join(digest)
}

#[test]
fn a_damaged_layer_of_a_spec_is_mended_by_force() {
    let story = story();
    story.done("push ./cache hello --store ./store --update-index");
    let path = layer(&story);
    let mut bytes = fs_err::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(&path, bytes).unwrap();
    assert_eq!(story.run("check ./cache").code, Some(1));
    story.tell("push -j 1 ./cache hello --store ./store --force");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 ./cache hello --store ./store --force
    2> Selected 2 specs: `hello@2.10/[hash]` and 1 dependency
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> [1/2] Pushed gcc-runtime@12.2.0/[hash] ([size], [time])
    2> [2/2] Pushed hello@2.10/[hash] ([size], [time])
    2> Pushed 2 specs to `./cache` in [time] ([size] from [size])
    2>  + gcc-runtime@12.2.0/[hash] [size]  oci:cache/oci:gcc-[hash]-12.2.0-[hash].spack
    2>  + hello@2.10/[hash] [size]  oci:cache/oci:hello-2.10-[hash].spack
    exit 0
    $ hod check ./cache
    2> Checked 9 blobs ([size]) of 2 specs and 2 images in `./cache` in [time]: all good
    exit 0
    ");
}

#[test]
fn a_missing_part_of_an_image_is_mended_by_any_push() {
    let story = story();
    story.done("push ./cache hello --store ./store --update-index");
    fs_err::remove_file(layer(&story)).unwrap();
    assert_eq!(story.run("check ./cache").code, Some(1));
    story.tell("push -j 1 ./cache hello --store ./store");
    let row = story.done("show --json hello -m ./cache");
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    let blobs = story.at("cache/oci/blobs/sha256");
    let manifest = blobs.join(row["manifest"].as_str().unwrap().strip_prefix("sha256:").unwrap());
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs_err::read(manifest).unwrap()).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    fs_err::remove_file(blobs.join(config)).unwrap();
    story.tell("push -j 1 ./cache hello --store ./store");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 ./cache hello --store ./store
    2> Selected 2 specs: `hello@2.10/[hash]` and 1 dependency
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> Found 1 of 2 in `./cache` in [time]
    2> Pushed 1 spec to `./cache` in [time] ([size] from [size]), 1 already there
    2>  = gcc-runtime@12.2.0/[hash] [size]  oci:cache/oci:gcc-[hash]-12.2.0-[hash].spack
    2>  + hello@2.10/[hash] [size]  oci:cache/oci:hello-2.10-[hash].spack
    exit 0
    $ hod push -j 1 ./cache hello --store ./store
    2> Selected 2 specs: `hello@2.10/[hash]` and 1 dependency
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> Found 1 of 2 in `./cache` in [time]
    2> Pushed 1 spec to `./cache` in [time] ([size] from [size]), 1 already there
    2>  = gcc-runtime@12.2.0/[hash] [size]  oci:cache/oci:gcc-[hash]-12.2.0-[hash].spack
    2>  + hello@2.10/[hash] [size]  oci:cache/oci:hello-2.10-[hash].spack
    exit 0
    $ hod check ./cache
    2> Checked 9 blobs ([size]) of 2 specs and 2 images in `./cache` in [time]: all good
    exit 0
    ");
}

#[test]
fn a_damaged_store_is_told_and_nothing_half_made_is_pushed() {
    let story = story();
    let database = story.at("store/.spack-db/index.json");
    let whole = fs_err::read(&database).unwrap();
    fs_err::write(&database, &whole[..whole.len() / 2]).unwrap();
    story.tell("push -j 1 ./cache hello --store ./store");
    let text = String::from_utf8(whole).unwrap();
    fs_err::write(&database, text.replace("\"version\":\"8\"", "\"version\":\"9\"")).unwrap();
    story.tell("push -j 1 ./cache hello --store ./store");
    assert!(!story.at("cache").exists());
    fs_err::remove_file(&database).unwrap();
    let hello = "store/linux-x86_64/hello-2.10-arbvturvzrczc6dyodbycjav7qqhraus";
    fs_err::remove_file(story.at(hello).join(".spack/spec.json")).unwrap();
    story.tell("push -j 1 ./cache linkfarm --store ./store");
    story.tell("push -j 1 ./cache hello --store ./store");
    fs_err::write(&database, text).unwrap();
    story.tell("push -j 1 ./cache hello --store ./store --without-build-dependencies");
    fs_err::remove_dir_all(story.at(hello)).unwrap();
    story.tell("push -j 1 ./cache hello --store ./store --without-build-dependencies");
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 ./cache hello --store ./store
    2> error: could not read the database `[DIR]/store/.spack-db/index.json`
    2>   cause: not a database of specs
    2>   cause: EOF while parsing an object at line 1 column 5195
    2>
    2> hint: `spack reindex` writes it anew
    exit 1
    $ hod push -j 1 ./cache hello --store ./store
    2> error: could not read the database `[DIR]/store/.spack-db/index.json`
    2>   cause: the database has version 9, and this program reads 5 to 8
    2>
    2> hint: install a newer hod
    exit 1
    $ hod push -j 1 ./cache linkfarm --store ./store
    2> warning: the store `[DIR]/store` has no database; 5 packages were found by looking for them
    2> Selected 4 specs: `linkfarm@1.0/[hash]` and 3 dependencies
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> [1/4] Pushed zlib@1.2.13/[hash] ([size], [time])
    2> [2/4] Pushed gcc-runtime@12.2.0/[hash] ([size], [time])
    2> [3/4] Pushed bzip2@1.0.8/[hash] ([size], [time])
    2> [4/4] Pushed linkfarm@1.0/[hash] ([size], [time])
    2> Pushed 4 specs to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.2.13/[hash] [size]  oci:cache/oci:zlib-1.2.13-[hash].spack
    2>  + gcc-runtime@12.2.0/[hash] [size]  oci:cache/oci:gcc-[hash]-12.2.0-[hash].spack
    2>  + bzip2@1.0.8/[hash] [size]  oci:cache/oci:bzip2-1.0.8-[hash].spack
    2>  + linkfarm@1.0/[hash] [size]  oci:cache/oci:linkfarm-1.0-[hash].spack
    exit 0
    $ hod push -j 1 ./cache hello --store ./store
    2> warning: the store `[DIR]/store` has no database; 5 packages were found by looking for them
    2> error: no package matches `hello` among 8 in `[DIR]/store`
    2>
    2> hint: `hod list --store [DIR]/store` shows what is there
    exit 1
    $ hod push -j 1 ./cache hello --store ./store --without-build-dependencies
    2> Selected 2 specs: `hello@2.10/[hash]` and 1 dependency
    2> Found 1 of 2 in `./cache` in [time]
    2>  = gcc-runtime@12.2.0/[hash] [size]  oci:cache/oci:gcc-[hash]-12.2.0-[hash].spack
    2> error: could not use what the store has of `hello@2.10/[hash]`
    2>   cause: could not read `[DIR]/store/linux-x86_64/hello-2.10-[hash]/.spack/spec.json`
    2>   cause: failed to open file `[DIR]/store/linux-x86_64/hello-2.10-[hash]/.spack/spec.json`: No such file or directory (os error 2)
    2>
    2> hint: the prefix is damaged: install it again, or leave a dependency out with `--exclude`
    exit 1
    $ hod push -j 1 ./cache hello --store ./store --without-build-dependencies
    2> Selected 2 specs: `hello@2.10/[hash]` and 1 dependency
    2> Found 1 of 2 in `./cache` in [time]
    2>  = gcc-runtime@12.2.0/[hash] [size]  oci:cache/oci:gcc-[hash]-12.2.0-[hash].spack
    2> error: could not use what the store has of `hello@2.10/[hash]`
    2>   cause: `hello@2.10/[hash]` should be at `[DIR]/store/linux-x86_64/hello-2.10-[hash]`, and is not there
    2>
    2> hint: install it again, or leave a dependency out with `--exclude`
    exit 1
    ");
}

#[test]
fn words_that_name_no_spec_are_explained() {
    let story = story();
    fs_err::create_dir(story.at("zlib-ng")).unwrap();
    story.tell("push ./cache hallo --store ./store");
    story.tell("push ./cache zlib-ng --store ./store");
    story.tell("push ./cache zlib@2 --store ./store");
    story.tell("push ./cache zlib@@ --store ./store");
    story.tell("push ./cache /zzzzzzz --store ./store");
    story.tell("push cache zlib --store ./store");
    story.tell("push ./cache zlib --store ./nowhere");
    story.tell("push ./cache zlib");
    story.tell("push ./cache zlib --store ./store --compression zstd");
    story.tell("list -m cache");
    assert!(!story.at("cache").exists());
    assert_snapshot!(story.told(), @"
    $ hod push ./cache hallo --store ./store
    2> error: no package matches `hallo` among 7 in `[DIR]/store`
    2>
    2> hint: did you mean `hello`?
    exit 1
    $ hod push ./cache zlib-ng --store ./store
    2> error: `zlib-ng` was taken for a spec
    2>   cause: no package matches `zlib-ng` among 7 in `[DIR]/store`
    2>
    2> hint: for the directory of that name, write `./zlib-ng`
    exit 1
    $ hod push ./cache zlib@2 --store ./store
    2> error: no package matches `zlib@2` among 7 in `[DIR]/store`
    2>
    2> hint: `hod list --store [DIR]/store zlib` shows what is there
    exit 1
    $ hod push ./cache zlib@@ --store ./store
    2> error: cannot read `zlib@@` as a query: expected a version, such as `1.2`, `=1.2`, `1.2:1.4` or `1.2:`
    2>   zlib@@
    2>        ^
    exit 2
    $ hod push ./cache /zzzzzzz --store ./store
    2> error: no package matches `/[hash]` among 7 in `[DIR]/store`
    2>
    2> hint: `hod list --store [DIR]/store` shows what is there
    exit 1
    $ hod push cache zlib --store ./store
    2> error: there is no mirror named `cache` in Spack's configuration
    2>
    2> hint: for a directory, write `./cache`; `hod mirror add` makes a name for one
    exit 1
    $ hod push ./cache zlib --store ./nowhere
    2> error: no store at `[DIR]/nowhere`
    2>   cause: failed to query resolved metadata `[DIR]/nowhere`: No such file or directory (os error 2)
    2>
    2> hint: a store is the directory that holds `.spack-db`: Spack's `config:install_tree:root`
    exit 1
    $ hod push ./cache zlib
    2> error: found no store: --store is not given, HOD_STORE is not set, SPACK_ROOT is not set, no `spack` on the path, no `config:install_tree` in `[DIR]/etc/spack` or `~/.spack`
    2>
    2> hint: name the store with `--store PATH`, or set HOD_STORE
    exit 1
    $ hod push ./cache zlib --store ./store --compression zstd
    2> error: specs cannot be pushed with zstd, which Spack does not read
    2>
    2> hint: leave out `--compression`, or give it `gzip`
    exit 2
    $ hod list -m cache
    2> error: there is no mirror named `cache` in Spack's configuration
    2>
    2> hint: for a directory, write `./cache`; `hod mirror add` makes a name for one
    exit 1
    ");
}

#[test]
fn mirrors_and_stores_are_found_as_spack_finds_them() {
    let story = story();
    let scope = story.at("home/.spack");
    fs_err::create_dir_all(&scope).unwrap();
    let config = format!("config:\n  install_tree:\n    root: {}\n", story.at("store").display());
    fs_err::write(scope.join("config.yaml"), config).unwrap();
    let mirrors = "mirrors:\n  lab: ../../cache\n  far: {url: s3://bucket/cache, signed: false}\n";
    fs_err::write(scope.join("mirrors.yaml"), mirrors).unwrap();
    story.tell("push -j 1 lab hello");
    story.tell("list");
    story.tell("show hello");
    story.tell("push far hello");
    story.tell("push leb hello");
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 lab hello
    2> warning: the mirror `lab` is to hold signed packages, and hod signs none yet: Spack installs what is pushed with `--no-check-signature`, or after `spack mirror set --unsigned lab`
    2> Selected 2 specs: `hello@2.10/[hash]` and 1 dependency
    2> Skipped a build dependency that is not installed: compiler-wrapper@1.0/[hash]
    2> [1/2] Pushed gcc-runtime@12.2.0/[hash] ([size], [time])
    2> [2/2] Pushed hello@2.10/[hash] ([size], [time])
    2> Pushed 2 specs to `[DIR]/cache` in [time] ([size] from [size])
    2>  + gcc-runtime@12.2.0/[hash] [size]  oci:[DIR]/cache/oci:gcc-[hash]-12.2.0-[hash].spack
    2>  + hello@2.10/[hash] [size]  oci:[DIR]/cache/oci:hello-2.10-[hash].spack
    exit 0
    $ hod list
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64 [size]
    hello@2.10/[hash]          linux-debian12-x86_64  gcc@12.2.0 [size]
    2> warning: left out the mirror `far` of Spack's configuration: only directories and container registries can be mirrors so far, not `s3://bucket/cache`
    2> 2 packages in `[DIR]/cache`
    exit 0
    $ hod show hello
    hello@2.10/[hash]
      hash      [hash]
      built for linux-debian12-x86_64
      compiler  gcc@12.2.0
      variants  build_system=autotools
      namespace golden
      entry     [DIR]/cache/v3/manifests/spec/hello/hello-2.10-[hash].spec.manifest.json
      layout    v3
      signature none
      tarball   sha256:[digest] [size]
      prefix    /opt/hpc/store/linux-x86_64/hello-2.10-[hash]
      image     oci:[DIR]/cache/oci:hello-2.10-[hash].spack
      platform  [platform]
      manifest  sha256:[digest] [size]
      config    sha256:[digest] [size]
      layer     sha256:[digest] [size], gzip
      diff id   sha256:[digest]
      layer     sha256:[digest] [size], gzip
      diff id   sha256:[digest] [size]
      contains  56 files ([size]), 99 directories, 0 symbolic links, 0 hard links
      made with --compression gzip --compression-level 6 --gzip-members multi --mtime 0
      depends on
        compiler-wrapper/q37zamg  build
        gcc/umaathb  build
      * gcc-runtime/alcuvrz  link
      * glibc/qggmgd4  link
        gmake/5ss4sv5  build
      largest files
     [size]  .spack/archived-files/spack-src/config.log
     [size]  bin/hello
     [size]  share/info/hello.info
     [size]  .spack/install_manifest.json
     [size]  .spack/spack-build-out.txt.gz
     [size]  share/locale/th/LC_MESSAGES/hello.mo
     [size]  share/locale/uk/LC_MESSAGES/hello.mo
     [size]  share/locale/ru/LC_MESSAGES/hello.mo
     [size]  share/locale/sr/LC_MESSAGES/hello.mo
     [size]  share/locale/vi/LC_MESSAGES/hello.mo
    2> warning: left out the mirror `far` of Spack's configuration: only directories and container registries can be mirrors so far, not `s3://bucket/cache`
    exit 0
    $ hod push far hello
    2> error: cannot use the mirror `far` of Spack's configuration
    2>   cause: only directories and container registries can be mirrors so far, not `s3://bucket/cache`
    2>
    2> hint: name a directory, `oci://HOST/NAME` or `oci-layout:DIR`
    exit 1
    $ hod push leb hello
    2> error: there is no mirror named `leb` in Spack's configuration
    2>
    2> hint: known are lab, far; for a directory, write `./leb`
    exit 1
    ");
}
