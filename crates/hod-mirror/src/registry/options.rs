//! How a registry is to be spoken to.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hod_archive::Cancel;

use crate::credentials::Keychain;

/// What is to be done with a repository: asked for in the first token, so that one is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Pull,
    /// Reading and writing.
    Push,
}

/// Listens to waits.
pub type OnWait = Arc<dyn Fn(&RetryWait) + Send + Sync>;

/// How to speak to a registry.
#[derive(Clone)]
pub struct RegistryOptions {
    /// Where passwords are.
    pub keychain: Arc<Keychain>,
    /// Certificates to trust besides those of the system, as a PEM file.
    pub ca_file: Option<PathBuf>,
    /// Whether certificates are looked at. Not to be switched off where a network lies between.
    pub verify_tls: bool,
    /// Attempts at whatever may succeed a moment later.
    pub attempts: u32,
    /// How long nothing may come.
    pub timeout: Duration,
    /// Most requests at the same time.
    pub connections: usize,
    /// Blobs at least so long are sent while they are packed; smaller ones in one piece when they
    /// are complete, which saves a request. 0: all, even those that are complete by then.
    pub stream_from: u64,
    /// Where is remembered how hosts want to be spoken to.
    pub memory: Option<PathBuf>,
    /// Told of each wait of a second or more.
    pub on_wait: Option<OnWait>,
    /// Stops whatever goes on.
    pub cancel: Cancel,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            keychain: Arc::new(Keychain::none()),
            ca_file: None,
            verify_tls: true,
            attempts: 6,
            timeout: Duration::from_secs(120),
            connections: 16,
            stream_from: 1 << 20,
            memory: None,
            on_wait: None,
            cancel: Cancel::default(),
        }
    }
}

impl fmt::Debug for RegistryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryOptions")
            .field("ca_file", &self.ca_file)
            .field("verify_tls", &self.verify_tls)
            .field("attempts", &self.attempts)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A pause before another attempt.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetryWait {
    /// The registry.
    pub host: String,
    /// How long.
    pub wait: Duration,
    /// Why.
    pub reason: String,
}
