//! What may be written as the place of a mirror.

use super::SCHEMES;
use crate::Environment;
use crate::config::scheme;
use crate::environment::normalised;

/// Why something cannot be the place of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorUrlError {
    /// There is nothing.
    #[error("a mirror needs a URL or a path")]
    Empty,
    /// A kind of URL that Spack does not know.
    #[error("`{url}` is a URL of an unknown kind, `{scheme}`")]
    UnknownScheme {
        /// The URL.
        url: String,
        /// Its scheme.
        scheme: String,
        /// The schemes that there are.
        known: &'static [&'static str],
    },
    /// Nothing after the scheme.
    #[error("`{url}` names no place")]
    NoPlace {
        /// The URL.
        url: String,
    },
    /// An image in a registry instead of a repository.
    #[error("`{url}` names one image: a mirror is a whole repository")]
    Image {
        /// The URL.
        url: String,
        /// The same without tag and digest.
        repository: String,
    },
    /// A repository's name as no registry has one.
    #[error("`{url}` names no repository of a registry")]
    NotARepository {
        /// The URL.
        url: String,
    },
    /// User and password within the URL.
    #[error("the URL has a password in it, which everybody could read in the file")]
    Password,
}

/// What is to be written for a URL or path that somebody typed. A path becomes an absolute one,
/// since in the file it would be relative to the file.
pub fn written_url(text: &str, environment: &Environment) -> Result<String, MirrorUrlError> {
    if text.trim().is_empty() {
        return Err(MirrorUrlError::Empty);
    }
    let Some((kind, rest)) = scheme(text).zip(text.split_once("://").map(|(_, rest)| rest)) else {
        // What Spack itself replaces when it reads the file.
        if text.starts_with(['~', '$']) {
            return Ok(text.to_owned());
        }
        let path = normalised(&environment.cwd.join(text));
        return Ok(path.to_string_lossy().into_owned());
    };
    let url = || text.to_owned();
    if !SCHEMES.contains(&kind) {
        let scheme = kind.to_owned();
        return Err(MirrorUrlError::UnknownScheme { url: url(), scheme, known: &SCHEMES });
    }
    let host = rest.split('/').next().unwrap_or_default();
    if host.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
        return Err(MirrorUrlError::Password);
    }
    if rest.trim_matches('/').is_empty() {
        return Err(MirrorUrlError::NoPlace { url: url() });
    }
    if matches!(kind, "oci" | "oci+http") {
        check_repository(text, kind, rest)?;
    }
    Ok(url())
}

/// Spack ignores a tag, and with a digest it would look at that image for everything
/// (`spack-format` 5.1). The grammar itself is the registry client's.
fn check_repository(url: &str, kind: &str, rest: &str) -> Result<(), MirrorUrlError> {
    let name = rest.split('@').next().unwrap_or_default();
    let last = name.rfind('/').map_or(0, |at| at + 1);
    // In the first component, a colon is before a port.
    let end = name[last..].find(':').filter(|_| last > 0).map_or(name.len(), |colon| last + colon);
    let repository = &name[..end];
    if repository.is_empty()
        || repository.split('/').any(str::is_empty)
        || repository.contains(char::is_whitespace)
    {
        return Err(MirrorUrlError::NotARepository { url: url.to_owned() });
    }
    if end < rest.len() {
        let repository = format!("{kind}://{repository}");
        return Err(MirrorUrlError::Image { url: url.to_owned(), repository });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn written(text: &str) -> Result<String, String> {
        let environment = Environment { cwd: "/home/ada/site".into(), ..Environment::default() };
        written_url(text, &environment).map_err(|error| match error {
            MirrorUrlError::Image { repository, .. } => format!("image of {repository}"),
            other => other.to_string(),
        })
    }

    #[rstest]
    #[case("oci://ghcr.io/user/image", "oci://ghcr.io/user/image")]
    #[case("oci+http://localhost:5000/cache", "oci+http://localhost:5000/cache")]
    #[case("oci://localhost:5000", "oci://localhost:5000")]
    #[case("s3://bucket/prefix", "s3://bucket/prefix")]
    #[case("file:///srv/cache", "file:///srv/cache")]
    #[case("https://user@example.org/cache", "https://user@example.org/cache")]
    #[case("/srv/cache", "/srv/cache")]
    #[case("./cache", "/home/ada/site/cache")]
    #[case("../cache/", "/home/ada/cache")]
    #[case("~/cache", "~/cache")]
    #[case("$spack/cache", "$spack/cache")]
    fn what_can_be_a_mirror_is_written(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(written(text).unwrap(), expected);
    }

    #[rstest]
    #[case("oci://ghcr.io/user/image:latest", "image of oci://ghcr.io/user/image")]
    #[case("oci://h:5000/image:1@sha256:abc", "image of oci://h:5000/image")]
    #[case("oci://ghcr.io/user/image@sha256:abc", "image of oci://ghcr.io/user/image")]
    #[case("oci://ghcr.io/user/", "`oci://ghcr.io/user/` names no repository of a registry")]
    #[case("oci://", "`oci://` names no place")]
    #[case("docker://a/b", "`docker://a/b` is a URL of an unknown kind, `docker`")]
    #[case(" ", "a mirror needs a URL or a path")]
    #[case(
        "https://user:secret@example.org/",
        "the URL has a password in it, which everybody could read in the file"
    )]
    fn what_cannot_is_refused(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(written(text).unwrap_err(), expected);
    }
}
