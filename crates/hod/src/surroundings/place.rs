//! Where a mirror is: a directory or a repository of a registry, and how it is opened.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use hod_archive::Cancel;
use hod_cache::BaseReference;
use hod_mirror::registry::{Access, Reference, Registry, RegistryOptions, RetryWait};
use hod_mirror::{Credentials, Keychain};
use hod_mirror::{DirectoryMirror, Mirror};
use hod_store::{Connection, Environment};

use super::Direction;
use crate::cli::Registries;
use crate::error::PlaceError;
use crate::settings::cache_directory;
use crate::surroundings::Surroundings;
use crate::ui::format::duration;

/// Where a mirror is. Nothing is opened yet.
#[derive(Clone)]
pub(crate) struct MirrorPlace {
    site: Site,
    /// User and password that Spack's configuration has for it.
    credentials: Option<Credentials>,
    /// Whether Spack's configuration says that what is there is signed. What is in registries never
    /// is (`spack-format` 6.1).
    is_signed: bool,
}

#[derive(Debug, Clone)]
enum Site {
    Directory(PathBuf),
    /// A bare image layout.
    Layout(PathBuf),
    Repository(Reference),
}

/// What a word for a bare image layout begins with.
const LAYOUT: &str = "oci-layout:";

impl fmt::Display for MirrorPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.site {
            Site::Directory(path) => path.display().fmt(f),
            Site::Layout(path) => write!(f, "{LAYOUT}{}", path.display()),
            Site::Repository(reference) => f.write_str(&reference.url()),
        }
    }
}

impl MirrorPlace {
    pub(crate) fn directory(path: impl Into<PathBuf>) -> Self {
        Self { site: Site::Directory(path.into()), credentials: None, is_signed: false }
    }

    /// The bare image layout that `oci-layout:DIR` names; `None` if the word does not begin so.
    pub(super) fn of_layout(word: &OsStr) -> Option<Result<Self, PlaceError>> {
        use std::os::unix::ffi::OsStrExt as _;
        let path = word.as_bytes().strip_prefix(LAYOUT.as_bytes())?;
        if path.is_empty() {
            return Some(Err(PlaceError::NoDirectory));
        }
        let path = PathBuf::from(OsStr::from_bytes(path));
        Some(Ok(Self { site: Site::Layout(path), credentials: None, is_signed: false }))
    }

    /// The place a URL names. Of an unknown kind, it is refused: taken for a path, each would
    /// become a directory named `oci:`.
    pub(super) fn of_url(url: &str) -> Result<Self, PlaceError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let site = match scheme {
            "file" if rest.starts_with('/') => Site::Directory(decoded(rest)),
            "file" => return Err(PlaceError::Relative { url: url.to_owned() }),
            "oci" | "oci+http" => Site::Repository(repository(url)?),
            _ => return Err(PlaceError::UnknownKind { url: without_user(url) }),
        };
        Ok(Self { site, credentials: None, is_signed: false })
    }

    /// Whether what is there must be signed.
    pub(crate) fn is_signed(&self) -> bool {
        self.is_signed && !matches!(self.site, Site::Repository(_))
    }

    /// With what Spack's configuration says of signatures.
    pub(super) fn signed(self, is_signed: bool) -> Self {
        Self { is_signed, ..self }
    }

    /// The place a mirror of Spack's configuration has for one direction.
    pub(super) fn of_connection(
        connection: &Connection,
        direction: Direction,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let url = &connection.url;
        let mut place = if url.contains("://") { Self::of_url(url)? } else { Self::directory(url) };
        if !matches!(place.site, Site::Repository(_)) {
            return Ok(place);
        }
        // As in Spack: whoever may only read may well be nobody in particular.
        if let (Direction::Push, [unset, ..]) =
            (direction, &connection.unset_variables(environment)[..])
        {
            return Err(anyhow!("its credentials are in the variable {unset}, which is not set"));
        }
        let pair = connection.access_pair.as_ref().and_then(|pair| pair.values(environment));
        place.credentials = pair.map(|(username, password)| Credentials::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        });
        Ok(place)
    }
}

/// Opens mirrors: what holds for every connection of one command.
pub(crate) struct Opener<'a> {
    pub(super) arguments: &'a Registries,
    pub(super) surroundings: &'a Surroundings<'a>,
}

impl Opener<'_> {
    /// A mirror that must exist, to read from.
    pub(crate) fn open(&self, place: &MirrorPlace) -> anyhow::Result<Mirror> {
        Ok(match &place.site {
            Site::Directory(path) => Mirror::Directory(DirectoryMirror::open(path)?),
            Site::Layout(path) => Mirror::Directory(DirectoryMirror::open_layout(path)?),
            Site::Repository(reference) => self.repository(place, reference, Access::Pull)?,
        })
    }

    /// A mirror that must exist, to write to.
    pub(crate) fn open_to_push(&self, place: &MirrorPlace) -> anyhow::Result<Mirror> {
        match &place.site {
            Site::Directory(_) | Site::Layout(_) => self.open(place),
            Site::Repository(reference) => self.repository(place, reference, Access::Push),
        }
    }

    /// A mirror to write to, which is made if need be.
    pub(crate) fn ensure(&self, place: &MirrorPlace) -> anyhow::Result<Mirror> {
        Ok(match &place.site {
            Site::Directory(path) => Mirror::Directory(DirectoryMirror::ensure(path)?),
            Site::Layout(path) => Mirror::Directory(DirectoryMirror::ensure_layout(path)?),
            Site::Repository(reference) => self.repository(place, reference, Access::Push)?,
        })
    }

    /// A mirror as [`ensure`](Self::ensure) would find it; `None` where it would make one. Changes
    /// nothing.
    pub(crate) fn find(&self, place: &MirrorPlace) -> anyhow::Result<Option<Mirror>> {
        match self.open(place) {
            Ok(mirror) => Ok(Some(mirror)),
            Err(error) => match error.downcast_ref() {
                Some(
                    hod_mirror::Error::DoesNotExist { .. }
                    | hod_mirror::Error::NotAMirror { found: hod_mirror::Found::Empty, .. },
                ) => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn repository(
        &self,
        place: &MirrorPlace,
        reference: &Reference,
        access: Access,
    ) -> anyhow::Result<Mirror> {
        let given = place.credentials.clone().or_else(|| self.of_environment());
        let options = self.options(reference, given);
        Ok(Mirror::Registry(Registry::open(reference.clone(), access, options)?))
    }

    /// The mirror that a base image is in.
    pub(crate) fn base(&self, base: &BaseReference) -> anyhow::Result<Mirror> {
        Ok(match base {
            BaseReference::Registry(reference) => {
                let options = self.options(reference, None);
                Mirror::Registry(Registry::open(reference.clone(), Access::Pull, options)?)
            }
            BaseReference::Directory { path, .. } => {
                Mirror::Directory(DirectoryMirror::open(path)?)
            }
            BaseReference::Layout { path, .. } => {
                Mirror::Directory(DirectoryMirror::open_layout(path)?)
            }
        })
    }

    /// Asks a registry whether user and password are right.
    pub(crate) fn verify(
        &self,
        host: &str,
        is_plain: bool,
        credentials: &Credentials,
    ) -> anyhow::Result<()> {
        let reference = Reference {
            is_plain,
            host: host.to_owned(),
            repository: String::new(),
            tag: None,
            digest: None,
        };
        let options = self.options(&reference, Some(credentials.clone()));
        Ok(Registry::open(reference, Access::Pull, options)?.greet()?)
    }

    /// User and password for the mirror that is named on the command line, and for no other host: a
    /// base image may come from anywhere.
    fn of_environment(&self) -> Option<Credentials> {
        let environment = &self.surroundings.environment;
        let variable =
            |name| environment.variable(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let (username, password) =
            (variable("HOD_REGISTRY_USERNAME")?, variable("HOD_REGISTRY_PASSWORD")?);
        Some(Credentials::Basic { username, password })
    }

    /// User and password of the first configured mirror in the same registry.
    fn configured(&self, reference: &Reference) -> Option<Credentials> {
        let Surroundings { environment, .. } = self.surroundings;
        // A configuration that cannot be read is an error where it is needed, not here.
        let mirrors = self.surroundings.config().ok()?.mirrors().ok()?;
        mirrors.iter().find_map(|mirror| {
            let connection = mirror.push.as_ref().unwrap_or(&mirror.fetch);
            let host = Reference::parse(&connection.url).ok()?.host;
            let pair = connection.access_pair.as_ref().filter(|_| host == reference.host)?;
            let (username, password) = pair.values(environment)?;
            let (username, password) = (username.to_owned(), password.to_owned());
            Some(Credentials::Basic { username, password })
        })
    }

    fn options(&self, reference: &Reference, given: Option<Credentials>) -> RegistryOptions {
        let Registries { connections, ca_file, tls_verify, retries } = self.arguments;
        let Surroundings { environment, printer, cancel, .. } = self.surroundings;
        if !tls_verify && !reference.is_plain {
            printer.warn(format_args!(
                "whether `{}` is who it says it is will not be verified",
                reference.host
            ));
        }
        // What Spack's configuration has for the host, as in Spack, before what docker and podman
        // keep (`spack-format` 5.10).
        let keychain =
            Keychain::from_environment(&environment.variables, environment.home.as_deref());
        let keychain = match given.or_else(|| self.configured(reference)) {
            Some(credentials) => keychain.with(&reference.host, credentials),
            None => keychain,
        };
        let from_environment = || {
            let path = environment.variable("HOD_CA_FILE").filter(|path| !path.is_empty());
            path.map(PathBuf::from)
        };
        let printer = crate::ui::Printer::clone(printer);
        RegistryOptions {
            keychain: Arc::new(keychain),
            ca_file: ca_file.clone().or_else(from_environment),
            verify_tls: *tls_verify,
            attempts: retries.get(),
            connections: connections.get(),
            memory: cache_directory().map(|directory| directory.join("hosts")),
            on_wait: Some(Arc::new(move |wait: &RetryWait| {
                let RetryWait { host, wait, reason, .. } = wait;
                printer.say(format_args!("Waiting {} for `{host}`: {reason}", duration(*wait)));
            })),
            cancel: Cancel::clone(cancel),
            ..RegistryOptions::default()
        }
    }
}

/// The repository of a URL, which names no image in it: Spack ignores a tag there and takes a
/// digest for every tag (`spack-format` 5.1). Neither is what anybody wants.
fn repository(url: &str) -> Result<Reference, PlaceError> {
    let reference = Reference::parse(url)?;
    if reference.tag.is_none() && reference.digest.is_none() {
        return Ok(reference);
    }
    Err(PlaceError::OneImage { url: url.to_owned(), repository: reference.url() })
}

/// A URL that can be shown: without user and password.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    match path {
        Some(path) => format!("{scheme}://{host}/{path}"),
        None => format!("{scheme}://{host}"),
    }
}

/// A path as `file://` URLs have it: Python writes `%20` for a blank.
fn decoded(path: &str) -> PathBuf {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = path.get(at + 1..at + 3).filter(|_| byte == b'%');
        let escaped = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    OsString::from_vec(decoded).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        MirrorPlace::of_url(url).ok().unwrap().to_string()
    }

    #[test]
    fn a_url_of_a_mirror_is_one_of_a_directory_or_a_repository() {
        assert_eq!(shown("file:///srv/cache"), "/srv/cache");
        assert_eq!(shown("file:///srv/a%20b%"), "/srv/a b%");
        assert_eq!(shown("oci://ghcr.io/Ab/c"), "oci://ghcr.io/ab/c");
        assert_eq!(shown("oci+http://localhost:5000/a"), "oci+http://localhost:5000/a");
    }

    #[test]
    fn what_is_neither_is_refused_with_the_reason() {
        let refused = |url: &str| MirrorPlace::of_url(url).err().unwrap().to_string();
        assert!(refused("s3://bucket").contains("not `s3://bucket`"));
        assert!(refused("file://cache").contains("absolute"));
        assert!(refused("oci://ghcr.io/a/").contains("no image reference"));
        assert!(refused("oci://ghcr.io/a/b:1.0").contains("names one image"));
        let digest = hod_archive::Digest::of(b"");
        assert!(refused(&format!("oci://ghcr.io/a/b@{digest}")).contains("names one image"));
    }
}
