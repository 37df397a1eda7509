//! YAML as a value that remembers where it was written.

/// Why a text is not the YAML it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum YamlError {
    /// Not YAML.
    #[error("not YAML")]
    Syntax(#[from] saphyr_parser::ScanError),
}
