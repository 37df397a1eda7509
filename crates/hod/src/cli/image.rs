//! What can be typed about images, and the options it becomes.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hod_cache::{BaseReference, EnvSource, ImageOptions, RunOptions, SpackCommand};
use hod_mirror::oci::Tag;

use crate::error::NoSpack;

#[derive(Debug, Args)]
#[command(next_help_heading = "Images")]
pub(crate) struct Images {
    /// Put the images on this one: `ubuntu:24.04`, `oci://…`, `oci+http://…`, `oci-layout:DIR:TAG`
    /// or `./DIR:TAG` of a directory mirror
    #[arg(long, value_name = "IMAGE")]
    pub(crate) base_image: Option<BaseReference>,
    /// Make one more image of all specs named, with this tag; beside images for other machines
    /// that have it
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub(crate) tag: Option<Tag>,
    /// Most layers of the tagged image, those of its base counted; more are merged
    #[arg(long, value_name = "N", default_value = "120", value_parser = at_least_one)]
    pub(crate) max_layers: usize,
    /// The command that containers start, one word each time it is given; empty for none
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) entrypoint: Vec<String>,
    /// The arguments of the command, or the command, one word each time it is given
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) cmd: Vec<String>,
    /// Set a variable (may be given several times)
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// The directory in which the command starts
    #[arg(long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Add a label (may be given several times)
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// The user that runs the command, by name or number, perhaps with a group: USER:GROUP
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Who knows the environment of specs: the directories of their prefixes, or `spack load`
    #[arg(long, value_name = "WHO", default_value = "inspections")]
    pub(crate) env_from: EnvFrom,
    /// Where the sources are, for the annotation by which registries link an image to a repository
    #[arg(long, value_name = "URL")]
    pub(crate) source: Option<String>,
}

// Without a text for each, which would make all of the help long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnvFrom {
    Inspections,
    Spack,
}

impl Images {
    /// What the words mean. `variables`: this process's environment.
    pub(crate) fn options(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<ImageOptions, NoSpack> {
        let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
        let env_source = match self.env_from {
            EnvFrom::Inspections => EnvSource::Inspections,
            EnvFrom::Spack => {
                let program = spack(&variables).ok_or(NoSpack)?;
                EnvSource::Spack(SpackCommand::new(program, variables))
            }
        };
        let run = RunOptions {
            entrypoint: words(&self.entrypoint),
            cmd: words(&self.cmd),
            env: self.env.clone(),
            workdir: self.workdir.clone(),
            labels: self.label.iter().cloned().collect(),
            user: self.user.clone(),
            source: self.source.clone(),
            env_source,
        };
        let (base, tag) = (self.base_image.clone(), self.tag.clone());
        Ok(ImageOptions { base, tag, max_layers: self.max_layers, run })
    }
}

/// A command; a single empty word takes away that of the base image, as in `docker run`.
fn words(words: &[String]) -> Option<Vec<String>> {
    match words {
        [] => None,
        [empty] if empty.is_empty() => Some(Vec::new()),
        words => Some(words.to_vec()),
    }
}

/// The program that a shell would run, or that of the Spack that is set up.
fn spack(variables: &[(OsString, OsString)]) -> Option<PathBuf> {
    let variable = |wanted: &str| {
        let found = variables.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    };
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let in_path = std::env::split_paths(variable("PATH").unwrap_or(OsStr::new("")));
    let in_root = variable("SPACK_ROOT").map(|root| Path::new(root).join("bin"));
    // What is relative would mean another program elsewhere.
    let directories = in_path.filter(|directory| directory.is_absolute()).chain(in_root);
    directories.map(|directory| directory.join("spack")).find(is_program)
}

fn tag(text: &str) -> Result<Tag, String> {
    Tag::new(text).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "expected a number from 1".into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[derive(Debug, Parser)]
    struct Push {
        #[command(flatten)]
        images: Images,
    }

    fn parse(arguments: &[&str]) -> Result<ImageOptions, String> {
        let arguments = std::iter::once(&"push").chain(arguments);
        let push = Push::try_parse_from(arguments).map_err(|error| error.to_string())?;
        push.images.options([]).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_is_nothing_asked() {
        assert_eq!(parse(&[]).unwrap(), ImageOptions::default());
    }

    #[test]
    fn everything_said_arrives() {
        let options = parse(&[
            "--base-image=ubuntu:24.04",
            "--tag=app-1.0",
            "--max-layers=60",
            "--entrypoint=python",
            "--entrypoint",
            "-u",
            "--cmd=-c",
            "--cmd=print(1)",
            "--env=A=b=c",
            "--env=EMPTY=",
            "--workdir=/work",
            "--label=x=1",
            "--label=x=2",
            "--user=1000:1000",
            "--source=https://example.org",
        ])
        .unwrap();
        assert_eq!(options.base.unwrap().name(), "24.04");
        assert_eq!(options.tag.unwrap().as_str(), "app-1.0");
        assert_eq!(options.max_layers, 60);
        let run = options.run;
        assert_eq!(run.entrypoint.unwrap(), ["python", "-u"]);
        assert_eq!(run.cmd.unwrap(), ["-c", "print(1)"]);
        let pair = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
        assert_eq!(run.env, [("A", "b=c"), ("EMPTY", "")].map(pair));
        assert_eq!(run.labels, [("x", "2")].map(pair).into());
        assert_eq!(
            (run.workdir.as_deref(), run.user.as_deref()),
            (Some("/work"), Some("1000:1000"))
        );
        assert_eq!(run.source.as_deref(), Some("https://example.org"));
    }

    #[test]
    fn an_empty_word_takes_the_bases_command_away() {
        let run = parse(&["--entrypoint="]).unwrap().run;
        assert_eq!((run.entrypoint, run.cmd), (Some(Vec::new()), None));
    }

    #[rstest]
    #[case("--tag=app.spack", "Spack keeps")]
    #[case("--tag=a/b", "is not a tag")]
    #[case("--max-layers=0", "a number from 1")]
    #[case("--env=A", "NAME=VALUE")]
    #[case("--label==x", "NAME=VALUE")]
    #[case("--base-image=./cache", "no image in it")]
    #[case("--env-from=spack", "there is no `spack`")]
    fn what_makes_no_sense_is_refused(#[case] argument: &str, #[case] reason: &str) {
        let error = parse(&[argument]).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn spack_is_found_as_a_shell_finds_it() {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        for directory in ["first", "root/bin"] {
            fs_err::create_dir_all(at(directory)).unwrap();
            fs_err::write(at(directory).join("spack"), "").unwrap();
        }
        let path = std::env::join_paths([at("none"), at("first")]).unwrap();
        let variables: Vec<(OsString, OsString)> =
            vec![("PATH".into(), path), ("SPACK_ROOT".into(), at("root").into())];
        let executable = |path: PathBuf| {
            fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        assert_eq!(spack(&variables), None, "neither can be run");
        executable(at("root/bin/spack"));
        assert_eq!(spack(&variables), Some(at("root/bin/spack")));
        executable(at("first/spack"));
        assert_eq!(spack(&variables), Some(at("first/spack")));
    }
}
