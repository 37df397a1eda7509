//! A real registry, Debian's, in all the ways in which one is entered; and what other programs
//! take from it.

mod door;
mod image;
mod read;
mod run;
mod secret;
mod token;

use std::process::Output;

use hod_testing::registry::{Options, Registry};
use serde_json::Value;

use crate::golden::unpack_fixture;
use crate::support::{Place, both, succeed};

/// All packages of the store, the externals left out.
const ALL: &str = "hello linkfarm libpng zlib bzip2 gcc-runtime";

/// A registry, and a store to push from.
struct Site {
    place: Place,
    server: Registry,
}

impl Site {
    /// `None`, with the reason printed, where there is no registry to be had.
    fn open(options: &Options<'_>) -> Option<Self> {
        let server = Registry::start(options)?;
        let place = Place::new();
        unpack_fixture("store.tar.zst", &place.at(""));
        Some(Self { place, server })
    }

    /// A repository, without TLS.
    fn plain(&self, name: &str) -> String {
        format!("oci+http://{}/{name}", self.server.host())
    }

    /// A repository, with TLS.
    fn tls(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.server.host())
    }

    /// The document that a tag names, as the registry keeps it, whoever may see it.
    fn manifest(&self, name: &str, tag: &str) -> Value {
        self.document(&self.digest(name, tag))
    }

    /// What a tag names.
    fn digest(&self, name: &str, tag: &str) -> String {
        let tags = format!("docker/registry/v2/repositories/{name}/_manifests/tags");
        let link = self.server.storage().join(tags).join(tag).join("current/link");
        fs_err::read_to_string(link).unwrap()
    }

    fn document(&self, digest: &str) -> Value {
        serde_json::from_slice(&fs_err::read(self.server.blob(digest)).unwrap()).unwrap()
    }

    /// The tags of a repository, sorted; none if it does not exist.
    fn tags(&self, name: &str) -> Vec<String> {
        let tags = format!("docker/registry/v2/repositories/{name}/_manifests/tags");
        let Ok(tags) = fs_err::read_dir(self.server.storage().join(tags)) else {
            return Vec::new();
        };
        let tags = tags.map(|tag| tag.unwrap().file_name().into_string().unwrap());
        let mut tags: Vec<String> = tags.collect();
        tags.sort();
        tags
    }

    /// The tags of packages.
    fn packages(&self, name: &str) -> Vec<String> {
        let is_package = |tag: &String| tag.strip_suffix(".spack").is_some_and(|t| t != "index");
        self.tags(name).into_iter().filter(is_package).collect()
    }

    /// How many packages the index says there are.
    fn indexed(&self, name: &str) -> usize {
        let manifest = self.manifest(name, "index.spack");
        let index = self.document(manifest["layers"][0]["digest"].as_str().unwrap());
        let installs = index["database"]["installs"].as_object().unwrap();
        installs.values().filter(|record| record["in_buildcache"] == true).count()
    }

    /// Pushes specs to where a mirror is; what is said on stdout.
    fn push(&self, mirror: &str, rest: &str) -> String {
        succeed(self.place.hod(&format!("push -q --store ./store {mirror} {rest}")))
    }

    /// What became of it, whether it succeeded or not.
    fn tried(&self, words: &str) -> Output {
        self.place.hod(words).output().unwrap()
    }
}

/// It failed as something that was asked for does, and said all of this.
#[track_caller]
fn refused(output: &Output, said: &[&str]) {
    let all = both(output);
    assert_eq!(output.status.code(), Some(1), "{all}");
    for text in said {
        assert!(all.contains(text), "no `{text}` in:\n{all}");
    }
}
