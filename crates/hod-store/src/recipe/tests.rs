//! Recipes as they are written.

use rstest::rstest;

use super::python::redistribution;
use super::{Redistribution, candidates};
use std::path::Path;

#[rstest]
#[case::nothing("    version('1')\n", Redistribution::Allowed)]
#[case::sources_only("    redistribute(source=False)\n", Redistribution::Allowed)]
#[case::forbidden("    redistribute(source=False, binary=False)\n", Redistribution::Forbidden)]
#[case::on_lines(
    "    redistribute(\n        source=False,\n        binary=False,\n    )\n",
    Redistribution::Forbidden
)]
#[case::conditional("    redistribute(binary=False, when='@2:')\n", Redistribution::Conditional)]
#[case::in_a_when(
    "    with when('@2:'):\n        version('1')\n        redistribute(binary=False)\n",
    Redistribution::Conditional
)]
#[case::both(
    "    redistribute(binary=False, when='@2:')\n    redistribute(binary=False)\n",
    Redistribution::Forbidden
)]
#[case::computed("    redistribute(binary=not free)\n", Redistribution::Conditional)]
#[case::in_a_comment("    # redistribute(binary=False)\n", Redistribution::Allowed)]
#[case::in_a_string("    '''redistribute(binary=False)'''\n", Redistribution::Allowed)]
#[case::in_an_escaped_string(
    "    x = 'it\\'s redistribute(binary=False)'\n",
    Redistribution::Allowed
)]
#[case::another_name("    no_redistribute(binary=False)\n", Redistribution::Allowed)]
#[case::a_longer_name("    redistribute_it(binary=False)\n", Redistribution::Allowed)]
#[case::a_word("    x = redistribute\n", Redistribution::Allowed)]
#[case::with_calls_in_it(
    "    redistribute(when=f(1, binary=True), binary=False)\n",
    Redistribution::Conditional
)]
fn a_recipe_says_whether_binaries_may_be_passed_on(
    #[case] body: &str,
    #[case] expected: Redistribution,
) {
    let text = format!("from spack.package import *\n\n\nclass Zlib(Package):\n{body}");
    assert_eq!(redistribution(&text), expected);
}

#[test]
fn a_base_class_may_forbid_it() {
    let text = "class IntelOneapiMkl(IntelOneApiLibraryPackage):\n    pass\n";
    assert_eq!(redistribution(text), Redistribution::Forbidden);
}

#[rstest]
#[case::unfinished_string("class A(B):\n    x = '")]
#[case::unfinished_call("class A(B):\n    redistribute(binary=False")]
#[case::unfinished_escape("'\\")]
#[case::not_ascii("class Ä(B):\n    x = 'ö\\ö' # ü\n    redistribute")]
fn damaged_text_is_no_reason_to_stop(#[case] text: &str) {
    assert_eq!(redistribution(text), Redistribution::Allowed);
}

#[test]
fn recipes_are_looked_for_in_both_layouts() {
    let paths = candidates(Path::new("/p"), "builtin.mock", "7-zip");
    assert_eq!(
        paths.map(|path| path.display().to_string()),
        [
            "/p/.spack/repos/spack_repo/builtin/mock/packages/7_zip/package.py",
            "/p/.spack/repos/spack_repo/builtin/mock/packages/_7_zip/package.py",
            "/p/.spack/repos/builtin.mock/packages/7-zip/package.py",
        ]
    );
}
