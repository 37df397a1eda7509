//! Requests to one registry: authenticated, repeated where that helps, redirected with care.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hod_archive::Digest;

use super::agent::agent;
use super::auth::{Asking, Auth};
use super::error::RegistryError;
use super::http::{self, Request, Response};
use super::options::{Access, RegistryOptions, RetryWait};
use super::reference::Reference;
use super::ways::Ways;
use crate::credentials::Credentials;

/// Further than this no honest registry sends anybody.
const MOST_REDIRECTS: usize = 5;
/// Longer than this nobody is kept waiting by `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A connection to one repository of one registry.
pub(super) struct Client {
    pub(super) reference: Reference,
    pub(super) options: RegistryOptions,
    pub(super) ways: Ways,
    /// Blobs that are known to be there.
    pub(super) present: Mutex<HashSet<Digest>>,
    agent: ureq::Agent,
    auth: Auth,
    access: Access,
    credentials: OnceLock<Option<Credentials>>,
    /// Whether somebody has answered who looks like a registry.
    is_known: Mutex<bool>,
    requests: AtomicU64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("reference", &self.reference).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(
        reference: Reference,
        access: Access,
        options: RegistryOptions,
    ) -> Result<Self, RegistryError> {
        let agent = agent(&reference, &options)?;
        let ways = Ways::open(options.memory.as_deref(), &reference.host);
        Ok(Self {
            reference,
            ways,
            present: Mutex::default(),
            agent,
            auth: Auth::default(),
            access,
            credentials: OnceLock::new(),
            is_known: Mutex::new(false),
            requests: AtomicU64::new(0),
            options,
        })
    }

    /// `<scheme>://<host>/v2/<repository>/<rest>`
    pub(super) fn url(&self, rest: &str) -> String {
        let Reference { host, repository, .. } = &self.reference;
        format!("{}://{host}/v2/{repository}/{rest}", self.reference.scheme())
    }

    /// Requests sent so far, those for tokens not among them.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Ends all that goes on; whoever waits gets an error.
    pub(super) fn abort(&self) {
        self.agent.clone().shutdown();
    }

    /// Sends a request and returns whatever the registry answers, 401 excepted.
    pub(super) fn send(&self, mut request: Request<'_>) -> Result<Response, RegistryError> {
        // The first one goes alone: it learns what the registry wants to know of who asks, before
        // a crowd of others would all be refused; and whether it is a registry at all.
        let mut is_known = self.is_known.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_known {
            drop(is_known);
            return self.follow(&mut request);
        }
        let response = self.follow(&mut request)?;
        let is_telling = response.header("docker-distribution-api-version").is_some()
            || (200..300).contains(&response.status) && !response.is_page();
        if !is_telling {
            self.require_registry()?;
        }
        *is_known = true;
        Ok(response)
    }

    /// Goes where the registry sends whoever reads.
    fn follow(&self, request: &mut Request<'_>) -> Result<Response, RegistryError> {
        let is_ours = self.is_ours(&request.url);
        for redirects in 0..=MOST_REDIRECTS {
            let response = if is_ours && self.is_ours(&request.url) {
                self.authorised(request)?
            } else {
                // Another host is none of the registry's secrets' business.
                self.once(request, None)?
            };
            let target = match response.status {
                301 | 302 | 303 | 307 | 308 => response.header("location").map(str::to_owned),
                _ => None,
            };
            let Some(target) = target.filter(|_| matches!(request.method, "GET" | "HEAD")) else {
                return Ok(response);
            };
            if redirects == MOST_REDIRECTS {
                return Err(response.protocol("sends from one place to the next without end"));
            }
            let url = resolved(&request.url, &target)
                .filter(|url| self.reference.is_plain || url.starts_with("https://"))
                .ok_or_else(|| response.protocol("sends to where nobody should go"))?;
            response.finish();
            request.url = url;
        }
        unreachable!("the last round returns")
    }

    /// One request with authorization, and once more if that was refused.
    fn authorised(&self, request: &mut Request<'_>) -> Result<Response, RegistryError> {
        let scopes = self.scopes();
        let asking = self.asking(&scopes)?;
        for is_second in [false, true] {
            let (header, number) = self.auth.header(&asking)?;
            let mut response = self.once(request, header.as_deref())?;
            response.is_anonymous = asking.credentials.is_none();
            if response.status != 401 {
                return Ok(response);
            }
            let is_worth_it = !is_second && self.auth.refused(&response, number, &asking)?;
            if !is_worth_it {
                return Err(response.into_error());
            }
            if !request.is_repeatable() {
                return Err(RegistryError::Expired { host: self.reference.host.clone() });
            }
            response.finish();
        }
        unreachable!("the second round returns")
    }

    fn once(
        &self,
        request: &mut Request<'_>,
        authorization: Option<&str>,
    ) -> Result<Response, RegistryError> {
        if self.options.cancel.is_cancelled() {
            return Err(RegistryError::Cancelled);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        http::send(&self.agent, request, authorization).map_err(|error| {
            if self.options.cancel.is_cancelled() { RegistryError::Cancelled } else { error }
        })
    }

    /// Asks whether there is a registry, where an answer did not look like it.
    fn require_registry(&self) -> Result<(), RegistryError> {
        let url = format!("{}://{}/v2/", self.reference.scheme(), self.reference.host);
        let response = self.authorised(&mut Request::new("GET", &url))?;
        let reason = match response.status {
            200 if response.is_page() => format!("`{url}` is a web page"),
            404 | 400 | 405 | 301..=308 => format!("`{url}` answers {}", response.status),
            _ => return Ok(()),
        };
        Err(RegistryError::NotARegistry { host: self.reference.host.clone(), reason })
    }

    fn scopes(&self) -> Vec<String> {
        if self.reference.repository.is_empty() {
            return Vec::new();
        }
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        vec![format!("repository:{}:{actions}", self.reference.repository)]
    }

    fn asking<'a>(&'a self, scopes: &'a [String]) -> Result<Asking<'a>, RegistryError> {
        let Reference { host, repository, is_plain, .. } = &self.reference;
        if self.credentials.get().is_none() {
            let found = self.options.keychain.credentials(host, repository);
            let found = found
                .map_err(|source| RegistryError::Credentials { host: host.clone(), source })?;
            let _ = self.credentials.set(found);
        }
        Ok(Asking {
            agent: &self.agent,
            host,
            is_plain: *is_plain,
            credentials: self.credentials.get().and_then(Option::as_ref),
            scopes,
        })
    }

    /// Whether somebody is known to ask.
    pub(super) fn is_anonymous(&self) -> bool {
        self.credentials.get().is_none_or(Option::is_none)
    }

    /// Whether a URL is of this registry.
    fn is_ours(&self, url: &str) -> bool {
        let base = format!("{}://{}/", self.reference.scheme(), self.reference.host);
        url.starts_with(&base)
    }

    /// Attempts at something that may fail for a moment. `attempt` is told how many failed before.
    pub(super) fn repeatedly<T>(
        &self,
        mut attempt: impl FnMut(u32) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let attempts = self.options.attempts.max(1);
        for failed in 0.. {
            let error = match attempt(failed) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let asked = error.retry_after();
            if !error.is_transient() || asked.is_some_and(|wait| wait > LONGEST_WAIT) {
                return Err(error);
            }
            if failed + 1 == attempts {
                return Err(RegistryError::Exhausted { attempts, source: Box::new(error) });
            }
            let wait = asked.map_or_else(|| backoff(failed), |asked| asked + backoff(0));
            if let Some(on_wait) = &self.options.on_wait
                && wait >= Duration::from_secs(1)
            {
                let (host, reason) = (self.reference.host.clone(), error.to_string());
                on_wait(&RetryWait { host, wait, reason });
            }
            self.sleep(wait)?;
        }
        unreachable!("the last attempt returns")
    }

    fn sleep(&self, wait: Duration) -> Result<(), RegistryError> {
        let end = Instant::now() + wait;
        loop {
            if self.options.cancel.is_cancelled() {
                return Err(RegistryError::Cancelled);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

/// 0.2, 0.4, 0.8 … seconds, up to half more: those who failed together should not come back
/// together.
fn backoff(failed: u32) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(failed) % 1000;
    let base = Duration::from_millis(200) * 2u32.pow(failed.min(6));
    base + base.mul_f64(f64::from(u32::try_from(random).unwrap_or(0)) / 2000.0)
}

/// Where a `Location` leads to, seen from `base`: it may be a whole URL, or a path.
pub(super) fn resolved(base: &str, location: &str) -> Option<String> {
    if location.contains("://") {
        return Some(location.to_owned())
            .filter(|url| url.starts_with("http://") || url.starts_with("https://"));
    }
    let (scheme, rest) = base.split_once("://")?;
    if let Some(rest) = location.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if location.starts_with('/') {
        return Some(format!("{scheme}://{host}{location}"));
    }
    let directory = path.split('?').next()?.rsplit_once('/').map_or("", |(directory, _)| directory);
    Some(format!("{scheme}://{host}/{directory}/{location}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://reg.io/v2/a/b/blobs/uploads/", "/v2/a/b/u?x=1", "https://reg.io/v2/a/b/u?x=1")]
    #[case("https://reg.io/v2/a/x?y=/z", "u", "https://reg.io/v2/a/u")]
    #[case("http://reg.io:1/v2/", "//other/u", "http://other/u")]
    #[case("https://reg.io/v2/", "https://cdn.io/u", "https://cdn.io/u")]
    fn a_location_is_resolved(#[case] base: &str, #[case] location: &str, #[case] url: &str) {
        assert_eq!(resolved(base, location).as_deref(), Some(url));
    }

    proptest::proptest! {
        #[test]
        fn a_location_is_of_the_web_or_nothing(location in "[ -~é]{0,60}") {
            if let Some(url) = resolved("https://reg.io/v2/a/", &location) {
                proptest::prop_assert!(url.starts_with("https://") || url.starts_with("http://"));
            }
        }
    }

    #[test]
    fn a_location_of_another_kind_leads_nowhere() {
        assert_eq!(resolved("https://reg.io/", "file:///etc/passwd"), None);
    }

    #[test]
    fn waits_grow_and_differ() {
        for failed in 0..10 {
            let base = Duration::from_millis(200) * 2u32.pow(failed.min(6));
            let wait = backoff(failed);
            assert!(wait >= base && wait <= base.mul_f64(1.5), "{wait:?}");
        }
    }
}
