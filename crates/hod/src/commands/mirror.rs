//! `hod mirror`: Spack's `mirrors.yaml`, of the user's scope.

use std::path::{Path, PathBuf};

use hod_archive::Cancel;
use hod_cache::closest;
use hod_store::{
    Environment, MirrorDirection, MirrorFile, MirrorHolds, MirrorSettings, Secret, written_url,
};
use serde_json::json;

use crate::cli::{self, AddMirror, Holds, MirrorCommand, SetMirror};
use crate::error::{
    ElsewhereDefined, NameTaken, NoHome, NoSuchMirror, PointsTo, SecretInArguments, UsageError,
};
use crate::surroundings::Surroundings;
use crate::ui::{ExitStatus, Printer};

mod list;

pub(crate) fn run(
    arguments: &cli::Mirror,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let surroundings = Surroundings::new(printer, cancel);
    if let MirrorCommand::List = arguments.command {
        return list::run(&surroundings, printer);
    }
    // Only the user's scope so far; whoever adds others chooses the path here.
    let path = MirrorFile::user_path(surroundings.environment()).ok_or(NoHome)?;
    let edit = Edit { file: MirrorFile::open(&path)?, surroundings: &surroundings, printer };
    match &arguments.command {
        MirrorCommand::Add(arguments) => edit.add(arguments)?,
        MirrorCommand::Set(arguments) => edit.set(arguments)?,
        MirrorCommand::Remove { name } => edit.remove(name)?,
        MirrorCommand::List => {}
    }
    Ok(ExitStatus::Success)
}

/// A change of a file.
struct Edit<'a> {
    file: MirrorFile,
    surroundings: &'a Surroundings<'a>,
    printer: &'a Printer,
}

impl Edit<'_> {
    fn add(mut self, arguments: &AddMirror) -> anyhow::Result<()> {
        let name = &arguments.name;
        check_name(name)?;
        let url = written_url(&arguments.url, self.surroundings.environment())?;
        let mut settings = connection(&arguments.connection)?;
        kind(&mut settings, &arguments.kind);
        settings.autopush = arguments.autopush.then_some(true);
        if let Some((_, file)) = self.known()?.into_iter().find(|(known, _)| known == name) {
            return Err(self.taken(name, &url, &file).into());
        }
        self.file.add(name, &url, &settings)?;
        self.complete("Added", "to", name, &settings)
    }

    fn set(mut self, arguments: &SetMirror) -> anyhow::Result<()> {
        let name = &arguments.name;
        let direction = match (arguments.push, arguments.fetch) {
            (true, _) => Some(MirrorDirection::Push),
            (_, true) => Some(MirrorDirection::Fetch),
            _ => None,
        };
        let mut settings = connection(&arguments.connection)?;
        kind(&mut settings, &arguments.kind);
        settings.autopush = match (arguments.autopush, arguments.no_autopush) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        if let Some(url) = &arguments.url {
            settings.url = Some(written_url(url, self.surroundings.environment())?);
        }
        if settings == MirrorSettings::default() {
            let text = "there is nothing to set: name an option, such as `--url`";
            return Err(UsageError(text.into()).into());
        }
        let whole =
            settings.holds.is_some() || settings.signed.is_some() || settings.autopush.is_some();
        if direction.is_some() && whole {
            let text = "`--type`, `--signed` and `--autopush` hold for the mirror as a whole: set \
                        them without `--push` and `--fetch`";
            return Err(UsageError(text.into()).into());
        }
        self.must_be_here(name)?;
        if self.file.set(name, direction, &settings)? {
            return self.complete("Changed", "in", name, &settings);
        }
        self.printer.say(format_args!("The mirror `{name}` is like that already"));
        self.report("unchanged", name);
        self.warn_of_unset(&settings);
        Ok(())
    }

    fn remove(mut self, name: &str) -> anyhow::Result<()> {
        self.must_be_here(name)?;
        self.file.remove(name)?;
        self.complete("Removed", "from", name, &MirrorSettings::default())
    }

    /// All mirrors that Spack knows, and where each is defined.
    fn known(&self) -> anyhow::Result<Vec<(String, PathBuf)>> {
        let mut known = self.surroundings.config()?.mirror_files();
        // Spack may have been told not to look into this file.
        let here = self.file.names().filter(|name| known.iter().all(|(known, _)| known != name));
        let here = here.map(|name| (name.to_owned(), self.file.path().to_owned()));
        let here: Vec<_> = here.collect();
        known.extend(here);
        Ok(known)
    }

    fn must_be_here(&self, name: &str) -> anyhow::Result<()> {
        if self.file.names().any(|known| known == name) {
            return Ok(());
        }
        let known = self.known()?;
        if let Some((_, file)) = known.iter().find(|(known, _)| known == name) {
            let file = self.surroundings.shown(file);
            return Err(ElsewhereDefined { name: name.to_owned(), file }.into());
        }
        let known: Vec<String> = known.into_iter().map(|(name, _)| name).collect();
        let similar = closest(name, known.clone());
        Err(NoSuchMirror { name: name.to_owned(), similar, known }.into())
    }

    fn taken(&self, name: &str, url: &str, file: &Path) -> NameTaken {
        let is_here = file == self.file.path();
        let mirrors = self.surroundings.config().ok().and_then(|config| config.mirrors().ok());
        let taken = mirrors.into_iter().flatten().find(|mirror| mirror.name == name);
        NameTaken {
            name: name.to_owned(),
            url: url.to_owned(),
            is_here,
            source: PointsTo {
                url: taken.map(|mirror| mirror.fetch.url),
                file: self.surroundings.shown(file),
            },
        }
    }

    fn complete(
        &self,
        done: &str,
        preposition: &str,
        name: &str,
        settings: &MirrorSettings,
    ) -> anyhow::Result<()> {
        self.file.save()?;
        let path = self.surroundings.shown(self.file.path());
        self.report(&done.to_lowercase(), name);
        self.printer.say(format_args!("{done} mirror `{name}` {preposition} `{path}`"));
        if self.surroundings.environment().variable("SPACK_DISABLE_LOCAL_CONFIG").is_some() {
            self.printer.warn(format_args!(
                "SPACK_DISABLE_LOCAL_CONFIG is set: as long as it is, `{path}` is not read"
            ));
        }
        self.warn_of_unset(settings);
        Ok(())
    }

    fn report(&self, event: &str, name: &str) {
        if self.printer.is_json() {
            self.printer.json(&json!({"event": event, "mirror": name, "file": self.file.path()}));
        }
    }

    /// Variables that will be needed; they may be set where the mirror is used.
    fn warn_of_unset(&self, settings: &MirrorSettings) {
        for name in unset(settings, self.surroundings.environment()) {
            self.printer.warn(format_args!("the variable {name} is not set here"));
        }
    }
}

fn unset<'a>(settings: &'a MirrorSettings, environment: &Environment) -> Vec<&'a str> {
    let id = match &settings.id {
        Some(Secret::Variable(name)) => Some(name),
        _ => None,
    };
    let names = [id, settings.secret_variable.as_ref(), settings.access_token_variable.as_ref()];
    let names = names.into_iter().flatten().map(String::as_str);
    names.filter(|name| environment.variable(name).is_none()).collect()
}

/// A name must not be taken for a path where it is used (`spack-format` 6.1).
fn check_name(name: &str) -> Result<(), UsageError> {
    let is_path = name.contains(['/', '\\']) || matches!(name, "." | "..");
    let is_odd = name.trim() != name || name.is_empty() || name.chars().any(char::is_control);
    // Before the colon of the file, another would mean that the entry replaces those below it.
    if is_path || is_odd || name.ends_with(':') || name == "<<" {
        return Err(UsageError(format!(
            "`{name}` cannot be the name of a mirror: names have no `/` and no `\\`, neither begin \
             nor end with a blank, and do not end with `:`"
        )));
    }
    Ok(())
}

fn kind(settings: &mut MirrorSettings, kind: &cli::Kind) {
    if !kind.types.is_empty() {
        settings.holds = Some(MirrorHolds {
            binary: kind.types.contains(&Holds::Binary),
            source: kind.types.contains(&Holds::Source),
        });
    }
    settings.signed = match (kind.signed, kind.unsigned) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
}

fn connection(connection: &cli::Connection) -> Result<MirrorSettings, SecretInArguments> {
    for (given, option) in [
        (&connection.oci_password, "oci-password"),
        (&connection.s3_access_key_secret, "s3-access-key-secret"),
        (&connection.s3_access_token, "s3-access-token"),
    ] {
        if given.is_some() {
            return Err(SecretInArguments { option });
        }
    }
    let user = connection.oci_username.as_ref().or(connection.s3_access_key_id.as_ref());
    let variable = connection.oci_username_variable.as_ref();
    let variable = variable.or(connection.s3_access_key_id_variable.as_ref());
    let secret = connection.oci_password_variable.as_ref();
    Ok(MirrorSettings {
        id: user.cloned().map(Secret::Value).or_else(|| variable.cloned().map(Secret::Variable)),
        secret_variable: secret.or(connection.s3_access_key_secret_variable.as_ref()).cloned(),
        access_token_variable: connection.s3_access_token_variable.clone(),
        profile: connection.s3_profile.clone(),
        endpoint_url: connection.s3_endpoint_url.clone(),
        ..MirrorSettings::default()
    })
}
