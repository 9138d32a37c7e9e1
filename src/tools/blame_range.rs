//! The tool blame_range: the commit of each line of a file.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file_history::{date, short, summary, unknown_path};
use super::{App, ToolAnswer, ToolSpec};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::corpus::git::{BlameHunk, BlameOrigin};
use crate::corpus::source::RepoPath;

pub const SPEC: ToolSpec = ToolSpec {
    name: "blame_range",
    title: "Blame lines of a file",
    description: "Find who last changed lines of a file, when, and in which commit (git blame); moves and \
                  renames of the file are followed. Use it to learn why code is as it is. For all changes \
                  of a file use file_history.",
    label: Tool::BlameRange,
    ..ToolSpec::READS_INDEX
};

/// The most lines of one answer.
const LINES_MAX: u32 = 2000;

/// The arguments of blame_range.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlameRangeInput {
    /// A path of the index, such as `src/main.rs`.
    pub path: String,
    /// The first line, from 1.
    #[schemars(range(min = 1))]
    pub start_line: Option<u32>,
    /// The last line, inclusive; at most 2000 lines are answered.
    #[schemars(range(min = 1))]
    pub end_line: Option<u32>,
}

/// The answer of blame_range.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BlameAnswer {
    pub path: String,
    /// From top to bottom; together they are the lines asked for.
    pub blame: Vec<BlameItem>,
    /// Lines of the whole file.
    pub lines: u32,
    /// The commit of HEAD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    pub notes: Vec<String>,
}

/// Consecutive lines of one commit.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BlameItem {
    pub start_line: u32,
    pub end_line: u32,
    /// `committed`, `uncommitted`, `boundary` (the oldest commit of a shallow clone; the lines may be
    /// older) or `unknown` (the time was over).
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When it was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The path of the file in that commit; one that begins with `:/` is outside the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_path: Option<String>,
    /// The first of the lines in that commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_line: Option<u32>,
}

impl BlameItem {
    fn new(hunk: BlameHunk) -> Self {
        let mut item = Self {
            start_line: *hunk.lines.start(),
            end_line: *hunk.lines.end(),
            state: "unknown",
            commit: None,
            author: None,
            date: None,
            summary: None,
            original_path: None,
            original_line: None,
        };
        match hunk.origin {
            BlameOrigin::NotFound => {}
            BlameOrigin::Uncommitted => item.state = "uncommitted",
            BlameOrigin::Commit { commit, path, line, is_boundary } => {
                item.state = if is_boundary { "boundary" } else { "committed" };
                item.commit = Some(commit.id.clone());
                item.author = Some(commit.author.clone());
                item.date = Some(date(commit.time_s));
                item.summary = Some(summary(&commit));
                item.original_path = Some(path);
                item.original_line = Some(line);
            }
        }
        item
    }

    /// One line. path: that of the file now.
    fn text(&self, path: &str) -> String {
        let Self { start_line, end_line, state, .. } = self;
        let place = format!("{path}:{start_line}-{end_line}");
        let (Some(commit), Some(author), Some(date), Some(summary), Some(original)) =
            (&self.commit, &self.author, &self.date, &self.summary, &self.original_path)
        else {
            return format!("{place}  {state}\n");
        };
        let day = date.split('T').next().unwrap_or(date);
        let boundary = if *state == "boundary" { "  (or older: shallow clone)" } else { "" };
        let from = if original == path { String::new() } else { format!("  (from {original})") };
        format!("{place}  {}  {day}  {author}  {summary}{from}{boundary}\n", short(commit))
    }
}

impl ToolAnswer for BlameAnswer {
    fn text(&self) -> String {
        let mut text = String::new();
        self.blame.iter().for_each(|item| text += &item.text(&self.path));
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        text
    }
}

pub(super) fn run(
    app: &App,
    input: BlameRangeInput,
    cx: &RunContext,
) -> Result<BlameAnswer, Arc<Error>> {
    let searcher = app.searcher()?;
    let path = RepoPath::new(input.path.strip_prefix("./").unwrap_or(&input.path));
    let start = input.start_line.unwrap_or(1);
    let end = input.end_line.unwrap_or(u32::MAX);
    let refuse =
        |name, value: u32, expected| Error::Argument { name, value: value.to_string(), expected };
    if start == 0 {
        return Err(refuse("start_line", start, "1 or more".to_owned()).into());
    }
    if end < start {
        return Err(refuse("end_line", end, format!("{start} (start_line) or more")).into());
    }
    let last = end.min(start.saturating_add(LINES_MAX - 1));
    let blame = app.repo()?.blame(&path, start..=last, app.blame_cache(), cx);
    let blame = blame.map_err(|error| match error {
        Error::Argument { name: "lines", expected, .. } => refuse("start_line", start, expected),
        other => unknown_path(searcher.catalog(), &path, other),
    })?;
    let mut notes = Vec::new();
    if !blame.is_complete() {
        let remedy = "call again, which continues, or ask for fewer lines";
        notes.push(format!("the time was over before every commit was found; {remedy}"));
    }
    if last < end.min(blame.lines_total) {
        let (more, next) = (end.min(blame.lines_total) - last, last + 1);
        notes.push(format!("{more} more lines were left out; continue with start_line {next}"));
    }
    Ok(BlameAnswer {
        path: path.as_str().to_owned(),
        blame: blame.hunks.into_iter().map(BlameItem::new).collect(),
        lines: blame.lines_total,
        head: blame.head,
        notes,
    })
}
