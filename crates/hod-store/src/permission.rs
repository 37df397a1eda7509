//! Who may read and write what is installed (`package_prefs.py` in Spack, `spack-format` 1.7).

use nix::unistd::Group;

use crate::Error;
use crate::config::mismatch;
use crate::yaml::Yaml;

/// What is set when a directory hands on its group to what is made in it.
const SGID: u32 = 0o2000;
/// All there is for the group, and the right to write for the world.
const GROUP: u32 = 0o070;
const WRITE_WORLD: u32 = 0o002;
const EXECUTE: u32 = 0o111;

/// The permissions of a package's files and directories. By default all may read them, and their
/// owner may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    /// As if everything were executable.
    bits: u32,
    allows_sgid: bool,
    /// The number of the group they are to have, if not that of the process or of the directory.
    pub group: Option<u32>,
}

impl Default for Permissions {
    fn default() -> Self {
        Self { bits: 0o755, allows_sgid: true, group: None }
    }
}

impl Permissions {
    /// The mode of a file. It is executable for all who may read it, or for nobody: so it is for
    /// everybody if anybody may execute it in the package.
    pub fn file_mode(&self, is_executable: bool) -> u32 {
        if is_executable { self.bits } else { self.bits & !EXECUTE }
    }

    /// The mode of a directory. Its group is inherited where the group has any right to it, unless
    /// `config:allow_sgid` says no.
    pub fn directory_mode(&self) -> u32 {
        let is_inherited = self.bits & GROUP != 0 && self.allows_sgid;
        if is_inherited { self.bits | SGID } else { self.bits }
    }
}

/// Who may do something, from few to many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Audience {
    User,
    Group,
    World,
}

/// The permissions of a package by the section `packages`: each setting for itself is that of the
/// package, or else that of `all`.
///
/// What is set nowhere is in Spack's own defaults: so it is only missing where there is no Spack,
/// and those are used, or where somebody threw them out, and Spack lets nobody in but the owner.
pub(crate) fn read(
    package: &str,
    packages: Option<&Yaml>,
    allows_sgid: bool,
    has_spack: bool,
) -> Result<Permissions, Error> {
    let readers = audience(package, packages, "read")?;
    let writers = audience(package, packages, "write")?.unwrap_or(Audience::User);
    let readers = readers.unwrap_or(if has_spack { Audience::User } else { Audience::World });
    let name = || package.to_owned();
    let may_write_more = writers > Audience::User && readers == Audience::User || writers > readers;
    if may_write_more {
        return Err(Error::WritableOnly { package: name() });
    }
    let mut bits = 0o700;
    for (audience, read, write) in
        [(Audience::Group, 0o050, 0o020), (Audience::World, 0o005, 0o002)]
    {
        bits |= if readers >= audience { read } else { 0 };
        bits |= if writers >= audience { write } else { 0 };
    }
    let mut permissions = Permissions { bits, allows_sgid, group: None };
    if bits & WRITE_WORLD != 0 && permissions.directory_mode() & SGID != 0 {
        return Err(Error::WorldWritable { package: name() });
    }
    if let Some((value, text)) = setting(package, packages, "group")? {
        let found = Group::from_name(text).ok().flatten();
        let unknown =
            || Error::UnknownGroup { place: value.place.to_string(), name: text.to_owned() };
        permissions.group = Some(found.ok_or_else(unknown)?.gid.as_raw());
    }
    Ok(permissions)
}

/// A setting that is not empty, of the package or else of all.
fn setting<'y>(
    package: &str,
    packages: Option<&'y Yaml>,
    name: &str,
) -> Result<Option<(&'y Yaml, &'y str)>, Error> {
    for key in [package, "all"] {
        let value = packages.and_then(|packages| packages.get(key));
        let value = value.and_then(|entry| entry.get("permissions")?.get(name));
        let Some(value) = value else { continue };
        let path = format!("packages:{key}:permissions:{name}");
        let text = value.text().ok_or_else(|| mismatch(value, &path, "text"))?;
        if !text.is_empty() {
            return Ok(Some((value, text)));
        }
    }
    Ok(None)
}

fn audience(package: &str, packages: Option<&Yaml>, name: &str) -> Result<Option<Audience>, Error> {
    let Some((value, text)) = setting(package, packages, name)? else { return Ok(None) };
    match text {
        "user" => Ok(Some(Audience::User)),
        "group" => Ok(Some(Audience::Group)),
        "world" => Ok(Some(Audience::World)),
        _ => {
            let setting = format!("permissions:{name}");
            Err(mismatch(value, &setting, "`user`, `group` or `world`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use super::*;
    use crate::{Environment, SpackConfig};

    fn config(text: &str) -> SpackConfig {
        let environment = Environment { cwd: "/".into(), ..Environment::default() };
        SpackConfig::parse(text.as_bytes(), Path::new("spack.yaml"), &environment).unwrap()
    }

    /// The modes of an executable, another file and a directory.
    fn modes(text: &str) -> (u32, u32, u32) {
        let permissions = config(text).permissions("zlib").unwrap();
        (permissions.file_mode(true), permissions.file_mode(false), permissions.directory_mode())
    }

    // The modes are those that Spack's get_package_permissions and get_package_dir_permissions
    // return with these settings, and chmod_x leaves of them.
    #[rstest]
    #[case::nothing_said("config: {}", (0o755, 0o644, 0o2755))]
    #[case::for_all("packages: {all: {permissions: {read: group}}}", (0o750, 0o640, 0o2750))]
    #[case::for_nobody_else("packages: {all: {permissions: {read: user}}}", (0o700, 0o600, 0o700))]
    #[case::group_writes(
        "packages: {all: {permissions: {read: world, write: group}}}", (0o775, 0o664, 0o2775))]
    #[case::the_package_counts_more(
        "packages: {all: {permissions: {read: group}}, zlib: {permissions: {read: world}}}",
        (0o755, 0o644, 0o2755))]
    #[case::each_setting_for_itself(
        "packages: {all: {permissions: {read: group}}, zlib: {permissions: {write: group}}}",
        (0o770, 0o660, 0o2770))]
    #[case::no_inheritance("config: {allow_sgid: false}", (0o755, 0o644, 0o755))]
    #[case::the_world_writes(
        "config: {allow_sgid: false}\npackages: {all: {permissions: {write: world}}}",
        (0o777, 0o666, 0o777))]
    fn modes_are_those_of_spack(#[case] text: &str, #[case] expected: (u32, u32, u32)) {
        assert_eq!(modes(text), expected, "{text}");
    }

    #[test]
    fn who_may_write_must_be_able_to_read() {
        for (read, write) in [("user", "group"), ("user", "world"), ("group", "world")] {
            let text =
                format!("packages: {{all: {{permissions: {{read: {read}, write: {write}}}}}}}");
            let error = config(&text).permissions("zlib").unwrap_err();
            assert!(matches!(error, Error::WritableOnly { .. }), "{read} {write}");
        }
    }

    #[test]
    fn what_spack_refuses_is_refused() {
        let error = |text: &str| config(text).permissions("zlib").unwrap_err();
        let open = error("packages: {all: {permissions: {read: world, write: world}}}");
        assert!(matches!(open, Error::WorldWritable { .. }));
        let value = error("packages: {all: {permissions: {read: everybody}}}");
        assert!(value.to_string().contains("spack.yaml:1:"), "{value}");
        let group = error("packages: {all: {permissions: {group: no-such-group-here}}}");
        assert!(matches!(group, Error::UnknownGroup { .. }));
    }

    #[test]
    fn packages_are_read_where_they_are_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let text = "packages: {all: {permissions: {read: group}}}";
        fs_err::write(place.path().join("packages.yaml"), text).unwrap();
        let path = place.path().to_str().unwrap();
        let variables =
            [("SPACK_USER_CONFIG_PATH", path), ("SPACK_SYSTEM_CONFIG_PATH", "/nowhere")];
        let environment = Environment {
            variables: variables.map(|(name, value)| (name.into(), value.into())).into(),
            cwd: "/".into(),
            ..Environment::default()
        };
        let config = SpackConfig::load_with_packages(&environment).unwrap();
        assert_eq!(config.permissions("zlib").unwrap().directory_mode(), 0o2750);
        assert_eq!(config.files(), [place.path().join("packages.yaml")]);
        assert!(SpackConfig::load(&environment).unwrap().files().is_empty());
    }

    #[test]
    fn a_group_has_its_number() {
        let own = Group::from_gid(nix::unistd::getgid()).unwrap();
        let Some(own) = own else {
            return println!("skipped: the group of this process has no name");
        };
        let text = format!("packages: {{zlib: {{permissions: {{group: {}}}}}}}", own.name);
        let config = config(&text);
        assert_eq!(config.permissions("zlib").unwrap().group, Some(own.gid.as_raw()));
        assert_eq!(config.permissions("bzip2").unwrap().group, None);
    }
}
