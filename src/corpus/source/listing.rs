//! Listing: the files under the roots that no ignore rule excludes.

use std::fs::Metadata;
use std::path::PathBuf;

use super::repo::Root;
use super::walk::{Rules, Walk};
use super::work_tree::WorkTree;
use super::{Marks, Repo, RepoPath, SkipReason, Skipped};
use crate::base::error::{Error, Result};

/// The most files examined to explain why none is indexed.
const EXPLAIN_FILES_MAX: usize = 100_000;
/// An index of symbols, which is read where it lies at the top of a root, and is not searched.
pub const SCIP_FILE_NAME: &str = "index.scip";
pub(super) const NEVER: [&str; 3] = [".git", ".codeintel", SCIP_FILE_NAME];

/// A file that was listed and not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: RepoPath,
    pub absolute: PathBuf,
    pub size_bytes: u64,
    /// Nanoseconds since 1970.
    pub modified_ns: i64,
    pub identity: FileIdentity,
    /// What git's attributes say about it.
    pub marks: Marks,
}

/// What tells a file from another one of the same size and time at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileIdentity {
    /// The number of its inode; 0 where there are none.
    pub inode: u64,
    /// When its content, its name or its metadata changed, nanoseconds since 1970; 0 where that is not
    /// recorded.
    pub changed_ns: i64,
}

impl FileIdentity {
    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let changed_ns = metadata.ctime().saturating_mul(1_000_000_000) + metadata.ctime_nsec();
        Self { inode: metadata.ino(), changed_ns }
    }

    #[cfg(not(unix))]
    pub(super) fn of(_: &Metadata) -> Self {
        Self::default()
    }
}

impl Entry {
    pub(super) fn new(
        path: RepoPath,
        absolute: PathBuf,
        metadata: &Metadata,
        marks: Marks,
    ) -> Self {
        Self {
            path,
            absolute,
            size_bytes: metadata.len(),
            modified_ns: modified_ns(metadata),
            identity: FileIdentity::of(metadata),
            marks,
        }
    }
}

/// A file that is not indexed, or a folder whose files are not, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// As in the index; a folder ends with `/`.
    pub path: String,
    pub reason: SkipReason,
}

/// The result of a walk.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Sorted by path, each path once.
    pub entries: Vec<Entry>,
    /// How many files were skipped. Those that an ignore rule excludes are not counted, because the
    /// folders that it excludes are not read.
    pub skipped: Skipped,
    /// The files that were skipped, and the files and folders that a rule excludes.
    pub left_out: Vec<LeftOut>,
    /// The folders that were read, absolute.
    pub folders: Vec<PathBuf>,
}

impl Listing {
    pub(super) fn skip(&mut self, path: String, reason: SkipReason) {
        self.skipped.add(reason);
        self.left_out.push(LeftOut { path, reason });
    }

    pub(super) fn name_excluded(&mut self, path: String, reason: SkipReason, is_dir: bool) {
        let path = if is_dir { path + "/" } else { path };
        self.left_out.push(LeftOut { path, reason });
    }

    fn files(&self) -> usize {
        self.entries.len() + self.skipped.total()
    }
}

impl Repo {
    /// Lists every file under the roots without opening any. An empty listing is an error.
    pub fn walk(&self) -> Result<Listing> {
        let listing = self.list_until(&|| false)?;
        if listing.entries.is_empty() {
            return Err(self.nothing_to_index(&listing.skipped));
        }
        Ok(listing)
    }

    /// Lists files as [`Repo::walk`] does, those that it found before `is_over`. None is no error.
    pub fn list_until(&self, is_over: &(dyn Fn() -> bool + Sync)) -> Result<Listing> {
        let mut listing = Listing::default();
        for root in &self.roots {
            listing = self.walk_root(root, self.rules(), is_over, listing)?;
        }
        listing.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        listing.left_out.sort_unstable();
        if self.roots.len() > 1 {
            drop_repeats(&mut listing.entries);
        }
        Ok(listing)
    }

    /// The error for a repository in which every file was skipped. It counts the files that each rule
    /// excludes.
    pub fn nothing_to_index(&self, skipped: &Skipped) -> Error {
        let seen = |git, codeintel, hidden| self.count(Rules { git, codeintel, hidden });
        let all = seen(true, true, !self.hidden);
        let without_git = seen(false, true, !self.hidden);
        let without_rules = seen(false, false, !self.hidden);
        let with_hidden = seen(false, false, false);
        let mut why = skipped.clone();
        why.add_many(SkipReason::GitIgnored, without_git.saturating_sub(all));
        why.add_many(SkipReason::CodeintelIgnored, without_rules.saturating_sub(without_git));
        why.add_many(SkipReason::Hidden, with_hidden.saturating_sub(without_rules));
        let skipped = match why.total() {
            0 => "there are no files".to_owned(),
            total if with_hidden >= EXPLAIN_FILES_MAX => {
                format!("all of the first {total} files are skipped: {why}")
            }
            total => format!("all of {total} files are skipped: {why}"),
        };
        Error::NothingToIndex { roots: self.roots_text(), skipped }
    }

    fn walk_root(
        &self,
        root: &Root,
        rules: Rules,
        is_over: &(dyn Fn() -> bool + Sync),
        listing: Listing,
    ) -> Result<Listing> {
        let mut walk = Walk { repo: self, root, rules, is_over, found: listing };
        let gone = || Error::PathNotFound { path: root.path.clone() };
        if root.is_file {
            let metadata = std::fs::metadata(&root.path).map_err(|_| gone())?;
            let folder = root.path.parent().unwrap_or(&root.path);
            let marks = WorkTree::of(folder).marks(&root.path);
            walk.take(root.path.clone(), &metadata, marks);
            return Ok(walk.found);
        }
        let listing = walk.run();
        if root.path.is_dir() { Ok(listing) } else { Err(gone()) }
    }

    fn rules(&self) -> Rules {
        let obeys = self.obeys_ignore_rules;
        Rules { git: obeys, codeintel: obeys, hidden: !self.hidden }
    }

    /// The number of files that `rules` do not exclude, at most [`EXPLAIN_FILES_MAX`].
    fn count(&self, rules: Rules) -> usize {
        let mut files = 0;
        for root in &self.roots {
            // A root that is gone has no files.
            let listing = self.walk_root(root, rules, &|| false, Listing::default());
            files += listing.map_or(0, |listing| listing.files());
        }
        files.min(EXPLAIN_FILES_MAX)
    }
}

/// Keeps the first path of a file that lies under two roots, one inside the other.
fn drop_repeats(entries: &mut Vec<Entry>) {
    let mut seen = std::collections::HashSet::with_capacity(entries.len());
    let first: Vec<bool> =
        entries.iter().map(|entry| seen.insert(entry.absolute.clone())).collect();
    let mut first = first.into_iter();
    entries.retain(|_| first.next().unwrap_or(true));
}

pub(super) fn modified_ns(metadata: &Metadata) -> i64 {
    let Ok(modified) = metadata.modified() else { return 0 };
    let ns = match modified.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    ns.clamp(i64::MIN as i128, i64::MAX as i128) as i64
}
