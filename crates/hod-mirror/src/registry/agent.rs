//! The HTTP library, set up: whom it trusts, through whom it goes, how long it waits.

use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::error::RegistryError;
use super::options::RegistryOptions;
use super::reference::Reference;

pub(super) fn agent(
    reference: &Reference,
    options: &RegistryOptions,
) -> Result<ureq::Agent, RegistryError> {
    let connections = options.connections.max(1);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .disable_verification(!options.verify_tls);
    if options.verify_tls {
        // Those of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`. What cannot be read of
        // them is left out: one bad file must not shut out the rest.
        let system = rustls_native_certs::load_native_certs().certs;
        let mut roots: Vec<Certificate<'static>> =
            system.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        if let Some(path) = &options.ca_file {
            roots.extend(certificates(path)?);
        }
        tls = tls.root_certs(RootCerts::Specific(Arc::new(roots)));
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("hod/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(options.timeout.min(Duration::from_secs(30))))
        .timeout_per_read(Some(options.timeout))
        .timeout_per_write(Some(options.timeout))
        // The answer to the end of a large upload may take its time: it is read again there.
        .timeout_recv_response(Some(options.timeout * 3))
        .max_idle_connections(connections)
        .max_idle_connections_per_host(connections)
        .tls_config(tls.build())
        .proxy(proxy(reference.is_plain, &|name| std::env::var(name).ok()))
        .build();
    Ok(config.new_agent())
}

fn certificates(path: &std::path::Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let error = |source| RegistryError::Certificates { path: path.to_owned(), source };
    let bytes = fs_err::read(path).map_err(error)?;
    let invalid = |text: String| error(std::io::Error::new(std::io::ErrorKind::InvalidData, text));
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&bytes) {
        if let ureq::tls::PemItem::Certificate(certificate) =
            item.map_err(|source| invalid(source.to_string()))?
        {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(invalid("there is none in it".to_owned())) } else { Ok(found) }
}

/// The proxy for a scheme, out of an environment: `https_proxy` or `http_proxy`, then `all_proxy`,
/// in either case, as curl takes them; except for the upper-case `HTTP_PROXY`, which a CGI server
/// takes from a header of a request. What `no_proxy` names is spoken to directly.
///
/// The library would take `HTTPS_PROXY` for a registry without TLS as well.
fn proxy(is_plain: bool, variable: &dyn Fn(&str) -> Option<String>) -> Option<ureq::Proxy> {
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let of_scheme = if is_plain {
        variable("http_proxy")
    } else {
        variable("https_proxy").or_else(|| variable("HTTPS_PROXY"))
    };
    let url = of_scheme.or_else(|| variable("all_proxy")).or_else(|| variable("ALL_PROXY"))?;
    let given = ureq::Proxy::new(url.trim()).ok()?;
    let mut proxy = ureq::Proxy::builder(given.protocol()).host(given.host()).port(given.port());
    if let Some(username) = given.username() {
        proxy = proxy.username(username);
    }
    if let Some(password) = given.password() {
        proxy = proxy.password(password);
    }
    let direct = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
    for host in direct.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        // `example.com` is meant with all that is below it (curl, Go), which the library takes
        // to be two things.
        proxy = proxy.no_proxy(host);
        if !host.starts_with(['.', '*']) {
            proxy = proxy.no_proxy(&format!(".{host}"));
        }
    }
    proxy.build().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none(&[], false, None)]
    #[case::for_tls(&[("HTTPS_PROXY", "http://p:1"), ("http_proxy", "http://q:2")], false, Some("p:1"))]
    #[case::for_plain(&[("HTTPS_PROXY", "http://p:1"), ("http_proxy", "q:2")], true, Some("q:2"))]
    #[case::for_tls_alone(&[("HTTPS_PROXY", "http://p:1")], true, None)]
    #[case::from_a_header(&[("HTTP_PROXY", "http://evil:1")], true, None)]
    #[case::for_all(&[("ALL_PROXY", "http://p:1")], true, Some("p:1"))]
    #[case::empty(&[("https_proxy", ""), ("ALL_PROXY", "http://p:1")], false, Some("p:1"))]
    fn the_proxy_is_that_of_the_scheme(
        #[case] variables: &[(&str, &str)],
        #[case] is_plain: bool,
        #[case] expected: Option<&str>,
    ) {
        let variables: std::collections::HashMap<_, _> = variables.iter().copied().collect();
        let found = proxy(is_plain, &|name| variables.get(name).map(ToString::to_string));
        let found = found.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()));
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn hosts_without_a_proxy_are_those_named_and_those_below_them() {
        let variable = |name: &str| match name {
            "https_proxy" => Some("http://user:p%40ss@p:1".to_owned()),
            "NO_PROXY" => Some("localhost, reg.io,*.lan".to_owned()),
            _ => None,
        };
        let proxy = proxy(false, &variable).unwrap();
        assert_eq!((proxy.username(), proxy.password()), (Some("user"), Some("p@ss")));
        let is_direct = |url: &str| proxy.is_no_proxy(&url.parse().unwrap());
        for url in [
            "https://reg.io/v2/",
            "https://a.reg.io:5000/",
            "https://x.lan/",
            "https://localhost:1/",
        ] {
            assert!(is_direct(url), "{url}");
        }
        assert!(!is_direct("https://otherreg.io/"));
    }
}
