//! Repo: the roots that one index is made of, and the label of each.

use std::io;
use std::path::{Path, PathBuf};

use super::RepoPath;
use super::file_policy::FilePolicy;
use super::walk::GIT_DATA;
use crate::base::config::Settings;
use crate::base::error::{Error, Result};

/// The folders and files that one index is made of.
#[derive(Debug, Clone)]
pub struct Repo {
    pub(super) roots: Vec<Root>,
    pub(super) file_bytes_max: u64,
    pub(super) hidden: bool,
    /// Whether ignore rules exclude files.
    pub(super) obeys_ignore_rules: bool,
    /// The folder of the index itself, which is never walked.
    pub(super) data_folder: Option<PathBuf>,
    /// What is indexed of each file.
    pub(super) policy: FilePolicy,
}

/// Finds the files of an index that was made earlier, perhaps on another machine.
#[derive(Debug, Clone)]
pub struct IndexedRoots(Vec<Root>);

/// One folder or file, with all links resolved.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub path: PathBuf,
    pub is_file: bool,
    /// The start of its files' paths: empty for a single folder, the whole path for a file.
    pub label: String,
}

impl Repo {
    /// Checks that every root exists and can be read. Links are resolved.
    pub fn open(roots: &[PathBuf], settings: &Settings) -> Result<Self> {
        if roots.is_empty() {
            let expected = "at least one folder or file".to_owned();
            return Err(Error::Argument { name: "roots", value: "nothing".to_owned(), expected });
        }
        let mut checked: Vec<Root> = Vec::new();
        for path in roots {
            let root = check(path)?;
            if !checked.iter().any(|other| other.path == root.path) {
                checked.push(root);
            }
        }
        set_labels(&mut checked);
        Ok(Self {
            roots: checked,
            file_bytes_max: settings.source.file_bytes_max,
            hidden: settings.source.hidden,
            obeys_ignore_rules: true,
            data_folder: Path::new(&settings.data.dir).canonicalize().ok(),
            policy: FilePolicy::new(&settings.index)?,
        })
    }

    /// The same folders, with hidden files and those that ignore rules exclude.
    pub fn with_ignored_files(self) -> Self {
        Self { hidden: true, obeys_ignore_rules: false, ..self }
    }

    /// The roots, with links resolved.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().map(|root| root.path.as_path())
    }

    /// The roots that are folders, each with the start of its files' paths.
    pub(in crate::corpus) fn folders(&self) -> impl Iterator<Item = (&str, &Path)> {
        let folders = self.roots.iter().filter(|root| !root.is_file);
        folders.map(|root| (root.label.as_str(), root.path.as_path()))
    }

    /// The absolute path of `path`, which need not exist; `None` if no root contains it.
    pub fn absolute(&self, path: &RepoPath) -> Option<PathBuf> {
        self.locate(path).map(|(_, absolute)| absolute)
    }

    /// The path in the index of a file with this absolute path; `None` if it is in no root.
    pub fn name_of(&self, absolute: &Path) -> Option<RepoPath> {
        name_of(&self.roots, absolute)
    }

    /// The root that contains `path`.
    pub fn root_of(&self, path: &RepoPath) -> Option<&Path> {
        self.locate(path).map(|(root, _)| root.path.as_path())
    }

    pub(super) fn locate(&self, path: &RepoPath) -> Option<(&Root, PathBuf)> {
        locate(&self.roots, path)
    }

    pub(super) fn roots_text(&self) -> String {
        let roots: Vec<_> = self.roots().map(|path| path.display().to_string()).collect();
        roots.join(", ")
    }
}

impl IndexedRoots {
    /// roots: as [`Repo::roots`] gave them when the files were indexed.
    pub fn new(roots: &[String]) -> Self {
        let root = |path: &String| {
            let path = PathBuf::from(path);
            Root { is_file: path.is_file(), path, label: String::new() }
        };
        let mut roots: Vec<Root> = roots.iter().map(root).collect();
        set_labels(&mut roots);
        Self(roots)
    }

    /// The absolute path of `path`; `None` if no such file is on this machine.
    pub fn find(&self, path: &str) -> Option<PathBuf> {
        let (root, absolute) = locate(&self.0, &RepoPath::new(path))?;
        // A link that was made since then may lead out of the root.
        let resolved = absolute.canonicalize().ok()?;
        (resolved.is_file() && resolved.starts_with(&root.path)).then_some(absolute)
    }

    /// The path in the index of a file on this machine; `None` if it is in no root.
    pub fn name_of(&self, absolute: &Path) -> Option<String> {
        name_of(&self.0, absolute).map(|path| path.as_str().to_owned())
    }
}

fn name_of(roots: &[Root], absolute: &Path) -> Option<RepoPath> {
    roots.iter().find_map(|root| {
        let relative = absolute.strip_prefix(&root.path).ok()?;
        if root.is_file {
            relative.as_os_str().is_empty().then(|| RepoPath::new(&root.label))
        } else {
            RepoPath::from_parts(&root.label, relative)
        }
    })
}

fn locate<'a>(roots: &'a [Root], path: &RepoPath) -> Option<(&'a Root, PathBuf)> {
    let upwards = |part: &str| part.is_empty() || part == "." || part == "..";
    if path.as_str().split('/').any(upwards) || path.as_str().contains('\\') && cfg!(windows) {
        return None;
    }
    roots.iter().find_map(|root| {
        if root.is_file {
            return (root.label == path.as_str()).then(|| (root, root.path.clone()));
        }
        let relative = match root.label.as_str() {
            "" => path.as_str(),
            label => path.as_str().strip_prefix(label)?.strip_prefix('/')?,
        };
        Some((root, root.path.join(relative)))
    })
}

fn check(path: &Path) -> Result<Root> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::PathNotFound { path: path.to_path_buf() },
        _ => Error::PathUnreadable { path: path.to_path_buf(), source },
    };
    let resolved = path.canonicalize().map_err(unreadable)?;
    let is_file = !resolved.is_dir();
    if is_file {
        std::fs::File::open(&resolved).map_err(unreadable)?;
    } else {
        std::fs::read_dir(&resolved).map_err(unreadable)?;
        if GIT_DATA.iter().all(|name| resolved.join(name).exists()) {
            let path = resolved.display();
            return Err(Error::Argument {
                name: "PATH",
                value: path.to_string(),
                expected: format!(
                    "a folder of files, and this is a git repository without a work tree; index a \
                     clone of it: file://{path}"
                ),
            });
        }
    }
    Ok(Root { path: resolved, is_file, label: String::new() })
}

/// Labels each root with the fewest last components that distinguish it from the others.
fn set_labels(roots: &mut [Root]) {
    let parts: Vec<Vec<String>> = roots.iter().map(|root| parts(&root.path)).collect();
    if let [only] = roots {
        if only.is_file {
            only.label = tail(&parts[0], 1).join("/");
        }
        return;
    }
    let mut lengths = vec![1; roots.len()];
    loop {
        let label = |i: usize| tail(&parts[i], lengths[i]);
        let clashes = |i: usize| {
            (0..roots.len()).any(|j| {
                j != i && (label(i).starts_with(label(j)) || label(j).starts_with(label(i)))
            })
        };
        let longer: Vec<usize> =
            (0..roots.len()).filter(|&i| lengths[i] < parts[i].len() && clashes(i)).collect();
        if longer.is_empty() {
            break;
        }
        for i in longer {
            lengths[i] += 1;
        }
    }
    for (i, root) in roots.iter_mut().enumerate() {
        root.label = tail(&parts[i], lengths[i]).join("/");
    }
}

fn parts(path: &Path) -> Vec<String> {
    let parts: Vec<String> = path
        .components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if parts.is_empty() { vec!["root".to_owned()] } else { parts }
}

fn tail(parts: &[String], length: usize) -> &[String] {
    &parts[parts.len() - length.min(parts.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(paths: &[&str]) -> Vec<String> {
        let root = |path: &&str| Root {
            path: PathBuf::from(path),
            is_file: path.ends_with(".rs"),
            label: String::new(),
        };
        let mut roots: Vec<Root> = paths.iter().map(root).collect();
        set_labels(&mut roots);
        roots.into_iter().map(|root| root.label).collect()
    }

    #[test]
    fn several_roots_are_told_apart_by_as_few_parts_as_needed() {
        assert_eq!(labels(&["/p/one"]), [""]);
        assert_eq!(labels(&["/p/x.rs"]), ["x.rs"]);
        assert_eq!(labels(&["/p/one", "/p/two"]), ["one", "two"]);
        assert_eq!(labels(&["/a/lib", "/b/lib", "/c/x.rs"]), ["a/lib", "b/lib", "x.rs"]);
        assert_eq!(labels(&["/q/a", "/p/a/lib", "/r/lib"]), ["q/a", "p/a/lib", "r/lib"]);
    }

    #[test]
    fn a_root_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = Repo::open(std::slice::from_ref(&missing), &Settings::default()).unwrap_err();
        assert!(matches!(&error, Error::PathNotFound { path } if *path == missing), "{error}");
        assert!(Repo::open(&[], &Settings::default()).is_err());
    }

    #[test]
    fn a_path_is_located_only_inside_its_root() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repo::open(&[folder.path().to_path_buf()], &Settings::default()).unwrap();
        let root = folder.path().canonicalize().unwrap();
        assert_eq!(repo.absolute(&RepoPath::new("a/b.rs")), Some(root.join("a/b.rs")));
        for outside in ["../x", "a/../../x", "/etc/passwd", ""] {
            assert_eq!(repo.absolute(&RepoPath::new(outside)), None, "{outside}");
        }
    }
}
