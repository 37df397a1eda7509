//! Each field of an image that is made here against the one in the image that Spack made.
//!
//! Deliberately different: no directory of the pushing machine's `/usr` in a variable, each
//! directory once, no `archive_timestamp`, layout version 2, and more annotations.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hod_archive::{Codec, DiffId, Digest};
use hod_mirror::oci::{Manifest, PackageFacts, Platform, media_type};
use hod_spec::{DagHash, Spec};
use hod_store::{OpenOptions, Store};
use serde_json::{Value, json};

use super::shelf::Shelf;
use crate::environment::Inspected;
use crate::image::{
    BaseImage, EnvSource, Ground, ImageError, Layer, Rendered, RunOptions, render_bare,
    render_plain, render_roots, render_spec,
};
use crate::{Error, Installed, Package, SpackCommand, Wanted, find_installed};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack").join(name)
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// A store that Spack made.
struct Place {
    _directory: tempfile::TempDir,
    store: Arc<Store>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = fs_err::File::open(fixture("store.tar.zst")).unwrap();
        let stream = hod_archive::decoder(Codec::Zstd, std::io::BufReader::new(file)).unwrap();
        let mut archive = tar::Archive::new(stream);
        archive.set_preserve_permissions(true);
        archive.unpack(directory.path()).unwrap();
        let root = directory.path().join("store");
        let store = Arc::new(Store::open(&root, &OpenOptions::default()).unwrap());
        Self { _directory: directory, store }
    }

    fn hash(&self, name: &str) -> DagHash {
        find_installed(&self.store, &Wanted::new(name)).unwrap()
    }

    fn spec(&self, name: &str) -> &Spec {
        &self.store.record(&self.hash(name)).unwrap().spec
    }

    fn roots(&self, ground: Ground<'_>, names: &[&str], layers: &[Layer]) -> Rendered {
        let roots: Vec<&Spec> = names.iter().map(|name| self.spec(name)).collect();
        render_roots(ground, &self.store, &roots, layers, &mut Inspected::default()).unwrap()
    }

    fn package(&self, ground: Ground<'_>, name: &str, layers: &[Layer]) -> Rendered {
        let package = Package::installed(&self.store, self.hash(name)).unwrap();
        let installed: &Installed = package.as_installed().unwrap();
        let text = r#"{"_meta":{"version":5},"nodes":[]}"#;
        let mut inspected = Inspected::default();
        render_spec(ground, installed, layers, text, None, &mut inspected).unwrap()
    }
}

/// What Spack made.
struct Golden {
    manifest: Value,
    config: Value,
}

impl Golden {
    fn read(name: &str) -> Self {
        let read = |kind| {
            let path = fixture("oci-json").join(format!("{name}.{kind}.json"));
            parse(&fs_err::read(path).unwrap())
        };
        Self { manifest: read("manifest"), config: read("config") }
    }

    /// Its layers above the base's.
    fn layers(&self, base: usize) -> Vec<Layer> {
        let layers = self.manifest["layers"].as_array().unwrap();
        let diff_ids = self.config["rootfs"]["diff_ids"].as_array().unwrap();
        let digest = |value: &Value| value.as_str().unwrap().parse::<Digest>().unwrap();
        let layer = |(layer, diff_id): (&Value, &Value)| Layer {
            codec: Codec::Gzip,
            digest: digest(&layer["digest"]),
            size: layer["size"].as_u64().unwrap(),
            diff_id: DiffId(digest(diff_id)),
        };
        layers.iter().zip(diff_ids).skip(base).map(layer).collect()
    }

    /// The base image it stands on: what is left without what Spack has put into it.
    fn base(&self) -> Shelf {
        let shelf = Shelf::default();
        let mut config = self.config.clone();
        let first = config["rootfs"]["diff_ids"][0].clone();
        config["rootfs"]["diff_ids"] = json!([first]);
        config["config"]["Env"] = json!(["PATH=/usr/local/bin:/usr/bin:/bin"]);
        let keys = ["spec", "buildcache_layout_version", "binary_cache_checksum"];
        for key in keys.iter().chain(&["archive_size", "archive_timestamp", "archive_compression"])
        {
            config.as_object_mut().unwrap().shift_remove(*key);
        }
        let bytes = serde_json::to_vec(&config).unwrap();
        let mut manifest = self.manifest.clone();
        manifest["layers"] = json!([manifest["layers"][0]]);
        manifest["config"]["digest"] = shelf.add_blob(&bytes).to_string().into();
        manifest["config"]["size"] = bytes.len().into();
        shelf.add_document::<Manifest>(Some("tiny"), manifest.to_string());
        shelf
    }
}

fn amd64() -> Platform {
    let (architecture, os) = ("amd64".to_owned(), "linux".to_owned());
    Platform { architecture, os, other: serde_json::Map::new() }
}

/// Without what Spack finds in the `/usr` of the machine it pushes from, and each directory once.
fn deduced(env: &Value) -> Value {
    let host =
        ["/usr/share/aclocal", "/usr/share/man", "/usr/share/pkgconfig", "/usr/lib/pkgconfig"];
    let lines = env.as_array().unwrap().iter().filter_map(|line| {
        let (name, value) = line.as_str().unwrap().split_once('=').unwrap();
        let mut kept: Vec<&str> = Vec::new();
        for directory in value.split(':').filter(|directory| !host.contains(directory)) {
            if !kept.contains(&directory) {
                kept.push(directory);
            }
        }
        (!kept.is_empty()).then(|| format!("{name}={}", kept.join(":")))
    });
    lines.collect()
}

/// Every field of the config and the manifest.
fn compare(rendered: &Rendered, golden: &Golden) {
    let (config, manifest) = (parse(&rendered.config), parse(&rendered.manifest.bytes));
    let mut expected = golden.config.clone();
    expected["config"]["Env"] = deduced(&expected["config"]["Env"]);
    if let Some(keys) = expected.as_object_mut().filter(|keys| keys.contains_key("spec")) {
        // The text of the spec is the caller's.
        keys.insert("spec".to_owned(), config["spec"].clone());
        keys.insert("buildcache_layout_version".to_owned(), json!(2));
        keys.shift_remove("archive_timestamp");
    }
    assert_eq!(config, expected);
    for key in ["mediaType", "schemaVersion", "layers"] {
        assert_eq!(manifest[key], golden.manifest[key], "{key}");
    }
    assert_eq!(manifest["config"]["mediaType"], golden.manifest["config"]["mediaType"]);
    assert_eq!(manifest["config"]["digest"], Digest::of(&rendered.config).to_string());
    assert_eq!(manifest["config"]["size"], rendered.config.len());
    assert_eq!(rendered.manifest.media_type, golden.manifest["mediaType"]);
    assert_eq!(rendered.manifest.digest, Digest::of(&rendered.manifest.bytes));
}

#[test]
fn several_roots_become_the_image_that_spack_makes_of_them() {
    let place = Place::new();
    let run = RunOptions::default();
    let ground = Ground { base: None, run: &run };
    for (golden, roots) in [
        ("nobase/all-in-one", ["linkfarm", "hello"]),
        ("tworoots/hello-and-libpng", ["hello", "libpng"]),
    ] {
        let golden = Golden::read(golden);
        let rendered = place.roots(ground, &roots, &golden.layers(0));
        compare(&rendered, &golden);
        // Spack has no annotations there; these say no more than when it was installed.
        let manifest = parse(&rendered.manifest.bytes);
        let notes = manifest["annotations"].as_object().unwrap();
        assert_eq!(notes.keys().collect::<Vec<_>>(), ["org.opencontainers.image.created"]);
    }
}

#[test]
fn on_a_base_image_everything_of_the_base_stays() {
    let place = Place::new();
    let run = RunOptions::default();
    let golden = Golden::read("withbase/all-in-one");
    let shelf = golden.base();
    let base = BaseImage::fetch(&shelf, "tiny", &amd64()).unwrap();
    let ground = Ground { base: Some(&base), run: &run };
    compare(&place.roots(ground, &["linkfarm", "hello"], &golden.layers(1)), &golden);

    for (name, golden) in [
        ("hello", "withbase/hello-2.10-arbvturvzrczc6dyodbycjav7qqhraus.spack"),
        ("linkfarm", "withbase/linkfarm-1.0-utvtp6r54rgdsbyrggnzqaijor6jc5jt.spack"),
    ] {
        let golden = Golden::read(golden);
        let rendered = place.package(ground, name, &golden.layers(1));
        compare(&rendered, &golden);
        let manifest = parse(&rendered.manifest.bytes);
        assert_eq!(manifest.get("annotations"), None, "Docker manifests have none");
        let again = place.package(ground, name, &golden.layers(1));
        assert_eq!(again.manifest, rendered.manifest, "no clock is in it");
    }
}

/// A base image with OCI types.
fn oci_base(config: &str) -> (Shelf, BaseImage) {
    let shelf = Shelf::default();
    let layer = shelf.add_blob(b"a layer");
    let rest = format!(r#""rootfs":{{"type":"layers","diff_ids":["{layer}"]}}"#);
    let config = format!(r#"{{"architecture":"amd64","os":"linux",{config},{rest}}}"#);
    let (config, size) = (shelf.add_blob(config.as_bytes()), config.len());
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{config}","size":{size}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"{layer}","size":7}}]}}"#,
        media_type::MANIFEST,
        media_type::CONFIG,
    );
    shelf.add_document::<Manifest>(Some("base"), text);
    let base = BaseImage::fetch(&shelf, "base", &amd64()).unwrap();
    (shelf, base)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn what_is_said_of_running_it_counts_more_than_the_base() {
    let place = Place::new();
    let (_, base) = oci_base(
        r#""created":"2001-02-03T04:05:06.7Z","config":{"User":"nobody","Env":["PATH=/sbin","A=1"],"Cmd":["/bin/sh"],"Labels":{"b":"1","a":"2"},"StopSignal":"SIGINT"},"history":[{"empty_layer":true,"x":1.50}]"#,
    );
    let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let run = RunOptions {
        entrypoint: Some(strings(&["hello"])),
        env: vec![("A".to_owned(), "2".to_owned()), ("B".to_owned(), "x=y".to_owned())],
        workdir: Some("/work".to_owned()),
        labels: [("c", "3"), ("b", "4")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        user: Some("1000:1000".to_owned()),
        source: Some("https://example.org/recipes".to_owned()),
        ..RunOptions::default()
    };
    let ground = Ground { base: Some(&base), run: &run };
    let layers = Golden::read("nobase/all-in-one").layers(0);
    let rendered = place.package(ground, "zlib", &layers[..2]);
    let config = parse(&rendered.config);
    let prefix = "/opt/hpc/store/linux-x86_64/zlib-1.2.13-yox7nsrab6dhdlxlapu6hg33h4atwgrx";
    let env = config["config"]["Env"].as_array().unwrap();
    assert_eq!(env[..2], [json!("PATH=/sbin"), json!("A=2")]);
    assert!(env[2].as_str().unwrap().starts_with(&format!("CMAKE_PREFIX_PATH={prefix}:")));
    assert_eq!(env.last().unwrap(), "B=x=y");
    assert_eq!(config["config"]["Entrypoint"], json!(["hello"]));
    assert_eq!(config["config"].get("Cmd"), None, "they were another program's arguments");
    assert_eq!(config["config"]["User"], "1000:1000");
    assert_eq!(config["config"]["WorkingDir"], "/work");
    assert!(text(&rendered.config).contains(r#""Labels":{"b":"4","a":"2","c":"3"}"#));
    assert!(text(&rendered.config).contains(r#""StopSignal":"SIGINT""#));
    // Character for character.
    let kept = r#""history":[{"empty_layer":true,"x":1.50}]"#;
    assert!(text(&rendered.config).contains(kept), "{}", text(&rendered.config));
    let notes = &parse(&rendered.manifest.bytes)["annotations"];
    let note = |key: &str| notes[format!("org.opencontainers.image.{key}")].clone();
    assert_eq!(note("title"), "zlib");
    assert_eq!(note("version"), "1.2.13");
    assert!(note("description").as_str().unwrap().starts_with("zlib@=1.2.13"));
    assert_eq!(note("created"), "2026-11-22T07:54:54Z");
    assert_eq!(note("source"), "https://example.org/recipes");
    assert_eq!(note("base.name"), "example.org/shelf:base");
    assert_eq!(note("base.digest"), base.digest().to_string());

    // Arguments alone leave the base's entry point as it is.
    let run = RunOptions { cmd: Some(strings(&["ls"])), ..RunOptions::default() };
    let ground = Ground { base: Some(&base), run: &run };
    let rendered = place.package(ground, "zlib", &layers[..2]);
    assert_eq!(parse(&rendered.config)["config"]["Cmd"], json!(["ls"]));
}

#[test]
fn a_base_that_is_a_package_is_that_package_no_longer() {
    let place = Place::new();
    let (_, base) = oci_base(
        r#""config":null,"spec":{"x":1},"buildcache_layout_version":3,"archive_timestamp":"now","hod":{"name":"old"}"#,
    );
    let run = RunOptions::default();
    let ground = Ground { base: Some(&base), run: &run };
    let layers = Golden::read("nobase/all-in-one").layers(0);
    let config = parse(&place.roots(ground, &["hello"], &layers[..1]).config);
    let keys: Vec<&String> = config.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["architecture", "os", "config", "rootfs"]);
}

#[test]
fn docker_images_take_no_layers_that_docker_has_no_name_for() {
    let place = Place::new();
    let golden = Golden::read("withbase/all-in-one");
    let shelf = golden.base();
    let base = BaseImage::fetch(&shelf, "tiny", &amd64()).unwrap();
    let run = RunOptions::default();
    let ground = Ground { base: Some(&base), run: &run };
    let mut layers = golden.layers(1);
    layers[0].codec = Codec::Zstd;
    let roots = [place.spec("hello")];
    let mut inspected = Inspected::default();
    let error = render_roots(ground, &place.store, &roots, &layers, &mut inspected).unwrap_err();
    let Error::Image { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(*source, ImageError::Codec { codec: Codec::Zstd }), "{source:?}");
}

#[test]
fn the_environment_may_come_from_spack() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("spack");
    let script =
        "#!/bin/sh\necho \"export LOADED='$*';\"\necho 'export PATH=/p/bin:/bin:/usr/bin;'\n";
    fs_err::write(&program, script).unwrap();
    fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let env_source = EnvSource::Spack(SpackCommand::new(program, []));
    let run = RunOptions { env_source, ..RunOptions::default() };
    let (_, base) = oci_base(r#""config":{"Env":["PATH=/sbin"]}"#);
    let ground = Ground { base: Some(&base), run: &run };
    let rendered = place.roots(ground, &["hello", "libpng"], &[]);
    let (hello, libpng) = (place.hash("hello"), place.hash("libpng"));
    assert_eq!(
        parse(&rendered.config)["config"]["Env"],
        json!(["PATH=/p/bin:/sbin", format!("LOADED=load --sh /{hello} /{libpng}")])
    );
}

#[test]
fn a_prefix_stands_on_a_base_image_too() {
    let place = tempfile::tempdir().unwrap();
    let prefix = place.path().canonicalize().unwrap().join("tool-1.0");
    fs_err::create_dir_all(prefix.join("bin")).unwrap();
    fs_err::create_dir_all(prefix.join("share/man")).unwrap();
    let package = Package::at(&prefix).unwrap();
    let layer = Golden::read("nobase/all-in-one").layers(0)[0];
    let facts = || PackageFacts { name: "tool".to_owned(), ..PackageFacts::default() };
    let run = RunOptions::default();
    let nothing = Ground { base: None, run: &run };
    let bare = render_plain(nothing, &package, &layer, facts()).unwrap();
    assert_eq!(bare.manifest, render_bare(&layer, facts()).unwrap().manifest);

    let (_, base) = oci_base(r#""config":{"Env":["PATH=/sbin","MANPATH=/man"]}"#);
    let ground = Ground { base: Some(&base), run: &run };
    let image = render_plain(ground, &package, &layer, facts()).unwrap();
    let config = parse(&image.config);
    let at = prefix.display();
    let expected = [
        format!("PATH={at}/bin:/sbin"),
        format!("MANPATH={at}/share/man:/man"),
        format!("CMAKE_PREFIX_PATH={at}"),
    ];
    assert_eq!(config["config"]["Env"], json!(expected));
    assert_eq!(config["hod"]["name"], "tool");
    let manifest = parse(&image.manifest.bytes);
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    assert_eq!(
        manifest["annotations"]["org.opencontainers.image.base.digest"],
        base.digest().to_string()
    );
}
