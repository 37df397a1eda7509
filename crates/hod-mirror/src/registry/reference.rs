//! Names of repositories and images, in the grammar of Spack's `oci://` URLs (`spack-format` 5.1).

use std::fmt;

use hod_archive::Digest;

use crate::oci::is_tag;

/// Where a name without a registry leads to.
const DEFAULT_HOST: &str = "index.docker.io";
/// Most clients take no longer names of host and repository together (distribution-spec).
const NAME_LIMIT: usize = 255;

/// A repository of a registry, and perhaps an image in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Without TLS.
    pub is_plain: bool,
    /// Name or address, with the port if one was given.
    pub host: String,
    /// The repository, `user/image`.
    pub repository: String,
    /// What follows `:`.
    pub tag: Option<String>,
    /// What follows `@`; counts more than the tag.
    pub digest: Option<Digest>,
}

/// Text that names no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no image reference: {reason}")]
#[non_exhaustive]
pub struct ReferenceError {
    /// As it was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Reference {
    /// Reads `oci://REF` (TLS), `oci+http://REF` (none) or a bare `REF`, which is
    /// `[host[:port]/]name[:tag][@sha256:…]`. As in Spack, the name is made lower-case, and a
    /// first component that looks like no host is part of a name at Docker Hub.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let error = |reason| ReferenceError { text: text.to_owned(), reason };
        let (is_plain, rest) = match text.split_once("://") {
            Some(("oci", rest)) => (false, rest),
            Some(("oci+http", rest)) => (true, rest),
            Some(_) => return Err(error("it begins with neither `oci://` nor `oci+http://`")),
            None => (false, text),
        };
        if rest.contains(['?', '#']) || rest.contains(char::is_whitespace) {
            return Err(error("it holds a character that no name has"));
        }
        if let Some((first, path)) = rest.split_once('/')
            && let Some((_, host)) = first.rsplit_once('@')
        {
            // Nor into an error.
            let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
            let separator = if scheme.is_empty() { "" } else { "://" };
            let text = format!("{scheme}{separator}…@{host}/{path}");
            return Err(ReferenceError { text, reason: "user and password do not belong into it" });
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse();
                (
                    rest,
                    Some(digest.map_err(|_| error("its digest is not `sha256:` and 64 digits"))?),
                )
            }
            None => (rest, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') && !name.is_empty() => (name, Some(tag)),
            _ => (rest, None),
        };
        // `host:5000` alone would be a name with a tag; with a path, the colon is the port's.
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(error("its tag is not up to 128 letters, digits, `_`, `.` and `-`"));
        }
        let (host, name) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first.to_owned(), rest.to_owned()),
            Some(_) => (DEFAULT_HOST.to_owned(), name.to_owned()),
            None => (DEFAULT_HOST.to_owned(), format!("library/{name}")),
        };
        if !is_valid_host(&host) {
            return Err(error("its registry is no host name or address"));
        }
        let repository = name.to_lowercase();
        if !repository.split('/').all(is_component) {
            return Err(error(
                "each part of a name is of letters and digits, joined by `.`, `_`, `__` or `-`",
            ));
        }
        if host.len() + 1 + repository.len() > NAME_LIMIT {
            return Err(error("it has more than 255 characters"));
        }
        Ok(Self { is_plain, host, repository, tag: tag.map(str::to_owned), digest })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.is_plain { "http" } else { "https" }
    }

    /// `host/name`, as docker and podman write it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The repository as the URL of a mirror.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_plain { "oci+http" } else { "oci" }, self.name())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// Whether the first component of a name is a host: it has a dot or a port, is `localhost`, or has
/// a capital, which no name may have.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first != first.to_lowercase()
}

fn is_valid_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_name = match is_address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }),
    };
    is_name && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` (distribution-spec, "Pulling manifests").
fn is_component(component: &str) -> bool {
    let mut words = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_separator =
        |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    let ends_well =
        |end: Option<char>| end.is_some_and(|end| end.is_ascii_lowercase() || end.is_ascii_digit());
    ends_well(component.chars().next())
        && ends_well(component.chars().last())
        && words.all(|between| between.is_empty() || is_separator(between))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("oci://ubuntu", false, "index.docker.io", "library/ubuntu", None)]
    #[case("ubuntu:23.04", false, "index.docker.io", "library/ubuntu", Some("23.04"))]
    #[case("oci://user/image", false, "index.docker.io", "user/image", None)]
    #[case("oci://User/image", false, "User", "image", None)]
    #[case("oci://ghcr.io/Foo/Bar", false, "ghcr.io", "foo/bar", None)]
    #[case("oci://localhost/x/y", false, "localhost", "x/y", None)]
    #[case("oci+http://127.0.0.1:5000/x/y:1.0", true, "127.0.0.1:5000", "x/y", Some("1.0"))]
    #[case("oci://[::1]:5000/a/b", false, "[::1]:5000", "a/b", None)]
    #[case("oci://reg.io", false, "index.docker.io", "library/reg.io", None)]
    #[case("oci://reg.io/a__b/c--d.e", false, "reg.io", "a__b/c--d.e", None)]
    fn references_are_read_as_spack_reads_them(
        #[case] text: &str,
        #[case] is_plain: bool,
        #[case] host: &str,
        #[case] repository: &str,
        #[case] tag: Option<&str>,
    ) {
        let found = Reference::parse(text).unwrap();
        let expected = (is_plain, host, repository, tag);
        assert_eq!(
            (found.is_plain, &*found.host, &*found.repository, found.tag.as_deref()),
            expected
        );
    }

    #[rstest]
    #[case::a_slash_at_the_end("oci://reg.io/a/b/")]
    #[case::another_scheme("https://reg.io/a")]
    #[case::a_space("oci://reg.io/a b")]
    #[case::a_bad_tag("oci://reg.io/a:-x")]
    #[case::a_short_digest("oci://reg.io/a@sha256:abc")]
    #[case::a_password("oci://user:secret@reg.io/a")]
    #[case::three_underscores("oci://reg.io/a___b")]
    #[case::a_port_that_is_none("oci://reg.io:99999/a")]
    #[case::nothing("oci://")]
    #[case::a_climb("oci://reg.io/../a")]
    #[case::too_long(&format!("oci://reg.io/{}", "a".repeat(255)))]
    fn references_that_are_none(#[case] text: &str) {
        assert!(Reference::parse(text).is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_a_reference_reads_as_itself(text in "(oci://|oci\\+http://)?[a-zA-Z0-9./:@_\\[\\]-]{0,40}") {
            if let Ok(reference) = Reference::parse(&text) {
                proptest::prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
            }
        }
    }

    #[test]
    fn a_reference_is_written_as_it_is_read() {
        let digest = Digest::of(b"x");
        for text in ["oci://ghcr.io/a/b:1", &format!("oci+http://localhost:5000/a@{digest}")] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), *text);
        }
    }
}
