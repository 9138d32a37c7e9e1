//! Blame: the commit of each line of a file as it is in the working tree.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::diff::blob::Algorithm;

use super::Commit;
use super::blame_cache::{BlameCache, FileKey};
use super::git_file::GitFile;
use super::line_diff::{count, unchanged};
use super::line_origins::{LineOrigin, LineOrigins};
use super::versions::Versions;
use crate::base::error::{Error, Result};
use crate::base::telemetry::{RunContext, Stage, attrs};
use crate::corpus::source::{Repo, RepoPath};
use crate::corpus::time_limit::TimeLimit;

/// The longest time of one search in the history.
pub(super) const HISTORY_MAX: Duration = Duration::from_secs(10);

/// The commits of some lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blame {
    /// The commit of HEAD in hexadecimal digits; `None` before the first commit.
    pub head: Option<String>,
    /// Ascending; together they are the lines asked for.
    pub hunks: Vec<BlameHunk>,
    /// The number of lines of the file.
    pub lines_total: u32,
}

/// Consecutive lines of one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlameHunk {
    /// Counted from 1.
    pub lines: RangeInclusive<u32>,
    pub origin: BlameOrigin,
}

/// Where lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlameOrigin {
    Commit {
        commit: Arc<Commit>,
        /// The path of the file in that commit.
        path: String,
        /// The first of the lines in that commit, counted from 1.
        line: u32,
        /// The oldest commit that a shallow clone has: the lines may be older.
        is_boundary: bool,
    },
    /// They are in the working tree only.
    Uncommitted,
    /// They are committed, but the time was over before the commit was found.
    NotFound,
}

impl Blame {
    /// Whether the commit of every committed line was found.
    pub fn is_complete(&self) -> bool {
        self.hunks.iter().all(|hunk| hunk.origin != BlameOrigin::NotFound)
    }
}

impl Repo {
    /// The commit of each line in `lines` (from 1; an end beyond the file means its last line) of a
    /// file as it is in the working tree. Renames are followed. A file that only differs in its
    /// line ends from that in HEAD counts as unchanged.
    pub fn blame(
        &self,
        path: &RepoPath,
        lines: RangeInclusive<u32>,
        cache: &BlameCache,
        cx: &RunContext,
    ) -> Result<Blame> {
        cx.stage(Stage::Blame, |span| {
            span.set(attrs::GIT_OP, Stage::Blame.name());
            span.set(attrs::GIT_PATH, path.as_str().to_owned());
            span.set(attrs::GIT_LINE_RANGE, format!("{}-{}", lines.start(), lines.end()));
            let limit = TimeLimit::new(cx, HISTORY_MAX);
            let blame = blame(&GitFile::open(self, path)?, &lines, cache, &limit)?;
            span.set(attrs::GIT_RESULTS, blame.hunks.len());
            Ok(blame)
        })
    }
}

fn blame(
    file: &GitFile,
    lines: &RangeInclusive<u32>,
    cache: &BlameCache,
    limit: &TimeLimit<'_>,
) -> Result<Blame> {
    let text = file.text()?;
    let lines_total = count(&text);
    let range = checked(lines, lines_total)?;
    let head = file.head()?;
    let origins = match head {
        Some(head) => origins(file, head, &text, range.clone(), cache, limit)?,
        None => vec![BlameOrigin::Uncommitted; range.len()],
    };
    Ok(Blame { head: head.map(|id| id.to_string()), hunks: hunks(range, origins), lines_total })
}

/// The lines counted from 0.
fn checked(lines: &RangeInclusive<u32>, lines_total: u32) -> Result<Range<u32>> {
    let (start, end) = (*lines.start(), *lines.end());
    if start == 1 && lines_total == 0 {
        return Ok(0..0);
    }
    if start == 0 || start > end || start > lines_total {
        return Err(Error::Argument {
            name: "lines",
            value: format!("{start}-{end}"),
            expected: format!("a range of lines within 1-{lines_total}, the lines of the file"),
        });
    }
    Ok(start - 1..end.min(lines_total))
}

/// The origin of each line in `range` of `text`, which is the file in the working tree.
fn origins(
    file: &GitFile,
    head: ObjectId,
    text: &[u8],
    range: Range<u32>,
    cache: &BlameCache,
    limit: &TimeLimit<'_>,
) -> Result<Vec<BlameOrigin>> {
    let mut versions = Versions::new(&file.git, limit);
    let Some(version) = versions.find(head, file.path.as_bstr())? else {
        return Ok(vec![BlameOrigin::Uncommitted; range.len()]);
    };
    let algorithm = file.git.diff_algorithm().unwrap_or(Algorithm::Myers);
    let blob = version.located.blob;
    let committed = versions.objects.blob(blob)?;
    let in_head = lines_in_head(&committed, text, range, algorithm);

    let git_dir = file.git.git_dir().to_path_buf();
    let key = FileKey { git_dir, head, path: file.path.clone(), blob };
    let known = cache.get(&key);
    let mut known = known.unwrap_or_else(|| Arc::new(LineOrigins::new(count(&committed))));
    let is_missing = |line: &u32| known.lines[*line as usize].is_none();
    let missing = ranges(in_head.iter().flatten().copied().filter(is_missing));
    if !missing.is_empty() {
        let found = Arc::make_mut(&mut known);
        found.find(&mut versions, version, &missing, algorithm, limit)?;
        cache.put(key, known.clone());
    }
    let origin = |line: &Option<u32>| match line {
        None => BlameOrigin::Uncommitted,
        Some(line) => describe(file, &known, known.lines[*line as usize]),
    };
    Ok(in_head.iter().map(origin).collect())
}

/// For each line in `range` of `text` the same line in `committed`, if it is there. Line ends do
/// not count, because git may convert them on checkout.
fn lines_in_head(
    committed: &[u8],
    text: &[u8],
    range: Range<u32>,
    algorithm: Algorithm,
) -> Vec<Option<u32>> {
    if committed == text {
        return range.map(Some).collect();
    }
    let (committed, text) = (committed.replace("\r\n", "\n"), text.replace("\r\n", "\n"));
    let mut lines = vec![None; range.len()];
    for run in unchanged(&committed, &text, algorithm) {
        let end = (run.after + run.len).min(range.end);
        for line in run.after.max(range.start)..end {
            lines[(line - range.start) as usize] = Some(run.before + (line - run.after));
        }
    }
    lines
}

/// Ascending lines as ranges.
fn ranges(lines: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for line in lines {
        match ranges.last_mut() {
            Some(last) if last.end == line => last.end += 1,
            _ => ranges.push(line..line + 1),
        }
    }
    ranges
}

fn describe(file: &GitFile, known: &LineOrigins, line: Option<LineOrigin>) -> BlameOrigin {
    let Some(LineOrigin { origin, line }) = line else { return BlameOrigin::NotFound };
    let origin = &known.origins[origin as usize];
    BlameOrigin::Commit {
        commit: origin.commit.clone(),
        path: file.name(origin.path.as_bstr()),
        line: line + 1,
        is_boundary: origin.is_boundary,
    }
}

/// Joins consecutive lines of one origin.
fn hunks(range: Range<u32>, origins: Vec<BlameOrigin>) -> Vec<BlameHunk> {
    let mut hunks: Vec<BlameHunk> = Vec::new();
    for (line, origin) in (range.start + 1..).zip(origins) {
        match hunks.last_mut() {
            Some(last) if continues(last, &origin) => last.lines = *last.lines.start()..=line,
            _ => hunks.push(BlameHunk { lines: line..=line, origin }),
        }
    }
    hunks
}

fn continues(hunk: &BlameHunk, origin: &BlameOrigin) -> bool {
    match (&hunk.origin, origin) {
        (
            BlameOrigin::Commit { commit, path, line, .. },
            BlameOrigin::Commit { commit: next, path: next_path, line: next_line, .. },
        ) => {
            let len = hunk.lines.end() - hunk.lines.start() + 1;
            commit.id == next.id && path == next_path && line + len == *next_line
        }
        (one, other) => one == other,
    }
}
