//! Copies that the command line alone does not show.

use std::sync::Arc;

use hod_archive::{Cancel, Codec, DiffId, Digest};
use hod_cache::{Copied, CopyOptions, Event, LocalStore, copy, plan_copy};
use hod_mirror::oci::{Descriptor, Document, ImageConfig, Index, Manifest, Platform, Tag};
use hod_mirror::registry::{RawManifest, RegistryOptions};
use hod_mirror::{Credentials, DirectoryMirror, Keychain, Mirror, NamedManifest};
use hod_testing::registry::{Auth, Options};
use hod_testing::token::{self, TokenServer, User};

use crate::site::Site;

fn options() -> CopyOptions {
    CopyOptions { connections: 4, cancel: Cancel::default() }
}

/// An image for each of two machines under one tag, in a layout.
fn two_platforms(layout: &DirectoryMirror) -> RawManifest {
    let mut manifests = Vec::new();
    let mut descriptors = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let tar = architecture.repeat(100).into_bytes();
        let (layer, size) = layout.put_blob(&tar).unwrap();
        let mut config = ImageConfig::new(vec![DiffId(Digest::of(&tar))]);
        architecture.clone_into(&mut config.architecture);
        let config = Document::render(config).unwrap();
        layout.put_blob(config.bytes()).unwrap();
        let layer = Descriptor::new(Codec::None.media_type(), layer, size);
        let manifest = Document::render(Manifest::image(config.descriptor(), vec![layer])).unwrap();
        let platform = Platform { architecture: architecture.to_owned(), ..Platform::host() };
        descriptors.push(Descriptor { platform: Some(platform), ..manifest.descriptor() });
        let manifest = RawManifest::from(&manifest);
        manifests.push(NamedManifest { tag: None, manifest, platform: None });
    }
    let text = format!(
        r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": {}}}"#,
        serde_json::to_string(&descriptors).unwrap()
    );
    let index: Document<Index> = Document::parse(text.into_bytes()).unwrap();
    let index = RawManifest::from(&index);
    let tag = Some(Tag::new("both").unwrap());
    manifests.push(NamedManifest { tag, manifest: index.clone(), platform: None });
    Mirror::Directory(layout.clone()).images().put_manifests(&manifests).unwrap();
    index
}

#[test]
fn an_index_of_several_platforms_goes_with_all_its_images() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let place = tempfile::tempdir().unwrap();
    let layout = DirectoryMirror::ensure_layout(place.path().join("layout")).unwrap();
    let index = two_platforms(&layout);
    let mirrors = [
        Mirror::Directory(layout),
        Mirror::Registry(site.repository("a/b")),
        Mirror::Registry(site.repository("c")),
        Mirror::Directory(DirectoryMirror::ensure(place.path().join("cache")).unwrap()),
    ];
    let quiet = |_: Event<'_>| {};
    for pair in mirrors.windows(2) {
        // Without a store, nothing is kept and everything works.
        let store = LocalStore::none();
        let planned = plan_copy(&pair[0], Some(&pair[1]), &store, &[], &Cancel::default()).unwrap();
        assert!(matches!(planned[0].result, Ok(Copied::New)), "{planned:?}");
        let summary = copy(&pair[0], &pair[1], &store, &[], &options(), &quiet).unwrap();
        assert!(summary.is_complete() && summary.new_images() == 1, "{summary:?}");
        assert_eq!(pair[1].images().manifest("both").unwrap().unwrap(), index);
        for architecture in ["amd64", "arm64"] {
            let platform = Platform { architecture: architecture.to_owned(), ..Platform::host() };
            let (_, manifest) = pair[1].images().image("both", &platform).unwrap().unwrap();
            let config = pair[1].images().read_config(&manifest).unwrap();
            assert_eq!(config.architecture, architecture);
        }
        let again = copy(&pair[0], &pair[1], &store, &[], &options(), &quiet).unwrap();
        assert_eq!((again.new_images(), again.sent.blobs), (0, 0), "{again:?}");
    }
}

#[test]
fn a_token_for_both_repositories_is_asked_for_where_blobs_are_mounted() {
    let users = vec![User::new("me", "secret")];
    let server = TokenServer::start(token::Options { users, ..token::Options::default() });
    let auth = Auth::Token(&server);
    let Some(site) = Site::open(&Options { auth, ..Options::default() }) else { return };
    let host = site.proxy.host().to_owned();
    let repository = |name: &str| {
        let (username, password) = ("me".to_owned(), "secret".to_owned());
        let keychain = Keychain::none().with(&host, Credentials::Basic { username, password });
        let options =
            RegistryOptions { keychain: Arc::new(keychain), ..RegistryOptions::default() };
        Mirror::Registry(site.repository_with(name, options))
    };
    let place = tempfile::tempdir().unwrap();
    let layout = DirectoryMirror::ensure_layout(place.path()).unwrap();
    two_platforms(&layout);
    let (quiet, store) = (|_: Event<'_>| {}, LocalStore::none());
    let (a, b) = (repository("a"), repository("b"));
    let all = copy(&Mirror::Directory(layout), &a, &store, &[], &options(), &quiet).unwrap();
    assert!(all.is_complete(), "{all:?}");
    let mounted = copy(&a, &b, &store, &[], &options(), &quiet).unwrap();
    assert!(mounted.is_complete(), "{mounted:?}");
    assert_eq!((mounted.sent.blobs, mounted.mounted.blobs), (0, 4), "{:#?}", site.told());
}
