//! Specs as text, in Spack's own words.

use crate::python::write_string;
use crate::{Nodes, Parameters, Spec, Variant, version};

impl Spec {
    /// What Spack's default format makes of the spec, its dependencies left out: the description of
    /// an image, such as `zlib@=1.3.1+shared build_system=makefile platform=linux os=ubuntu24.04
    /// target=x86_64_v3` (`spack-format` 5.3).
    pub fn describe(&self) -> String {
        let equals = if version::is_git(&self.version) { "" } else { "=" };
        let mut out = format!("{}@{equals}{}", self.name, self.version);
        write_parameters(&mut out, &self.parameters());
        let arch = &self.arch;
        for (key, value) in
            [("platform", &arch.platform), ("os", &arch.os), ("target", &arch.target)]
        {
            if !value.is_empty() {
                out.extend([" ", key, "=", value]);
            }
        }
        out.trim().to_owned()
    }

    /// Name, version, flags and variants, as Spack lists specs: `hdf5@1.14.3+mpi~shared api=v110`.
    pub fn summary(&self) -> String {
        let mut out = format!("{}@{}", self.name, self.version);
        write_parameters(&mut out, &self.parameters());
        out.trim().to_owned()
    }

    /// Name and version of the compiler: of the dependency that gives C, else C++, else Fortran;
    /// in specs first written before version 5 of the format, the one recorded.
    pub fn compiler_of<'a>(&'a self, nodes: &'a dyn Nodes) -> Option<(&'a str, &'a str)> {
        if self.original_format < 5 {
            let (name, version) = self.compiler.as_deref()?.split_once('@')?;
            return Some((name, version.strip_prefix('=').unwrap_or(version)));
        }
        let gives = |language: &str| {
            let mut edges = self.dependencies.iter();
            edges.find(|edge| edge.virtuals.iter().any(|name| &**name == language))
        };
        let compiler = ["c", "cxx", "fortran"].into_iter().find_map(gives)?;
        let compiler = nodes.node(&compiler.hash)?;
        Some((&compiler.name, &compiler.version))
    }
}

/// Flags, then what is on or off, then all other variants, each by name. Spaces as Spack has them.
fn write_parameters(out: &mut String, parameters: &Parameters) {
    let flags: Vec<_> = parameters.flags.iter().filter(|(_, flags)| !flags.is_empty()).collect();
    for (name, flags) in &flags {
        out.extend([" ", name, "="]);
        write_quoted(out, &flags.join(" "));
    }
    if !flags.is_empty() {
        out.push(' ');
    }
    for (name, variant) in &parameters.variants {
        if let Variant::Bool(is_on) = variant {
            out.extend([if *is_on { "+" } else { "~" }, name]);
        }
    }
    for (name, variant) in &parameters.variants {
        let (assigned, value) = match variant {
            Variant::Bool(_) => continue,
            Variant::One(value) => ("=", value.to_string()),
            Variant::Many(values) if values.is_empty() => (":=", "*".to_owned()),
            // Enough of a checksum to tell patches apart.
            Variant::Many(values) if &**name == "patches" => {
                let cut = |value: &str| value.chars().take(7).collect::<String>();
                (":=", values.iter().map(|value| cut(value)).collect::<Vec<_>>().join(","))
            }
            Variant::Many(values) => (":=", values.join(",")),
        };
        out.extend([" ", name, assigned]);
        write_quoted(out, &value);
    }
}

/// In quotes if a shell or Spack's parser would need them.
pub(crate) fn write_quoted(out: &mut String, value: &str) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ",/_.-[]".contains(c);
    // Python's `$` matches before a newline at the end too.
    let line = value.strip_suffix('\n').unwrap_or(value);
    if !line.is_empty() && line.chars().all(is_plain) {
        out.push_str(value);
    } else if value.contains('\'') {
        write_string(out, value);
    } else {
        out.extend(["'", value, "'"]);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // The right side is what `spack.spec_parser.quote_if_needed` returns.
    #[rstest]
    #[case::plain("a,b/c_d.e-[f]", "a,b/c_d.e-[f]")]
    #[case::space("-O2 -g", "'-O2 -g'")]
    #[case::plus("c++", "'c++'")]
    #[case::empty("", "''")]
    #[case::star("*", "'*'")]
    #[case::quote("it's", r#""it's""#)]
    #[case::both(r#"'"\"#, r#""'\"\\""#)]
    #[case::not_ascii("é'", r#""\u00e9'""#)]
    fn values_are_quoted_where_they_must_be(#[case] value: &str, #[case] expected: &str) {
        let mut out = String::new();
        write_quoted(&mut out, value);
        assert_eq!(out, expected);
    }
}
