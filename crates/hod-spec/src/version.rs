//! Versions, ordered as Spack orders them.

/// Whether Spack takes this version for a reference into a git repository.
pub(crate) fn is_git(version: &str) -> bool {
    let is_commit = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    version.starts_with("git.") || is_commit || version.chars().skip(1).any(|c| c == '=')
}
