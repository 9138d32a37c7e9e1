//! The tool list_paths: the files of the index.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cursor::Pages;
use super::scope::{self, ScopeInput};
use super::{App, ToolAnswer, ToolSpec, empty};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;

pub const SPEC: ToolSpec = ToolSpec {
    name: "list_paths",
    title: "List files",
    description: "List the indexed files, sorted by path, with language, lines and size. Narrow it with \
                  scope globs. Use it to learn how a repository is laid out.",
    label: Tool::ListPaths,
    ..ToolSpec::READS_INDEX
};

/// The most files of one page.
const RESULTS_MAX: usize = 1000;

fn default_results() -> usize {
    200
}

/// The arguments of list_paths.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListPathsInput {
    /// The files to list; all of them if absent.
    pub scope: Option<ScopeInput>,
    /// A scope that set_scope returned.
    pub scope_id: Option<String>,
    /// Files of one page.
    #[serde(default = "default_results")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_results: usize,
    /// next_cursor of the previous page.
    pub cursor: Option<String>,
}

/// The answer of list_paths.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PathsAnswer {
    /// Sorted by path.
    pub items: Vec<PathItem>,
    /// Files in scope, on all pages.
    pub total: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    pub notes: Vec<String>,
    pub next_steps: Vec<String>,
}

/// One file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PathItem {
    pub path: String,
    pub language: String,
    pub lines: u32,
    pub size_bytes: u64,
    /// When it was last modified, in seconds since 1970.
    pub modified_s: i64,
}

impl ToolAnswer for PathsAnswer {
    fn text(&self) -> String {
        let mut text =
            format!("{} of {} files (path, language, lines)\n", self.items.len(), self.total);
        for item in &self.items {
            text += &format!("{}  {}  {}\n", item.path, item.language, item.lines);
        }
        if let Some(cursor) = &self.next_cursor {
            text += &format!("more: cursor {cursor}\n");
        }
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        self.next_steps.iter().for_each(|step| text += &format!("next: {step}\n"));
        text
    }
}

pub(super) fn run(
    app: &App,
    input: ListPathsInput,
    cx: &RunContext,
) -> Result<PathsAnswer, Arc<Error>> {
    let n = super::within("max_results", input.max_results, 1..=RESULTS_MAX)?;
    let searcher = app.searcher()?;
    let scope = scope::resolve(app, input.scope, input.scope_id.as_deref(), cx)?;
    let version = &searcher.version().manifest.version;
    let pages = Pages::new(version, &(&scope.globs, &scope.languages));
    let offset = pages.offset(input.cursor.as_deref())?;
    let catalog = searcher.catalog();
    let in_scope = catalog.files_in(&scope)?;
    let total = in_scope.len();
    let items = in_scope.into_iter().skip(offset).take(n).map(|file| PathItem {
        language: file.language,
        lines: file.lines,
        size_bytes: file.size_bytes,
        modified_s: file.modified_ns.div_euclid(1_000_000_000),
        path: file.path,
    });
    let items: Vec<PathItem> = items.collect();
    let end = offset + items.len();
    let next_cursor = (end < total).then(|| pages.next(end));
    let empty::Explained { notes, next_steps } =
        if total == 0 { empty::scope(catalog, &scope)? } else { empty::Explained::default() };
    Ok(PathsAnswer { items, total, next_cursor, notes, next_steps })
}
