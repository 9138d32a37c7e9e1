//! The last commit of each of many files.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use gix::bstr::ByteSlice;
use gix::object::tree::diff::Action;
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;

use super::Commit;
use super::objects::discover;
use crate::base::error::{BoxError, Result};
use crate::corpus::source::{Repo, RepoPath};

/// Bounds of one search for last commits. A file that was not touched within them has no date.
const COMMITS_MAX: usize = 20_000;
const HISTORY_MAX: Duration = Duration::from_secs(2);
/// Memory for trees: each is read twice, for a commit and for its child.
const OBJECT_CACHE_BYTES: usize = 32 << 20;

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

    /// The wanted paths by repository, each with its name in that repository.
    fn by_repository(&self, wanted: &[RepoPath]) -> Vec<(gix::Repository, Wanted)> {
        let mut groups: Vec<(gix::Repository, Wanted)> = Vec::new();
        let mut of_root: HashMap<&Path, Option<usize>> = HashMap::new();
        for path in wanted {
            let Some((root, absolute)) = self.root_of(path).zip(self.absolute(path)) else {
                continue;
            };
            let group = *of_root.entry(root).or_insert_with(|| {
                let git = discover_with_trees(root)?;
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

fn discover_with_trees(path: &Path) -> Option<gix::Repository> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let mut git = discover(folder).ok()?;
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
        let commit = Commit::describe(&commit);
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
