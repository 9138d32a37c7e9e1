//! Objects: the commits, trees and blobs of one repository.

use std::path::Path;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryMode;
use gix::objs::{FindExt, TreeRefIter};
use gix::odb::pack::cache::lru::MemoryCappedHashmap;
use gix::traverse::commit::Either;
use gix::{ObjectId, Repository};

use super::Commit;
use crate::base::error::{BoxError, Error, Result};

/// Memory for the bases of deltas, which a walk would inflate again for each object built on them.
const DELTA_CACHE_BYTES: usize = 32 << 20;

/// The repository that `folder` is in.
pub(super) fn discover(folder: &Path) -> gix::Result<Repository> {
    let mut git = gix::discover(folder)?;
    git.objects.set_pack_cache(|| Box::new(MemoryCappedHashmap::new(DELTA_CACHE_BYTES)));
    Ok(git)
}

/// Reads objects. A shallow clone's oldest commits have no parents here.
pub(super) struct Objects<'a> {
    git: &'a Repository,
    graph: Option<gix::commitgraph::Graph>,
    /// The commits whose parents a shallow clone does not have.
    shallow: Vec<ObjectId>,
    buffer: Vec<u8>,
}

/// A commit as a walk needs it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub id: ObjectId,
    pub tree: ObjectId,
    pub parents: Vec<ObjectId>,
    pub time_s: i64,
    /// It has parents, which a shallow clone does not have.
    pub is_boundary: bool,
}

/// A file in the tree of a commit.
#[derive(Debug, Clone)]
pub(super) struct Located {
    /// The root tree, then the tree of each folder on the way.
    trees: Vec<ObjectId>,
    pub blob: ObjectId,
    pub mode: EntryMode,
}

/// A file that one commit has and another has not.
#[derive(Debug, Clone)]
pub(super) struct Deleted {
    pub path: BString,
    pub blob: ObjectId,
}

impl Located {
    /// Whether content and mode are the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.blob == other.blob && self.mode == other.mode
    }
}

impl<'a> Objects<'a> {
    pub fn new(git: &'a Repository) -> Self {
        let shallow = git.shallow_commits().ok().flatten();
        let shallow = shallow.map(|ids| ids.iter().copied().collect()).unwrap_or_default();
        Self {
            git,
            // It only saves time: without it, commits are read one by one.
            graph: git.commit_graph_if_enabled().ok().flatten(),
            shallow,
            buffer: Vec::new(),
        }
    }

    pub fn node(&mut self, id: ObjectId) -> Result<Node> {
        let is_boundary = self.shallow.contains(&id);
        let found = gix::traverse::commit::find(
            self.graph.as_ref(),
            &self.git.objects,
            &id,
            &mut self.buffer,
        );
        let read = || -> Result<Node, BoxError> {
            let commit = found?;
            let mut parents = Vec::new();
            match commit {
                _ if is_boundary => {}
                Either::CommitRefIter(commit) => parents.extend(commit.parent_ids()),
                Either::CachedCommit(commit) => {
                    let graph = self.graph.as_ref().expect("the commit comes from the graph");
                    for position in commit.iter_parents() {
                        parents.push(graph.id_at(position?).to_owned());
                    }
                }
            }
            let (tree, time_s) = (commit.tree_id()?, commit.commit_time()?);
            Ok(Node { id, tree, parents, time_s, is_boundary })
        };
        read().map_err(|source| self.unreadable(id, source))
    }

    /// Finds the file `path` in the tree `root`; `None` if there is no regular file. `like` is the
    /// file in a commit nearby: what is below an equal tree is not read again.
    pub fn locate(
        &mut self,
        root: ObjectId,
        path: &BStr,
        like: Option<&Located>,
    ) -> Result<Option<Located>> {
        let mut trees = vec![root];
        let mut parts = path.split_str("/").peekable();
        let mut at = root;
        while let Some(part) = parts.next() {
            if let Some(like) = like.filter(|like| like.trees.get(trees.len() - 1) == Some(&at)) {
                let mut same = like.clone();
                same.trees[..trees.len()].copy_from_slice(&trees);
                return Ok(Some(same));
            }
            let Some((mode, id)) = self.entry(at, part.as_bstr())? else { return Ok(None) };
            let is_last = parts.peek().is_none();
            if is_last {
                let is_file = mode.is_blob() && !mode.is_link();
                return Ok(is_file.then_some(Located { trees, blob: id, mode }));
            }
            if !mode.is_tree() {
                return Ok(None);
            }
            trees.push(id);
            at = id;
        }
        Ok(None)
    }

    fn entry(&mut self, tree: ObjectId, name: &BStr) -> Result<Option<(EntryMode, ObjectId)>> {
        let find = self.git.objects.find_tree_iter(&tree, &mut self.buffer);
        let found = find.map_err(BoxError::from).and_then(|mut entries| {
            let found = entries.find(|entry| match entry {
                Ok(entry) => entry.filename == name,
                Err(_) => true,
            });
            Ok(found.transpose()?.map(|entry| (entry.mode, entry.oid.to_owned())))
        });
        found.map_err(|source| self.unreadable(tree, source))
    }

    pub fn blob(&self, id: ObjectId) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        let found = self.git.objects.find_blob(&id, &mut data).map(|blob| blob.data.len());
        found.map_err(|source| self.unreadable(id, source.into()))?;
        Ok(data)
    }

    pub fn blob_bytes(&self, id: ObjectId) -> Result<u64> {
        let header = self.git.find_header(id);
        Ok(header.map_err(|source| self.unreadable(id, source.into()))?.size())
    }

    pub fn describe(&self, id: ObjectId) -> Result<Commit> {
        let commit = self.git.find_commit(id);
        commit
            .map(|commit| Commit::describe(&commit))
            .map_err(|source| self.unreadable(id, source.into()))
    }

    /// The regular files of `parent` that are not in `commit`.
    pub fn deleted(&self, parent: &Node, commit: &Node) -> Result<Vec<Deleted>> {
        use gix::diff::tree::recorder::Change;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let tree = |id: ObjectId, buffer: &mut Vec<u8>| -> Result<()> {
            let found = self.git.objects.find_tree_iter(&id, buffer).map(|_| ());
            found.map_err(|source| self.unreadable(id, source.into()))
        };
        tree(parent.tree, &mut before)?;
        tree(commit.tree, &mut after)?;
        let kind = self.git.object_hash();
        let mut recorder = gix::diff::tree::Recorder::default();
        let compared = gix::diff::tree(
            TreeRefIter::from_bytes(&before, kind),
            TreeRefIter::from_bytes(&after, kind),
            gix::diff::tree::State::default(),
            &self.git.objects,
            &mut recorder,
        );
        compared.map_err(|source| self.unreadable(commit.tree, Box::new(source)))?;
        let deleted = recorder.records.into_iter().filter_map(|change| match change {
            Change::Deletion { entry_mode, oid, path, .. }
                if entry_mode.is_blob() && !entry_mode.is_link() =>
            {
                Some(Deleted { path, blob: oid })
            }
            _ => None,
        });
        Ok(deleted.collect())
    }

    /// The error of an object that is missing or damaged: in a partial clone, or after a crash.
    fn unreadable(&self, id: ObjectId, source: BoxError) -> Error {
        Error::Unavailable {
            what: format!("object {id} of {}", self.git.git_dir().display()),
            remedy: format!(
                "{source}; check the repository with `git fsck`, and fetch what a partial clone has \
                 not with `git fetch --refetch`"
            ),
        }
    }
}
