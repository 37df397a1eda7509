//! The commands that real Spack was given, and what it made of the file each time.

use fs_err as fs;
use rstest::rstest;

use super::*;
use crate::{MirrorHolds, SpackConfig};

/// `spack mirror …` from `fixtures/spack/mirrors/commands.txt`, done here.
fn obey(file: &mut MirrorFile, command: &str) {
    let mut words = command.split(' ').peekable();
    let mut settings = MirrorSettings::default();
    let (mut direction, mut plain) = (None, Vec::new());
    let mut types = Vec::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap().to_owned();
        match word {
            "--signed" => settings.signed = Some(true),
            "--unsigned" => settings.signed = Some(false),
            "--autopush" => settings.autopush = Some(true),
            "--no-autopush" => settings.autopush = Some(false),
            "--push" => direction = Some(MirrorDirection::Push),
            "--fetch" => direction = Some(MirrorDirection::Fetch),
            "--url" => settings.url = Some(value()),
            "--type" => types.push(value()),
            "--oci-username" | "--s3-access-key-id" => settings.id = Some(Secret::Value(value())),
            "--oci-username-variable" | "--s3-access-key-id-variable" => {
                settings.id = Some(Secret::Variable(value()));
            }
            "--oci-password-variable" | "--s3-access-key-secret-variable" => {
                settings.secret_variable = Some(value());
            }
            "--s3-access-token-variable" => settings.access_token_variable = Some(value()),
            "--s3-profile" => settings.profile = Some(value()),
            "--s3-endpoint-url" => settings.endpoint_url = Some(value()),
            word => {
                assert!(!word.starts_with('-'), "{command}");
                plain.push(word);
            }
        }
    }
    if !types.is_empty() {
        let has = |name: &str| types.iter().any(|found| found == name);
        settings.holds = Some(MirrorHolds { binary: has("binary"), source: has("source") });
    }
    match plain[..] {
        ["add", name, url] => file.add(name, url, &settings).unwrap(),
        ["rm", name] => file.remove(name).unwrap(),
        ["set", name] => assert!(file.set(name, direction, &settings).unwrap(), "{command}"),
        ["set-url", name, url] => {
            settings.url = Some(url.to_owned());
            assert!(file.set(name, direction, &settings).unwrap(), "{command}");
        }
        _ => panic!("{command}"),
    }
}

#[test]
fn each_command_makes_the_file_that_spack_made_of_it() {
    let forms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack/mirrors");
    let commands = fs::read_to_string(forms.join("commands.txt")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("deep/er/mirrors.yaml");
    let mut command = "";
    let mut compared = 0;
    for line in commands.lines() {
        if line.starts_with("---") {
            let _ = fs::remove_file(&path);
        } else if let Some(said) = line.strip_prefix("$ spack mirror ") {
            command = said;
        } else if let Some(form) = line.strip_prefix("rc=0 -> ") {
            let mut file = MirrorFile::open(&path).unwrap();
            obey(&mut file, command);
            file.save().unwrap();
            let expected = fs::read_to_string(forms.join(form)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{form}: {command}");
            compared += 1;
        }
    }
    assert_eq!(compared, 30);
}

/// A file in which nobody but people has written.
fn open(text: &str) -> (tempfile::TempDir, MirrorFile) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("mirrors.yaml");
    fs::write(&path, text).unwrap();
    let file = MirrorFile::open(&path).unwrap();
    (place, file)
}

#[derive(Clone, Copy)]
enum Edit {
    Add,
    Set,
    Remove,
}
use Edit::{Add, Remove, Set};

/// Adds `new`, makes `b` unsigned with a user to push, or removes `a`.
fn edit(file: &mut MirrorFile, edit: Edit) -> Result<(), EditMirrorsError> {
    match edit {
        Add => file.add("new", "oci://r/c", &MirrorSettings::default()),
        Remove => file.remove("a"),
        Set => {
            let signed = MirrorSettings { signed: Some(false), ..MirrorSettings::default() };
            let user = MirrorSettings {
                id: Some(Secret::Value("me".to_owned())),
                secret_variable: Some("TOKEN".to_owned()),
                ..MirrorSettings::default()
            };
            file.set("b", None, &signed)?;
            file.set("b", Some(MirrorDirection::Push), &user).map(|_| ())
        }
    }
}

const PUSH: &str = "push:\n      access_pair:\n        id: me\n        secret_variable: TOKEN\n";

#[rstest]
#[case::no_text("", Add, "mirrors:\n  new: oci://r/c\n")]
#[case::comments_only("# mine", Add, "# mine\nmirrors:\n  new: oci://r/c\n")]
#[case::only_a_start("---\n", Add, "---\nmirrors:\n  new: oci://r/c\n")]
#[case::nothing_below("mirrors:\n", Add, "mirrors:\n  new: oci://r/c\n")]
#[case::nothing_in_it("mirrors: {}  # none\n", Add, "mirrors:  # none\n  new: oci://r/c\n")]
#[case::other_sections(
    "config:\n  a: 1 # one\n",
    Add,
    "config:\n  a: 1 # one\nmirrors:\n  new: oci://r/c\n"
)]
#[case::the_comment_of_the_first_stays_with_it(
    "# mine\nmirrors:\n  # all of us\n\n  # the first\n  # of all\n  a: /x   # here\n\n  b: /y\n# end\n",
    Add,
    "# mine\nmirrors:\n  # all of us\n\n  new: oci://r/c\n  # the first\n  # of all\n  a: /x   # here\n\n  b: /y\n# end\n"
)]
#[case::wide("mirrors:\n    a:   /x", Add, "mirrors:\n    new: oci://r/c\n    a:   /x")]
#[case::windows("mirrors:\r\n  a: /x\r\n", Add, "mirrors:\r\n  new: oci://r/c\r\n  a: /x\r\n")]
#[case::replacing("mirrors::\n  a: /x\n", Add, "mirrors::\n  new: oci://r/c\n  a: /x\n")]
#[case::flow("mirrors: {a: /x} # c\n", Add, "mirrors: {new: oci://r/c, a: /x} # c\n")]
#[case::two_documents_marks(
    "---\nmirrors:\n  a: /x\n...\n",
    Add,
    "---\nmirrors:\n  new: oci://r/c\n  a: /x\n...\n"
)]
#[case::comments_within(
    "mirrors:\n  a: /x\n  b:\n    url: s3://b # why\n    # and\n    signed: true # sure\n  c: /z\n",
    Set,
    &format!("mirrors:\n  a: /x\n  b:\n    url: s3://b # why\n    # and\n    signed: false # sure\n    {PUSH}  c: /z\n")
)]
#[case::short_form(
    "mirrors:\n  b: 's3://b'   # why\n  c: /z\n",
    Set,
    &format!("mirrors:\n  b:   # why\n    url: s3://b\n    signed: false\n    {PUSH}  c: /z\n")
)]
#[case::flow_form(
    "mirrors:\n  b: {url: s3://b} # why\n",
    Set,
    "mirrors:\n  b: {url: s3://b, signed: false, push: {access_pair: {id: me, secret_variable: TOKEN}}} # why\n"
)]
#[case::own_anchor_and_merged(
    "mirrors:\n  b: &b\n    url: /y\n    signed: false\n  c:\n    <<: *b\n    url: /z\n    push: /w\n",
    Remove,
    ""
)]
#[case::first_of_two(
    "mirrors:\n  # about a\n  a: /x\n\n  # about b\n  b: /y\n",
    Remove,
    "mirrors:\n  # about a\n\n  # about b\n  b: /y\n"
)]
#[case::the_only_one(
    "mirrors:\n  a:\n    url: /x\nconfig: {}\n",
    Remove,
    "mirrors: {}\nconfig: {}\n"
)]
#[case::one_with_an_anchor(
    "mirrors:\n  a: &A\n    url: /x\n  b:\n    <<: *A\n    signed: false\n",
    Remove,
    "mirrors:\n  b:\n    <<: &A\n      url: /x\n    signed: false\n"
)]
#[case::one_that_merges(
    "mirrors:\n  a: &A\n    url: /x\n  b:\n    <<: *A # a\n    push: /y\n",
    Set,
    "mirrors:\n  a: &A\n    url: /x\n  b:\n    <<: *A # a\n    push:\n      url: /y\n      access_pair:\n        id: me\n        secret_variable: TOKEN\n    signed: false\n"
)]
#[case::an_alias(
    "mirrors:\n  a: &A\n    url: /x\n  b: *A\n",
    Set,
    &format!("mirrors:\n  a: &A\n    url: /x\n  b:\n    url: /x\n    signed: false\n    {PUSH}")
)]
fn what_people_wrote_stays_as_it_is(
    #[case] before: &str,
    #[case] which: Edit,
    #[case] after: &str,
) {
    let (_place, mut file) = open(before);
    let result = edit(&mut file, which);
    if after.is_empty() {
        assert!(matches!(result, Err(EditMirrorsError::Unknown { .. })));
        assert_eq!(file.text(), before);
    } else {
        result.unwrap();
        assert_eq!(file.text(), after);
    }
}

#[test]
fn what_another_mirror_shares_is_not_changed() {
    let (_place, mut file) = open("mirrors:\n  b: &B\n    url: /x\n  c: *B\n");
    let error = edit(&mut file, Set).unwrap_err();
    assert!(matches!(error, EditMirrorsError::Tangled { .. }), "{error}");
}

#[rstest]
#[case("1.5")]
#[case("2024")]
#[case("0x10")]
#[case("1e3")]
#[case("true")]
#[case("null")]
#[case("~")]
#[case("a: b")]
#[case("a #b")]
#[case("- a")]
#[case("&a")]
#[case("it's")]
#[case("\"")]
#[case("<<")]
#[case("ends with:")]
#[case("ü")]
fn odd_names_and_values_are_text_for_spack_too(#[case] odd: &str) {
    let (_place, mut file) = open("mirrors:\n  a: /x\n");
    let profile = MirrorSettings { profile: Some(odd.to_owned()), ..MirrorSettings::default() };
    // A name may be one that cannot be written; what is written is right.
    if let Err(error) = file.add(odd, "/y", &profile) {
        assert!(matches!(error, EditMirrorsError::Tangled { .. }), "{error}");
        assert!(odd == "<<" || odd.ends_with(':'), "{odd}");
        return;
    }
    let line = |prefix: &str| file.text().lines().find(|line| line.contains(prefix)).unwrap();
    let profile = line("profile").trim().strip_prefix("profile: ").unwrap();
    let looks_like_no_text = odd.parse::<f64>().is_ok()
        || ["0x10", "true", "null", "~", "a: b", "a #b", "- a", "&a", "it's", "\""].contains(&odd);
    assert_eq!(
        profile.starts_with(['\'', '"']),
        looks_like_no_text || odd.ends_with(':'),
        "{profile}"
    );
    let mirrors = SpackConfig::parse(file.text().as_bytes(), file.path(), &Environment::default());
    let mirrors = mirrors.unwrap().mirrors().unwrap();
    assert_eq!(mirrors[0].name, odd);
    assert_eq!(mirrors[0].fetch.profile.as_deref(), Some(odd));
}

#[rstest]
#[case("mirrors:\n  b: [/x]\n", "`mirrors:b` should be a URL, a path or a mapping, and is a list")]
#[case("mirrors:\n  b:\n", "`mirrors:b` should be a URL, a path or a mapping, and is nothing")]
#[case(
    "mirrors:\n  b: {url: /x, push: [/y]}\n",
    "`mirrors:b:push` should be a URL, a path or a mapping, and is a list"
)]
fn what_is_no_mirror_is_not_set(#[case] text: &str, #[case] expected: &str) {
    let (_place, mut file) = open(text);
    let error = edit(&mut file, Set).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.ends_with(expected), "{source}");
}

#[test]
fn a_password_in_the_file_does_not_stay_when_its_user_gets_a_variable() {
    let (_place, mut file) =
        open("mirrors:\n  a:\n    url: oci://r/c\n    access_pair: [me, secret]\n");
    let settings =
        MirrorSettings { secret_variable: Some("TOKEN".to_owned()), ..MirrorSettings::default() };
    file.set("a", None, &settings).unwrap();
    let expected = "mirrors:\n  a:\n    url: oci://r/c\n    access_pair:\n      id: me\n      secret_variable: TOKEN\n";
    assert_eq!(file.text(), expected);
}

#[test]
fn half_a_pair_is_no_pair() {
    let (_place, mut file) = open("mirrors:\n  a: oci://r/c\n");
    let id = Some(Secret::Value("me".to_owned()));
    let settings = MirrorSettings { id, ..MirrorSettings::default() };
    let error = file.set("a", None, &settings).unwrap_err();
    assert_eq!(error.to_string(), "the mirror `a` has a user and no variable for the password");
    let error = file.add("b", "/x", &settings).unwrap_err();
    assert!(matches!(error, EditMirrorsError::HalfAccessPair { .. }));
}

#[rstest]
#[case("mirrors:\n  a: /x\n b: /y\n", Some(3))]
#[case("mirrors:\n  a: {b\n  c: d\n", None)]
#[case("mirrors:\n  a: /x\n  a: /y\n", Some(3))]
#[case("mirrors: [a]\n", None)]
#[case("- a\n", None)]
#[case("text\n", None)]
fn a_broken_file_is_shown_and_left_alone(#[case] text: &str, #[case] expected: Option<usize>) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("mirrors.yaml");
    fs::write(&path, text).unwrap();
    match MirrorFile::open(&path).unwrap_err() {
        EditMirrorsError::Syntax { line, excerpt, .. } => {
            let line = line.unwrap();
            assert!(expected.is_none_or(|expected| expected == line), "{line}");
            let number = line.min(text.lines().count());
            assert!(excerpt.iter().any(|(found, _)| *found == number), "{excerpt:?}");
        }
        error => assert!(matches!(error, EditMirrorsError::Setting { .. }), "{error}"),
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_file_is_replaced_with_its_mode_and_through_a_link() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let (place, mut file) = open("mirrors:\n  a: /x\n");
    let link = place.path().join("link.yaml");
    symlink("mirrors.yaml", &link).unwrap();
    fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let mut linked = MirrorFile::open(&link).unwrap();
    linked.remove("a").unwrap();
    linked.save().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "mirrors: {}\n");
    assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
    // Whoever read it before that has another file in mind.
    file.add("b", "/y", &MirrorSettings::default()).unwrap();
    assert!(matches!(file.save(), Err(EditMirrorsError::Changed { .. })));
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "mirrors: {}\n");
}
