//! The tool search_text: the lines of files that match a text or a regular expression.

use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cursor::Places;
use super::scope::{self, ScopeInput};
use super::{App, FileLink, ToolAnswer, ToolSpec, empty, file_uri};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::corpus::source::{Language, RepoPath, SkipReason};
use crate::corpus::text_search::{CaseMode, ContextLine, TextMatch, TextMatches, TextQuery};

pub const SPEC: ToolSpec = ToolSpec {
    name: "search_text",
    title: "Search text in files",
    description: "Find every line that contains a text or matches a regular expression, as grep does: \
                  error messages, strings, settings, names in comments. It reads the files as they are \
                  now and counts all matches. For code by what it does use semantic_search, for \
                  definitions symbol_search, for callers references_at.",
    label: Tool::SearchText,
    ..ToolSpec::READS_INDEX
};

/// The most matches of one page.
const RESULTS_MAX: usize = 500;
/// Bytes of previews and context lines in one page; the first match is always returned.
const PAGE_BYTES_MAX: usize = 128 << 10;

fn default_results() -> usize {
    50
}

/// The arguments of search_text.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchTextInput {
    /// The text to find, or with regex a regular expression.
    pub query: String,
    /// Read query as a regular expression, without look-around and back-references.
    #[serde(default)]
    pub regex: bool,
    /// Whether case counts; by default only if query has a capital letter.
    pub case_sensitive: Option<bool>,
    /// Match whole words only.
    #[serde(default)]
    pub word: bool,
    /// Let a regular expression match across lines.
    #[serde(default)]
    pub multiline: bool,
    /// Lines to show before and after each match.
    #[serde(default)]
    #[schemars(range(max = 20))]
    pub context_lines: usize,
    /// The part of the repository to search.
    pub scope: Option<ScopeInput>,
    /// A scope that set_scope returned.
    pub scope_id: Option<String>,
    /// Matches of one page.
    #[serde(default = "default_results")]
    #[schemars(range(min = 1, max = 500))]
    pub max_results: usize,
    /// next_cursor of the previous page.
    pub cursor: Option<String>,
}

/// The answer of search_text.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TextAnswer {
    /// Sorted by path and line.
    pub matches: Vec<TextItem>,
    /// All matching lines, on all pages.
    pub total: u64,
    pub files_matched: usize,
    pub files_searched: usize,
    /// Files that were not searched, by reason.
    pub skipped: Vec<SkippedItem>,
    /// Whether there are matches after this page.
    pub truncated: bool,
    /// Whether every file was searched, so that total is exact.
    pub is_complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Why matches may be missing.
    pub notes: Vec<String>,
    pub next_steps: Vec<String>,
    #[serde(skip)]
    links: Vec<FileLink>,
}

/// A matching line, or the lines of a match that spans several.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TextItem {
    pub path: String,
    pub line: u32,
    /// The last line, if the match spans several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
    /// Of the first match, in characters from 1.
    pub column: u32,
    /// The line; of a long one the part around its first match.
    pub preview: String,
    /// Lines before and after; those between two matches belong to the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextItem>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ContextItem {
    pub line: u32,
    pub text: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct SkippedItem {
    pub reason: &'static str,
    pub files: usize,
}

impl TextItem {
    fn new(found: TextMatch) -> Self {
        let (line, end) = (*found.lines.start(), *found.lines.end());
        let lines = found.before.into_iter().chain(found.after);
        Self {
            path: found.path.as_str().to_owned(),
            line,
            end_line: (end > line).then_some(end),
            column: found.column,
            preview: found.text,
            context: lines.map(|ContextLine { line, text }| ContextItem { line, text }).collect(),
        }
    }

    fn text(&self) -> String {
        let Self { path, line, column, preview, context, .. } = self;
        let (before, after): (Vec<_>, Vec<_>) =
            context.iter().partition(|other| other.line < *line);
        let around = |lines: Vec<&ContextItem>| -> String {
            lines.iter().map(|other| format!("{path}-{}-  {}\n", other.line, other.text)).collect()
        };
        format!("{}{path}:{line}:{column}  {preview}\n{}", around(before), around(after))
    }
}

impl ToolAnswer for TextAnswer {
    fn text(&self) -> String {
        let plural = |n: u64, one, many| if n == 1 { one } else { many };
        let (n, total, files) = (self.matches.len(), self.total, self.files_matched);
        let least = if self.is_complete { "" } else { "at least " };
        let mut text = format!(
            "{n} of {least}{total} {} in {files} {}\n",
            plural(total, "match", "matches"),
            plural(files as u64, "file", "files")
        );
        self.matches.iter().for_each(|item| text += &item.text());
        if let Some(cursor) = &self.next_cursor {
            text += &format!("more: cursor {cursor}\n");
        }
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        self.next_steps.iter().for_each(|step| text += &format!("next: {step}\n"));
        text
    }

    fn links(&self) -> Vec<FileLink> {
        self.links.clone()
    }
}

/// The place after which the next page begins.
#[derive(Serialize, Deserialize)]
struct Place {
    path: String,
    line: u32,
}

pub(super) fn run(
    app: &App,
    input: SearchTextInput,
    cx: &RunContext,
) -> Result<TextAnswer, Arc<Error>> {
    let n = super::within("max_results", input.max_results, 1..=RESULTS_MAX)?;
    super::within("context_lines", input.context_lines, 0..=20)?;
    let searcher = app.searcher()?;
    let scope = scope::resolve(app, input.scope.clone(), input.scope_id.as_deref(), cx)?;
    let places = Places::new(&(
        (&input.query, input.regex, input.case_sensitive, input.word, input.multiline),
        (&scope.globs, &scope.languages),
    ));
    let after: Option<Place> = places.parse(input.cursor.as_deref())?;
    let case = match input.case_sensitive {
        None => CaseMode::Smart,
        Some(true) => CaseMode::Sensitive,
        Some(false) => CaseMode::Insensitive,
    };
    let query = TextQuery {
        pattern: input.query,
        is_regex: input.regex,
        case,
        word: input.word,
        multiline: input.multiline,
        languages: languages(&scope.languages)?,
        globs: scope.globs.clone(),
        context_lines: input.context_lines,
        // One more tells whether there is another page.
        matches_max: n + 1,
        after: after.map(|place| (RepoPath::new(place.path), place.line)),
        ..TextQuery::default()
    };
    let repo = app.repo()?;
    let found = repo.search_text(&query, cx).map_err(rename_argument)?;
    let mut notes = notes(&found);
    let mut next_steps = Vec::new();
    if found.total == 0 {
        notes.push(format!("no line of {} matches", super::counted(found.files_searched, "file")));
        let scope = empty::scope(searcher.catalog(), &scope)?;
        let other = empty::text(&repo, &query, cx)?;
        notes.extend(scope.notes.into_iter().chain(other.notes));
        next_steps.extend(scope.next_steps.into_iter().chain(other.next_steps));
        next_steps.push("semantic_search finds code by what it does".to_owned());
    }
    let (kept, truncated) = page(found.matches, n);
    let last = kept.last().filter(|_| truncated);
    let next_cursor = last.map(|last| {
        places.cursor(&Place { path: last.path.as_str().to_owned(), line: *last.lines.end() })
    });
    let mut seen = HashSet::new();
    let paths = kept.iter().map(|found| found.path.as_str()).filter(|path| seen.insert(*path));
    let link = |path: &str| {
        let uri = file_uri(&searcher.roots().find(path)?, None)?;
        Some(FileLink { uri, path: path.to_owned() })
    };
    let links = paths.filter_map(link).collect();
    let skipped = found.skipped.iter();
    Ok(TextAnswer {
        matches: kept.into_iter().map(TextItem::new).collect(),
        total: found.total,
        files_matched: found.files_matched,
        files_searched: found.files_searched,
        skipped: skipped
            .map(|(reason, files)| SkippedItem { reason: reason.as_str(), files })
            .collect(),
        truncated,
        is_complete: found.is_complete,
        next_cursor,
        notes,
        next_steps,
        links,
    })
}

/// Those of the first `n` matches that fit one page, and whether there are more.
fn page(mut matches: Vec<TextMatch>, n: usize) -> (Vec<TextMatch>, bool) {
    let found = matches.len();
    let mut bytes = 0;
    let fits = |matched: &TextMatch| {
        let context = matched.before.iter().chain(&matched.after);
        bytes += matched.text.len() + context.map(|line| line.text.len()).sum::<usize>();
        bytes <= PAGE_BYTES_MAX
    };
    let fitting = matches.iter().map(fits).take_while(|fits| *fits).count();
    matches.truncate(fitting.max(1).min(n));
    let is_truncated = matches.len() < found;
    (matches, is_truncated)
}

/// The languages with these names.
fn languages(names: &[String]) -> Result<Vec<Language>> {
    let parse = |name: &String| {
        Language::from_name(name).ok_or_else(|| Error::Argument {
            name: "language",
            value: format!("{:?}", crate::base::text::prefix(name, 80)),
            expected: "a language such as rust or python; index_status lists those of the index"
                .to_owned(),
        })
    };
    names.iter().map(parse).collect()
}

/// The text search calls the query a pattern.
fn rename_argument(error: Error) -> Error {
    match error {
        Error::Argument { name: "pattern", value, expected } => {
            Error::Argument { name: "query", value, expected }
        }
        other => other,
    }
}

/// Why matches may be missing.
fn notes(found: &TextMatches) -> Vec<String> {
    let mut notes = Vec::new();
    if !found.is_complete {
        let searched = found.files_searched;
        notes.push(format!("the time was over after {searched} files; narrow it with scope globs"));
    }
    // What is ignored, hidden or binary is left out on purpose.
    let unexpected = [SkipReason::TooLarge, SkipReason::LongLines, SkipReason::Unreadable];
    for reason in unexpected {
        let files = found.skipped.get(reason);
        if files > 0 {
            notes.push(format!("not searched: {files} {}", reason.as_str()));
        }
    }
    notes
}
