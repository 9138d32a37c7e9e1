//! The files of the working tree that differ from a commit.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gix::ObjectId;
use gix::bstr::ByteSlice;

use super::objects::{Objects, discover};
use crate::base::error::{BoxError, Error, Result};
use crate::base::telemetry::{RunContext, Stage, attrs};
use crate::corpus::source::{Repo, RepoPath};
use crate::corpus::time_limit::TimeLimit;

/// A larger file is data, whose definitions nobody asks for.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// The longest time of one comparison.
const COMPARE_MAX: Duration = Duration::from_secs(10);

/// A file that differs between a commit and the working tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    pub path: RepoPath,
    /// Its text in the commit; empty if it was not there.
    pub before: String,
    /// Its text in the working tree; empty if it is not there.
    pub after: String,
}

impl Repo {
    /// The files under the roots whose text in the working tree differs from that in `revision`, or
    /// from that in its last common ancestor with HEAD. Files that differ in their line ends only, and
    /// files over 8 MiB, are left out.
    ///
    /// files: the files to consider that no commit may have yet.
    pub fn changed_since(
        &self,
        revision: &str,
        files: &[&str],
        cx: &RunContext,
    ) -> Result<Vec<ChangedFile>> {
        cx.stage(Stage::ChangedFiles, |span| {
            span.set(attrs::GIT_OP, Stage::ChangedFiles.name());
            let limit = TimeLimit::new(cx, COMPARE_MAX);
            let (mut changed, mut compared) = (Vec::new(), HashSet::new());
            for root in self.roots() {
                let git = repository(root)?;
                if compared.insert(git.git_dir().to_owned()) {
                    Comparison::new(self, &git, revision)?.run(files, &limit, &mut changed)?;
                }
            }
            changed.sort_by(|a, b| a.path.cmp(&b.path));
            span.set(attrs::GIT_RESULTS, changed.len());
            Ok(changed)
        })
    }
}

fn unavailable(remedy: String) -> Error {
    Error::Unavailable { what: "the changes since a commit".to_owned(), remedy }
}

fn repository(root: &Path) -> Result<gix::Repository> {
    let folder = if root.is_dir() { root } else { root.parent().unwrap_or(root) };
    discover(folder).map_err(|error| {
        let shown = root.display();
        if error.is_not_found() {
            return unavailable(format!("{shown} is not inside a git repository; give a diff"));
        }
        unavailable(format!("the git repository of {shown} cannot be opened: {error}"))
    })
}

/// One repository, and the commit that its working tree is compared with.
struct Comparison<'a> {
    repo: &'a Repo,
    git: &'a gix::Repository,
    worktree: PathBuf,
    tree: ObjectId,
}

impl<'a> Comparison<'a> {
    fn new(repo: &'a Repo, git: &'a gix::Repository, revision: &str) -> Result<Self> {
        let worktree = git.workdir().and_then(|folder| folder.canonicalize().ok());
        let worktree = worktree
            .ok_or_else(|| unavailable(format!("{} has no files", git.git_dir().display())))?;
        let tree = base_tree(git, revision).map_err(|source| Error::Argument {
            name: "base",
            value: format!("{revision:?}"),
            expected: format!("a commit, branch or tag of the repository ({source})"),
        })?;
        Ok(Self { repo, git, worktree, tree })
    }

    fn run(
        &self,
        files: &[&str],
        limit: &TimeLimit<'_>,
        changed: &mut Vec<ChangedFile>,
    ) -> Result<()> {
        let damaged = |source: BoxError| {
            unavailable(format!("{source}; check the repository with `git fsck`"))
        };
        let objects = Objects::new(self.git);
        let index = self.git.index_or_empty().map_err(|error| damaged(error.into()))?;
        let mut committed = HashSet::new();
        for (name, blob) in self.files().map_err(damaged)? {
            let Some(absolute) = gix::path::from_bstr(name.as_bstr()).ok() else {
                continue;
            };
            let absolute = self.worktree.join(absolute);
            let Some(path) = self.repo.name_of(&absolute) else { continue };
            committed.insert(path.clone());
            let staged = index.entry_by_path(name[..].as_bstr());
            let is_same = staged
                .is_some_and(|entry| entry.id == blob && is_unchanged(entry, &index, &absolute));
            if is_same || objects.blob_bytes(blob)? > FILE_BYTES_MAX {
                continue;
            }
            if limit.is_over()? {
                return Err(unavailable("the time was over; give a diff instead".to_owned()));
            }
            let Some(after) = read(&absolute) else { continue };
            let before = String::from_utf8_lossy(&objects.blob(blob)?).into_owned();
            if before.lines().ne(after.lines()) {
                changed.push(ChangedFile { path, before, after });
            }
        }
        for path in files.iter().map(RepoPath::new).filter(|path| !committed.contains(path)) {
            let absolute =
                self.repo.absolute(&path).filter(|file| file.starts_with(&self.worktree));
            if let Some(after) = absolute.and_then(|file| read(&file)) {
                changed.push(ChangedFile { path, before: String::new(), after });
            }
        }
        Ok(())
    }

    /// The regular files of the commit, by their path from the top of the working tree.
    fn files(&self) -> Result<Vec<(Vec<u8>, ObjectId)>, BoxError> {
        let entries = self.git.find_tree(self.tree)?.traverse().breadthfirst.files()?;
        let regular = |mode: gix::objs::tree::EntryMode| mode.is_blob() && !mode.is_link();
        let files = entries.into_iter().filter(|entry| regular(entry.mode));
        Ok(files.map(|entry| (entry.filepath.to_vec(), entry.oid)).collect())
    }
}

/// The tree of the last common ancestor of `revision` and HEAD, or of `revision` if they have none.
fn base_tree(git: &gix::Repository, revision: &str) -> Result<ObjectId, BoxError> {
    let commit = git.rev_parse_single(revision)?.object()?.peel_to_commit()?;
    let head = git.head_id()?;
    let base = git.merge_base(commit.id, head);
    let base = base?.map_or(commit.id, |base| base.detach());
    Ok(git.find_commit(base)?.tree_id()?.detach())
}

/// Whether git's own record says that a file is as it was when its content was recorded.
fn is_unchanged(entry: &gix::index::Entry, index: &gix::index::File, absolute: &Path) -> bool {
    let Ok(metadata) = gix::index::fs::Metadata::from_path_no_follow(absolute) else {
        return false;
    };
    let Ok(now) = gix::index::entry::Stat::from_fs(&metadata) else { return false };
    // A file that was written when the record was may have changed after it.
    entry.stat.matches(&now, Default::default())
        && !entry.stat.is_racy(index.timestamp(), Default::default())
}

/// The text of a file; `None` for a binary, large or unreadable one, and empty if there is none.
fn read(absolute: &Path) -> Option<String> {
    let metadata = match absolute.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(String::new()),
        Err(_) => return None,
    };
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return None;
    }
    let bytes = std::fs::read(absolute).ok()?;
    (!bytes.contains(&0)).then(|| String::from_utf8_lossy(&bytes).into_owned())
}
