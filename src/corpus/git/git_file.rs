//! GitFile: a file of a root, and the repository that tracks it.

use std::io;
use std::path::{Path, PathBuf};

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};

use super::objects::discover;
use crate::base::error::{BoxError, Error, Result};
use crate::corpus::source::{Repo, RepoPath};

/// The largest file whose lines are attributed. Every version of it is read and compared.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Bytes searched for a NUL, as in git.
const BINARY_PROBE_BYTES: usize = 8000;

/// A file of a root inside the working tree of a repository. It need not exist or be tracked.
pub(super) struct GitFile {
    pub git: gix::Repository,
    /// From the top of the working tree.
    pub path: BString,
    absolute: PathBuf,
    worktree: PathBuf,
    root: PathBuf,
    /// What the paths of files in this root begin with.
    label: String,
}

impl GitFile {
    pub fn open(repo: &Repo, path: &RepoPath) -> Result<Self> {
        let missing = || Error::PathNotFound { path: PathBuf::from(path.as_str()) };
        if path.as_str().split('/').any(|part| part == ".git") {
            return Err(missing());
        }
        let absolute = repo.absolute(path).ok_or_else(missing)?;
        let root = repo.root_of(path).ok_or_else(missing)?.to_path_buf();
        // A file that is gone may have been in a folder that is gone.
        let folder = absolute.ancestors().skip(1).find(|folder| folder.is_dir());
        let folder = folder.and_then(|folder| folder.canonicalize().ok()).ok_or_else(missing)?;
        let base = if root.is_file() { root.parent().unwrap_or(&root) } else { &root };
        if !folder.starts_with(base) {
            return Err(missing());
        }
        let unavailable =
            |remedy: String| Error::Unavailable { what: format!("the history of {path}"), remedy };
        let git = discover(&folder).map_err(|error| {
            if error.is_not_found() {
                return unavailable("it is not inside a git repository".to_owned());
            }
            unavailable(format!("its git repository cannot be opened: {error}"))
        })?;
        let worktree = git.workdir().and_then(|folder| folder.canonicalize().ok());
        let worktree = worktree.ok_or_else(|| {
            unavailable(format!("{} has no working tree", git.git_dir().display()))
        })?;
        let inside = absolute.strip_prefix(&worktree).ok().and_then(slashes).ok_or_else(missing)?;
        let within_root = absolute.strip_prefix(&root).ok().and_then(slashes).unwrap_or_default();
        let label = path.as_str().strip_suffix(&within_root.to_str_lossy()[..]);
        let label = label.unwrap_or_default().to_owned();
        Ok(Self { git, path: inside, absolute, worktree, root, label })
    }

    /// The commit of HEAD; `None` before the first commit.
    pub fn head(&self) -> Result<Option<ObjectId>> {
        let head = self.git.head().and_then(|head| head.try_into_peeled_id());
        let head = head.map_err(|source| self.unavailable(source.into()))?;
        Ok(head.map(|id| id.detach()))
    }

    /// Checks that there is a regular file in the working tree. Returns its size in bytes.
    pub fn check_exists(&self) -> Result<u64> {
        let metadata = self.absolute.symlink_metadata();
        let metadata = metadata.map_err(|error| self.unreadable(error))?;
        if !metadata.is_file() {
            return Err(self.unfit("a regular file, not a folder or a link".to_owned()));
        }
        Ok(metadata.len())
    }

    /// The content of the file in the working tree.
    pub fn text(&self) -> Result<Vec<u8>> {
        let found = self.check_exists()?;
        if found > FILE_BYTES_MAX {
            return Err(self.unfit(format!("at most {FILE_BYTES_MAX} bytes, found {found}")));
        }
        let text = std::fs::read(&self.absolute).map_err(|error| self.unreadable(error))?;
        if text[..text.len().min(BINARY_PROBE_BYTES)].contains(&0) {
            return Err(self.unfit("a text file; this one is binary".to_owned()));
        }
        Ok(text)
    }

    /// The name in answers of a path from the top of the working tree: as the files of the index
    /// are named, or after `:/` if it is in no root.
    pub fn name(&self, path: &BStr) -> String {
        let Ok(native) = gix::path::from_bstr(path) else { return format!(":/{path}") };
        let absolute = self.worktree.join(native);
        match absolute.strip_prefix(&self.root).ok().and_then(slashes) {
            Some(within) if !within.is_empty() => format!("{}{within}", self.label),
            _ if absolute == self.absolute => self.label.clone(),
            _ => format!(":/{path}"),
        }
    }

    pub fn unavailable(&self, source: BoxError) -> Error {
        Error::Unavailable {
            what: format!("the history of {}", self.path),
            remedy: format!("{source}; check the repository with `git fsck`"),
        }
    }

    fn unreadable(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::NotFound => Error::PathNotFound { path: self.absolute.clone() },
            _ => Error::PathUnreadable { path: self.absolute.clone(), source },
        }
    }

    fn unfit(&self, expected: String) -> Error {
        Error::Argument { name: "path", value: format!("{:?}", self.path), expected }
    }
}

fn slashes(path: &Path) -> Option<BString> {
    let path = gix::path::into_bstr(path).ok()?;
    Some(gix::path::to_unix_separators_on_windows(path).into_owned())
}
