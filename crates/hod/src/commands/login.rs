//! `hod login` and `hod logout`

use std::io::{self, IsTerminal as _, Read as _};

use anyhow::Context as _;
use hod_archive::Cancel;
use hod_mirror::{Credentials, Keychain};
use serde_json::json;

use crate::cli;
use crate::error::UsageError;
use crate::surroundings::Surroundings;
use crate::ui::{ExitStatus, Printer};

mod prompt;

pub(crate) fn login(
    arguments: &cli::Login,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let host = registry(&arguments.registry)?;
    let surroundings = Surroundings::new(printer, cancel);
    let keychain = keychain(&surroundings);
    let Some((username, password)) = ask(arguments, &host, printer)? else {
        return Ok(ExitStatus::Interrupted);
    };
    let what = format!("could not log in to `{host}` as `{username}`");
    let credentials = Credentials::Basic { username, password };
    if !arguments.offline {
        // A mistake that is found now costs seconds.
        let is_plain = ["http://", "oci+http://"].iter().any(|s| arguments.registry.starts_with(s));
        let opener = surroundings.opener(&arguments.registries);
        opener.verify(&host, is_plain, &credentials).context(what)?;
    }
    let kept = keychain.store(&host, &credentials)?;
    if printer.is_json() {
        let (file, helper) = (&kept.file, &kept.helper);
        let event = json!({"event": "login", "registry": host, "file": file, "helper": helper});
        printer.json(&event);
    }
    let file = surroundings.shown(&kept.file);
    if let Some(helper) = kept.helper {
        printer.say(format_args!("Stored the password for `{host}` with `{helper}`"));
    } else {
        printer.say(format_args!("Stored the password for `{host}` in `{file}`"));
        printer.say("It is not encrypted there: a credential helper could keep it");
    }
    Ok(ExitStatus::Success)
}

pub(crate) fn logout(
    arguments: &cli::Logout,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let host = registry(&arguments.registry)?;
    let surroundings = Surroundings::new(printer, cancel);
    let keychain = keychain(&surroundings);
    let removed = keychain.erase(&host)?;
    if printer.is_json() {
        let file = removed.as_ref().map(|removed| &removed.file);
        let helper = removed.as_ref().and_then(|removed| removed.helper.as_ref());
        let event = json!({"event": "logout", "registry": host, "file": file, "helper": helper});
        printer.json(&event);
    }
    match &removed {
        Some(removed) => {
            let file = surroundings.shown(&removed.file);
            let place = removed.helper.as_ref().unwrap_or(&file);
            printer.say(format_args!("Removed the password for `{host}` from `{place}`"));
        }
        None => printer.say(format_args!("There was no password for `{host}`")),
    }
    // Where podman keeps its own, for instance.
    if let Ok(Some(other)) = keychain.file(&host, "") {
        let other = surroundings.shown(&other);
        printer.warn(format_args!("`{other}` still has a password for `{host}`"));
    }
    Ok(ExitStatus::Success)
}

fn keychain(surroundings: &Surroundings<'_>) -> Keychain {
    let environment = surroundings.environment();
    Keychain::from_environment(&environment.variables, environment.home.as_deref())
}

/// User and password. `None` if the user thought better of it.
fn ask(
    arguments: &cli::Login,
    host: &str,
    printer: &Printer,
) -> anyhow::Result<Option<(String, String)>> {
    let usage = |text: &str| anyhow::Error::from(UsageError(text.to_owned()));
    if arguments.password_stdin {
        let Some(username) = arguments.username.clone() else {
            return Err(usage("`--password-stdin` needs the user as well: `--username`"));
        };
        let mut password = String::new();
        io::stdin().read_to_string(&mut password)?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() {
            return Err(usage("there is no password on stdin"));
        }
        return Ok(Some((username, password)));
    }
    if !io::stdin().is_terminal() {
        return Err(usage(
            "there is no terminal on which to ask for the password: give it on stdin, with \
             `--password-stdin`",
        ));
    }
    let username = match &arguments.username {
        Some(username) => Some(username.clone()),
        None => prompt::ask(&format!("User for `{host}`: "), prompt::Echo::On, printer)?,
    };
    let Some(username) = username else { return Ok(None) };
    if username.is_empty() {
        return Err(usage("a user is needed"));
    }
    let question = format!("Password or token of `{username}` for `{host}`: ");
    let password = prompt::ask(&question, prompt::Echo::Off, printer)?;
    if password.as_deref() == Some("") {
        return Err(usage("a password is needed"));
    }
    Ok(password.map(|password| (username, password)))
}

/// The registry that somebody named, perhaps by the URL of its site or of a mirror.
fn registry(text: &str) -> Result<String, UsageError> {
    let schemes = ["https://", "http://", "oci://", "oci+http://"];
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(UsageError(format!("`{text}` is no registry: name one as `ghcr.io`")));
    }
    if !matches!(path.trim_end_matches('/'), "" | "v1" | "v2") {
        return Err(UsageError(format!(
            "`{text}` is in a registry: passwords are for the whole of `{host}`"
        )));
    }
    Ok(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_host() {
        let host = |text: &str| registry(text).unwrap();
        assert_eq!(host("ghcr.io"), "ghcr.io");
        assert_eq!(host("https://GHCR.io/"), "ghcr.io");
        assert_eq!(host("https://index.docker.io/v1/"), "index.docker.io");
        assert_eq!(host("oci+http://localhost:5000"), "localhost:5000");
        assert!(registry("ghcr.io/user/image").unwrap_err().0.contains("the whole of `ghcr.io`"));
        assert!(registry("").unwrap_err().0.contains("no registry"));
        assert!(registry("user@host").unwrap_err().0.contains("no registry"));
    }
}
