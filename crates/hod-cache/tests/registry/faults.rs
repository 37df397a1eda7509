//! What goes wrong between here and a registry, a case for each row of what is known to happen.
//! Each ends well or with one clear error, and never with a manifest whose blobs are missing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hod_cache::{Error, PushOptions};
use hod_mirror::registry::{BlobSource, RegistryOptions, Spool, UploadOptions, Uploaded};
use hod_testing::http;
use hod_testing::proxy::{Action, Rewrite, Rule};
use hod_testing::registry::Options;
use rstest::rstest;

use crate::site::{Site, none};

/// Little patience, so that the tests need little.
fn hasty() -> RegistryOptions {
    // And all layers in streams, however small they are and however fast they are packed.
    RegistryOptions {
        attempts: 4,
        timeout: Duration::from_secs(1),
        stream_from: 0,
        ..RegistryOptions::default()
    }
}

/// Every manifest of the repository has all it names: asked at the registry itself.
pub(crate) fn assert_whole(site: &Site, repository: &str) {
    let host = site.server.host();
    let get = |path: &str| {
        let accept = [("Accept", "application/vnd.oci.image.manifest.v1+json")];
        http::request(host, "GET", &format!("/v2/{repository}/{path}"), &accept, b"").unwrap()
    };
    let list = get("tags/list");
    if list.status == 404 {
        return;
    }
    for tag in list.json()["tags"].as_array().into_iter().flatten() {
        let manifest = get(&format!("manifests/{}", tag.as_str().unwrap())).json();
        let layers = manifest["layers"].as_array().unwrap();
        for blob in layers.iter().chain([&manifest["config"]]) {
            let path = format!("/v2/{repository}/blobs/{}", blob["digest"].as_str().unwrap());
            let found = http::request(host, "HEAD", &path, &[], b"").unwrap();
            assert_eq!(found.status, 200, "{tag} lacks {path}");
        }
    }
}

/// All that an error says.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn on(method: &'static str, path: &'static str, times: usize, action: Action) -> Rule {
    Rule { method, path, times, ..Rule::new(action) }
}

fn after(seconds: &str) -> Action {
    Action::Respond(http::Answer::new(429).header("Retry-After", seconds))
}

fn soon() -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(1))
}

const UPLOADS: &str = "/blobs/uploads/";

#[rstest]
#[case::timeout_408(on("POST", UPLOADS, 1, Action::respond(408)))]
#[case::rate_limited(on("POST", UPLOADS, 2, Action::respond(429)))]
#[case::rate_limited_for_a_second(on("GET", "/manifests/", 1, after("1")))]
#[case::rate_limited_until_a_date(on("GET", "/manifests/", 1, after(&soon())))]
#[case::client_closed_499(on("PUT", UPLOADS, 1, Action::respond(499)))]
#[case::error_500(on("PUT", UPLOADS, 2, Action::respond(500)))]
#[case::error_502(on("PATCH", UPLOADS, 1, Action::respond(502)))]
#[case::error_503(on("PUT", "/manifests/", 2, Action::respond(503)))]
#[case::error_504(on("POST", UPLOADS, 1, Action::respond(504)))]
#[case::error_522(on("PUT", "/manifests/", 1, Action::respond(522)))]
#[case::reset_before_it_arrives(on("POST", UPLOADS, 2, Action::ResetBeforeForward))]
#[case::reset_in_the_middle_of_a_layer(on(
    "PATCH",
    UPLOADS,
    1,
    Action::ResetAfterRequestBytes(300_000)
))]
#[case::reset_in_the_middle_of_a_document(on(
    "PUT",
    UPLOADS,
    2,
    Action::ResetAfterRequestBytes(100)
))]
#[case::the_answer_to_a_blob_is_lost(on("PUT", UPLOADS, 1, Action::DropAnswer))]
#[case::the_answer_to_a_patch_is_lost(on("PATCH", UPLOADS, 1, Action::DropAnswer))]
#[case::the_answer_to_a_manifest_is_lost(on("PUT", "/manifests/", 1, Action::DropAnswer))]
#[case::the_answer_to_a_session_is_lost(on("POST", UPLOADS, 1, Action::DropAnswer))]
#[case::a_truncated_manifest(on("GET", "/manifests/", 1, Action::TruncateResponse(20)))]
#[case::a_corrupt_manifest(on("GET", "/manifests/", 1, Action::CorruptResponse(30)))]
#[case::a_wrong_length(on("GET", "/manifests/", 1, Action::WrongContentLength(5)))]
#[case::a_manifest_byte_by_byte(on(
    "GET",
    "/manifests/",
    1,
    Action::SlowBody(Duration::from_millis(200))
))]
#[case::a_wrong_digest_of_a_blob(on("PUT", UPLOADS, 1, Action::SetHeader("Docker-Content-Digest", "sha256:00".into())))]
#[case::no_answer_for_too_long(on("POST", UPLOADS, 1, Action::Delay(Duration::from_secs(2))))]
#[case::no_location(on("POST", UPLOADS, 1, Action::RemoveHeader("Location")))]
#[case::no_patch_of_unknown_length(on("PATCH", UPLOADS, 100, Action::RefuseChunked(411)))]
#[case::no_patch_of_more_than_four_mebibytes(on(
    "PATCH",
    UPLOADS,
    100,
    Action::RefuseChunked(416)
))]
#[case::no_patch_at_all(on("PATCH", UPLOADS, 100, Action::respond(405)))]
#[case::no_large_put(on("PUT", UPLOADS, 100, Action::RefuseBodyAbove { bytes: 5000, status: 413 }))]
#[case::a_large_least_chunk(on("POST", UPLOADS, 100, Action::SetHeader("OCI-Chunk-Min-Length", "8388608".into())))]
fn it_passes(#[case] rule: Rule) {
    let Some(site) = Site::open(&Options::default()) else { return };
    // So that there is a manifest that can be damaged on its way.
    let zlib = site.push(&site.repository("a/b"), &["zlib"], &none(), &PushOptions::default());
    assert_eq!(zlib.failed().count(), 0);
    let rule = site.proxy.rule(rule);
    let registry = site.repository_with("a/b", hasty());
    let summary = site.push(&registry, &["libpng"], &none(), &PushOptions::default());
    let failed: Vec<_> = summary.failed().map(|(_, error)| told(error)).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(site.proxy.applied(rule) > 0, "it never happened: {:#?}", site.told());
    assert!(summary.pushed().all(|(_, pushed)| pushed.image.is_some()));
    assert_whole(&site, "a/b");
    // And nothing is left to do.
    let again = site.push(&site.repository("a/b"), &["libpng"], &none(), &PushOptions::default());
    assert!(again.pushed().all(|(_, pushed)| pushed.was_there));
}

#[rstest]
#[case::unauthorized(on("POST", UPLOADS, 100, Action::respond(401)), "401")]
#[case::forbidden(on("POST", UPLOADS, 100, Action::respond(403)), "403")]
#[case::forbidden_manifest(on("PUT", "/manifests/", 100, Action::respond(403)), "403")]
#[case::conflict(on("PUT", "/manifests/", 100, Action::respond(409)), "409")]
#[case::precondition(on("PUT", "/manifests/", 100, Action::respond(412)), "412")]
#[case::manifest_too_large(on("PUT", "/manifests/", 100, Action::respond(413)), "413")]
#[case::full(on("PUT", UPLOADS, 100, Action::respond(507)), "507")]
#[case::down(on("POST", UPLOADS, 100, Action::respond(503)), "gave up after 4 attempts")]
#[case::rate_limited_for_a_day(on("POST", UPLOADS, 100, after("86400")), "429")]
#[case::silent(on("POST", UPLOADS, 100, Action::Delay(Duration::from_secs(2))), "timed out")]
fn it_fails_with_one_clear_error(#[case] rule: Rule, #[case] expected: &str) {
    let Some(site) = Site::open(&Options::default()) else { return };
    site.proxy.rule(rule);
    let registry = site.repository_with("a/b", hasty());
    let start = Instant::now();
    let summary = site.push(&registry, &["zlib"], &none(), &PushOptions::default());
    assert!(start.elapsed() < Duration::from_secs(30));
    let failed: BTreeSet<_> = summary.failed().map(|(_, error)| told(error)).collect();
    assert!(!failed.is_empty() && summary.pushed().all(|(_, pushed)| pushed.image.is_none()));
    assert!(failed.iter().all(|text| text.contains(expected)), "{failed:?}");
    assert_whole(&site, "a/b");
    // When the fault is gone, the same push does the rest.
    site.proxy.clear_rules();
    let again = site.push(&site.repository("a/b"), &["zlib"], &none(), &PushOptions::default());
    assert_eq!(again.failed().count(), 0);
}

#[test]
fn a_probe_that_is_refused_is_an_error_and_not_an_absence() {
    let Some(site) = Site::open(&Options::default()) else { return };
    site.proxy.rule(on("GET", "/manifests/", 100, Action::respond(403)));
    let registry = site.repository_with("a/b", hasty());
    let found = registry.manifest("zlib-1.spack").unwrap_err();
    assert!(told(&found).contains("403"), "{}", told(&found));
}

#[test]
fn what_is_there_in_another_size_is_not_believed_to_be_there() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let store = site.place.memory();
    std::thread::sleep(Duration::from_millis(150));
    let first = site.repository("a/first");
    assert_eq!(site.push(&first, &["zlib"], &store, &PushOptions::default()).failed().count(), 0);
    // It says of every blob that it is there, and that it is empty.
    let lie = site.proxy.rule(on("HEAD", "/blobs/", 100, Action::respond(200)));
    let registry = site.repository_with("a/b", hasty());
    let summary = site.push(&registry, &["zlib"], &store, &PushOptions::default());
    assert_eq!(summary.failed().count(), 0);
    assert!(site.proxy.applied(lie) > 0);
    assert_whole(&site, "a/b");
}

/// A blob of several chunks, being written.
fn large(site: &Site) -> (std::sync::Arc<Spool>, Vec<u8>) {
    use std::io::Write as _;
    let content: Vec<u8> =
        (0..3_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let (spool, mut writer) = Spool::create(&site.place.at("spool")).unwrap();
    let digest = hod_archive::Digest::of(&content);
    let written = content.clone();
    std::thread::spawn(move || {
        for piece in written.chunks(1 << 20) {
            writer.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        writer.complete_as(digest);
    });
    (spool, content)
}

#[rstest]
#[case::in_one_stream(None, 3)]
#[case::in_chunks_of_four_mebibytes(Some(Action::RefuseBodyAbove { bytes: 4 << 20, status: 416 }), 20)]
#[case::in_chunks_that_break(Some(Action::ResetAfterRequestBytes(2 << 20)), 20)]
fn a_large_blob_is_sent_while_it_is_written(#[case] fault: Option<Action>, #[case] most: usize) {
    use std::io::Read as _;
    let Some(site) = Site::open(&Options::default()) else { return };
    let times = if matches!(fault, Some(Action::ResetAfterRequestBytes(_))) { 1 } else { 100 };
    fault.map(|action| site.proxy.rule(on("PATCH", UPLOADS, times, action)));
    let registry = site.repository_with("a/b", hasty());
    let (spool, content) = large(&site);
    let (_, digest, size) =
        registry.upload(BlobSource::Spool(&spool), UploadOptions::default()).unwrap();
    assert!(site.proxy.requests().len() <= most, "{:#?}", site.told());
    let mut bytes = Vec::new();
    registry.open_blob(digest, size).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, content);
}

#[test]
fn a_blob_of_another_repository_is_mounted_or_else_sent() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let source = BlobSource::Bytes(b"shared by many");
    site.repository("a/first").upload(source, UploadOptions::default()).unwrap();
    let from = ["a/first".to_owned()];
    let options = UploadOptions { ask_first: false, mount_from: &from };
    let mounted = site.repository("a/second").upload(source, options).unwrap().0;
    assert_eq!(mounted, Uploaded::Mounted);
    site.proxy.rule(on("POST", UPLOADS, 1, Action::RefuseMount));
    let sent = site.repository("a/third").upload(source, options).unwrap().0;
    assert_eq!(sent, Uploaded::Sent);
    let nowhere = ["a/nowhere".to_owned()];
    let options = UploadOptions { ask_first: true, mount_from: &nowhere };
    assert_eq!(site.repository("a/fourth").upload(source, options).unwrap().0, Uploaded::Sent);
    assert_eq!(site.repository("a/fourth").upload(source, options).unwrap().0, Uploaded::Present);
}

#[rstest]
#[case::broken(Action::ResetAfterResponseBytes(100_000), true)]
#[case::truncated(Action::TruncateResponse(100_000), true)]
#[case::slow(Action::SlowBody(Duration::from_millis(100)), true)]
#[case::corrupt(Action::CorruptResponse(70_000), false)]
#[case::gone(Action::respond(404), false)]
fn a_download_is_verified_and_taken_up_again(#[case] action: Action, #[case] passes: bool) {
    use std::io::Read as _;
    let Some(site) = Site::open(&Options::default()) else { return };
    let content: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let registry = site.repository_with("a/b", hasty());
    let (_, digest, size) =
        registry.upload(BlobSource::Bytes(&content), UploadOptions::default()).unwrap();
    site.proxy.rule(on("GET", "/blobs/sha256", 1, action));
    let mut bytes = Vec::new();
    let read = registry
        .open_blob(digest, size)
        .map_err(|error| told(&error))
        .and_then(|mut blob| blob.read_to_end(&mut bytes).map_err(|error| told(&error)));
    assert_eq!(read.is_ok(), passes, "{read:?}");
    assert!(!passes || bytes == content);
}

#[test]
fn a_redirect_is_followed_without_the_password_and_not_for_ever() {
    use hod_mirror::{Credentials, Keychain};
    use hod_testing::registry::Auth;
    use std::io::Read as _;
    let auth = Auth::Htpasswd { user: "me", password: "secret" };
    let Some(site) = Site::open(&Options { auth, ..Options::default() }) else { return };
    let credentials =
        Credentials::Basic { username: "me".to_owned(), password: "secret".to_owned() };
    let keychain = Keychain::none().with(site.proxy.host(), credentials).into();
    let registry = site.repository_with("a/b", RegistryOptions { keychain, ..hasty() });
    let (_, digest, size) =
        registry.upload(BlobSource::Bytes(b"elsewhere"), UploadOptions::default()).unwrap();

    let other = hod_testing::proxy::Proxy::start(site.server.host());
    other.rule(on("GET", "/blobs/", 9, Action::Respond(http::Answer::new(200).body(b"elsewhere"))));
    let to_other = Action::RedirectTo(format!("{}/blobs/x?signature=1", other.url()));
    site.proxy.rule(on("GET", "/blobs/sha256", 1, to_other));
    let mut bytes = Vec::new();
    registry.open_blob(digest, size).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"elsewhere");
    assert_eq!(other.count(|seen| seen.has_authorization()), 0);
    assert_eq!(other.requests().len(), 1);

    let to_itself = Action::RedirectTo(format!("{}{{target}}", site.proxy.url()));
    site.proxy.rule(on("GET", "/blobs/sha256", 1000, to_itself));
    let error = told(&registry.open_blob(digest, size).unwrap_err());
    assert!(error.contains("without end"), "{error}");
}

#[test]
fn an_upload_may_go_on_at_another_host_without_the_password() {
    use hod_mirror::{Credentials, Keychain};
    use hod_testing::registry::Auth;
    let auth = Auth::Htpasswd { user: "me", password: "secret" };
    let Some(site) = Site::open(&Options { auth, ..Options::default() }) else { return };
    let other = hod_testing::proxy::Proxy::start(site.server.host());
    let accepted = http::Answer::new(201);
    other.rule(on("PUT", UPLOADS, 9, Action::Respond(accepted)));
    let target = other.host().to_owned();
    let move_away = Rewrite::new(move |location: String| {
        let path = location.split("/v2/").nth(1).unwrap_or_default().to_owned();
        format!("http://{target}/v2/{path}")
    });
    site.proxy.rule(on("POST", UPLOADS, 9, Action::RewriteHeader("Location", move_away)));
    let credentials =
        Credentials::Basic { username: "me".to_owned(), password: "secret".to_owned() };
    let keychain = Keychain::none().with(site.proxy.host(), credentials).into();
    let registry = site.repository_with("a/b", RegistryOptions { keychain, ..hasty() });
    registry.upload(BlobSource::Bytes(b"x"), UploadOptions::default()).unwrap();
    assert_eq!(other.requests().len(), 1);
    assert_eq!(other.count(|seen| seen.has_authorization()), 0);
}

#[test]
fn a_listing_that_never_ends_ends() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let page = |next: &str| {
        http::Answer::new(200)
            .header("Content-Type", "application/json")
            .header("Link", format!("<{next}>; rel=\"next\""))
            .body(br#"{"name":"a/b","tags":["b","a"]}"#)
    };
    site.proxy.rule(on("GET", "last=1", 100, Action::Respond(page("/v2/a/b/tags/list?last=1"))));
    site.proxy.rule(on("GET", "/tags/list", 1, Action::Respond(page("/v2/a/b/tags/list?last=1"))));
    let registry = site.repository_with("a/b", hasty());
    assert_eq!(registry.tags().unwrap(), ["a", "b"]);
    assert!(site.proxy.requests().len() <= 3);
}

#[test]
fn a_push_that_is_stopped_stops_at_once() {
    let Some(site) = Site::open(&Options::default()) else { return };
    site.proxy.rule(on("POST", UPLOADS, 100, Action::Delay(Duration::from_secs(30))));
    let options = PushOptions::default();
    let cancel = options.cancel.clone();
    let patient = RegistryOptions { cancel: cancel.clone(), ..RegistryOptions::default() };
    let registry = site.repository_with("a/b", patient);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        cancel.cancel();
    });
    let start = Instant::now();
    let summary = site.push(&registry, &["zlib"], &none(), &options);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(summary.failed().all(|(_, error)| matches!(error, Error::Cancelled)));
    assert!(summary.failed().count() > 0);
}
