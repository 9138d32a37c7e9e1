//! Listing: the files under the roots that no ignore rule excludes.

use std::fs::Metadata;
use std::path::PathBuf;

use ignore::{DirEntry, WalkBuilder, WalkState};
use parking_lot::Mutex;

use super::repo::Root;
use super::{Repo, RepoPath, SkipReason, Skipped};
use crate::base::error::{Error, Result};

/// The most files examined to explain why none is indexed.
const EXPLAIN_FILES_MAX: usize = 100_000;
/// Ignore rules that only this program reads, in the syntax of `.gitignore`.
const IGNORE_FILE_NAME: &str = ".codeintelignore";
/// An index of symbols, which is read where it lies at the top of a root, and is not searched.
pub const SCIP_FILE_NAME: &str = "index.scip";
const NEVER: [&str; 3] = [".git", ".codeintel", SCIP_FILE_NAME];

/// A file that was listed and not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: RepoPath,
    pub absolute: PathBuf,
    pub size_bytes: u64,
    /// Nanoseconds since 1970.
    pub modified_ns: i64,
}

/// The result of a walk.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Sorted by path, each path once.
    pub entries: Vec<Entry>,
    /// Files that were skipped. Those that an ignore rule excludes are not seen, so they are not counted.
    pub skipped: Skipped,
}

/// The sets of rules that a walk applies.
#[derive(Clone, Copy)]
struct Rules {
    git: bool,
    codeintel: bool,
    hidden: bool,
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
            self.walk_root(root, is_over, &mut listing)?;
        }
        listing.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
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
        is_over: &(dyn Fn() -> bool + Sync),
        listing: &mut Listing,
    ) -> Result<()> {
        if root.is_file {
            let metadata = std::fs::metadata(&root.path)
                .map_err(|_| Error::PathNotFound { path: root.path.clone() })?;
            let path = RepoPath::new(&root.label);
            self.take(path, root.path.clone(), &metadata, listing);
            return Ok(());
        }
        // Each thread collects entries of its own and adds them to the others when it ends.
        let shared = Mutex::new(std::mem::take(listing));
        self.builder(root, self.rules()).build_parallel().run(|| {
            let mut part = Part { shared: &shared, own: Listing::default() };
            Box::new(move |found| {
                if is_over() {
                    return WalkState::Quit;
                }
                self.visit(root, found, &mut part.own);
                WalkState::Continue
            })
        });
        *listing = shared.into_inner();
        if root.path.is_dir() {
            Ok(())
        } else {
            Err(Error::PathNotFound { path: root.path.clone() })
        }
    }

    fn visit(&self, root: &Root, found: Result<DirEntry, ignore::Error>, listing: &mut Listing) {
        let Ok(found) = found else { return listing.skipped.add(SkipReason::Unreadable) };
        let kind = found.file_type();
        if kind.is_some_and(|kind| kind.is_dir()) {
            return;
        }
        if kind.is_some_and(|kind| kind.is_symlink()) {
            return listing.skipped.add(SkipReason::Symlink);
        }
        let Ok(metadata) = found.metadata() else {
            return listing.skipped.add(SkipReason::Vanished);
        };
        let relative = found.path().strip_prefix(&root.path).unwrap_or(found.path());
        match RepoPath::from_parts(&root.label, relative) {
            Some(path) => self.take(path, found.into_path(), &metadata, listing),
            None => listing.skipped.add(SkipReason::NotUtf8),
        }
    }

    fn take(&self, path: RepoPath, absolute: PathBuf, metadata: &Metadata, listing: &mut Listing) {
        if !metadata.is_file() {
            return listing.skipped.add(SkipReason::NotRegular);
        }
        if metadata.len() > self.file_bytes_max {
            return listing.skipped.add(SkipReason::TooLarge);
        }
        let modified_ns = modified_ns(metadata);
        listing.entries.push(Entry { path, absolute, size_bytes: metadata.len(), modified_ns });
    }

    fn rules(&self) -> Rules {
        let obeys = self.obeys_ignore_rules;
        Rules { git: obeys, codeintel: obeys, hidden: !self.hidden }
    }

    fn builder(&self, root: &Root, rules: Rules) -> WalkBuilder {
        let mut builder = WalkBuilder::new(&root.path);
        builder
            .standard_filters(false)
            .hidden(rules.hidden)
            .parents(true)
            .git_ignore(rules.git)
            .git_global(rules.git)
            .git_exclude(rules.git)
            .require_git(false)
            .follow_links(false);
        if rules.codeintel {
            builder.add_custom_ignore_filename(IGNORE_FILE_NAME);
        }
        let data_folder = self.data_folder.clone();
        builder.filter_entry(move |entry| {
            let never = NEVER.iter().any(|name| entry.file_name() == *name);
            entry.depth() == 0 || !never && data_folder.as_deref() != Some(entry.path())
        });
        builder
    }

    /// The number of files that `rules` do not exclude, at most [`EXPLAIN_FILES_MAX`].
    fn count(&self, rules: Rules) -> usize {
        let files = |root: &Root| {
            let files = self.builder(root, rules).build().filter_map(|found| found.ok());
            let files = files.filter(|found| found.file_type().is_some_and(|kind| !kind.is_dir()));
            files.take(EXPLAIN_FILES_MAX).count()
        };
        self.roots.iter().map(files).sum::<usize>().min(EXPLAIN_FILES_MAX)
    }
}

/// The files that one thread of a walk found.
struct Part<'a> {
    shared: &'a Mutex<Listing>,
    own: Listing,
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        let mut all = self.shared.lock();
        all.entries.append(&mut self.own.entries);
        all.skipped.merge(&self.own.skipped);
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
