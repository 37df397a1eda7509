//! Where Spack put packages, and where they go.

use std::path::PathBuf;

use hod_spec::{Database, SpecFile};
use rstest::rstest;

use super::*;
use crate::store::tests::unpack;

/// Spack's own projection before 1.0.
const OLD: &str = "{architecture}/{compiler.name}-{compiler.version}/{name}-{version}-{hash}";

fn layout(projections: &[(&str, &str)]) -> Layout {
    let projections: Vec<_> =
        projections.iter().map(|(key, path)| ((*key).to_owned(), (*path).to_owned())).collect();
    Layout::new(Path::new("/store"), &projections, None).unwrap()
}

fn database(archive: &Path) -> Database {
    let place = unpack(archive, |path| path.ends_with(".spack-db/index.json"));
    let mut directories = vec![place.path().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs_err::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("index.json") {
                return Database::parse(fs_err::read(path).unwrap()).unwrap();
            }
            directories.push(path);
        }
    }
    panic!("no database in {}", archive.display());
}

/// Every path in a database is where the layout puts the package.
fn assert_laid_out(database: &Database, root: &str, projections: &[(String, String)]) {
    let layout = Layout::new(Path::new(root), projections, None).unwrap();
    let mut compared = 0;
    for record in database.records() {
        let expected = record.path.as_deref().map(PathBuf::from);
        assert_eq!(layout.prefix_of(&record.spec, database).unwrap(), expected);
        compared += usize::from(record.spec.external.is_none());
    }
    assert!(compared >= 5, "only {compared} packages");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack").join(name)
}

#[rstest]
#[case::short("store.tar.zst", "/opt/hpc/store".to_owned())]
#[case::padded("store-padded.tar.zst", crate::pad("/opt/padded", 128))]
fn packages_go_where_spack_put_them(#[case] archive: &str, #[case] root: String) {
    assert_laid_out(&database(&fixture(archive)), &root, &[]);
}

#[rstest]
#[case::old("store-old", "/opt/hpc/store-old", Some(OLD))]
#[case::short("reloc-short-from-v3-unsigned", "/tmp/gs", None)]
#[case::long("reloc-long-from-v3-padded", "/opt/a-much-longer-place-than-before/store", None)]
fn every_golden_package_goes_where_spack_put_it(
    #[case] name: &str,
    #[case] root: &str,
    #[case] projection: Option<&str>,
) {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    let golden = std::env::var_os("HOD_GOLDEN").map_or(shared, PathBuf::from);
    if !golden.is_dir() {
        println!("skipped: no golden data at `{}` (set HOD_GOLDEN)", golden.display());
        return;
    }
    let projections: Vec<_> =
        projection.iter().map(|path| ("all".to_owned(), (*path).to_owned())).collect();
    let database = database(&golden.join(format!("store/{name}.tar.zst")));
    assert_laid_out(&database, root, &projections);
}

/// `app@1.2-3/x`, which links `zlib@1.3` and is built with `gcc@12.2.0` as its C compiler.
fn app() -> SpecFile {
    let text = r#"{"spec":{"_meta":{"version":5},"nodes":[
        {"name":"app","version":"git.a/b=1.2","namespace":"builtin",
         "arch":{"platform":"linux","platform_os":"debian12","target":"x86_64_v3"},
         "parameters":{"shared":true,"pic":false,"build_type":"Release","langs":["c","cxx"]},
         "dependencies":[
            {"name":"gcc","hash":"umaathbn64e6w5jhccrmvc4r7oi4qpmu",
             "parameters":{"deptypes":["build"],"virtuals":["c"]}},
            {"name":"zlib","hash":"yox7nsrab6dhdlxlapu6hg33h4atwgrx",
             "parameters":{"deptypes":["link"],"virtuals":["zlib-api"]}}],
         "hash":"arbvturvzrczc6dyodbycjav7qqhraus"},
        {"name":"gcc","version":"12.2.0","hash":"umaathbn64e6w5jhccrmvc4r7oi4qpmu"},
        {"name":"zlib","version":"1.3","hash":"yox7nsrab6dhdlxlapu6hg33h4atwgrx"}]}}"#;
    SpecFile::parse(text.as_bytes().to_vec()).unwrap()
}

fn prefix(projections: &[(&str, &str)]) -> Result<String, LayoutError> {
    let app = app();
    let prefix = layout(projections).prefix_of(app.root(), &app)?.unwrap();
    Ok(prefix.to_str().unwrap().to_owned())
}

// The right side is what Spack made of the left one with this spec file.
#[rstest]
#[case("{name}/{version}", "/store/app/git.a_b_1.2")]
#[case("{Name}-{HASH:7}", "/store/app-arbvtur")]
#[case("Apps/{hash}", "/store/apps/arbvturvzrczc6dyodbycjav7qqhraus")]
#[case("{architecture}/{arch.os}", "/store/linux-debian12-x86_64_v3/debian12")]
#[case("{platform}.{os}.{target}", "/store/linux.debian12.x86_64_v3")]
#[case("{compiler.name}-{compiler.version}/{name}", "/store/gcc-12.2.0/app")]
#[case("{%compiler.name}/{name}{@version}", "/store/_gcc/app_git.a_b_1.2")]
#[case("{namespace=namespace}/{hash:3}", "/store/namespace_builtin/arb")]
#[case("{^zlib.name}{^zlib-api.version}/{^zlib.hash:4}/{name}", "/store/zlib1.3/yox7/app")]
#[case(
    "{variants.shared}{variants.pic}/{variants.build_type}",
    "/store/+shared_pic/build_type_Release"
)]
#[case("{variants.langs}/{variants.build_type.value}", "/store/langs__c_cxx/Release")]
#[case("{variants.shared.value}/{variants.pic.name}", "/store/True/pic")]
#[case(r"a\+b//./{name}", "/store/a+b/app")]
#[case(" x / {name} ", "/store/x/app")]
fn tokens_are_replaced(#[case] projection: &str, #[case] expected: &str) {
    assert_eq!(prefix(&[("all", projection)]).unwrap(), expected);
}

#[test]
fn a_compiler_that_nobody_has_is_none() {
    let app = app();
    let zlib = app.nodes().iter().find(|spec| &*spec.name == "zlib").unwrap();
    let layout = layout(&[("all", "{compiler.name}-{compiler.version}/{name}")]);
    assert_eq!(layout.prefix_of(zlib, &app).unwrap().unwrap(), Path::new("/store/none-none/zlib"));
}

#[rstest]
#[case::name("app")]
#[case::version_range("app@1:")]
#[case::variant("+shared build_type=Release")]
#[case::dependency("^zlib@1.3")]
#[case::virtual_package("^zlib-api")]
#[case::compiler("%gcc@12")]
fn the_first_key_that_is_true_counts(#[case] key: &str) {
    let projections = [
        ("all", "all/{name}"),
        ("bzip2", "no/{name}"),
        (key, "first/{name}"),
        ("app", "second/{name}"),
    ];
    assert_eq!(prefix(&projections).unwrap(), "/store/first/app");
}

#[test]
fn without_a_key_that_is_true_it_is_all_or_nothing() {
    assert_eq!(prefix(&[("zlib", "z"), ("all", "all/{name}")]).unwrap(), "/store/all/app");
    let error = prefix(&[("zlib", "z")]).unwrap_err();
    assert!(matches!(error, LayoutError::NoProjection { .. }));
}

#[test]
fn a_key_that_cannot_be_decided_is_named() {
    let error = prefix(&[("target=x86_64_v3:", "new/{name}"), ("all", "{name}")]).unwrap_err();
    assert!(error.to_string().contains("`target=x86_64_v3:`"), "{error}");
    // One that comes too late is not asked.
    assert!(prefix(&[("app", "{name}"), ("target=x86_64_v3:", "new/{name}")]).is_ok());
}

#[rstest]
#[case::family("{architecture.target.family}/{name}")]
#[case::unknown("{nmae}")]
#[case::private("{_hash}")]
#[case::no_such_variant("{variants.mpi}")]
#[case::no_such_dependency("{^mpi.name}/{name}")]
#[case::open("{name")]
#[case::closed("name}")]
#[case::empty("{}")]
#[case::separator_inside("{name/version}")]
#[case::sigil_that_separates("{/hash}")]
#[case::wrong_sigil("{@name}")]
#[case::variable("$user/{name}")]
#[case::home("~/{name}")]
fn a_token_that_cannot_be_known_is_refused(#[case] projection: &str) {
    let error = prefix(&[("all", projection)]).unwrap_err();
    assert!(matches!(error, LayoutError::Token { .. }), "{error:?}");
}

#[rstest]
#[case::absolute("/{name}")]
#[case::above("../{name}")]
#[case::above_later("{name}/../../x")]
#[case::root(".")]
#[case::empty("")]
#[case::nothing_left(" / ")]
#[case::database(".spack-db/{name}")]
#[case::escaped(r"\.\./{name}")]
fn no_package_goes_outside_the_store(#[case] projection: &str) {
    let error = prefix(&[("all", projection)]).unwrap_err();
    assert!(matches!(error, LayoutError::Outside { .. }), "{error:?}");
}

#[test]
fn hashes_are_cut_where_the_configuration_says() {
    let projections = [("all".to_owned(), "{name}-{HASH}".to_owned())];
    let layout = Layout::new(Path::new("/store"), &projections, Some(5)).unwrap();
    let app = app();
    assert_eq!(layout.prefix_of(app.root(), &app).unwrap().unwrap(), Path::new("/store/app-arbvt"));
    let projections = [("all".to_owned(), "{name}-{hash:7}".to_owned())];
    let error = Layout::new(Path::new("/store"), &projections, Some(5)).unwrap_err();
    assert!(matches!(error, LayoutError::HashLength { .. }));
}
