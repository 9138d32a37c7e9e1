//! The history of a file in git: its last commit, and the commit of each line.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gix::bstr::{BStr, ByteSlice};
use gix::object::tree::diff::Action;
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;

use super::{Repo, RepoPath};
use crate::base::error::{BoxError, Error, Result};

/// Bounds of one search for last commits. A file that was not touched within them has no date.
const COMMITS_MAX: usize = 20_000;
const HISTORY_MAX: Duration = Duration::from_secs(2);
const OBJECT_CACHE_BYTES: usize = 32 << 20;

/// The parts of a commit that answers show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The full id in hexadecimal digits.
    pub id: String,
    /// When it was committed, in seconds since 1970.
    pub time_s: i64,
    pub author: String,
    /// The first line of its message.
    pub summary: String,
}

/// The commit that one line of a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlameLine {
    /// Counted from 1.
    pub line: u32,
    pub commit: Commit,
}

type Wanted = HashMap<Vec<u8>, RepoPath>;

impl Repo {
    /// The newest commit that touched each wanted path. The search ends after 20,000 commits or two
    /// seconds; a path that is not in git or was not found by then has no entry.
    pub fn last_commits(&self, wanted: &[RepoPath]) -> HashMap<RepoPath, Commit> {
        let mut found = HashMap::new();
        for (git, wanted) in self.by_repository(wanted) {
            // A damaged repository costs the dates of its files, not the index.
            let _ = search(&git, wanted, &mut found);
        }
        found
    }

    /// The commit of each line in `lines` (from 1) of the file as it is in HEAD.
    pub fn blame(&self, path: &RepoPath, lines: RangeInclusive<u32>) -> Result<Vec<BlameLine>> {
        let missing = || Error::PathNotFound { path: PathBuf::from(path.as_str()) };
        let (_, absolute) = self.locate(path).ok_or_else(missing)?;
        let git = discover(&absolute).ok_or_else(|| Error::Unavailable {
            what: format!("the history of {path}"),
            remedy: "it is not inside a git repository".to_owned(),
        })?;
        let tracked = in_worktree(&git, &absolute).ok_or_else(missing)?;
        let ranges = gix::blame::BlameRanges::from_one_based_inclusive_range(lines.clone())
            .map_err(|_| Error::Argument {
                name: "lines",
                value: format!("{}-{}", lines.start(), lines.end()),
                expected: "a range that starts at 1 or later".to_owned(),
            })?;
        blame(&git, tracked.as_slice().as_bstr(), ranges).map_err(Error::library("git", "blame"))
    }

    /// The wanted paths by repository, each with its name in that repository.
    fn by_repository(&self, wanted: &[RepoPath]) -> Vec<(gix::Repository, Wanted)> {
        let mut groups: Vec<(gix::Repository, Wanted)> = Vec::new();
        let mut of_root: HashMap<&Path, Option<usize>> = HashMap::new();
        for path in wanted {
            let Some((root, absolute)) = self.locate(path) else { continue };
            let group = *of_root.entry(&root.path).or_insert_with(|| {
                let git = discover(&root.path)?;
                let known = groups.iter().position(|(other, _)| other.git_dir() == git.git_dir());
                known.or_else(|| {
                    groups.push((git, Wanted::new()));
                    Some(groups.len() - 1)
                })
            });
            let Some((git, names)) = group.map(|group| &mut groups[group]) else { continue };
            if let Some(name) = in_worktree(git, &absolute) {
                names.insert(name, path.clone());
            }
        }
        groups
    }
}

fn discover(path: &Path) -> Option<gix::Repository> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let mut git = gix::discover(folder).ok()?;
    git.object_cache_size_if_unset(OBJECT_CACHE_BYTES);
    Some(git)
}

fn in_worktree(git: &gix::Repository, absolute: &Path) -> Option<Vec<u8>> {
    let worktree = git.workdir()?.canonicalize().ok()?;
    let relative = absolute.strip_prefix(worktree).ok()?;
    let name = gix::path::into_bstr(relative).ok()?;
    Some(gix::path::to_unix_separators_on_windows(name).to_vec())
}

/// Walks back from HEAD, newest commit first, until every wanted path is found or a bound is reached.
fn search(
    git: &gix::Repository,
    mut wanted: Wanted,
    found: &mut HashMap<RepoPath, Commit>,
) -> Result<(), BoxError> {
    let deadline = Instant::now() + HISTORY_MAX;
    let mut cache = git.diff_resource_cache_for_tree_diff()?;
    let sorting = Sorting::ByCommitTime(CommitTimeOrder::NewestFirst);
    let walk = git.rev_walk([git.head_id()?.detach()]).sorting(sorting).all()?;
    for info in walk.take(COMMITS_MAX) {
        if wanted.is_empty() || Instant::now() > deadline {
            break;
        }
        let commit = git.find_commit(info?.id)?;
        let touched = touched(git, &commit, &wanted, &mut cache)?;
        if touched.is_empty() {
            continue;
        }
        let commit = describe(&commit)?;
        for name in touched {
            if let Some(path) = wanted.remove(&name) {
                found.insert(path, commit.clone());
            }
        }
    }
    Ok(())
}

/// The wanted paths whose content differs from that in every parent. So a merge touches only what the
/// merge itself changed.
fn touched(
    git: &gix::Repository,
    commit: &gix::Commit<'_>,
    wanted: &Wanted,
    cache: &mut gix::diff::blob::Platform,
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
        let location = change.location();
        if wanted.contains_key(location.as_bytes()) {
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

fn entry_id(tree: &gix::Tree<'_>, name: &[u8]) -> Option<gix::ObjectId> {
    let entry = tree.lookup_entry(name.split(|byte| *byte == b'/')).ok()??;
    Some(entry.object_id())
}

fn describe(commit: &gix::Commit<'_>) -> Result<Commit, BoxError> {
    Ok(Commit {
        id: commit.id().to_string(),
        time_s: commit.time()?.seconds,
        author: commit.author()?.name.to_str_lossy().into_owned(),
        summary: commit.message()?.summary().to_str_lossy().into_owned(),
    })
}

fn blame(
    git: &gix::Repository,
    tracked: &BStr,
    ranges: gix::blame::BlameRanges,
) -> Result<Vec<BlameLine>, BoxError> {
    let options = gix::repository::blame_file::Options {
        ranges,
        rewrites: Some(Default::default()),
        ..Default::default()
    };
    let outcome = git.blame_file(tracked, git.head_id()?, options)?;
    let mut known: HashMap<gix::ObjectId, Commit> = HashMap::new();
    let mut lines = Vec::new();
    for entry in outcome.entries {
        let commit = match known.get(&entry.commit_id) {
            Some(commit) => commit.clone(),
            None => {
                let commit = describe(&git.find_commit(entry.commit_id)?)?;
                known.entry(entry.commit_id).or_insert(commit).clone()
            }
        };
        let first = entry.start_in_blamed_file + 1;
        let range = first..first + entry.len.get();
        lines.extend(range.map(|line| BlameLine { line, commit: commit.clone() }));
    }
    lines.sort_by_key(|line| line.line);
    Ok(lines)
}
