//! What to do when a registry does not do what it was asked for.

use std::io;

use hod_mirror::registry::{Refusal, RegistryError};

/// A command to type or a setting to change. For the outermost error of its kind: those below it
/// may be about another host, which issues tokens.
pub(super) fn hint(error: &RegistryError) -> Option<String> {
    match error {
        RegistryError::Exhausted { source, .. } => hint(source),
        RegistryError::Token { host, source } => match source.refusal() {
            Some(refusal) => refused(refusal, host),
            None => hint(source),
        },
        RegistryError::Refused { url, .. } => refused(error.refusal()?, host(url)),
        // What is wrong with certificates comes as this, see `RegistryError::is_transient`.
        RegistryError::Unreachable { source, .. }
            if source.kind() == io::ErrorKind::InvalidData =>
        {
            Some(if source.to_string().contains("certificate") {
                "name the authority that signed its certificate with `--ca-file PEM`, or in \
                 HOD_CA_FILE or SSL_CERT_FILE"
                    .to_owned()
            } else {
                "a registry without TLS is `oci+http://…`".to_owned()
            })
        }
        RegistryError::Unreachable { .. } => Some(
            "check its name and its port; HTTPS_PROXY, HTTP_PROXY and NO_PROXY say whether there \
             is a proxy on the way"
                .to_owned(),
        ),
        RegistryError::NotARegistry { host, .. } => Some(format!(
            "name it as for docker, without the path of a web page: with TLS `oci://{host}/NAME`, \
             without `oci+http://{host}/NAME`"
        )),
        RegistryError::Broken { .. } | RegistryError::Expired { .. } => {
            Some("run the same command again: what is there already is not sent again".to_owned())
        }
        RegistryError::Certificates { .. } => {
            Some("name a file with certificates in PEM: `--ca-file`, HOD_CA_FILE".to_owned())
        }
        _ => None,
    }
}

fn refused(refusal: Refusal, host: &str) -> Option<String> {
    Some(match refusal {
        // Some registries say so to whoever is known and may not.
        Refusal::Unauthorized => format!(
            "`hod login {host}` says who you are; for a mirror with a name, \
             `hod mirror set --oci-password-variable`"
        ),
        Refusal::Denied => format!(
            "ask the owner of the repository for the permission, or `hod login {host}` as somebody \
             who has it"
        ),
        Refusal::NotFound => {
            "check the name of the repository; some registries want it made before the first push"
                .to_owned()
        }
        Refusal::TooLarge => "the registry, or a proxy before it, has a limit that must be \
                              raised there (nginx: `client_max_body_size`)"
            .to_owned(),
        Refusal::RateLimited => format!(
            "wait a while, and ask for less at a time with `--connections`; `hod login {host}` may \
             raise the limit"
        ),
        Refusal::Full => {
            "make room at the registry and run the same command again; what is there is not sent \
             again"
                .to_owned()
        }
        Refusal::Unavailable => "the registry's log says more, whether its disk is full for \
                                 instance; then run the same command again"
            .to_owned(),
        _ => return None,
    })
}

/// Of a URL that a request was sent to.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, url: &str) -> RegistryError {
        let (url, text) = (url.to_owned(), String::new());
        RegistryError::Refused {
            method: "GET",
            url,
            status,
            codes: Vec::new(),
            text,
            retry_after: None,
        }
    }

    #[test]
    fn a_login_is_at_the_registry_and_not_where_tokens_come_from() {
        let source = Box::new(refused(401, "https://auth.example.org/token"));
        let error = RegistryError::Token { host: "example.org:5000".to_owned(), source };
        let error = RegistryError::Exhausted { attempts: 3, source: Box::new(error) };
        assert!(hint(&error).unwrap().starts_with("`hod login example.org:5000` "));
        let error = refused(401, "https://example.org:5000/v2/a/b/manifests/c");
        assert!(hint(&error).unwrap().starts_with("`hod login example.org:5000` "));
    }

    #[test]
    fn every_refusal_that_somebody_can_do_something_about_has_its_hint() {
        for (status, word) in [
            (403, "permission"),
            (404, "name of the repository"),
            (413, "client_max_body_size"),
            (429, "--connections"),
            (500, "log"),
            (507, "room"),
        ] {
            let said = hint(&refused(status, "http://h/v2/")).unwrap();
            assert!(said.contains(word), "{status}: {said}");
        }
        assert_eq!(hint(&refused(400, "http://h/v2/")), None);
    }
}
