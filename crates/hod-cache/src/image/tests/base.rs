use hod_archive::{Cancel, Digest};
use hod_mirror::ImageMirror;
use hod_mirror::oci::{Index, Manifest, Platform, media_type};
use rstest::rstest;

use super::shelf::Shelf;
use crate::Error;
use crate::image::{BaseImage, ImageError, copy_base};

const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn platform(architecture: &str, os: &str) -> Platform {
    let (architecture, os) = (architecture.to_owned(), os.to_owned());
    Platform { architecture, os, other: serde_json::Map::new() }
}

fn fetch(shelf: &Shelf, name: &str) -> Result<BaseImage, Error> {
    BaseImage::fetch(shelf, name, &platform("amd64", "linux"))
}

fn reason(error: Error) -> ImageError {
    match error {
        Error::BaseImage { source, .. } => *source,
        other => panic!("{other:?}"),
    }
}

/// An index of images for these platforms.
fn index(shelf: &Shelf, platforms: &[(&str, &str)]) {
    let entries: Vec<String> = platforms
        .iter()
        .map(|(architecture, os)| {
            let entry = shelf.add_image(&format!("{os}-{architecture}"), architecture, os);
            format!(
                r#"{{"mediaType":"{}","digest":"{}","size":{},"platform":{{"architecture":"{architecture}","os":"{os}"}}}}"#,
                entry.media_type, entry.digest, entry.size
            )
        })
        .collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
        media_type::INDEX,
        entries.join(",")
    );
    shelf.add_document::<Index>(Some("several"), text);
}

#[test]
fn an_index_gives_the_image_for_the_platform() {
    let shelf = Shelf::default();
    index(&shelf, &[("arm64", "linux"), ("amd64", "windows"), ("amd64", "linux")]);
    let base = fetch(&shelf, "several").unwrap();
    let expected = shelf.manifest("linux-amd64").unwrap().unwrap().digest;
    assert_eq!(base.digest(), expected);
    assert_eq!(base.name.as_deref(), Some("example.org/shelf:several"));
}

#[test]
fn an_image_for_other_machines_is_refused() {
    let shelf = Shelf::default();
    index(&shelf, &[("arm64", "linux"), ("amd64", "windows")]);
    let error = reason(fetch(&shelf, "several").unwrap_err());
    assert_eq!(
        error.to_string(),
        "it is not made for linux/amd64, but for linux/arm64, windows/amd64"
    );
    // Spack would take this one, and nothing in its images would run.
    let error = reason(fetch(&shelf, "linux-arm64").unwrap_err());
    assert!(matches!(error, ImageError::Platform { .. }), "{error:?}");
    assert!(matches!(reason(fetch(&shelf, "nothing").unwrap_err()), ImageError::Missing));
}

/// A manifest of one layer with a config of one diff id.
fn manifest(shelf: &Shelf, kind: &str, config_type: &str, layer_type: &str, diff_ids: usize) {
    let layer = shelf.add_blob(b"a layer");
    let ids = vec![format!("\"{layer}\""); diff_ids].join(",");
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#
    );
    let config_size = config.len();
    let config = shelf.add_blob(config.as_bytes());
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"mediaType":"{config_type}","digest":"{config}","size":{config_size}}},"layers":[{{"mediaType":"{layer_type}","digest":"{layer}","size":7}}]}}"#
    );
    shelf.add_document::<Manifest>(Some("base"), text);
}

#[rstest]
#[case::oci(media_type::MANIFEST, media_type::CONFIG, OCI_LAYER)]
#[case::docker(media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG, DOCKER_LAYER)]
fn images_of_one_family_can_be_built_upon(
    #[case] kind: &str,
    #[case] config: &str,
    #[case] layer: &str,
) {
    let shelf = Shelf::default();
    manifest(&shelf, kind, config, layer, 1);
    assert_eq!(fetch(&shelf, "base").unwrap().family.manifest(), kind);
}

#[rstest]
#[case::docker_config(media_type::MANIFEST, media_type::DOCKER_CONFIG, OCI_LAYER)]
#[case::docker_layer(media_type::MANIFEST, media_type::CONFIG, DOCKER_LAYER)]
#[case::oci_layer(media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG, OCI_LAYER)]
#[case::unknown_layer(media_type::MANIFEST, media_type::CONFIG, "application/octet-stream")]
fn mixtures_are_refused(#[case] kind: &str, #[case] config: &str, #[case] layer: &str) {
    let shelf = Shelf::default();
    manifest(&shelf, kind, config, layer, 1);
    let error = match fetch(&shelf, "base").unwrap_err() {
        Error::BaseImage { source, .. } => *source,
        other => panic!("{other:?}"),
    };
    assert!(matches!(error, ImageError::MediaType { .. }), "{error:?}");
}

#[test]
fn layers_that_need_not_be_there_are_refused() {
    let shelf = Shelf::default();
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    manifest(&shelf, media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG, foreign, 1);
    let error = reason(fetch(&shelf, "base").unwrap_err());
    assert!(matches!(error, ImageError::NotDistributable { .. }), "{error:?}");
}

#[test]
fn a_config_of_other_layers_is_refused() {
    let shelf = Shelf::default();
    manifest(&shelf, media_type::MANIFEST, media_type::CONFIG, OCI_LAYER, 2);
    let error = reason(fetch(&shelf, "base").unwrap_err());
    assert!(matches!(error, ImageError::LayerCount { layers: 1, diff_ids: 2 }), "{error:?}");
}

#[test]
fn a_digest_that_leads_elsewhere_is_refused() {
    let shelf = Shelf::default();
    let image = shelf.add_image("base", "amd64", "linux");
    assert_eq!(fetch(&shelf, &image.digest.to_string()).unwrap().digest(), image.digest);
    let other = Digest::of(b"other");
    shelf.add_manifest(Some(&other.to_string()), shelf.manifest("base").unwrap().unwrap());
    let error = reason(fetch(&shelf, &other.to_string()).unwrap_err());
    assert!(matches!(error, ImageError::Digest { .. }), "{error:?}");
}

fn copied(from: &Shelf, to: &Shelf, mount_from: &[String]) -> Result<(), Error> {
    let base = fetch(from, "base").unwrap();
    let place = tempfile::tempdir().unwrap();
    let done = copy_base(&base, from, to, mount_from, place.path(), &Cancel::default());
    assert_eq!(fs_err::read_dir(place.path()).unwrap().count(), 0, "nothing is left behind");
    done
}

#[test]
fn a_base_is_mounted_where_that_is_possible_and_sent_where_not() {
    let from = Shelf::default();
    from.add_image("base", "amd64", "linux");
    let bytes = b"layer of base for amd64";
    let digest = Digest::of(bytes);
    let repository = ["base".to_owned()];

    let to = Shelf::default();
    copied(&from, &to, &[]).unwrap();
    assert_eq!(to.take_log(), [format!("sent {digest}")]);
    assert_eq!(to.blob(&digest).unwrap(), bytes);
    // The second time it is there.
    copied(&from, &to, &repository).unwrap();
    assert!(to.take_log().is_empty());

    let to = Shelf::default();
    to.offer_mount(bytes);
    copied(&from, &to, &repository).unwrap();
    assert_eq!(to.take_log(), [format!("mounted {digest}")]);
}

#[test]
fn a_damaged_layer_does_not_arrive() {
    let (from, to) = (Shelf::default(), Shelf::default());
    from.add_image("base", "amd64", "linux");
    let digest = Digest::of(b"layer of base for amd64");
    from.add_wrong_blob(digest, b"LAYER of base for amd64");
    let error = copied(&from, &to, &[]).unwrap_err();
    let Error::Mirror { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, hod_mirror::Error::DigestMismatch { .. }), "{error:?}");
    assert_eq!(to.blob(&digest), None);
    assert!(to.take_log().is_empty(), "it was never complete");
}
