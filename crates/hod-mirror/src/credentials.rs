//! Who is asking.

use std::collections::HashMap;

/// What a registry is told about who is asking.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User and password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// An OAuth2 refresh token.
    IdentityToken(String),
    /// A token for the registry itself.
    RegistryToken(String),
}

/// Why credentials could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("not possible")]
pub struct CredentialsError;

/// Where credentials are looked for.
#[derive(Default)]
pub struct Keychain {
    given: HashMap<String, Credentials>,
}

impl Keychain {
    /// Nothing but anonymous access.
    pub fn none() -> Self {
        Self::default()
    }

    /// These for this host first.
    pub fn with(mut self, host: &str, credentials: Credentials) -> Self {
        self.given.insert(host.to_owned(), credentials);
        self
    }

    /// For a repository of a registry.
    pub fn credentials(
        &self,
        host: &str,
        _repository: &str,
    ) -> Result<Option<Credentials>, CredentialsError> {
        Ok(self.given.get(host).cloned())
    }
}

impl std::fmt::Debug for Keychain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keychain")
    }
}
