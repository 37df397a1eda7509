//! Programs that keep passwords: `docker-credential-NAME get`, `store`, `erase`
//! (docker/docker-credential-helpers). Everything that is secret goes through their stdin.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::host::key_of;
use super::{Credentials, CredentialsError};

/// The user of what is a token and no password.
const TOKEN: &str = "<token>";
/// What helpers say when they know nothing, and end with a failure.
const NOT_FOUND: &str = "credentials not found";
/// No helper has more to say in an error.
const MESSAGE: usize = 200;

/// How helpers are found and run.
#[derive(Default)]
pub(super) struct Helpers {
    variables: BTreeMap<String, String>,
}

/// A helper, found.
struct Helper {
    program: String,
    path: PathBuf,
}

impl Helpers {
    pub(super) fn new(variables: &BTreeMap<String, String>) -> Self {
        Self { variables: variables.clone() }
    }

    /// What the helper that `file` names has for a host.
    pub(super) fn get(
        &self,
        file: &Path,
        name: &str,
        host: &str,
    ) -> Result<Option<Credentials>, CredentialsError> {
        let helper = self.find(file, name)?;
        let Some(output) = self.run(&helper, "get", host, &key_of(host), "")? else {
            return Ok(None);
        };
        let error = || CredentialsError::HelperAnswer {
            program: helper.program.clone(),
            host: host.to_owned(),
        };
        // As a value: an error about types would show the answer.
        let answer: Value = serde_json::from_slice(&output.stdout).map_err(|_| error())?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        let (username, secret) = text("Username").zip(text("Secret")).ok_or_else(error)?;
        if secret.is_empty() {
            return Ok(None);
        }
        Ok(Some(match &*username {
            TOKEN => Credentials::IdentityToken(secret),
            _ => Credentials::Basic { username, password: secret },
        }))
    }

    /// Has the helper keep a user's password or token.
    pub(super) fn store(
        &self,
        file: &Path,
        name: &str,
        host: &str,
        username: Option<&str>,
        secret: &str,
    ) -> Result<String, CredentialsError> {
        let helper = self.find(file, name)?;
        let username = username.unwrap_or(TOKEN);
        let input = json!({"ServerURL": key_of(host), "Username": username, "Secret": secret});
        self.run(&helper, "store", host, &input.to_string(), secret)?;
        Ok(helper.program)
    }

    /// Has the helper forget a host.
    pub(super) fn erase(
        &self,
        file: &Path,
        name: &str,
        host: &str,
    ) -> Result<String, CredentialsError> {
        let helper = self.find(file, name)?;
        self.run(&helper, "erase", host, &key_of(host), "")?;
        Ok(helper.program)
    }

    /// Looks for the program in `PATH`; never in the working directory, nor anywhere else that a
    /// name in a file could lead to.
    fn find(&self, file: &Path, name: &str) -> Result<Helper, CredentialsError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(is_plain) {
            let (path, name) = (file.to_owned(), name.to_owned());
            return Err(CredentialsError::HelperName { path, name });
        }
        let program = format!("docker-credential-{name}");
        let directories = self.variables.get("PATH").map(String::as_str).unwrap_or_default();
        let is_program = |path: &PathBuf| {
            let metadata = fs_err::metadata(path);
            metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let mut candidates = std::env::split_paths(directories)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(&program));
        match candidates.find(is_program) {
            Some(path) => Ok(Helper { program, path }),
            None => Err(CredentialsError::HelperMissing { path: file.to_owned(), program }),
        }
    }

    /// `None` if the helper knows nothing. What it says is not shown if it has the secret in it.
    fn run(
        &self,
        helper: &Helper,
        action: &'static str,
        host: &str,
        input: &str,
        secret: &str,
    ) -> Result<Option<Output>, CredentialsError> {
        let output = self.output(helper, action, input).map_err(|source| {
            CredentialsError::HelperRun { program: helper.program.clone(), source }
        })?;
        if output.status.success() {
            return Ok(Some(output));
        }
        // By their protocol they say on stdout what is wrong.
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
        if stdout.contains(NOT_FOUND) || stderr.contains(NOT_FOUND) {
            return Ok(None);
        }
        let said = if stdout.is_empty() { stderr } else { stdout };
        let line: String = said.lines().next().unwrap_or_default().chars().take(MESSAGE).collect();
        let hides = line.is_empty() || (!secret.is_empty() && said.contains(secret));
        Err(CredentialsError::HelperFailed {
            program: helper.program.clone(),
            action,
            host: host.to_owned(),
            message: if hides { output.status.to_string() } else { line },
        })
    }

    fn output(&self, helper: &Helper, action: &str, input: &str) -> std::io::Result<Output> {
        let mut child = Command::new(&helper.path)
            .arg(action)
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read all has its reasons; how it ends tells.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output()
    }
}
