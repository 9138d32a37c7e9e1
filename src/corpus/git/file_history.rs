//! FileHistory: the commits that changed a file, newest first.

use std::collections::{HashMap, HashSet};

use gix::bstr::ByteSlice;

use super::Commit;
use super::blame::HISTORY_MAX;
use super::git_file::GitFile;
use super::newest_first::NewestFirst;
use super::versions::{Before, Version, VersionKey, Versions};
use crate::base::error::{Error, Result};
use crate::base::telemetry::{RunContext, Stage, attrs};
use crate::corpus::source::{Repo, RepoPath};
use crate::corpus::time_limit::TimeLimit;

/// The most changes in one answer; each has some 300 bytes.
const CHANGES_MAX: usize = 1000;
/// The most commits visited, each remembered with some 60 bytes.
const COMMITS_MAX: usize = 1_000_000;

/// The commits that changed a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHistory {
    /// Newest first. A merge is among them if its version differs from that of each parent.
    pub changes: Vec<FileChange>,
    /// Why older changes may be missing; `None` if there are none.
    pub stopped: Option<HistoryStop>,
}

/// A commit that changed a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    pub commit: Commit,
    pub kind: ChangeKind,
    /// The path of the file in that commit.
    pub path: String,
}

/// How a commit changed a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Modified,
    /// Moved, and perhaps modified.
    Renamed {
        from: String,
    },
    /// The oldest commit that a shallow clone has: it has the file, and may not have changed it.
    Boundary,
}

/// Why a history may lack older changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryStop {
    /// There are as many changes or commits as were asked for, and older ones.
    Limit,
    /// The time was over.
    Time,
    /// A shallow clone does not have older commits.
    Shallow,
}

struct Walk<'a> {
    file: &'a GitFile,
    versions: Versions<'a>,
    limit: &'a TimeLimit<'a>,
    queue: NewestFirst,
    waiting: HashMap<VersionKey, Version>,
    seen: HashSet<VersionKey>,
}

impl Repo {
    /// The newest `changes_max` commits (1 to 1000) that changed a file; renames are followed. A
    /// file that is not in HEAD has an empty history; one that is nowhere is an error.
    pub fn file_history(
        &self,
        path: &RepoPath,
        changes_max: usize,
        cx: &RunContext,
    ) -> Result<FileHistory> {
        if !(1..=CHANGES_MAX).contains(&changes_max) {
            let expected = format!("1 to {CHANGES_MAX}");
            return Err(Error::Argument {
                name: "limit",
                value: changes_max.to_string(),
                expected,
            });
        }
        cx.stage(Stage::FileHistory, |span| {
            span.set(attrs::GIT_OP, Stage::FileHistory.name());
            span.set(attrs::GIT_PATH, path.as_str().to_owned());
            let limit = TimeLimit::new(cx, HISTORY_MAX);
            let history = history(&GitFile::open(self, path)?, changes_max, &limit)?;
            span.set(attrs::GIT_RESULTS, history.changes.len());
            Ok(history)
        })
    }
}

fn history(file: &GitFile, changes_max: usize, limit: &TimeLimit<'_>) -> Result<FileHistory> {
    let mut versions = Versions::new(&file.git, limit);
    let newest = match file.head()? {
        Some(head) => versions.find(head, file.path.as_bstr())?,
        None => None,
    };
    let Some(newest) = newest else {
        file.check_exists()?;
        return Ok(FileHistory { changes: Vec::new(), stopped: None });
    };
    let mut walk = Walk {
        file,
        versions,
        limit,
        queue: NewestFirst::default(),
        waiting: HashMap::new(),
        seen: HashSet::new(),
    };
    walk.visit_later(newest);
    walk.run(changes_max)
}

impl Walk<'_> {
    fn run(mut self, changes_max: usize) -> Result<FileHistory> {
        let (mut changes, mut stopped) = (Vec::new(), None);
        while let Some(key) = self.queue.pop() {
            if self.limit.is_over()? || self.seen.len() > COMMITS_MAX {
                stopped = Some(HistoryStop::Time);
                break;
            }
            let version = self.waiting.remove(&key).expect("a queued version is waiting");
            let Some(kind) = self.visit(&version)? else { continue };
            if changes.len() == changes_max {
                stopped = Some(HistoryStop::Limit);
                break;
            }
            if kind == ChangeKind::Boundary {
                stopped = Some(HistoryStop::Shallow);
            }
            let commit = self.versions.objects.describe(version.node.id)?;
            let path = self.file.name(self.versions.name(&version));
            changes.push(FileChange { commit, kind, path });
        }
        Ok(FileHistory { changes, stopped })
    }

    fn visit_later(&mut self, version: Version) {
        let key = version.key();
        if self.seen.insert(key) {
            self.queue.push(version.node.time_s, key);
            self.waiting.insert(key, version);
        }
    }

    /// How the commit changed the file, if it did. Of its parents one that has the same version is
    /// enough: the others do not explain how the file became what it is.
    fn visit(&mut self, version: &Version) -> Result<Option<ChangeKind>> {
        if version.node.is_boundary {
            return Ok(Some(ChangeKind::Boundary));
        }
        let before = match self.versions.before(version)? {
            Before::Same(parent) => {
                self.visit_later(parent);
                return Ok(None);
            }
            Before::Different(before) => before,
        };
        let kind = match before.first() {
            None => ChangeKind::Added,
            Some(first) if first.has_name_of(version) => ChangeKind::Modified,
            Some(first) => ChangeKind::Renamed { from: self.file.name(self.versions.name(first)) },
        };
        before.into_iter().for_each(|version| self.visit_later(version));
        Ok(Some(kind))
    }
}
