//! RepoPath: the path of a file as an index stores it.

use std::fmt;
use std::path::{Component, Path};
use std::sync::Arc;

/// A file's path relative to its root, with `/` between the parts on every system.
///
/// With several roots the first components name the root: `<root name>/rel/path`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(Arc<str>);

impl RepoPath {
    pub fn new(path: impl AsRef<str>) -> Self {
        Self(Arc::from(path.as_ref()))
    }

    /// Appends the components of `relative` to `label`; `None` if one is not UTF-8 or is `..`.
    pub(super) fn from_parts(label: &str, relative: &Path) -> Option<Self> {
        let mut joined = label.to_owned();
        for part in relative.components() {
            let Component::Normal(part) = part else { return None };
            if !joined.is_empty() {
                joined.push('/');
            }
            joined.push_str(part.to_str()?);
        }
        (!joined.is_empty()).then(|| Self::new(joined))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component: `lib.rs`.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The file name without its last extension: `lib`.
    pub fn stem(&self) -> &str {
        let name = self.file_name();
        match name.rsplit_once('.') {
            Some((stem, _)) if !stem.is_empty() => stem,
            _ => name,
        }
    }

    /// The last extension without its dot: `rs`.
    pub fn extension(&self) -> Option<&str> {
        match self.file_name().rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => Some(extension),
            _ => None,
        }
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for RepoPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_name_are_found() {
        for (path, name, stem, extension) in [
            ("src/lib.rs", "lib.rs", "lib", Some("rs")),
            ("a.b/c.tar.gz", "c.tar.gz", "c.tar", Some("gz")),
            ("x/.bashrc", ".bashrc", ".bashrc", None),
            ("Makefile", "Makefile", "Makefile", None),
        ] {
            let path = RepoPath::new(path);
            assert_eq!((path.file_name(), path.stem(), path.extension()), (name, stem, extension));
        }
    }

    #[test]
    fn a_path_that_leads_upwards_has_no_name() {
        assert_eq!(RepoPath::from_parts("root", Path::new("../x")), None);
        assert_eq!(RepoPath::from_parts("", Path::new("")), None);
        assert_eq!(RepoPath::from_parts("root", Path::new("a/b")), Some(RepoPath::new("root/a/b")));
    }
}
