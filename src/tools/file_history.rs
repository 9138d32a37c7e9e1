//! The tool file_history: the commits that changed a file.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::open_file;
use super::{App, ToolAnswer, ToolSpec};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::base::text::prefix;
use crate::corpus::git::{ChangeKind, Commit, FileChange, HistoryStop};
use crate::corpus::source::RepoPath;
use crate::index::catalog::Catalog;

pub const SPEC: ToolSpec = ToolSpec {
    name: "file_history",
    title: "History of a file",
    description: "List the commits that changed a file, newest first (git log --follow); renames are \
                  followed. Use it to see how a file came to be and who knows it. For the commit of single \
                  lines use blame_range.",
    label: Tool::FileHistory,
    ..ToolSpec::READS_INDEX
};

/// The most commits of one answer.
const LIMIT_MAX: usize = 1000;
/// Bytes of a summary in an answer.
const SUMMARY_BYTES_MAX: usize = 200;

fn default_limit() -> usize {
    50
}

/// The arguments of file_history.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileHistoryInput {
    /// A path of the index, such as `src/main.rs`.
    pub path: String,
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: usize,
}

/// The answer of file_history.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HistoryAnswer {
    pub path: String,
    /// Newest first.
    pub commits: Vec<CommitItem>,
    /// Whether there may be older commits.
    pub truncated: bool,
    pub notes: Vec<String>,
}

/// A commit that changed the file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommitItem {
    pub commit: String,
    pub author: String,
    /// When it was committed.
    pub date: String,
    pub summary: String,
    /// `added`, `modified`, `renamed`, or `boundary`: the oldest commit of a shallow clone, which may
    /// not have changed the file.
    pub change: &'static str,
    /// The path of the file in that commit.
    pub path: String,
    /// The path before a rename.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
}

impl CommitItem {
    fn new(change: FileChange) -> Self {
        let (kind, renamed_from) = match change.kind {
            ChangeKind::Added => ("added", None),
            ChangeKind::Modified => ("modified", None),
            ChangeKind::Renamed { from } => ("renamed", Some(from)),
            ChangeKind::Boundary => ("boundary", None),
        };
        Self {
            date: date(change.commit.time_s),
            summary: summary(&change.commit),
            commit: change.commit.id,
            author: change.commit.author,
            change: kind,
            path: change.path,
            renamed_from,
        }
    }
}

impl ToolAnswer for HistoryAnswer {
    fn text(&self) -> String {
        let more = if self.truncated { ", and more" } else { "" };
        let commits = if self.commits.len() == 1 { "commit" } else { "commits" };
        let mut text = format!("{} {commits} of {}{more}\n", self.commits.len(), self.path);
        for CommitItem { commit, author, date, summary, change, path, renamed_from } in
            &self.commits
        {
            let day = date.split('T').next().unwrap_or(date);
            let moved = match renamed_from {
                Some(from) => format!("  ({from} → {path})"),
                None => String::new(),
            };
            text += &format!("{}  {day}  {author}  {change}  {summary}{moved}\n", short(commit));
        }
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        text
    }
}

pub(super) fn run(
    app: &App,
    input: FileHistoryInput,
    cx: &RunContext,
) -> Result<HistoryAnswer, Arc<Error>> {
    let limit = super::within("limit", input.limit, 1..=LIMIT_MAX)?;
    let searcher = app.searcher()?;
    let path = RepoPath::new(input.path.strip_prefix("./").unwrap_or(&input.path));
    let history = app.repo()?.file_history(&path, limit, cx);
    let history = history.map_err(|error| unknown_path(searcher.catalog(), &path, error))?;
    let mut notes = Vec::new();
    match history.stopped {
        None if history.changes.is_empty() => notes.push(
            "the file is not in the last commit (HEAD): it was added since, or git ignores it; \
             open_file shows it as it is"
                .to_owned(),
        ),
        None => {}
        Some(HistoryStop::Limit) if limit < LIMIT_MAX => {
            notes.push("there are older commits; call again with a larger limit".to_owned());
        }
        Some(HistoryStop::Limit) => notes.push("there are older commits".to_owned()),
        Some(HistoryStop::Time) => {
            notes.push("the time was over before the oldest commit was found".to_owned());
        }
        Some(HistoryStop::Shallow) => {
            notes.push(
                "the clone is shallow; git fetch --unshallow brings older commits".to_owned(),
            );
        }
    }
    Ok(HistoryAnswer {
        path: path.as_str().to_owned(),
        commits: history.changes.into_iter().map(CommitItem::new).collect(),
        truncated: history.stopped.is_some(),
        notes,
    })
}

/// A time in seconds since 1970, as RFC 3339 has it.
pub(super) fn date(time_s: i64) -> String {
    jiff::Timestamp::from_second(time_s).map_or_else(|_| String::new(), |time| time.to_string())
}

/// A commit id as people write it.
pub(super) fn short(commit: &str) -> &str {
    prefix(commit, 10)
}

/// The first line of a commit's message, at most some 200 bytes of it.
pub(super) fn summary(commit: &Commit) -> String {
    let head = prefix(&commit.summary, SUMMARY_BYTES_MAX);
    if head.len() < commit.summary.len() { format!("{head}…") } else { head.to_owned() }
}

/// Makes the error for a path that does not exist name the nearest paths of the index.
pub(super) fn unknown_path(catalog: &Catalog, path: &RepoPath, error: Error) -> Error {
    match error {
        Error::PathNotFound { .. } => {
            open_file::unknown_path(catalog, path.as_str()).unwrap_or_else(|error| error)
        }
        other => other,
    }
}
