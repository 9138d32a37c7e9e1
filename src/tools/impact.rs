//! The tool impact: the definitions that a change touches, their callers and their tests.

use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::callers::{Callers, Wanted};
use super::changed_definitions::{ChangedDefinition, DefinitionChange, changed_definitions};
use super::{App, FileLink, ToolAnswer, ToolSpec, counted, open_file};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::corpus::chunk::SymbolKind;
use crate::corpus::git::{ChangedFile, parse_patch};
use crate::corpus::source::RepoPath;
use crate::search::{Searcher, is_test};

pub const SPEC: ToolSpec = ToolSpec {
    name: "impact",
    title: "Find what a change affects",
    description: "Find what a change may break: the definitions that a git diff touches, the code that \
                  uses them, and the tests that reach them. Call it after editing, to see which callers \
                  to check and which tests to run.",
    label: Tool::Impact,
    ..ToolSpec::READS_INDEX
};

/// The longest diff.
const DIFF_BYTES_MAX: usize = 4 << 20;
/// The most definitions that are followed.
const CHANGED_MAX: usize = 200;

fn default_base() -> String {
    "HEAD".to_owned()
}

fn default_depth() -> usize {
    2
}

fn default_limit() -> usize {
    50
}

/// The arguments of impact.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImpactInput {
    /// A commit, branch or tag: the files on disk are compared with its last common ancestor with HEAD.
    #[serde(default = "default_base")]
    pub base: String,
    /// A unified diff to read instead, applied to the files or not yet; at most 4 MiB.
    pub diff: Option<String>,
    /// 1: direct callers; more: callers of callers.
    #[serde(default = "default_depth")]
    #[schemars(range(min = 1, max = 4))]
    pub depth: usize,
    /// The most callers, and the most tests.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 500))]
    pub limit: usize,
}

/// The answer of impact.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImpactAnswer {
    /// What was compared with the files.
    pub since: String,
    /// Removed ones first, at most 200.
    pub changed: Vec<ChangedItem>,
    /// Nearest first.
    pub callers: Vec<CallerItem>,
    /// The tests that use a changed definition or a caller, nearest first.
    pub tests: Vec<CallerItem>,
    pub callers_total: usize,
    pub tests_total: usize,
    pub notes: Vec<String>,
}

/// A definition that a change touches.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangedItem {
    /// `removed`, `modified` or `added`.
    pub change: &'static str,
    pub qualified: String,
    pub kind: &'static str,
    pub path: String,
    /// The lines now, or before if it is removed.
    pub start_line: u32,
    pub end_line: u32,
    pub signature: String,
}

/// Code that uses a definition.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CallerItem {
    pub path: String,
    /// The line of the use.
    pub line: u32,
    /// The definition that contains it; absent at the top of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// The definition that it uses.
    pub uses: String,
    /// 1 if that is a changed one.
    pub depth: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

impl ToolAnswer for ImpactAnswer {
    fn text(&self) -> String {
        let Self { since, changed, callers, tests, callers_total, tests_total, notes } = self;
        let mut text = format!(
            "{} changed since {since}; {}, {}\n",
            counted(changed.len(), "definition"),
            counted(*callers_total, "caller"),
            counted(*tests_total, "test"),
        );
        for ChangedItem { change, path, start_line, end_line, signature, .. } in changed {
            text += &format!("{change}  {path}:{start_line}-{end_line}  {signature}\n");
        }
        for (title, items) in [("callers", callers), ("tests", tests)] {
            if !items.is_empty() {
                text += &format!("{title}:\n");
            }
            for CallerItem { path, line, within, uses, depth, .. } in items {
                let within = within.as_deref().unwrap_or("(top of the file)");
                let depth = if *depth > 1 { format!("  depth {depth}") } else { String::new() };
                text += &format!("{path}:{line}  {within} uses {uses}{depth}\n");
            }
        }
        notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        text
    }

    fn links(&self) -> Vec<FileLink> {
        let link =
            |item: &CallerItem| Some(FileLink { uri: item.uri.clone()?, path: item.path.clone() });
        self.callers.iter().chain(&self.tests).filter_map(link).collect()
    }
}

pub(super) fn run(
    app: &App,
    input: ImpactInput,
    cx: &RunContext,
) -> Result<ImpactAnswer, Arc<Error>> {
    let depth = super::within("depth", input.depth, 1..=4)?;
    let limit = super::within("limit", input.limit, 1..=500)?;
    let searcher = app.searcher()?;
    let mut notes = Vec::new();
    let (since, files) = match &input.diff {
        Some(diff) => ("the diff".to_owned(), of_diff(&searcher, diff, &mut notes)?),
        None => {
            let spans = searcher.catalog().file_spans()?;
            let indexed: Vec<&str> = spans.iter().map(|span| span.path.as_str()).collect();
            (input.base.clone(), app.repo()?.changed_since(&input.base, &indexed, cx)?)
        }
    };
    let mut changed: Vec<(ChangedDefinition, String)> = Vec::new();
    for file in &files {
        let definitions = changed_definitions(file).into_iter();
        changed.extend(definitions.map(|changed| (changed, file.path.as_str().to_owned())));
    }
    // Nothing calls a section of a document.
    changed.retain(|(changed, _)| changed.symbol.kind != SymbolKind::Section);
    drop_moved(&mut changed);
    changed.sort_by_key(|(changed, _)| changed.change);
    if files.is_empty() {
        notes.push(format!("no file differs from {since}; give another base, such as main"));
    } else if changed.is_empty() {
        let count = files.len();
        notes.push(format!("{count} files differ from {since}, but no definition in them does"));
    }
    if changed.len() > CHANGED_MAX {
        notes.push(format!("{} more definitions were left out", changed.len() - CHANGED_MAX));
        changed.truncate(CHANGED_MAX);
    }
    let wanted = changed.iter().map(|(ChangedDefinition { change, symbol }, path)| Wanted {
        name: symbol.name.clone(),
        qualified: symbol.qualified.clone(),
        path: path.clone(),
        lines: (*change != DefinitionChange::Removed)
            .then_some((symbol.start_line, symbol.end_line)),
    });
    let found = Callers::new(&searcher, cx).follow(wanted.collect(), depth, &mut notes)?;
    let (tests, callers): (Vec<_>, Vec<_>) = found.into_iter().partition(is_test_item);
    let first = |items: &[CallerItem]| items.iter().take(limit).cloned().collect();
    Ok(ImpactAnswer {
        since,
        callers: first(&callers),
        tests: first(&tests),
        callers_total: callers.len(),
        tests_total: tests.len(),
        changed: changed.into_iter().map(|(changed, path)| changed_item(changed, path)).collect(),
        notes,
    })
}

/// The files of a diff that the index has.
fn of_diff(searcher: &Searcher, diff: &str, notes: &mut Vec<String>) -> Result<Vec<ChangedFile>> {
    if diff.len() > DIFF_BYTES_MAX {
        let (value, expected) =
            (format!("{} bytes", diff.len()), format!("at most {DIFF_BYTES_MAX}"));
        return Err(Error::Argument { name: "diff", value, expected });
    }
    let mut files = Vec::new();
    for patch in parse_patch(diff)? {
        let mut current = None;
        for path in [&patch.after, &patch.before].into_iter().flatten() {
            if searcher.catalog().file(path)?.is_some() {
                current = Some((path, open_file::open(searcher, path)?.text));
                break;
            }
        }
        let Some(path) = patch.after.as_ref().or(patch.before.as_ref()) else { continue };
        let (path, text) = current.unwrap_or((path, String::new()));
        match patch.versions(&text) {
            Some((before, after)) => {
                files.push(ChangedFile { path: RepoPath::new(path), before, after });
            }
            None => notes.push(format!("{path} is neither as before nor as after the diff")),
        }
    }
    Ok(files)
}

/// A definition that was removed in one file and added in another is not removed.
fn drop_moved(changed: &mut Vec<(ChangedDefinition, String)>) {
    let added = changed.iter().filter(|(c, _)| c.change == DefinitionChange::Added);
    let key = |c: &ChangedDefinition| (c.symbol.qualified.clone(), c.symbol.kind);
    let added: HashSet<_> = added.map(|(c, _)| key(c)).collect();
    changed.retain(|(c, _)| c.change != DefinitionChange::Removed || !added.contains(&key(c)));
}

fn changed_item(changed: ChangedDefinition, path: String) -> ChangedItem {
    let ChangedDefinition { change, symbol } = changed;
    ChangedItem {
        change: change.as_str(),
        qualified: symbol.qualified,
        kind: symbol.kind.as_str(),
        path,
        start_line: symbol.start_line,
        end_line: symbol.end_line,
        signature: symbol.signature,
    }
}

/// Whether a use is in a test, by its file or by the definition that contains it.
pub(super) fn is_test_item(item: &CallerItem) -> bool {
    let is_test_name = |name: &str| matches!(name, "test" | "tests") || name.starts_with("test_");
    let within = item.within.as_deref().unwrap_or_default();
    is_test(&item.path) || within.split(['.', ':']).any(is_test_name)
}
