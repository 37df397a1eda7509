use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{Nodes, SpecFile};

fn fault(text: &str) -> (Range<usize>, QueryFault) {
    let error = text.parse::<Query>().unwrap_err();
    assert_eq!(&*error.text, text);
    (error.range, error.fault)
}

#[rstest]
#[case::nothing("", 0..0, QueryFault::ExpectedConstraint)]
#[case::only_spaces("  ", 2..2, QueryFault::ExpectedConstraint)]
#[case::unknown_character("zlib $", 5..6, QueryFault::ExpectedConstraint)]
#[case::character_of_several_bytes("zlib é", 5..7, QueryFault::ExpectedConstraint)]
#[case::dot_at_the_end("zlib.", 4..5, QueryFault::ExpectedConstraint)]
#[case::no_version("zlib@", 5..5, QueryFault::ExpectedVersion)]
#[case::no_version_before_the_next("zlib@+pic", 5..5, QueryFault::ExpectedVersion)]
#[case::no_version_behind_the_comma("zlib@1.2,", 9..9, QueryFault::ExpectedVersion)]
#[case::exact_end_of_a_range("zlib@=1.2:1.3", 5..10, QueryFault::ExpectedVersion)]
#[case::backwards("zlib@2:1.3", 5..10, QueryFault::EmptyRange)]
#[case::backwards_in_a_list("zlib@1,3:1", 7..10, QueryFault::EmptyRange)]
#[case::no_variant("zlib+", 5..5, QueryFault::ExpectedVariant)]
#[case::no_variant_after_space("zlib - ", 7..7, QueryFault::ExpectedVariant)]
#[case::key_as_variant("zlib+os", 4..7, QueryFault::NoVariant)]
#[case::flag_as_variant("~cflags", 0..7, QueryFault::NoVariant)]
#[case::no_value("zlib a=", 7..7, QueryFault::ExpectedValue)]
#[case::no_value_before_a_space("zlib a= b", 7..7, QueryFault::ExpectedValue)]
#[case::asterisk_in_a_list("a=b,*", 2..5, QueryFault::ExpectedValue)]
#[case::backslash_that_cannot_be_quoted(r"arch='a -\-b'", 5..12, QueryFault::ExpectedValue)]
#[case::open_quotes("zlib a='b c", 7..11, QueryFault::ExpectedQuote)]
#[case::escaped_end(r"a='b\'", 2..6, QueryFault::ExpectedQuote)]
#[case::no_hash("zlib/", 5..5, QueryFault::ExpectedHash)]
#[case::letters_no_hash_has("/ABC", 1..4, QueryFault::ExpectedHash)]
#[case::digits_no_hash_has("zlib/a10", 5..8, QueryFault::ExpectedHash)]
#[case::hash_that_is_too_long("/abcdefghijklmnopqrstuvwxyz2345672", 1..34, QueryFault::ExpectedHash)]
#[case::no_dependency("zlib ^", 6..6, QueryFault::ExpectedDependency)]
#[case::no_dependency_before_the_next("zlib % ^a", 7..7, QueryFault::ExpectedDependency)]
#[case::no_provider("zlib %c= ", 8..8, QueryFault::ExpectedValue)]
#[case::two_specs("zlib bzip2", 5..10, QueryFault::SecondSpec)]
#[case::name_behind_a_version("@1.2 zlib", 5..9, QueryFault::SecondSpec)]
#[case::name_behind_a_provider("%c=gcc clang", 7..12, QueryFault::SecondSpec)]
#[case::two_versions("zlib@1+a@2", 8..10, QueryFault::Repeated)]
#[case::two_hashes("/abc/abd", 4..8, QueryFault::Repeated)]
#[case::variant_twice("+a a=b", 3..6, QueryFault::Repeated)]
#[case::os_twice("os=a arch=linux-b-c", 5..19, QueryFault::Repeated)]
#[case::two_namespaces("a.b namespace=c", 4..15, QueryFault::Repeated)]
#[case::flags_twice("cflags=-g cflags=-O2", 10..20, QueryFault::Repeated)]
#[case::propagated_variant("zlib++pic", 4..6, QueryFault::Propagation)]
#[case::propagated_value("zlib a==b", 5..8, QueryFault::Propagation)]
#[case::propagated_compiler("zlib%%gcc", 4..6, QueryFault::Propagation)]
#[case::edge_attributes("zlib ^[virtuals=mpi] mpich", 5..7, QueryFault::EdgeAttributes)]
#[case::file("./zlib.json", 0..11, QueryFault::File)]
#[case::file_of_a_dependency("a ^b/c.yaml", 3..11, QueryFault::File)]
#[case::absolute_file("/abc/zlib.json", 0..14, QueryFault::File)]
#[case::target_range("target=x86_64_v3:", 7..17, QueryFault::TargetRange)]
#[case::target_range_in_arch("arch=linux-a-zen:", 5..17, QueryFault::TargetRange)]
#[case::default_target("target=fe", 7..9, QueryFault::HostDefault)]
#[case::default_os("os=default_os", 3..13, QueryFault::HostDefault)]
fn faults_have_their_place(
    #[case] text: &str,
    #[case] range: Range<usize>,
    #[case] expected: QueryFault,
) {
    assert_eq!(fault(text), (range, expected));
}

#[test]
fn a_message_says_what_is_wrong_and_where() {
    let message = |text: &str| text.parse::<Query>().unwrap_err().to_string();
    assert_eq!(
        message("zlib bzip2"),
        "cannot read `zlib bzip2` as a query: expected one spec; a dependency begins with `^`, \
         found `bzip2`"
    );
    assert_eq!(message("zlib ^"), "cannot read `zlib ^` as a query: expected a dependency");
}

#[rstest]
#[case::spaces(" zlib  @ 1.2 , 1.4: -pic ", "zlib@1.2,1.4:~pic")]
#[case::order(
    "zlib target=zen4 os=a /abc build_type=b +pic @1",
    "zlib@1+pic build_type=b os=a target=zen4 /abc"
)]
#[case::hash("zlib /abc", "zlib/abc")]
#[case::hash_behind_git("@git.a/b/c=1.2 /abc", "@git.a/b/c=1.2 /abc")]
#[case::arch("arch=linux-a-b", "platform=linux os=a target=b")]
#[case::arch_of_one_part("arch=zen4", "target=zen4")]
#[case::boolean_value("a=TRUE b=false", "+a~b")]
#[case::values_sorted("x:=c,a", "x:=a,c")]
#[case::quotes(r#"a="b c" d='it"s' e="it's""#, r#"a='b c' d='it"s' e="it's""#)]
#[case::needless_quotes("a='b,c'", "a=b,c")]
#[case::flags("cflags='-O2   -I  x -g'", "cflags='-O2 -I x -g'")]
#[case::namespace("lib namespace=my.repo", "my.repo.lib")]
#[case::dependencies("a%b@1+c^d %e ^f", "a %b@1+c ^d %e ^f")]
#[case::old_names_of_compilers("%clang ^clang", "%llvm ^clang")]
#[case::providers("%c,cxx=gcc@12 ^mpi=mpich", "%c,cxx=gcc@12 ^mpi=mpich")]
#[case::provider_of_a_repository("%c=builtin.gcc+x", "%c=builtin.gcc+x")]
#[case::anonymous_dependencies("^ @1 %* a=b ^+c", "^*@1 %*a=b ^*+c")]
#[case::everything("*", "*")]
#[case::any_dependency("zlib ^*", "zlib ^*")]
fn queries_are_shown_in_one_form(#[case] text: &str, #[case] shown: &str) {
    let query: Query = text.parse().unwrap();
    assert_eq!(query.to_string(), shown);
    assert_eq!(shown.parse(), Ok(query));
}

#[rstest]
#[case("zlib@1.2/abc", Some("zlib"), Some("abc"))]
#[case("builtin.zlib", Some("zlib"), None)]
#[case("/abc ^zlib", None, Some("abc"))]
fn name_and_hash_are_told(
    #[case] text: &str,
    #[case] name: Option<&str>,
    #[case] hash: Option<&str>,
) {
    let query: Query = text.parse().unwrap();
    assert_eq!((query.name(), query.hash_prefix()), (name, hash));
}

/// `app` has an MPI from `mpich`, whose versions of MPI nobody here knows.
#[rstest]
#[case::any("app ^mpi", true)]
#[case::from_it("app ^mpi=mpich@4", true)]
#[case::from_it_direct("app %mpi=mpich", true)]
#[case::direct("app %mpi", true)]
#[case::from_another("app ^mpi=hdf5", false)]
#[case::its_variants("app ^mpi~fortran", true)]
#[case::not_its_variants("app ^mpi+fortran", false)]
#[case::version_of_the_provider("app ^mpi@4", false)]
#[case::version_of_the_virtual("app ^mpi@3", false)]
#[case::transitive_build_dependency("app ^gcc", false)]
#[case::other_virtual("app ^blas", false)]
fn virtual_packages_are_known_by_edges(#[case] text: &str, #[case] expected: bool) {
    let file = include_bytes!("../../../../fixtures/spec/v5.json");
    let file = SpecFile::parse(file.to_vec()).unwrap();
    let query: Query = text.parse().unwrap();
    assert_eq!(query.matches(file.root(), &file), expected);
}

/// What old Spack called clang is now a package of another name.
#[rstest]
#[case("%clang", true)]
#[case("%llvm@14", true)]
#[case("%clang@14:15", true)]
#[case("%clang@15", false)]
#[case("%clang+x", false)]
#[case("%gcc", false)]
#[case("%c=clang", true)]
fn compilers_of_old_specs_have_their_new_names(#[case] text: &str, #[case] expected: bool) {
    let file = format!(
        r#"{{"spec":{{"_meta":{{"version":4}},"nodes":[{{"name":"a","version":"1",
        "compiler":{{"name":"clang","version":"14.0.6"}},"hash":"{}"}}]}}}}"#,
        "a".repeat(32)
    );
    let file = SpecFile::parse(file.into_bytes()).unwrap();
    let query: Query = text.parse().unwrap();
    assert_eq!(query.matches(file.root(), &file), expected);
}

#[test]
fn a_dependency_that_is_not_there_meets_no_condition() {
    struct Nothing;
    impl Nodes for Nothing {
        fn node(&self, _: &crate::DagHash) -> Option<&crate::Spec> {
            None
        }
    }
    let file = include_bytes!("../../../../fixtures/spec/v5.json");
    let file = SpecFile::parse(file.to_vec()).unwrap();
    for text in ["^mpich", "%mpich", "^*", "%*"] {
        let query: Query = text.parse().unwrap();
        assert!(query.matches(file.root(), &file), "{text}");
        assert!(!query.matches(file.root(), &Nothing), "{text}");
    }
}

/// Pieces of queries, so that many put together can be read.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,3}(-[a-z0-9_]{1,2})?(\\.[a-z]{1,2})?",
        "@(=?[0-9a-z.-]{1,5}|[0-9]?:[0-9]?|git\\.[a-z/.]{1,4}(=[0-9.]{1,3})?)(,=?[0-9.]{1,3}:?)?",
        "[+~-] ?[a-z0-9_.-]{1,3}",
        " [a-z.]{1,4}:?=([a-zA-Z0-9,*:=%^~/+\\\\.-]{1,6}|true|False|\\*)",
        " [a-z]{1,2}=('[^']{0,5}(\\\\'.{0,3})?'|\"[^\"]{0,6}\")",
        " (os|target|arch|namespace|platform|cflags|ldlibs)=('[a-z \\\\-]{0,6}'|[a-z.-]{1,6})",
        " ?/[a-z2-7]{1,4}",
        "[ ]?[%^] ?(([a-z]{1,3},)*[a-z]{1,3}=[a-z.]{1,3}|\\*)?",
        ".{0,2}",
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_shown_is_read_as_the_same(text in pieces()) {
        if let Ok(query) = text.parse::<Query>() {
            prop_assert_eq!(query.to_string().parse(), Ok(query));
        }
    }

    #[test]
    fn faults_are_within_the_text(text in pieces()) {
        if let Err(error) = text.parse::<Query>() {
            prop_assert!(text.get(error.range.clone()).is_some(), "{:?}", error);
        }
    }
}
