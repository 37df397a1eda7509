//! Scripts that put directories first in variables, in the languages of shells.
//!
//! They work on what the variable is when they run. A directory that is somewhere in it moves to
//! the front, so that running a script again changes nothing; csh, which has no means for that, is
//! content if all of them are in front already. Nothing in them is a comment: csh would take all
//! that follows for one. What they name themselves begins with `_hod_`, and is gone at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Variables, each with what comes first in it.
type Variables<'a> = BTreeMap<&'a str, Vec<String>>;

/// An empty part of it stands for the manuals of the system; Spack appends one as well.
const MANUALS: &str = "MANPATH";

/// Puts `$1` first in `$_hod_list`, with nothing but what POSIX has. What is taken out leaves the
/// empty parts of a list alone: in some they have a meaning.
const SH_FIRST: &str = r#"_hod_first() {
    _hod_list=":$_hod_list:"
    while :; do
        case $_hod_list in
            *":$1:"*) _hod_list="${_hod_list%%":$1:"*}:${_hod_list#*":$1:"}" ;;
            *) break ;;
        esac
    done
    _hod_list="${_hod_list#:}"
    _hod_list="${_hod_list%:}"
    _hod_list="$1${_hod_list:+:$_hod_list}"
}
"#;

/// For `sh`, `bash` and `zsh`.
pub(super) fn sh(variables: &Variables<'_>) -> String {
    let mut script = SH_FIRST.to_owned();
    for (name, list) in variables {
        line(&mut script, format_args!("_hod_list=\"${{{name}-}}\""));
        for item in list.iter().rev() {
            line(&mut script, format_args!("_hod_first '{}'", item.replace('\'', r"'\''")));
        }
        if *name == MANUALS {
            let end = r#"case ":$_hod_list:" in *::*) ;; *) _hod_list="$_hod_list:" ;; esac"#;
            line(&mut script, format_args!("{end}"));
        }
        line(&mut script, format_args!("export {name}=\"$_hod_list\""));
    }
    line(&mut script, format_args!("unset -f _hod_first"));
    line(&mut script, format_args!("unset _hod_list"));
    script
}

/// For `csh` and `tcsh`. Each line is a statement of its own also where `eval` makes one line of
/// them.
pub(super) fn csh(variables: &Variables<'_>) -> String {
    let mut script = String::new();
    for (name, list) in variables {
        let list = list.join(":");
        // In a pattern quotes do not keep these from meaning something; `?` is any character.
        let pattern = csh_quoted(&list.replace(['[', ']', '*'], "?"));
        let list = csh_quoted(&list);
        line(&mut script, format_args!("if ( ! $?{name} ) setenv {name} '';"));
        // Of two empty lists none is put before the other.
        line(
            &mut script,
            format_args!(
                "if ( \"${{{name}}}:\" !~ {pattern}:* ) setenv {name} {list}:\"${{{name}}}\";"
            ),
        );
        if *name == MANUALS {
            line(
                &mut script,
                format_args!("if ( \"${{{name}}}\" !~ *: ) setenv {name} \"${{{name}}}:\";"),
            );
        } else {
            line(
                &mut script,
                format_args!("if ( \"${{{name}}}\" == {list}: ) setenv {name} {list};"),
            );
        }
    }
    script
}

/// In quotes, in which csh looks for `!` and for the end of the line all the same.
fn csh_quoted(text: &str) -> String {
    let text = text.replace('\'', r"'\''").replace('!', r"\!").replace('\n', "\\\n");
    format!("'{text}'")
}

/// For `fish`, in which variables are lists.
pub(super) fn fish(variables: &Variables<'_>) -> String {
    let mut script = String::from("begin\n    set -l _hod_item\n");
    for (name, list) in variables {
        let list: Vec<String> = list.iter().map(|item| fish_quoted(item)).collect();
        line(&mut script, format_args!("    set -l _hod_first {}", list.join(" ")));
        line(&mut script, format_args!("    set -l _hod_list $_hod_first"));
        // Nothing is not a list of one empty part, which would be the working directory.
        line(&mut script, format_args!("    if test -n \"${name}\""));
        line(&mut script, format_args!("        for _hod_item in (string split -- : \"${name}\")"));
        let keep = "contains -- $_hod_item $_hod_first; or set -a _hod_list $_hod_item";
        line(&mut script, format_args!("            {keep}"));
        line(&mut script, format_args!("        end\n    end"));
        if *name == MANUALS {
            let end = "contains -- '' $_hod_list; or set -a _hod_list ''";
            line(&mut script, format_args!("    {end}"));
        }
        // By these names fish knows lists.
        if name.ends_with("PATH") {
            line(&mut script, format_args!("    set -gx --path {name} $_hod_list"));
        } else {
            line(&mut script, format_args!("    set -gx {name} (string join -- : $_hod_list)"));
        }
    }
    line(&mut script, format_args!("end"));
    script
}

fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

fn line(script: &mut String, line: std::fmt::Arguments<'_>) {
    // Nothing can go wrong with a text in memory.
    let _ = writeln!(script, "{line}");
}
