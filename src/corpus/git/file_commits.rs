//! FileCommits: the last commit of each of many files, and how many commits and authors each has.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::object::tree::diff::Action;
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;

use super::objects::discover;
use super::{Commit, HistoryStop};
use crate::base::error::{BoxError, Result};
use crate::corpus::source::{Repo, RepoPath};

/// Commits that are searched for the last one of a file. A file that none of them touched has no date.
const DATED_MAX: usize = 20_000;
/// The newest commits, which are counted.
const COUNTED_MAX: usize = 5_000;
/// How long the history of one repository may be read.
const HISTORY_MAX: Duration = Duration::from_secs(3);
/// Memory for trees: each is read twice, for a commit and for its child.
const OBJECT_CACHE_BYTES: usize = 32 << 20;

/// What the history tells of many files.
#[derive(Debug, Default)]
pub struct FileCommits {
    /// The newest commit that touched a file.
    pub last: HashMap<RepoPath, Commit>,
    pub counts: HashMap<RepoPath, CommitCount>,
    /// Why older commits were not counted; `None` if all were.
    pub stopped: Option<HistoryStop>,
}

/// The commits of one file. A rename begins a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitCount {
    pub commits: u32,
    /// Different names of authors.
    pub authors: u32,
    /// The author of most of the commits, of several the first by name.
    pub main_author: String,
    pub main_commits: u32,
}

/// The files that are asked for, by their names in the repository.
type Files = HashMap<Vec<u8>, File>;

struct File {
    path: RepoPath,
    /// Whether its last commit is still searched.
    undated: bool,
    /// Commits by author; `None` if they are not counted.
    authors: Option<HashMap<String, u32>>,
}

impl Repo {
    /// Reads the history once: the last commit of each of `dated`, and the commits of each of
    /// `counted`. It ends after 5,000 commits, or 20,000 while a date is missing, and after three
    /// seconds. A path that is not in git or was not found by then has no entry.
    pub fn file_commits(&self, dated: &[RepoPath], counted: &[RepoPath]) -> FileCommits {
        let mut found = FileCommits::default();
        for (git, mut files) in self.by_repository(dated, counted) {
            // A damaged repository costs the facts about its files, not the index.
            match search(&git, &mut files, &mut found.last) {
                Ok(stopped) => found.stopped = found.stopped.or(stopped),
                Err(error) => tracing::warn!(%error, "the history of files could not be read"),
            }
            let counts = files.into_values().filter_map(|file| {
                Some((file.path, CommitCount::of(file.authors.filter(|all| !all.is_empty())?)))
            });
            found.counts.extend(counts);
        }
        found
    }

    /// The commits that are checked out in the repositories of the roots, as hexadecimal digits
    /// with commas between them. Empty if there are none.
    pub fn heads(&self) -> String {
        let head = |root| Some(discover(folder_of(root)?).ok()?.head_id().ok()?.to_string());
        let heads: Vec<String> = self.roots().filter_map(head).collect();
        heads.join(",")
    }

    /// The files by repository.
    fn by_repository(
        &self,
        dated: &[RepoPath],
        counted: &[RepoPath],
    ) -> Vec<(gix::Repository, Files)> {
        let mut groups: Vec<(gix::Repository, Files)> = Vec::new();
        let mut of_root: HashMap<&Path, Option<usize>> = HashMap::new();
        let dated = dated.iter().map(|path| (path, false));
        for (path, is_counted) in dated.chain(counted.iter().map(|path| (path, true))) {
            let Some((root, absolute)) = self.root_of(path).zip(self.absolute(path)) else {
                continue;
            };
            let group = *of_root.entry(root).or_insert_with(|| {
                let git = discover_with_trees(root)?;
                let known = groups.iter().position(|(other, _)| other.git_dir() == git.git_dir());
                known.or_else(|| {
                    groups.push((git, Files::new()));
                    Some(groups.len() - 1)
                })
            });
            let Some((git, files)) = group.map(|group| &mut groups[group]) else { continue };
            let Some(name) = in_worktree(git, &absolute) else { continue };
            let new = || File { path: path.clone(), undated: false, authors: None };
            let file = files.entry(name).or_insert_with(new);
            if is_counted {
                file.authors = Some(HashMap::new());
            } else {
                file.undated = true;
            }
        }
        groups
    }
}

impl CommitCount {
    fn of(authors: HashMap<String, u32>) -> Self {
        let (commits, n) = (authors.values().sum(), authors.len() as u32);
        let most = authors.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
        let (main_author, main_commits) = most.unwrap_or_default();
        Self { commits, authors: n, main_author, main_commits }
    }
}

fn folder_of(root: &Path) -> Option<&Path> {
    if root.is_dir() { Some(root) } else { root.parent() }
}

fn discover_with_trees(root: &Path) -> Option<gix::Repository> {
    let mut git = discover(folder_of(root)?).ok()?;
    git.object_cache_size_if_unset(OBJECT_CACHE_BYTES);
    Some(git)
}

fn in_worktree(git: &gix::Repository, absolute: &Path) -> Option<Vec<u8>> {
    let worktree = git.workdir()?.canonicalize().ok()?;
    let relative = absolute.strip_prefix(worktree).ok()?;
    let name = gix::path::into_bstr(relative).ok()?;
    Some(gix::path::to_unix_separators_on_windows(name).to_vec())
}

/// Walks back from HEAD, newest commit first, until everything is found or a bound is reached.
/// Returns why older commits were not counted.
fn search(
    git: &gix::Repository,
    files: &mut Files,
    last: &mut HashMap<RepoPath, Commit>,
) -> Result<Option<HistoryStop>, BoxError> {
    let deadline = Instant::now() + HISTORY_MAX;
    let head = git.head_commit()?;
    // What was never committed would be searched for in vain.
    let tree = head.tree()?;
    files.retain(|name, file| !file.undated || entry_id(&tree, name).is_some());
    let is_counted = files.values().any(|file| file.authors.is_some());
    let mut undated = files.values().filter(|file| file.undated).count();
    let shallow: HashSet<ObjectId> =
        git.shallow_commits()?.map(|ids| ids.iter().copied().collect()).unwrap_or_default();
    let mut stopped = None;
    let mut cache = git.diff_resource_cache_for_tree_diff()?;
    let sorting = Sorting::ByCommitTime(CommitTimeOrder::NewestFirst);
    let walk = git.rev_walk([head.id]).sorting(sorting).all()?;
    for (n, info) in walk.take(DATED_MAX).enumerate() {
        let counts = is_counted && n < COUNTED_MAX;
        if is_counted && n == COUNTED_MAX {
            stopped = Some(HistoryStop::Limit);
        }
        if undated == 0 && !counts {
            break;
        }
        if Instant::now() > deadline {
            stopped = stopped.or(Some(HistoryStop::Time));
            break;
        }
        let id = info?.id;
        if shallow.contains(&id) {
            // What it changed is not known.
            stopped = Some(HistoryStop::Shallow);
            continue;
        }
        let commit = git.find_commit(id)?;
        let touched = touched(git, &commit, &mut cache, |name| {
            files.get(name).is_some_and(|file| file.undated || counts && file.authors.is_some())
        })?;
        if touched.is_empty() {
            continue;
        }
        let commit = Commit::describe(&commit);
        for name in touched {
            let Some(file) = files.get_mut(&name) else { continue };
            if std::mem::take(&mut file.undated) {
                undated -= 1;
                last.insert(file.path.clone(), commit.clone());
            }
            if let Some(authors) = file.authors.as_mut().filter(|_| counts) {
                *authors.entry(commit.author.clone()).or_default() += 1;
            }
        }
    }
    Ok(stopped.filter(|_| is_counted))
}

/// The wanted names whose content differs from that in every parent. So a merge touches only what
/// the merge itself changed.
fn touched(
    git: &gix::Repository,
    commit: &gix::Commit<'_>,
    cache: &mut gix::diff::blob::Platform,
    is_wanted: impl Fn(&[u8]) -> bool,
) -> Result<HashSet<Vec<u8>>, BoxError> {
    let tree = commit.tree()?;
    let mut parents = commit.parent_ids();
    let before = match parents.next() {
        Some(parent) => git.find_commit(parent)?.tree()?,
        None => git.empty_tree(),
    };
    let mut touched = HashSet::new();
    let mut changes = before.changes()?;
    changes.options(|options| {
        options.track_path().track_rewrites(None);
    });
    changes.for_each_to_obtain_tree_with_cache(&tree, cache, |change| {
        let location = change.location().as_bytes();
        if is_wanted(location) {
            touched.insert(location.to_vec());
        }
        Ok(Action::Continue(()))
    })?;
    for parent in parents {
        if touched.is_empty() {
            break;
        }
        let other = git.find_commit(parent)?.tree()?;
        touched.retain(|name| entry_id(&tree, name) != entry_id(&other, name));
    }
    Ok(touched)
}

fn entry_id(tree: &gix::Tree<'_>, name: &[u8]) -> Option<ObjectId> {
    let entry = tree.lookup_entry(name.split(|byte| *byte == b'/')).ok()??;
    Some(entry.object_id())
}
