//! What the binaries of a package need of the place it goes to, in the key `relocation`.

use serde::{Deserialize, Serialize};

/// The prefixes that were looked for, and what holds which. In the order in which they are replaced:
/// `sbang`, those of packages, the root (`spack-format` 7.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RelocationFacts {
    /// The path of `sbang`, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbang: Option<String>,
    /// The package and what it was linked with or runs: hash and prefix. None for a prefix that
    /// Spack did not make.
    pub prefixes: Vec<(String, String)>,
    /// The root of the store; of what Spack did not make, the prefix itself.
    pub root: String,
    /// For each prefix that is in a binary, in the same order, what it needs.
    pub needs: Vec<RoomNeeded>,
}

/// What all binaries of a package together ask of one prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoomNeeded {
    /// The prefix.
    pub prefix: String,
    /// The fewest bytes between it and the end of a string, if there are fewer than seven anywhere:
    /// only then the end of the new prefix matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortest_suffix: Option<u8>,
    /// A file for which this is so, the first by name, as [`encode_path`](super::encode_path)
    /// writes it.
    pub file: String,
}

#[cfg(test)]
mod tests {
    use crate::oci::PackageFacts;

    #[test]
    fn facts_with_and_without_it_come_back_as_they_were() {
        let without = PackageFacts::default();
        let text = serde_json::to_string(&without).unwrap();
        assert!(!text.contains("relocation"), "{text}");
        assert_eq!(serde_json::from_str::<PackageFacts>(&text).unwrap(), without);

        let relocation = r#"{"sbang":"/s/bin/sbang","prefixes":[["abc","/s/zlib"]],"root":"/s","needs":[{"prefix":"/s/zlib","shortestSuffix":0,"file":"lib/libz.so"},{"prefix":"/s","file":"bin/zpipe"}]}"#;
        let text =
            text.replace(r#""largest":[]"#, &format!(r#""largest":[],"relocation":{relocation}"#));
        let facts: PackageFacts = serde_json::from_str(&text).unwrap();
        let needs = &facts.relocation.as_ref().unwrap().needs;
        assert_eq!(
            needs.iter().map(|need| need.shortest_suffix).collect::<Vec<_>>(),
            [Some(0), None]
        );
        assert_eq!(serde_json::to_string(&facts).unwrap(), text);
    }
}
