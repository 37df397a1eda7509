//! `WWW-Authenticate`: what a registry wants to see before it answers (RFC 9110, 11.6.1).

/// One way to authenticate that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case.
    pub(super) scheme: String,
    /// Names in lower case, values without quotes.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter by its lower-case name.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }
}

/// All challenges of one header. What cannot be understood is left out: a server may offer what
/// this program has never heard of.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    for item in items(header) {
        let (before, value) = match item.split_once('=') {
            Some((before, value)) => (before.trim(), Some(value.trim())),
            None => (item.trim(), None),
        };
        // `Bearer realm=…` begins a challenge, `service=…` goes on with it.
        let (scheme, name) = match (before.split_once(char::is_whitespace), value) {
            (Some((scheme, name)), _) => (Some(scheme), name.trim()),
            (None, Some(_)) => (None, before),
            (None, None) => (Some(before), ""),
        };
        if let Some(scheme) = scheme.filter(|scheme| !scheme.is_empty()) {
            let scheme = scheme.to_ascii_lowercase();
            challenges.push(Challenge { scheme, parameters: Vec::new() });
        }
        if let (Some(challenge), Some(value), false) =
            (challenges.last_mut(), value, name.is_empty())
        {
            challenge.parameters.push((name.to_ascii_lowercase(), unquoted(value)));
        }
    }
    challenges
}

/// What stands between the commas that are not in quotes.
fn items(header: &str) -> Vec<&str> {
    let (mut items, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in header.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                items.push(&header[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&header[start..]);
    items.retain(|item| !item.trim().is_empty());
    items
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        text.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(header: &str) -> Vec<(String, Vec<(String, String)>)> {
        parse(header).into_iter().map(|c| (c.scheme, c.parameters)).collect()
    }

    #[test]
    fn a_challenge_is_read_whatever_its_case_and_quotes() {
        let header = r#"BEARER Realm="https://auth.example/token?x=1,2",SERVICE=reg, scope="repository:a/b:pull,push""#;
        let found = parse(header);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].scheme, "bearer");
        assert_eq!(found[0].parameter("realm"), Some("https://auth.example/token?x=1,2"));
        assert_eq!(found[0].parameter("service"), Some("reg"));
        assert_eq!(found[0].parameter("scope"), Some("repository:a/b:pull,push"));
    }

    #[test]
    fn several_challenges_are_told_apart() {
        let found = told(r#"Negotiate, Basic realm="a \"b\"", Bearer realm=x"#);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            found,
            [
                ("negotiate".to_owned(), vec![]),
                ("basic".to_owned(), vec![pair("realm", "a \"b\"")]),
                ("bearer".to_owned(), vec![pair("realm", "x")]),
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_no_panic(header in "[ a-zA-Z=,\"\\\\é]{0,60}") {
            let _ = parse(&header);
        }

        #[test]
        fn a_value_in_quotes_comes_out_as_it_went_in(value in "[ -~]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let found = parse(&format!("Bearer realm=\"{quoted}\", service=x"));
            proptest::prop_assert_eq!(found.len(), 1);
            proptest::prop_assert_eq!(found[0].parameter("realm"), Some(&*value));
            proptest::prop_assert_eq!(found[0].parameter("service"), Some("x"));
        }
    }
}
