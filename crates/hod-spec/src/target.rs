//! Microarchitectures: what a target's name stands for.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Spec;
use crate::text::Text;

/// A target as the node has it. For generic ones, such as `x86_64_v3`, nothing but the name is
/// recorded (`spack-format` 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// Its name.
    pub name: Box<str>,
    /// Who makes it; empty for generic ones.
    pub vendor: Box<str>,
    /// What its instructions can do, sorted.
    pub features: Box<[Box<str>]>,
    /// The generation of POWER processors, else 0.
    pub generation: u64,
    /// The targets whose programs it runs.
    pub parents: Box<[Box<str>]>,
}

/// Each family with its members, as archspec 0.2.5 has them (`spack-format` 13).
const FAMILIES: &[(&str, &[&str])] = &[
    (
        "x86_64",
        &[
            "x86_64",
            "x86_64_v2",
            "x86_64_v3",
            "x86_64_v4",
            "nocona",
            "core2",
            "nehalem",
            "westmere",
            "sandybridge",
            "ivybridge",
            "haswell",
            "broadwell",
            "skylake",
            "mic_knl",
            "skylake_avx512",
            "cannonlake",
            "cascadelake",
            "icelake",
            "sapphirerapids",
            "k10",
            "bulldozer",
            "piledriver",
            "steamroller",
            "excavator",
            "zen",
            "zen2",
            "zen3",
            "zen4",
            "zen5",
        ],
    ),
    (
        "aarch64",
        &[
            "aarch64",
            "armv8.1a",
            "armv8.2a",
            "armv8.3a",
            "armv8.4a",
            "armv8.5a",
            "armv8.6a",
            "armv9.0a",
            "thunderx2",
            "a64fx",
            "cortex_a72",
            "neoverse_n1",
            "neoverse_v1",
            "neoverse_v2",
            "neoverse_n2",
            "m1",
            "m2",
            "m3",
            "m4",
        ],
    ),
    ("x86", &["x86", "i686", "pentium2", "pentium3", "pentium4", "prescott"]),
    ("ppc64", &["ppc64", "power7", "power8", "power9", "power10"]),
    ("ppc64le", &["ppc64le", "power8le", "power9le", "power10le"]),
    ("riscv64", &["riscv64", "u74mc"]),
    ("arm", &["arm"]),
    ("ppc", &["ppc"]),
    ("ppcle", &["ppcle"]),
    ("sparc", &["sparc"]),
    ("sparc64", &["sparc64"]),
];

impl Target {
    /// The family: what programs for any machine of the kind are built for. Of a target that is
    /// not in the table, the family of the first parent that is; else the name itself, as archspec
    /// has it for names it does not know.
    pub fn family(&self) -> &str {
        std::iter::once(&self.name)
            .chain(&self.parents)
            .find_map(|name| family_of(name))
            .unwrap_or(&self.name)
    }

    /// The family as Go, and so an image, calls it.
    pub fn goarch(&self) -> &str {
        match self.family() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            // Spack leaves all others as they are, `x86` too (`spack-format` 5.3).
            other => other,
        }
    }
}

impl Spec {
    /// What the node says about the target, beyond its name in [`arch`](Self::arch).
    pub fn target(&self) -> Target {
        let details = target_text(self.text()).unwrap_or_default();
        let boxed = |list: Vec<Text<'_>>| list.into_iter().map(Into::into).collect();
        Target {
            name: self.arch.target.clone(),
            vendor: details.vendor.into(),
            features: boxed(details.features),
            generation: details.generation,
            parents: boxed(details.parents),
        }
    }
}

fn family_of(name: &str) -> Option<&'static str> {
    FAMILIES.iter().find(|(_, members)| members.contains(&name)).map(|(family, _)| *family)
}

/// The object in `arch.target`, if there is one that can be read.
fn target_text(node: &str) -> Option<Details<'_>> {
    #[derive(Deserialize)]
    struct Node<'a> {
        #[serde(borrow)]
        arch: Arch<'a>,
    }
    #[derive(Deserialize)]
    struct Arch<'a> {
        #[serde(borrow)]
        target: &'a RawValue,
    }
    let node: Node<'_> = serde_json::from_str(node).ok()?;
    serde_json::from_str(node.arch.target.get()).ok()
}

#[derive(Deserialize, Default)]
struct Details<'a> {
    #[serde(borrow, default)]
    vendor: Text<'a>,
    #[serde(borrow, default)]
    features: Vec<Text<'a>>,
    #[serde(default)]
    generation: u64,
    #[serde(borrow, default)]
    parents: Vec<Text<'a>>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::RawJson;

    #[rstest]
    #[case::generic(r#""x86_64_v3""#, "x86_64", "amd64")]
    #[case::known(
        r#"{"name":"zen4","vendor":"AuthenticAMD","parents":["zen3"]}"#,
        "x86_64",
        "amd64"
    )]
    #[case::apple(r#"{"name":"m2","vendor":"Apple","parents":["m1"]}"#, "aarch64", "arm64")]
    #[case::unknown_with_parents(
        r#"{"name":"zen9","parents":["zen8","x86_64_v4"]}"#,
        "x86_64",
        "amd64"
    )]
    #[case::unknown_without(r#"{"name":"zen9","parents":[]}"#, "zen9", "zen9")]
    #[case::unknown_name(r#""elbrus""#, "elbrus", "elbrus")]
    #[case::not_mapped(r#""i686""#, "x86", "x86")]
    #[case::little_endian(r#"{"name":"power9le","generation":9}"#, "ppc64le", "ppc64le")]
    #[case::damaged_details(r#"{"name":"icelake","parents":7}"#, "x86_64", "amd64")]
    fn families_and_what_go_calls_them(
        #[case] target: &str,
        #[case] family: &str,
        #[case] goarch: &str,
    ) {
        let node = format!(
            r#"{{"name":"a","version":"1","arch":{{"platform":"linux","platform_os":"debian12","target":{target}}},"hash":"{}"}}"#,
            "a".repeat(32)
        );
        let target = Spec::parse_v5(RawJson::new(node), None).unwrap().target();
        assert_eq!(target.family(), family);
        assert_eq!(target.goarch(), goarch);
    }

    #[test]
    fn details_are_read() {
        let node = format!(
            r#"{{"name":"a","version":"1","arch":{{"platform":"linux","platform_os":"x","target":{{"name":"power9le","vendor":"IBM","features":["altivec","vsx"],"generation":9,"parents":["power8le"],"cpupart":""}}}},"hash":"{}"}}"#,
            "a".repeat(32)
        );
        let target = Spec::parse_v5(RawJson::new(node), None).unwrap().target();
        assert_eq!((&*target.vendor, target.generation), ("IBM", 9));
        assert_eq!(*target.features, ["altivec".into(), "vsx".into()]);
        assert_eq!(*target.parents, ["power8le".into()]);
    }
}
