//! Configurations as they lie about on machines.

use fs_err as fs;
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::{How, StoreRequest, find_store};

/// A machine with files of configuration.
struct Machine {
    place: TempDir,
    environment: Environment,
}

impl Machine {
    /// Whose home directory is `home`, and whose system-wide configuration is in `system`. Each
    /// `@` in a file's text is the machine's root.
    fn new(files: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(place.path()).unwrap();
        let variable =
            |name: &str, path: &str| (name.to_owned(), format!("{}/{path}", root.display()));
        let environment = Environment {
            variables: [variable("SPACK_SYSTEM_CONFIG_PATH", "system")].into(),
            home: Some(root.join("home")),
            cwd: root.join("cwd"),
            user: Some("ada".to_owned()),
        };
        let machine = Self { place, environment };
        for (path, text) in files {
            machine.write(path, text);
        }
        machine
    }

    /// One with a Spack in `spack`; `since_1_1` says how its scopes lie.
    fn with_spack(since_1_1: bool, files: &[(&str, &str)]) -> Self {
        let mut machine = Self::new(&[]);
        if since_1_1 {
            machine.write("spack/etc/spack/defaults/base/config.yaml", DEFAULTS);
            let include = "include:\n- {path: '${platform}', optional: true}\n- path: base\n";
            machine.write("spack/etc/spack/defaults/include.yaml", include);
            machine.write("spack/etc/spack/include.yaml", INCLUDES);
        } else {
            machine.write("spack/etc/spack/defaults/config.yaml", DEFAULTS);
        }
        for (path, text) in files {
            machine.write(path, text);
        }
        machine.set("SPACK_ROOT", "@/spack");
        machine
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.place.path()).unwrap()
    }

    fn expand(&self, text: &str) -> String {
        text.replace('@', self.root().to_str().unwrap())
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.expand(text)).unwrap();
    }

    fn set(&mut self, name: &str, value: &str) {
        let value = self.expand(value);
        self.environment.variables.insert(name.to_owned(), value);
    }

    fn load(&self) -> SpackConfig {
        SpackConfig::load(&self.environment).unwrap()
    }

    fn tree(&self) -> InstallTree {
        self.load().install_tree().unwrap().unwrap()
    }

    /// The root of the install tree, with `@` for the machine's root.
    fn install_root(&self) -> String {
        self.short(&self.tree().root)
    }

    fn short(&self, path: impl AsRef<Path>) -> String {
        path.as_ref().to_str().unwrap().replace(self.root().to_str().unwrap(), "@")
    }

    fn mirror_names(&self) -> Vec<String> {
        self.load().mirrors().unwrap().into_iter().map(|mirror| mirror.name).collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.load().warnings().iter().map(|warning| self.short(warning.to_string())).collect()
    }

    fn error(&self) -> String {
        let config = SpackConfig::load(&self.environment);
        let error = config.and_then(|config| {
            config.install_tree()?;
            config.upstreams()?;
            config.uses_locks()?;
            config.lock_timeout()?;
            config.mirrors()
        });
        self.short(error.unwrap_err().to_string())
    }
}

/// As Spack comes with it.
const DEFAULTS: &str = "config:
  install_tree:
    root: $spack/opt/spack
    projections:
      all: '{architecture.platform}-{architecture.target}/{name}-{version}-{hash}'
  locks: true
  db_lock_timeout: 60
";
const INCLUDES: &str = r#"include:
  - name: "user"
    path_override_env_var: SPACK_USER_CONFIG_PATH
    path: "~/.spack"
    optional: true
    prefer_modify: true
    when: '"SPACK_DISABLE_LOCAL_CONFIG" not in env'
  - name: "site"
    path: "$spack/etc/spack/site"
    optional: true
  - name: "system"
    path_override_env_var: SPACK_SYSTEM_CONFIG_PATH
    path: "/etc/spack"
    optional: true
    when: '"SPACK_DISABLE_LOCAL_CONFIG" not in env'
"#;

fn mirror(name: &str) -> String {
    format!("mirrors:\n  {name}: https://{name}\n")
}

#[test]
fn what_spack_comes_with_is_enough() {
    for since_1_1 in [true, false] {
        let machine = Machine::with_spack(since_1_1, &[]);
        let tree = machine.tree();
        assert_eq!(machine.install_root(), "@/spack/opt/spack");
        assert_eq!(tree.unpadded_root, tree.root);
        assert_eq!(tree.projections.len(), 1);
        assert!(tree.place.unwrap().ends_with("config.yaml:3:11"));
        let config = machine.load();
        assert_eq!(config.spack_root(), Some(&*machine.root().join("spack")));
        assert_eq!((config.uses_locks().unwrap(), config.upstreams().unwrap()), (true, vec![]));
        assert_eq!(config.lock_timeout().unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(config.warnings(), []);
    }
}

const EVERYWHERE: [(&str, &str); 7] = [
    ("system", "system/mirrors.yaml"),
    ("user", "home/.spack/mirrors.yaml"),
    ("base", "spack/etc/spack/defaults/base/mirrors.yaml"),
    ("linux", "spack/etc/spack/defaults/linux/mirrors.yaml"),
    ("defaults", "spack/etc/spack/defaults/mirrors.yaml"),
    ("site", "spack/etc/spack/site/mirrors.yaml"),
    ("spack", "spack/etc/spack/mirrors.yaml"),
];

#[test]
#[cfg(target_os = "linux")]
fn scopes_weigh_as_they_do_since_1_1() {
    let mut machine = Machine::with_spack(true, &[]);
    for (name, path) in EVERYWHERE {
        machine.write(path, &mirror(name));
    }
    machine.write("env/spack.yaml", "spack:\n  specs: []\n  mirrors: {env: https://env}\n");
    let all = ["spack", "user", "site", "system", "defaults", "linux", "base"];
    assert_eq!(machine.mirror_names(), all);
    machine.set("SPACK_ENV", "@/env");
    assert_eq!(machine.mirror_names()[..2], ["env", "spack"]);
    machine.set("SPACK_DISABLE_LOCAL_CONFIG", "");
    let left = ["env", "spack", "site", "defaults", "linux", "base"];
    assert_eq!(machine.mirror_names(), left);
}

#[test]
#[cfg(target_os = "linux")]
fn scopes_weighed_otherwise_in_0_x() {
    let mut machine = Machine::with_spack(false, &[]);
    for (name, path) in EVERYWHERE {
        if name != "base" {
            machine.write(path, &mirror(name));
        }
    }
    machine.write("home/.spack/linux/mirrors.yaml", &mirror("user-linux"));
    let all = ["user-linux", "user", "spack", "system", "linux", "defaults"];
    assert_eq!(machine.mirror_names(), all);
    machine.set("SPACK_DISABLE_LOCAL_CONFIG", "1");
    assert_eq!(machine.mirror_names(), ["spack", "linux", "defaults"]);
}

#[test]
#[cfg(target_os = "linux")]
fn scopes_weighed_otherwise_again_in_1_0() {
    let include = "include:\n- {path: '${platform}', optional: true}\n- path: base\n";
    let machine = Machine::with_spack(
        false,
        &[
            ("spack/etc/spack/defaults/include.yaml", include),
            ("spack/etc/spack/defaults/base/packages.yaml", "packages: {}\n"),
        ],
    );
    for (name, path) in EVERYWHERE {
        machine.write(path, &mirror(name));
    }
    machine.write("home/.spack/linux/mirrors.yaml", &mirror("user-linux"));
    let all = ["user", "spack", "system", "defaults", "linux", "base"];
    assert_eq!(machine.mirror_names(), all);
}

#[test]
fn without_a_spack_there_are_still_the_system_and_the_user() {
    let mut machine = Machine::new(&[
        ("system/mirrors.yaml", &mirror("system")),
        ("home/.spack/mirrors.yaml", &mirror("user")),
        ("elsewhere/mirrors.yaml", &mirror("elsewhere")),
    ]);
    assert_eq!(machine.mirror_names(), ["user", "system"]);
    assert_eq!(machine.load().install_tree().unwrap(), None);
    machine.set("SPACK_USER_CONFIG_PATH", "@/elsewhere");
    assert_eq!(machine.mirror_names(), ["elsewhere", "system"]);
    machine.write("system/config.yaml", "config: {install_tree: {root: $spack/x}}\n");
    assert_eq!(
        machine.warnings(),
        ["@/system/config.yaml:1:31: only Spack knows the value of `$spack`"]
    );
}

#[test]
fn spack_is_found_by_its_script_on_the_path() {
    let mut machine = Machine::with_spack(true, &[("spack/bin/spack", "#!/bin/sh\n")]);
    machine.environment.variables.remove("SPACK_ROOT");
    let script = machine.root().join("spack/bin/spack");
    fs::create_dir_all(machine.root().join("bin")).unwrap();
    std::os::unix::fs::symlink(&script, machine.root().join("bin/spack")).unwrap();
    machine.set("PATH", "/nowhere:@/bin");
    assert_eq!(machine.load().spack_root(), None);
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(machine.load().spack_root(), Some(&*machine.root().join("spack")));
    // What is said wins, and is doubted where it is wrong.
    machine.set("SPACK_ROOT", "@/home");
    assert_eq!(machine.load().spack_root(), Some(&*machine.root().join("spack")));
    assert_eq!(machine.warnings(), ["SPACK_ROOT is `@/home`, where no Spack is"]);
}

#[rstest]
#[case::absolute("/opt/hpc/store", "/opt/hpc/store")]
#[case::with_dots_and_slashes("/opt//hpc/./x/../store/", "/opt/hpc/store")]
#[case::relative_to_its_file("../store", "@/home/store")]
#[case::spack("$spack/opt", "@/spack/opt")]
#[case::in_braces_and_capitals("${SPACK}/opt", "@/spack/opt")]
#[case::home("~/store", "@/home/store")]
#[case::user("/store/$user", "/store/ada")]
#[case::cache("$user_cache_path/x", "@/home/.spack/x")]
#[case::environment("$STORE/x", "/from/env/x")]
#[case::environment_in_braces("/a/${NAME}b", "/a/nameb")]
#[case::unknown("/a/$NOTHING/${nothing}/$", "/a/$NOTHING/${nothing}/$")]
#[case::spacks_own_names_first("/a/$User", "/a/ada")]
#[case::a_url("file:///opt/a%20b", "/opt/a b")]
#[case::no_active_environment("/a/$env", "/a/$env")]
#[cfg_attr(target_os = "linux", case::platform("/a/$platform", "/a/linux"))]
fn paths_are_made_of_variables(#[case] written: &str, #[case] expected: &str) {
    let text = format!("config: {{install_tree: {{root: '{written}'}}}}\n");
    let mut machine = Machine::with_spack(false, &[("home/.spack/config.yaml", &text)]);
    machine.set("STORE", "/from/env");
    machine.set("NAME", "name");
    machine.set("User", "not this");
    assert_eq!(machine.install_root(), expected);
    assert_eq!(machine.warnings(), [] as [&str; 0]);
}

#[test]
fn what_only_spack_knows_is_left_with_a_warning() {
    let text = "config: {install_tree: {root: '/a/$arch/${Date}'}}\n";
    let machine = Machine::with_spack(false, &[("home/.spack/config.yaml", text)]);
    assert_eq!(machine.install_root(), "/a/$arch/${Date}");
    assert_eq!(
        machine.warnings(),
        [
            "@/home/.spack/config.yaml:1:31: only Spack knows the value of `$arch`",
            "@/home/.spack/config.yaml:1:31: only Spack knows the value of `$date`",
        ]
    );
}

#[rstest]
#[case::a_number("root: /opt/spack, padded_length: 65", 65)]
#[case::not_at_all("root: /opt/spack, padded_length: false", 10)]
#[case::zero("root: /opt/spack, padded_length: 0", 10)]
#[case::in_the_path("root: '/opt/spack/$padding:64'", 64)]
#[case::in_the_path_with_braces("root: '/opt/spack/${padding:64}'", 64)]
#[case::twice("root: '/opt/spack', padded_length: 40", 40)]
#[cfg_attr(
    target_os = "linux",
    case::as_long_as_can_be("root: /opt/spack, padded_length: true", 3796)
)]
#[cfg_attr(
    target_os = "linux",
    case::in_the_path_as_long_as_can_be("root: '/opt/spack/$padding'", 3796)
)]
fn a_root_can_be_padded(#[case] tree: &str, #[case] length: usize) {
    let text = format!("config: {{install_tree: {{{tree}}}}}\n");
    let machine = Machine::with_spack(true, &[("system/config.yaml", &text)]);
    let tree = machine.tree();
    assert_eq!(tree.root.to_str().unwrap().len(), length, "{}", tree.root.display());
    assert_eq!(tree.unpadded_root, Path::new("/opt/spack"));
    assert_eq!(crate::unpadded(&tree.root), tree.unpadded_root);
    assert_eq!(machine.warnings(), [] as [&str; 0]);
}

#[test]
fn a_root_that_is_too_long_already_stays() {
    let text = "config: {install_tree: {root: /opt/spack, padded_length: 5}}\n";
    let machine = Machine::with_spack(true, &[("system/config.yaml", text)]);
    assert_eq!(machine.install_root(), "/opt/spack");
    assert_eq!(machine.warnings(), ["`/opt/spack` cannot be padded to 5 characters"]);
}

#[test]
fn an_install_tree_may_be_a_bare_path() {
    let text = "config:\n  install_tree: /opt/x\n  install_path_scheme: '{name}'\n";
    let machine = Machine::with_spack(false, &[("home/.spack/config.yaml", text)]);
    let tree = machine.tree();
    assert_eq!(
        (tree.root, tree.projections),
        ("/opt/x".into(), vec![("all".into(), "{name}".into())])
    );
    assert_eq!(
        machine.warnings(),
        [
            "@/home/.spack/config.yaml:2:17: `config:install_tree` has a form that is no longer in use"
        ]
    );
    // Without a scheme it is that of the Spack.
    for (since_1_1, expected) in [(true, "{architecture.platform}-"), (false, "{architecture}/")] {
        let text = "config:\n  install_tree: /opt/x\n";
        let machine = Machine::with_spack(since_1_1, &[("home/.spack/config.yaml", text)]);
        assert!(machine.tree().projections[0].1.starts_with(expected));
    }
}

#[test]
fn projections_keep_their_order() {
    let text = "config:\n  install_hash_length: 7\n  install_tree:\n    projections:\n      zlib: 'z/{name}'\n";
    let machine = Machine::with_spack(true, &[("home/.spack/config.yaml", text)]);
    let tree = machine.tree();
    let names: Vec<_> = tree.projections.iter().map(|(spec, _)| &**spec).collect();
    assert_eq!(names, ["zlib", "all"]);
    assert_eq!(tree.hash_length, Some(7));
}

#[test]
fn a_key_with_two_colons_replaces() {
    let machine = Machine::with_spack(
        true,
        &[
            ("system/mirrors.yaml", &mirror("system")),
            ("home/.spack/mirrors.yaml", "mirrors::\n  user: https://user\n"),
            ("home/.spack/config.yaml", "config:\n  install_tree::\n    root: /a\n"),
        ],
    );
    assert_eq!(machine.mirror_names(), ["user"]);
    assert_eq!(machine.tree().projections, [("all".to_owned(), install_tree_default())]);
    machine.write("home/.spack/mirrors.yaml", "mirrors:: {}\n");
    assert_eq!(machine.mirror_names(), [] as [&str; 0]);
}

fn install_tree_default() -> String {
    "{architecture.platform}-{architecture.target}/{name}-{version}-{hash}".to_owned()
}

#[test]
fn a_key_that_would_extend_does_not_in_a_file() {
    let text = "config:\n  install_tree:\n    root-: /suffix\n";
    let machine = Machine::with_spack(true, &[("home/.spack/config.yaml", text)]);
    assert_eq!(machine.install_root(), "@/spack/opt/spack");
    assert_eq!(
        machine.warnings(),
        ["@/home/.spack/config.yaml:3:12: `root-` means nothing in a file"]
    );
}

#[test]
fn files_include_others_that_weigh_less() {
    let machine = Machine::with_spack(
        true,
        &[
            (
                "home/.spack/include.yaml",
                "include:\n- first.yaml\n- path: $spack/../second\n- {path: absent, optional: true}\n\
             - {path: '@/absolute.yaml', when: 'platform != \"windows\"'}\n\
             - {path: never.yaml, when: \"platform == 'windows'\"}\n",
            ),
            ("home/.spack/mirrors.yaml", &mirror("user")),
            (
                "home/.spack/first.yaml",
                "mirrors: {first: /a}\ninclude: [deeper/third.yaml]\nconfig: {}\n",
            ),
            ("home/.spack/deeper/third.yaml", "mirrors: {third: x}\n"),
            ("second/mirrors.yaml", &mirror("second")),
            ("absolute.yaml", &mirror("absolute")),
        ],
    );
    assert_eq!(machine.mirror_names(), ["user", "first", "third", "second", "absolute"]);
    let mirrors = machine.load().mirrors().unwrap();
    assert_eq!(machine.short(&mirrors[2].fetch.url), "file://@/home/.spack/deeper/x");
    assert_eq!(machine.warnings(), [] as [&str; 0]);
}

#[test]
fn what_cannot_be_included_is_told() {
    let machine = Machine::with_spack(
        true,
        &[(
            "home/.spack/include.yaml",
            "include:\n- https://example.invalid/a.yaml\n- {git: 'https://g', branch: b, paths: [c]}\n\
         - {path: d, when: 'arch.satisfies(\"target=zen\")'}\n",
        )],
    );
    assert_eq!(
        machine.warnings(),
        [
            "@/home/.spack/include.yaml:4:3: left out what is included when `arch.satisfies(\"target=zen\")`",
            "@/home/.spack/include.yaml:3:3: left out what is included from `https://g`",
            "@/home/.spack/include.yaml:2:3: left out what is included from `https://example.invalid/a.yaml`",
        ]
    );
}

#[test]
fn an_environment_may_do_without_the_other_scopes() {
    let mut machine = Machine::with_spack(
        true,
        &[
            ("home/.spack/mirrors.yaml", &mirror("user")),
            ("spack/etc/spack/defaults/mirrors.yaml", &mirror("defaults")),
            ("env/spack.yaml", "spack:\n  include:: [own.yaml]\n  mirrors: {env: $env/m}\n"),
            ("env/own.yaml", &mirror("own")),
        ],
    );
    machine.set("SPACK_ENV", "@/env");
    assert_eq!(machine.mirror_names(), ["env", "own", "defaults"]);
    let mirrors = machine.load().mirrors().unwrap();
    assert_eq!(machine.short(&mirrors[0].fetch.url), "file://@/env/m");
    // What does not count is not even read.
    machine.write("home/.spack/config.yaml", "[");
    assert_eq!(machine.mirror_names(), ["env", "own", "defaults"]);
    machine.write("home/.spack/config.yaml", "");
    machine.set("SPACK_ENV", "@/absent");
    assert_eq!(machine.mirror_names(), ["user", "defaults"]);
    assert_eq!(machine.warnings(), ["SPACK_ENV is `@/absent`, where no spack.yaml is"]);
}

#[test]
fn upstreams_are_asked_in_the_order_of_their_weight() {
    let machine = Machine::with_spack(
        true,
        &[
            ("system/upstreams.yaml", "upstreams:\n  site: {install_tree: /site/opt}\n"),
            (
                "home/.spack/upstreams.yaml",
                "upstreams:\n  mine:\n    install_tree: ~/opt\n    modules: {tcl: /x}\n  other: {install_tree: o}\n",
            ),
            ("home/.spack/config.yaml", "config: {locks: false, db_lock_timeout: 0}\n"),
        ],
    );
    let config = machine.load();
    let upstreams: Vec<_> =
        config.upstreams().unwrap().iter().map(|path| machine.short(path)).collect();
    assert_eq!(upstreams, ["@/home/opt", "@/home/.spack/o", "/site/opt"]);
    assert!(!config.uses_locks().unwrap());
    assert_eq!(config.lock_timeout().unwrap(), None);
}

#[rstest]
#[case::not_yaml("config.yaml", "config: [", "could not read the file `@/home/.spack/config.yaml`")]
#[case::no_mapping(
    "config.yaml",
    "- config",
    "@/home/.spack/config.yaml:1:1: `config.yaml` should be a mapping, and is a list"
)]
#[case::no_section(
    "config.yaml",
    "config: 5",
    "@/home/.spack/config.yaml:1:9: `config` should be a mapping, and is a number"
)]
#[case::locks(
    "config.yaml",
    "config:\n  locks: 'no'",
    "@/home/.spack/config.yaml:2:10: `config:locks` should be true or false, and is text"
)]
#[case::timeout(
    "config.yaml",
    "config: {db_lock_timeout: -1}",
    "@/home/.spack/config.yaml:1:27: `config:db_lock_timeout` should be a number of seconds, and is text"
)]
#[case::padding(
    "config.yaml",
    "config: {install_tree: {padded_length: 100000}}",
    "@/home/.spack/config.yaml:1:40: `config:install_tree:padded_length` should be a number, true or false, and is a number"
)]
#[case::a_remote_root(
    "config.yaml",
    "config: {install_tree: {root: 's3://a'}}",
    "@/home/.spack/config.yaml:1:31: `config:install_tree:root` should be a path, and is text"
)]
#[case::a_list_for_a_root(
    "config.yaml",
    "config: {install_tree: {root: [a]}}",
    "@/home/.spack/config.yaml:1:31: `config:install_tree:root` should be text, and is a list"
)]
#[case::upstream(
    "upstreams.yaml",
    "upstreams: {a: /b}",
    "@/home/.spack/upstreams.yaml:1:16: `upstreams:a` should be a mapping, and is text"
)]
#[case::no_include(
    "include.yaml",
    "include: [a.yaml]",
    "@/home/.spack/include.yaml:1:11: included `@/home/.spack/a.yaml` does not exist"
)]
#[case::includes(
    "include.yaml",
    "include: a.yaml",
    "@/home/.spack/include.yaml:1:10: `include` should be a list, and is text"
)]
#[case::an_include(
    "include.yaml",
    "include: [[a]]",
    "@/home/.spack/include.yaml:1:11: `include` should be a path or a mapping, and is a list"
)]
#[case::itself(
    "include.yaml",
    "include: [.]",
    "@/home/.spack/include.yaml:1:10: configuration files include each other more than 100 deep"
)]
#[case::a_mirror(
    "mirrors.yaml",
    "mirrors: {a: [b]}",
    "@/home/.spack/mirrors.yaml:1:14: `mirrors:a` should be a URL, a path or a mapping, and is a list"
)]
#[case::a_mirror_without_url(
    "mirrors.yaml",
    "mirrors: {a: {push: /b}}",
    "@/home/.spack/mirrors.yaml:1:14: `mirrors:a` should be a mapping with `url` or `fetch`, and is a mapping"
)]
#[case::a_mirror_of_another_kind(
    "mirrors.yaml",
    "mirrors: {a: 'ssh://b'}",
    "@/home/.spack/mirrors.yaml:1:14: `mirrors:a` should be a path, or a URL of a known kind, and is text"
)]
#[case::a_secret(
    "mirrors.yaml",
    "mirrors: {a: {url: /b, access_pair: {id: x, secret: hidden}}}",
    "@/home/.spack/mirrors.yaml:1:37: `mirrors:a:access_pair` should be a mapping with `id` or `id_variable`, and `secret_variable`, and is a mapping"
)]
fn a_wrong_setting_is_an_error_with_its_place(
    #[case] file: &str,
    #[case] text: &str,
    #[case] expected: &str,
) {
    let machine = Machine::with_spack(true, &[(&format!("home/.spack/{file}"), text)]);
    assert_eq!(machine.error(), expected);
}

#[test]
fn null_and_empty_files_say_nothing() {
    let machine = Machine::with_spack(
        true,
        &[
            ("system/mirrors.yaml", &mirror("system")),
            ("home/.spack/mirrors.yaml", "mirrors:\n"),
            ("home/.spack/config.yaml", "# nothing\n"),
            ("home/.spack/upstreams.yaml", ""),
        ],
    );
    assert_eq!(machine.mirror_names(), ["system"]);
    assert_eq!(machine.install_root(), "@/spack/opt/spack");
}

#[test]
fn a_store_is_found_by_argument_variable_configuration() {
    let mut machine = Machine::with_spack(
        true,
        &[
            (
                "home/.spack/config.yaml",
                "config: {install_tree: {root: /opt/conf, padded_length: 40}, locks: false}\n",
            ),
            ("home/.spack/upstreams.yaml", "upstreams: {a: {install_tree: /up}}\n"),
        ],
    );
    let found = |machine: &Machine, explicit: Option<&str>| {
        let request = StoreRequest { explicit: explicit.map(PathBuf::from) };
        find_store(&request, &machine.environment).unwrap()
    };
    let configured = found(&machine, None);
    assert_eq!(configured.path.to_str().unwrap().len(), 40);
    assert_eq!(configured.unpadded_root, Some("/opt/conf".into()));
    assert_eq!(machine.short(configured.how.to_string()), "@/home/.spack/config.yaml:1:31");
    assert_eq!((configured.uses_locks, configured.upstreams), (false, vec!["/up".into()]));
    assert_eq!(configured.spack_root, Some(machine.root().join("spack")));

    // Another store has nothing to do with the configuration.
    machine.set("HOD_STORE", "stores/a");
    let variable = found(&machine, None);
    assert_eq!(
        (machine.short(&variable.path), variable.how),
        ("@/cwd/stores/a".into(), How::Variable)
    );
    assert_eq!((variable.uses_locks, variable.upstreams), (true, vec![]));
    let argument = found(&machine, Some("/b"));
    assert_eq!((argument.path, argument.how), ("/b".into(), How::Argument));

    // The same one has.
    let same = found(&machine, Some("/opt/conf"));
    assert_eq!((same.uses_locks, same.upstreams.len()), (false, 1));

    // A damaged configuration is no reason to refuse a store that is named.
    machine.write("home/.spack/config.yaml", "config: [");
    let [warning] = &found(&machine, Some("/b")).warnings[..] else { panic!() };
    assert!(warning.to_string().contains("config.yaml`: not YAML: "), "{warning}");
    machine.environment.variables.remove("HOD_STORE");
    assert!(find_store(&StoreRequest::default(), &machine.environment).is_err());
}

#[test]
fn what_was_tried_is_told() {
    let mut machine = Machine::new(&[]);
    let tried = |machine: &Machine| {
        let error = find_store(&StoreRequest::default(), &machine.environment).unwrap_err();
        machine.short(error.to_string())
    };
    assert_eq!(
        tried(&machine),
        "found no store: --store is not given, HOD_STORE is not set, SPACK_ROOT is not set, no \
         `spack` on the path, no `config:install_tree` in `@/system` or `~/.spack`"
    );
    machine.set("SPACK_ROOT", "@/none");
    machine.set("SPACK_DISABLE_LOCAL_CONFIG", "1");
    assert_eq!(
        tried(&machine),
        "found no store: --store is not given, HOD_STORE is not set, no Spack in SPACK_ROOT \
         (`@/none`), no `spack` on the path"
    );
}
