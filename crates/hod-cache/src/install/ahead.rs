//! Whether a path will be there once a tree has its name.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// What is yet to get a name, or is not where its name says: names, and where what they mean is.
#[derive(Debug, Clone)]
pub(super) struct Ahead {
    /// The narrower before the wider.
    moved: Vec<(PathBuf, PathBuf)>,
}

impl Ahead {
    pub(super) fn new(moved: Vec<(PathBuf, PathBuf)>) -> Self {
        Self { moved }
    }

    /// Whether there is something at an absolute path, with all links on the way followed as they
    /// will lead.
    pub(super) fn exists(&self, path: &Path) -> bool {
        let mut open: Vec<OsString> = names(path);
        let mut here = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = open.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            here.push(name);
            let actual = self.actual(&here);
            match fs_err::symlink_metadata(&actual) {
                Ok(there) if there.is_symlink() => {
                    links += 1;
                    let Ok(target) = fs_err::read_link(&actual) else { return false };
                    if links > MOST_LINKS {
                        return false;
                    }
                    if target.is_absolute() {
                        here = PathBuf::from("/");
                    } else {
                        here.pop();
                    }
                    open.extend(names(&target));
                }
                Ok(_) => {}
                // What is above a name need not be there itself: the store may lie elsewhere.
                Err(error) => {
                    let is_above = self.moved.iter().any(|(name, _)| name.starts_with(&here));
                    if error.kind() != io::ErrorKind::NotFound || !is_above {
                        return false;
                    }
                }
            }
        }
        self.actual(&here).exists() || self.moved.iter().any(|(name, _)| name.starts_with(&here))
    }

    fn actual(&self, path: &Path) -> PathBuf {
        let moved = self.moved.iter().find_map(|(name, place)| {
            let below = path.strip_prefix(name).ok()?;
            Some(if below.as_os_str().is_empty() { place.clone() } else { place.join(below) })
        });
        moved.unwrap_or_else(|| path.to_owned())
    }
}

/// The components that lead somewhere, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let named = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<OsString> = named.collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[rstest::rstest]
    #[case::itself("/new/store/a", true)]
    #[case::below("/new/store/a/lib", true)]
    #[case::by_a_link("/new/store/a/lib64/deep", true)]
    #[case::by_an_absolute_link("/new/store/a/here/lib/deep", true)]
    #[case::not_there("/new/store/a/lib/other", false)]
    #[case::a_dependency("/new/store/b/lib", true)]
    #[case::a_dependency_without_it("/new/store/b/lib64", false)]
    #[case::from_one_to_another("/new/store/a/lib/../../b/lib", true)]
    #[case::above_both("/new", true)]
    #[case::system("/usr", true)]
    #[case::nowhere("/no/such/directory", false)]
    #[case::a_loop("/new/store/a/loop", false)]
    fn what_will_be_there(#[case] path: &str, #[case] expected: bool) {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs_err::create_dir_all(at("real/.a.hod/lib/deep")).unwrap();
        fs_err::create_dir_all(at("real/b/lib")).unwrap();
        symlink("lib", at("real/.a.hod/lib64")).unwrap();
        symlink("/new/store/a", at("real/.a.hod/here")).unwrap();
        symlink("loop", at("real/.a.hod/loop")).unwrap();
        let ahead = Ahead::new(vec![
            ("/new/store/a".into(), at("real/.a.hod")),
            ("/new/store".into(), at("real")),
        ]);
        assert_eq!(ahead.exists(Path::new(path)), expected);
    }
}
