//! FileMatches: the matches in one file, as the searcher tells them.

use std::io;
use std::ops::{Range, RangeInclusive};

use grep_matcher::Matcher;
use grep_regex::RegexMatcher;
use grep_searcher::{Searcher, Sink, SinkContext, SinkContextKind, SinkMatch};

use super::preview::{LINE_BYTES_MAX, Preview};
use crate::corpus::source::RepoPath;

/// The most matches that are marked in one line.
const SPANS_MAX: usize = 64;
/// Of longer lines only the first match is marked: each search may read the whole line.
const MARKED_BYTES_MAX: usize = 16 << 10;
/// The longest text of a match that spans lines, in lines of the longest length.
const MULTILINE_LINES_MAX: usize = 8;

/// A line that matches, or the lines of a match that spans several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextMatch {
    pub path: RepoPath,
    /// Counted from 1.
    pub lines: RangeInclusive<u32>,
    /// Of the first match, in characters counted from 1.
    pub column: u32,
    /// The lines without the last line's end; of a long one the part around its first match.
    pub text: String,
    /// The matches in `text`, as byte ranges; at most 64.
    pub spans: Vec<Range<usize>>,
    /// Whether `text` is a part, which has `…` where it was cut.
    pub is_clipped: bool,
    /// The lines before, unless they are after the match before.
    pub before: Vec<ContextLine>,
    pub after: Vec<ContextLine>,
}

/// A line near a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextLine {
    /// Counted from 1.
    pub line: u32,
    pub text: String,
}

/// Collects the first matches in one file, and counts all.
pub(super) struct FileMatches<'a> {
    matcher: &'a RegexMatcher,
    path: &'a RepoPath,
    multiline: bool,
    /// Lines from 1 that are no longer asked for.
    lines_passed: u32,
    matches_max: usize,
    pub matches: Vec<TextMatch>,
    pub count: u64,
    pub is_binary: bool,
    before: Vec<ContextLine>,
}

impl<'a> FileMatches<'a> {
    pub fn new(
        matcher: &'a RegexMatcher,
        path: &'a RepoPath,
        multiline: bool,
        lines_passed: u32,
        matches_max: usize,
    ) -> Self {
        let (matches, before) = (Vec::new(), Vec::new());
        let (count, is_binary) = (0, false);
        Self {
            matcher,
            path,
            multiline,
            lines_passed,
            matches_max,
            matches,
            count,
            is_binary,
            before,
        }
    }

    fn wants(&self, line: u32) -> bool {
        self.matches.len() < self.matches_max && line > self.lines_passed
    }

    /// The matches in a line or lines, as ranges of them.
    fn spans(&self, found: &SinkMatch<'_>) -> io::Result<Vec<Range<usize>>> {
        let mut spans = Vec::new();
        // A match that spans lines may look at what is around it; one in a line may not.
        let (haystack, start, end) = if self.multiline {
            let range = found.bytes_range_in_buffer();
            (found.buffer(), range.start, range.end)
        } else {
            let line = found.bytes();
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            (line, 0, line.len() + 1)
        };
        let spans_max = if end - start > MARKED_BYTES_MAX { 1 } else { SPANS_MAX };
        let mut each = |one: grep_matcher::Match| {
            if one.start() >= end || spans.len() == spans_max {
                return false;
            }
            spans.push(one.start() - start..one.end() - start);
            true
        };
        self.matcher.find_iter_at(haystack, start, &mut each).map_err(io::Error::other)?;
        Ok(spans)
    }
}

impl Sink for FileMatches<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        self.count += 1;
        let line = found.line_number().map_or(0, |line| line as u32);
        if !self.wants(line) {
            self.before.clear();
            return Ok(true);
        }
        let lines = found.lines().count().max(1);
        let bytes_max = LINE_BYTES_MAX * lines.min(MULTILINE_LINES_MAX);
        let preview = Preview::new(found.bytes(), &self.spans(found)?, bytes_max);
        self.matches.push(TextMatch {
            path: self.path.clone(),
            lines: line..=line + lines as u32 - 1,
            column: preview.column,
            text: preview.text,
            spans: preview.spans,
            is_clipped: preview.is_clipped,
            before: std::mem::take(&mut self.before),
            after: Vec::new(),
        });
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        let line = context.line_number().map_or(0, |line| line as u32);
        let text = Preview::new(context.bytes(), &[], LINE_BYTES_MAX).text;
        let line = ContextLine { line, text };
        match (context.kind(), self.matches.last_mut()) {
            (SinkContextKind::Before, _) => self.before.push(line),
            // The lines after a match that is not returned are not either.
            (_, Some(last)) if last.lines.end() + last.after.len() as u32 + 1 == line.line => {
                last.after.push(line);
            }
            _ => {}
        }
        Ok(true)
    }

    fn binary_data(&mut self, _: &Searcher, _: u64) -> io::Result<bool> {
        self.is_binary = true;
        Ok(false)
    }
}
