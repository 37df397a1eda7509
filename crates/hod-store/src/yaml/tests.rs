//! YAML as configurations are written.

use rstest::rstest;

use super::*;

fn read(text: &str) -> Yaml {
    parse(text.as_bytes(), Path::new("a.yaml")).unwrap().unwrap()
}

fn error(text: &str) -> YamlError {
    parse(text.as_bytes(), Path::new("a.yaml")).unwrap_err()
}

#[rstest]
#[case::block("a: b\nc:\n- d\n- e: f\n", r#"{"a": "b", "c": ["d", {"e": "f"}]}"#)]
#[case::flow("{a: b, c: [d, {e: f}]}", r#"{"a": "b", "c": ["d", {"e": "f"}]}"#)]
#[case::json(r#"{"a": "b\n", "c": []}"#, r#"{"a": "b\n", "c": []}"#)]
#[case::literal("a: |\n  b\n  c\n", r#"{"a": "b\nc\n"}"#)]
#[case::folded("a: >-\n  b\n  c\n", r#"{"a": "b c"}"#)]
#[case::alias("a: &x [b]\nc: *x\n", r#"{"a": ["b"], "c": ["b"]}"#)]
#[case::alias_of_a_scalar("a: &x b\n*x : c\n", r#"{"a": "b", "b": "c"}"#)]
#[case::merge_key(
    "a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  b: 3\n",
    r#"{"a": {"b": "1", "c": "2"}, "d": {"b": "3", "c": "2"}}"#
)]
#[case::merge_keys("<<: [{a: 1}, {a: 2, b: 3}]\n", r#"{"a": "1", "b": "3"}"#)]
#[case::comments("# x\na: b # y\n", r#"{"a": "b"}"#)]
#[case::a_lone_dash("a: [b -, c]\n", r#"{"a": ["b -", "c"]}"#)]
#[case::byte_order_mark("\u{feff}a: b\n", r#"{"a": "b"}"#)]
#[case::carriage_returns("a: b\r\nc: d\r\n", r#"{"a": "b", "c": "d"}"#)]
#[case::a_url_and_a_windows_path(
    "a: https://b/c\nd: c:\\e\n",
    r#"{"a": "https://b/c", "d": "c:\\e"}"#
)]
#[case::tagged("a: !!str 1\n", r#"{"a": "1"}"#)]
fn yaml_is_read(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(format!("{:?}", read(text)), expected);
}

#[rstest]
#[case::empty("")]
#[case::comments("# nothing\n")]
#[case::null("null\n")]
#[case::document("---\n")]
fn nothing_is_nothing(#[case] text: &str) {
    assert_eq!(parse(text.as_bytes(), Path::new("a")).unwrap(), None);
}

#[test]
fn values_are_what_their_use_takes_them_for() {
    let value = read("{t: true, n: 60, s: 'true', z: , q: '', v: 1.0, m: -1, w: yes}");
    let get = |key: &str| value.get(key).unwrap();
    assert_eq!((get("t").boolean(), get("t").text()), (Some(true), Some("true")));
    assert_eq!((get("n").number(), get("n").boolean()), (Some(60), None));
    assert_eq!((get("s").boolean(), get("s").text()), (None, Some("true")));
    assert_eq!(value.get("z"), None);
    assert_eq!(get("q").text(), Some(""));
    assert_eq!((get("v").text(), get("v").number()), (Some("1.0"), None));
    assert_eq!((get("m").number(), get("w").boolean()), (None, None));
    let kinds = ["t", "n", "s", "v"].map(|key| get(key).kind());
    assert_eq!(kinds, ["a boolean", "a number", "text", "text"]);
    assert_eq!(read("[]").kind(), "a list");
}

#[test]
fn values_become_json() {
    let value = read("{b: [1, '1', 1.0, -1], a: {x: true, y: 'true', z: ~}}");
    let expected = r#"{"b":[1,"1","1.0","-1"],"a":{"x":true,"y":"true","z":null}}"#;
    assert_eq!(value.to_json().to_string(), expected);
}

#[test]
fn values_know_where_they_are_written() {
    let value = read("# one\nconfig:\n  install_tree:\n    root: /opt\n");
    let root = value.get("config").and_then(|v| v.get("install_tree")).and_then(|v| v.get("root"));
    assert_eq!(root.unwrap().place.to_string(), "a.yaml:4:11");
}

#[rstest]
#[case::not_yaml("a: [b\n", "not YAML")]
#[case::two_documents("a: b\n---\nc: d\n", "more than one YAML document")]
#[case::a_list_as_key("[a]: b\n", "line 1, column 1: a key must be text")]
#[case::the_same_key("a: b\nc: d\na: e\n", "line 3, column 4: `a` is there already")]
#[case::the_same_key_replacing("a: b\na:: e\n", "line 2, column 5: `a` is there already")]
#[case::merging_text("a: 1\n<<: b\n", "line 2, column 5: only mappings can be merged with `<<`")]
#[case::an_alias_in_itself("a: &x [*x]\n", "line 1, column 8: an alias stands for what it is in")]
fn what_is_no_configuration_is_an_error(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(error(text).to_string(), expected);
}

#[test]
fn bytes_that_are_no_text_are_an_error() {
    assert!(matches!(parse(b"a: \xff", Path::new("a")), Err(YamlError::NotUtf8(_))));
}

#[test]
fn depth_and_size_are_bounded_aliases_included() {
    assert!(matches!(error(&"[".repeat(100)), YamlError::TooDeep { limit: 64, .. }));
    assert!(
        parse(format!("{}{}", "[".repeat(64), "]".repeat(64)).as_bytes(), Path::new("a")).is_ok()
    );

    let deep = (1..100).map(|n| format!("- &a{n} [*a{}]", n - 1)).collect::<Vec<_>>().join("\n");
    assert!(matches!(error(&format!("- &a0 [x]\n{deep}\n")), YamlError::TooDeep { .. }));

    let wide = (1..30).map(|n| format!("- &a{n} [*a{0}, *a{0}]", n - 1));
    let wide = wide.collect::<Vec<_>>().join("\n");
    assert!(matches!(error(&format!("- &a0 [x]\n{wide}\n")), YamlError::TooLarge { .. }));
}

#[rstest]
#[case::keys_of_more_weight_first(
    "{a: 1, b: 2}",
    "{c: 3, b: 4}",
    r#"{"c": "3", "b": "4", "a": "1"}"#
)]
#[case::mappings_are_merged("{a: {b: 1}}", "{a: {c: 2}}", r#"{"a": {"c": "2", "b": "1"}}"#)]
#[case::unless_they_replace("{a: {b: 1}}", "{a:: {c: 2}}", r#"{"a": {"c": "2"}}"#)]
#[case::deeper(
    "{a: {b: {c: 1}, d: 2}}",
    "{a: {'b:': {e: 3}}}",
    r#"{"a": {"b": {"e": "3"}, "d": "2"}}"#
)]
#[case::lists_are_prepended("[a, b]", "[c, a]", r#"["c", "a", "b"]"#)]
#[case::kinds_differ("{a: [b]}", "{a: c}", r#"{"a": "c"}"#)]
#[case::nothing_is_a_value("{a: b}", "{a: null}", r#"{"a": "null"}"#)]
#[case::plus_and_minus_are_names("{root: /a}", "{root-: /b}", r#"{"root-": "/b", "root": "/a"}"#)]
#[case::specs_are_no_replacements("{'a@1:': b}", "{'a@1:': c}", r#"{"a@1:": "c"}"#)]
fn one_configuration_is_laid_over_another(
    #[case] under: &str,
    #[case] over: &str,
    #[case] expected: &str,
) {
    assert_eq!(format!("{:?}", merge(read(under), read(over))), expected);
}
