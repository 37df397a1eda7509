//! What can be done about what registries say, about passwords, and about names of mirrors.

use std::io;

use hod_mirror::CredentialsError;
use hod_mirror::registry::{Refusal, RegistryError};

use crate::error::PlaceError;

const AGAIN: &str = "run the same command again later: what is there is not sent again";

/// What can be done about what a registry says, or about its silence.
pub(super) fn registry(error: &RegistryError) -> Vec<String> {
    match error {
        RegistryError::Exhausted { source, .. } | RegistryError::Token { source, .. }
            if source.refusal().is_none() =>
        {
            return registry(source);
        }
        RegistryError::Unreachable { host, source } => return unreachable(host, source),
        RegistryError::Broken { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
            return unreachable("HOST", source);
        }
        RegistryError::Broken { .. } | RegistryError::Protocol { .. } => {
            return vec![
                AGAIN.to_owned(),
                "`--connections 4` asks less of a weak network or registry".to_owned(),
            ];
        }
        RegistryError::Expired { .. } => return vec![AGAIN.to_owned()],
        RegistryError::Certificates { .. } => {
            return vec!["name a PEM file with `--ca-file`, or with HOD_CA_FILE".to_owned()];
        }
        RegistryError::NotARegistry { reason, .. } => {
            let name = "name it as for docker, `oci://HOST/NAME`, without the path of a web page";
            let with_tls = "a registry with TLS is `oci://…`, one without it `oci+http://…`";
            let is_plain = reason.starts_with("`http://");
            let hints: &[&str] = if is_plain { &[with_tls, name] } else { &[name] };
            return hints.iter().map(|&hint| hint.to_owned()).collect();
        }
        _ => {}
    }
    error.refusal().map_or_else(Vec::new, |refusal| refused(error, refusal))
}

/// What can be done about an answer.
fn refused(error: &RegistryError, refusal: Refusal) -> Vec<String> {
    let host = host(error);
    let login = format!("`hod login {host}` says who you are");
    let hints: &[&str] = match refusal {
        Refusal::Unauthorized | Refusal::Denied if error.is_anonymous() => &[&login],
        Refusal::Unauthorized => &[
            &format!(
                "`hod login {host}` with the right password, or with a token that still holds"
            ),
            "what `hod mirror set` knows for the host comes first: look at the variable named there",
        ],
        Refusal::Denied => &[&format!(
            "`hod login {host}` as somebody who may do this, or name another repository"
        )],
        Refusal::NotFound => {
            &["see whether the repository is spelled right; some must be made first"]
        }
        Refusal::Name => {
            &[&format!("name one that it allows, such as `oci://{host}/PROJECT/NAME`")]
        }
        Refusal::TooLarge if error.is_of_manifest() => &[
            "`--max-layers 60` merges more layers of a tagged image",
            "`--only package` makes images without what the packages depend on",
        ],
        Refusal::TooLarge => {
            &["raise the limit at the registry or the proxy before it, such as nginx's \
             `client_max_body_size`"]
        }
        Refusal::RateLimited if error.is_anonymous() => &[
            "run the same command again later, or with fewer `--connections`",
            &format!("`hod login {host}` may raise the limit"),
        ],
        Refusal::RateLimited => {
            &["run the same command again later, or with fewer `--connections`"]
        }
        Refusal::Full => &[
            "make room at the registry and run the same command again: what is there is not sent \
             again",
        ],
        Refusal::Unavailable => &[AGAIN],
        _ => &[],
    };
    hints.iter().map(|&hint| hint.to_owned()).collect()
}

/// No connection came about.
fn unreachable(host: &str, source: &io::Error) -> Vec<String> {
    let hints: &[&str] = match source.kind() {
        io::ErrorKind::InvalidData if source.to_string().contains("certificate") => &[
            "name the certificate of its authority with `--ca-file PEM`, or with HOD_CA_FILE",
            "`--tls-verify false` trusts whoever answers",
        ],
        io::ErrorKind::InvalidData => {
            &[&format!("a registry without TLS is `oci+http://{host}/…`")]
        }
        io::ErrorKind::NotFound => {
            &["see whether its name is right, and whether HTTPS_PROXY leads to it"]
        }
        _ => &["see whether it runs and its port is right, and whether HTTPS_PROXY leads to it"],
    };
    hints.iter().map(|&hint| hint.to_owned()).collect()
}

/// Of the registry that said it; of a token server, the registry whose token it is.
fn host(error: &RegistryError) -> &str {
    match error {
        RegistryError::Token { host, .. } => host,
        RegistryError::Exhausted { source, .. } => host(source),
        RegistryError::Refused { url, .. } => {
            let rest = url.split_once("://").map_or(&**url, |(_, rest)| rest);
            rest.split('/').next().unwrap_or(rest)
        }
        _ => "HOST",
    }
}

/// What can be done about credentials that cannot be looked up or kept.
pub(super) fn credentials(error: &CredentialsError) -> Option<String> {
    match error {
        CredentialsError::HelperMissing { path, program } => {
            Some(format!("install `{program}`, or take it out of `{}`", path.display()))
        }
        CredentialsError::Json { path, .. }
        | CredentialsError::WrongType { path, .. }
        | CredentialsError::HelperName { path, .. } => {
            Some(format!("correct `{}` by hand", path.display()))
        }
        CredentialsError::Auth { .. } => {
            Some("`hod login REGISTRY` writes the entry anew".to_owned())
        }
        CredentialsError::NoPlace => Some("set HOME, or REGISTRY_AUTH_FILE to a file".to_owned()),
        CredentialsError::HelperFailed { program, .. }
        | CredentialsError::HelperAnswer { program, .. }
        | CredentialsError::HelperRun { program, .. } => {
            Some(format!("`{program} list` shows whether it works at all"))
        }
        _ => None,
    }
}

/// What can be done about a word that names no mirror.
pub(super) fn place(error: &PlaceError) -> String {
    match error {
        PlaceError::NoDirectory => "write it as `oci-layout:DIR`".to_owned(),
        PlaceError::Relative { .. } => "write a path without `file://`".to_owned(),
        PlaceError::OneImage { repository, .. } => format!("leave the tag out: `{repository}`"),
        PlaceError::Reference(error) if error.text.contains("…@") => {
            "leave them out: `hod login HOST` asks for them".to_owned()
        }
        PlaceError::Reference(_) => "write it as `oci://ghcr.io/user/image`".to_owned(),
        PlaceError::UnknownKind { url } => {
            let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
            match scheme.to_ascii_lowercase().as_str() {
                "https" | "docker" | "oci" => format!("for a registry, write `oci://{rest}`"),
                "http" | "oci+http" => {
                    format!("for a registry without TLS, write `oci+http://{rest}`")
                }
                _ => "name a directory, `oci://HOST/NAME` or `oci-layout:DIR`".to_owned(),
            }
        }
    }
}
