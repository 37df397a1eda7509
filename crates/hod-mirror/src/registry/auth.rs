//! Proving who asks: Basic, or tokens of the token service (distribution, `spec/auth`). One token
//! serves all requests of a run; many threads wait for the one that fetches it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde::Deserialize;

use super::challenge::{self, Challenge};
use super::error::RegistryError;
use super::http::{self, Content, Request, Response};
use crate::credentials::Credentials;

/// Who this program says it is to token services.
const CLIENT: &str = "hod";
/// How long a token holds where nothing is said (distribution, `spec/auth/token`).
const LIFETIME: Duration = Duration::from_secs(60);
const TOKEN_LIMIT: u64 = 1 << 20;

/// What is known of how to be let in. Each change has a new number, so that of many requests that
/// were refused with one token only the first fetches another.
#[derive(Debug, Default)]
pub(super) struct Auth {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    number: u64,
    way: Way,
    /// The last one and when it should be renewed.
    token: Option<(String, Instant)>,
}

#[derive(Default)]
enum Way {
    /// Nothing was asked for yet.
    #[default]
    Open,
    Basic(String),
    Bearer(Service),
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Basic(_) => "Basic(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

/// Where tokens come from.
#[derive(Debug, Clone)]
struct Service {
    realm: String,
    name: Option<String>,
    /// What the registry asked for beyond what we ask for anyway.
    scope: Option<String>,
}

/// What a header was made from: given back when the registry refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(u64);

/// What does not change from token to token.
pub(super) struct Asking<'a> {
    pub(super) agent: &'a ureq::Agent,
    pub(super) host: &'a str,
    pub(super) is_plain: bool,
    pub(super) credentials: Option<&'a Credentials>,
    /// What is to be done: `repository:a/b:pull,push`.
    pub(super) scopes: &'a [String],
}

impl Auth {
    /// The header of the next request, if one is needed.
    pub(super) fn header(
        &self,
        asking: &Asking<'_>,
    ) -> Result<(Option<String>, Number), RegistryError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let header = match &state.way {
            Way::Open => None,
            Way::Basic(header) => Some(header.clone()),
            Way::Bearer(service) => {
                let fresh = state.token.as_ref().filter(|(_, until)| Instant::now() < *until);
                if let Some((token, _)) = fresh {
                    Some(format!("Bearer {token}"))
                } else {
                    let (token, until) = asking.token(service)?;
                    let header = format!("Bearer {token}");
                    state.token = Some((token, until));
                    state.number += 1;
                    Some(header)
                }
            }
        };
        Ok((header, Number(state.number)))
    }

    /// A request was refused for want of authentication. Whether another attempt makes sense.
    pub(super) fn refused(
        &self,
        response: &Response,
        used: Number,
        asking: &Asking<'_>,
    ) -> Result<bool, RegistryError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.number != used.0 {
            // Somebody else has had a new one since.
            return Ok(true);
        }
        let challenges: Vec<Challenge> =
            response.headers("www-authenticate").flat_map(challenge::parse).collect();
        let by_scheme = |scheme: &str| challenges.iter().find(|c| c.scheme == scheme);
        if let Some(bearer) = by_scheme("bearer") {
            let realm = bearer.parameter("realm").unwrap_or_default();
            // A password must not leave the encrypted channel it was meant for.
            if !(realm.starts_with("https://") || asking.is_plain && realm.starts_with("http://")) {
                return Err(response.protocol(format!(
                    "sends whoever asks to `{realm}`, where no password may go"
                )));
            }
            let service = Service {
                realm: realm.to_owned(),
                name: bearer.parameter("service").map(str::to_owned),
                scope: bearer.parameter("scope").map(str::to_owned),
            };
            state.token = Some(asking.token(&service)?);
            state.way = Way::Bearer(service);
        } else if let (Some(_), Some(Credentials::Basic { username, password })) =
            (by_scheme("basic"), asking.credentials)
        {
            if matches!(state.way, Way::Basic(_)) {
                return Ok(false);
            }
            state.way = Way::Basic(basic(username, password));
        } else {
            return Ok(false);
        }
        state.number += 1;
        Ok(true)
    }
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{username}:{password}").as_bytes()))
}

/// What a token service answers: `token` or, as in `OAuth2`, `access_token`.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Asking<'_> {
    /// Fetches a token, with the time at which it should be renewed.
    fn token(&self, service: &Service) -> Result<(String, Instant), RegistryError> {
        if let Some(Credentials::RegistryToken(token)) = self.credentials {
            return Ok((token.clone(), Instant::now() + Duration::from_secs(3600)));
        }
        self.fetch(service).map_err(|source| RegistryError::Token {
            host: self.host.to_owned(),
            source: Box::new(source),
        })
    }

    fn fetch(&self, service: &Service) -> Result<(String, Instant), RegistryError> {
        let mut scopes = self.scopes.to_vec();
        scopes.extend(service.scope.clone().filter(|scope| !is_covered(scope, self.scopes)));
        let mut parameters: Vec<(&str, String)> =
            service.name.iter().map(|name| ("service", name.clone())).collect();
        let asked = Instant::now();
        let mut response = if let Some(Credentials::IdentityToken(token)) = self.credentials {
            parameters.push(("scope", scopes.join(" ")));
            parameters.push(("client_id", CLIENT.to_owned()));
            parameters.push(("grant_type", "refresh_token".to_owned()));
            parameters.push(("refresh_token", token.clone()));
            let form = encoded(&parameters);
            let mut request = Request::new("POST", &service.realm)
                .header("content-type", "application/x-www-form-urlencoded")
                .content(Content::Bytes(form.as_bytes()));
            http::send(self.agent, &mut request, None)?
        } else {
            parameters.extend(scopes.into_iter().map(|scope| ("scope", scope)));
            parameters.push(("client_id", CLIENT.to_owned()));
            let separator = if service.realm.contains('?') { '&' } else { '?' };
            let url = format!("{}{separator}{}", service.realm, encoded(&parameters));
            let authorization = match self.credentials {
                Some(Credentials::Basic { username, password }) => Some(basic(username, password)),
                _ => None,
            };
            http::send(self.agent, &mut Request::new("GET", url), authorization.as_deref())?
        };
        response.is_anonymous = self.credentials.is_none();
        if response.status != 200 {
            return Err(response.into_error());
        }
        let lacks = response.protocol("holds no token");
        let answer: Answer =
            serde_json::from_slice(&response.bytes(TOKEN_LIMIT)?).map_err(|_| lacks)?;
        let lifetime = answer.expires_in.map_or(LIFETIME, Duration::from_secs);
        let token = answer.token.or(answer.access_token).filter(|token| is_header(token));
        let Some(token) = token else {
            let url = service.realm.clone();
            let what = "holds no token".to_owned();
            return Err(RegistryError::Protocol { method: "GET", url, what });
        };
        // Renewed before it runs out, as requests take their time.
        Ok((token, asked + lifetime.mul_f64(0.8)))
    }
}

/// Whether what a registry asks for is among what we ask for anyway.
fn is_covered(wanted: &str, scopes: &[String]) -> bool {
    let Some((place, actions)) = wanted.rsplit_once(':') else { return false };
    scopes.iter().any(|scope| {
        scope.rsplit_once(':').is_some_and(|(known, given)| {
            known == place
                && actions.split(',').all(|action| given.split(',').any(|has| has == action))
        })
    })
}

/// What may stand in a header: a token with a line break in it could add headers of its own.
fn is_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `application/x-www-form-urlencoded`
fn encoded(parameters: &[(&str, String)]) -> String {
    let pairs = parameters.iter().map(|(key, value)| format!("{key}={}", percent(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Percent-encodes whatever is not unreserved (RFC 3986, 2.3).
pub(super) fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_anyway_is_not_asked_for_twice() {
        let ours = ["repository:a/b:pull,push".to_owned()];
        assert!(is_covered("repository:a/b:pull", &ours));
        assert!(is_covered("repository:a/b:push,pull", &ours));
        assert!(!is_covered("repository:a/b:delete", &ours));
        assert!(!is_covered("repository:a/c:pull", &ours));
        assert!(!is_covered("registry:catalog:*", &ours));
    }

    #[test]
    fn nothing_gets_out_of_a_query() {
        let query = encoded(&[("scope", "repository:a/b:pull,push&x=1 é".to_owned())]);
        assert_eq!(query, "scope=repository%3Aa%2Fb%3Apull%2Cpush%26x%3D1%20%C3%A9");
        assert!(!is_header("a\r\nb"));
    }
}
