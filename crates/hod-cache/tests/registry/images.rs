//! Base images and tags in a real registry: what only it can say.

use std::path::Path;
use std::process::{Command, Stdio};

use hod_archive::{Cancel, Digest};
use hod_cache::{BaseImage, Rendered, copy_base, mountable, publish_tag};
use hod_mirror::oci::{Descriptor, Document, ImageConfig, Manifest, Platform, Tag, media_type};
use hod_mirror::registry::{
    Access, BlobSource, RawManifest, Reference, Registry, RegistryOptions, UploadOptions,
};
use hod_mirror::{ImageMirror, Mirror};
use hod_testing::registry::Options;

/// A registry, and skopeo to ask it.
struct Server {
    registry: hod_testing::registry::Registry,
    place: tempfile::TempDir,
}

impl Server {
    /// `None` where there is no registry, or no skopeo.
    fn start() -> Option<Self> {
        if !hod_testing::machine::has(&["skopeo"]) {
            return None;
        }
        let registry = hod_testing::registry::Registry::start(&Options::default())?;
        Some(Self { registry, place: tempfile::tempdir().unwrap() })
    }

    fn repository(&self, name: &str) -> Registry {
        let reference = Reference::parse(&format!("oci+http://{}/{name}", self.registry.host()));
        let options = RegistryOptions::default();
        Registry::open(reference.unwrap(), Access::Push, options).unwrap()
    }

    /// What skopeo takes for this architecture from a tag.
    fn pulled(&self, image: &str, architecture: &str) -> Document<Manifest> {
        let target = self.place.path().join(format!("pulled-{architecture}"));
        let status = Command::new("skopeo")
            .args(["--override-arch", architecture, "--override-os", "linux"])
            .args(["copy", "--quiet", "--src-tls-verify=false"])
            .arg(format!("docker://{}/{image}", self.registry.host()))
            .arg(format!("dir:{}", target.display()))
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        Document::parse(fs_err::read(target.join("manifest.json")).unwrap()).unwrap()
    }
}

/// An image of one layer; its layer is in the repository, the rest is not.
fn image(repository: &Registry, architecture: &str) -> (Rendered, Digest) {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(architecture.len() as u64);
    builder.append_data(&mut header, "etc/architecture", architecture.as_bytes()).unwrap();
    let layer = builder.into_inner().unwrap();
    repository.upload(BlobSource::Bytes(&layer), UploadOptions::default()).unwrap();
    let digest = Digest::of(&layer);
    let mut config = ImageConfig::new(vec![hod_archive::DiffId(digest)]);
    architecture.clone_into(&mut config.architecture);
    "linux".clone_into(&mut config.os);
    let config = Document::render(config).unwrap();
    let layer =
        Descriptor::new("application/vnd.oci.image.layer.v1.tar", digest, layer.len() as u64);
    let manifest = Document::render(Manifest::image(config.descriptor(), vec![layer])).unwrap();
    let platform = platform(architecture);
    let (config, manifest) = (config.bytes().to_vec(), RawManifest::from(&manifest));
    (Rendered { config, manifest, platform }, digest)
}

fn platform(architecture: &str) -> Platform {
    Platform { architecture: architecture.to_owned(), os: "linux".to_owned(), ..Platform::host() }
}

fn copy(base: &BaseImage, from: &Registry, to: &Registry, spool: &Path) {
    let names = mountable(&Mirror::Registry(from.clone()), &Mirror::Registry(to.clone()));
    copy_base(base, from, to, &names, spool, &Cancel::default()).unwrap();
}

#[test]
fn a_tag_serves_two_architectures_and_a_base_is_mounted_from_it() {
    let Some(server) = Server::start() else { return };
    let bases = server.repository("bases/tiny");
    let tag = Tag::new("1.0").unwrap();
    let mut images = Vec::new();
    for architecture in ["arm64", "amd64"] {
        let (image, layer) = image(&bases, architecture);
        assert!(!publish_tag(&bases, &tag, &image).unwrap().was_there);
        images.push((architecture, image, layer));
    }
    let raw = bases.manifest("1.0").unwrap().unwrap();
    assert_eq!(raw.media_type, media_type::INDEX);
    for (architecture, image, _) in &images {
        let pulled = server.pulled("bases/tiny:1.0", architecture);
        assert_eq!(pulled.digest(), image.manifest.digest, "{architecture}");
        assert!(publish_tag(&bases, &tag, image).unwrap().was_there);
    }
    assert_eq!(bases.manifest("1.0").unwrap().unwrap(), raw, "nothing changed it");

    for (architecture, image, layer) in &images {
        let base = BaseImage::fetch(&bases, "1.0", &platform(architecture)).unwrap();
        assert_eq!(base.digest(), image.manifest.digest);
        // By its digest it is the same.
        let digest = base.digest().to_string();
        let same = BaseImage::fetch(&bases, &digest, &platform(architecture)).unwrap();
        assert_eq!(same.layers(), base.layers());

        // Whether it is there, and to mount it.
        let apps = server.repository(&format!("apps-{architecture}"));
        copy(&base, &bases, &apps, server.place.path());
        assert_eq!(apps.requests(), 2);
        let size = base.layers()[0].size;
        assert!(
            server.repository(apps.reference().repository.as_str()).has_blob(layer, size).unwrap()
        );
    }
}

#[test]
fn what_cannot_be_mounted_is_sent() {
    let Some(server) = Server::start() else { return };
    let (bases, apps) = (server.repository("bases"), server.repository("apps"));
    let (image, layer) = image(&bases, "amd64");
    publish_tag(&bases, &Tag::new("1.0").unwrap(), &image).unwrap();
    let base = BaseImage::fetch(&bases, "1.0", &platform("amd64")).unwrap();
    let wrong = ["there/is/none".to_owned()];
    let spool = server.place.path().join("spool");
    copy_base(&base, &bases, &apps, &wrong, &spool, &Cancel::default()).unwrap();
    let again = server.repository("apps");
    assert!(again.has_blob(&layer, base.layers()[0].size).unwrap());
    let images: &dyn ImageMirror = &again;
    assert_eq!(Digest::of(&images.read_blob(&base.layers()[0], 1 << 20).unwrap()), layer);
}

#[test]
fn machines_that_write_a_tag_at_the_same_time_both_find_themselves_in_it() {
    let Some(server) = Server::start() else { return };
    let tag = Tag::new("app").unwrap();
    let all = ["amd64", "arm64", "ppc64le"];
    std::thread::scope(|scope| {
        for architecture in all {
            let (server, tag) = (&server, &tag);
            scope.spawn(move || {
                let repository = server.repository("app");
                let (image, _) = image(&repository, architecture);
                publish_tag(&repository, tag, &image).unwrap();
            });
        }
    });
    let index = server.repository("app").manifest("app").unwrap().unwrap().into_index().unwrap();
    let found: Vec<String> =
        index.descriptors().flatten().map(|entry| entry.platform.unwrap().architecture).collect();
    assert_eq!(found, all);
}
