//! The tool impact: the definitions that a change touches, their callers and their tests.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, FileLink, ToolAnswer, ToolSpec, file_uri, open_file};
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::corpus::git::{
    ChangedDefinition, ChangedFile, DefinitionChange, changed_definitions, parse_patch,
};
use crate::corpus::source::RepoPath;
use crate::corpus::time_limit::TimeLimit;
use crate::index::catalog::SymbolRow;
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
/// A name that is used in more chunks than this is not followed: it says too little.
const USES_MAX: usize = 200;
/// The longest time of following uses.
const FOLLOW_MAX: Duration = Duration::from_secs(10);

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
            "{} definitions changed since {since}; {callers_total} callers, {tests_total} tests\n",
            changed.len()
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
    let time = TimeLimit::new(cx, FOLLOW_MAX);
    let mut callers =
        Callers { searcher: &searcher, time, symbols: HashMap::new(), followed: HashSet::new() };
    let found = callers.follow(wanted.collect(), depth, &mut notes)?;
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

fn is_test_item(item: &CallerItem) -> bool {
    let is_test_name = |name: &str| matches!(name, "test" | "tests") || name.starts_with("test_");
    let within = item.within.as_deref().unwrap_or_default();
    is_test(&item.path) || within.split(['.', ':']).any(is_test_name)
}

/// A definition whose uses are wanted. lines: `None` if it is no longer there.
struct Wanted {
    name: String,
    qualified: String,
    path: String,
    lines: Option<(u32, u32)>,
}

/// Follows the uses of names, from definition to definition.
struct Callers<'a> {
    searcher: &'a Searcher,
    time: TimeLimit<'a>,
    /// The definitions of the files that were met.
    symbols: HashMap<String, Vec<SymbolRow>>,
    /// What was followed already: symbols of `index.scip`, or names and their language.
    followed: HashSet<String>,
}

impl<'a> Callers<'a> {
    /// The uses up to `depth` calls away, nearest first, sorted by path and line.
    fn follow(
        &mut self,
        mut wanted: Vec<Wanted>,
        depth: usize,
        notes: &mut Vec<String>,
    ) -> Result<Vec<CallerItem>> {
        let mut found: Vec<CallerItem> = Vec::new();
        let mut seen: HashSet<(String, String)> = HashSet::new();
        'depths: for depth in 1..=depth {
            let mut next = Vec::new();
            for wanted in wanted {
                if self.time.is_over()? {
                    notes.push("the time was over before every caller was found".to_owned());
                    break 'depths;
                }
                let Some(uses) = self.uses(&wanted)? else { continue };
                if uses.len() > USES_MAX {
                    let name = &wanted.name;
                    notes.push(format!(
                        "{name} is used in more than {USES_MAX} places, which were not followed; \
                         references_at lists them"
                    ));
                    continue;
                }
                for (chunk, line) in uses {
                    let Some((item, symbol)) = self.item(&wanted, chunk, line, depth)? else {
                        continue;
                    };
                    let within = item.within.clone().unwrap_or_default();
                    if !seen.insert((item.path.clone(), within)) {
                        continue;
                    }
                    if let Some(symbol) = symbol.filter(|_| !is_test_item(&item)) {
                        next.push(symbol);
                    }
                    found.push(item);
                }
            }
            wanted = next;
        }
        found.sort_by(|a, b| (a.depth, &a.path, a.line).cmp(&(b.depth, &b.path, b.line)));
        Ok(found)
    }

    /// Chunk and line of the uses of a definition, by its symbols in `index.scip` or else by its name;
    /// `None` if they were followed already.
    fn uses(&mut self, wanted: &Wanted) -> Result<Option<Vec<(ChunkId, u32)>>> {
        let catalog = self.searcher.catalog();
        let mut symbols = Vec::new();
        if let Some((start, end)) = wanted.lines {
            for found in catalog.scip_definitions(&wanted.name)? {
                let is_here = (start..=end).contains(&found.line)
                    && catalog.file_of(found.chunk)?.is_some_and(|file| file.path == wanted.path);
                if is_here && self.followed.insert(found.symbol.clone()) {
                    symbols.push(found.symbol);
                }
            }
        }
        if !symbols.is_empty() {
            let found = catalog.occurrences_of(&symbols, false, USES_MAX + 1)?;
            return Ok(Some(found.into_iter().map(|row| (row.chunk, row.line)).collect()));
        }
        if !self.followed.insert(format!("{} {}", language_family(&wanted.path), wanted.name)) {
            return Ok(None);
        }
        let found = catalog.references(&wanted.name, USES_MAX + 1)?;
        Ok(Some(found.into_iter().map(|row| (row.chunk, row.line)).collect()))
    }

    /// The code that a reference is in, and its name to follow; `None` if it is the definition itself
    /// or code of another language.
    fn item(
        &mut self,
        wanted: &Wanted,
        chunk: ChunkId,
        line: u32,
        depth: usize,
    ) -> Result<Option<(CallerItem, Option<Wanted>)>> {
        let Some(file) = self.searcher.catalog().file_of(chunk)? else { return Ok(None) };
        let path = file.path.clone();
        let is_inside = |(start, end): (u32, u32)| (start..=end).contains(&line);
        let is_itself = path == wanted.path && wanted.lines.is_some_and(is_inside);
        if is_itself || language_family(&path) != language_family(&wanted.path) {
            return Ok(None);
        }
        if !self.symbols.contains_key(&path) {
            self.symbols.insert(path.clone(), self.searcher.catalog().symbols_in(&path)?);
        }
        let around = self.symbols[&path].iter().filter(|s| is_inside((s.start_line, s.end_line)));
        let symbol = around.min_by_key(|symbol| symbol.end_line - symbol.start_line);
        let on_disk = self.searcher.roots().find(&path);
        let item = CallerItem {
            uri: on_disk.and_then(|file| file_uri(&file, Some((line, line)))),
            line,
            within: symbol.map(|symbol| symbol.qualified.clone()),
            uses: wanted.qualified.clone(),
            depth,
            path: path.clone(),
        };
        let next = symbol.map(|symbol| Wanted {
            name: symbol.name.clone(),
            qualified: symbol.qualified.clone(),
            lines: Some((symbol.start_line, symbol.end_line)),
            path,
        });
        Ok(Some((item, next)))
    }
}

/// Files whose code can call each other have the same family.
fn language_family(path: &str) -> &'static str {
    use crate::corpus::source::Language;
    match Language::detect(&RepoPath::new(path), "").name() {
        "typescript" | "tsx" | "javascript" => "javascript",
        "c" | "cpp" => "c",
        other => other,
    }
}
