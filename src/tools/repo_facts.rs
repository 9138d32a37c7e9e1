//! The tool repo_facts: hotspots, owners, documentation and configuration of the indexed files.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scope::{self, ScopeInput};
use super::{App, ToolAnswer, ToolSpec, counted, empty};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::corpus::source::{GlobList, Language};
use crate::index::catalog::{Catalog, FileFacts, FileRow, ScopeSpec, note};

pub const SPEC: ToolSpec = ToolSpec {
    name: "repo_facts",
    title: "Facts about the repository",
    description: "Rank files or folders by a fact: hotspots (files with many commits and many lines), \
                  owners (by CODEOWNERS, else by commits), documentation (share of public definitions \
                  with a comment), configuration (build, CI, lint and other files). overview: sizes by \
                  folder and language.",
    label: Tool::RepoFacts,
    ..ToolSpec::READS_INDEX
};

fn default_limit() -> usize {
    20
}

/// Which facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FactKind {
    #[default]
    Overview,
    Hotspots,
    Owners,
    Documentation,
    Configuration,
}

/// The arguments of repo_facts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepoFactsInput {
    /// Which facts.
    #[serde(default)]
    pub what: FactKind,
    /// The most rows.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: usize,
    /// The files to look at; all of them if absent. A narrow one shows smaller folders.
    pub scope: Option<ScopeInput>,
    /// A scope that set_scope returned.
    pub scope_id: Option<String>,
}

/// The answer of repo_facts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FactsAnswer {
    pub what: FactKind,
    /// The sum of all files in scope.
    pub sum: FactsRow,
    /// Best or largest first.
    pub rows: Vec<FactsRow>,
    /// Rows that the limit left out.
    pub left_out: usize,
    /// In an overview, the languages with most lines first, as many as rows at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<LanguageRow>,
    pub notes: Vec<String>,
}

/// The facts about a file, or about the files of a folder, whose path ends with a slash.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct FactsRow {
    pub path: String,
    pub files: usize,
    pub lines: u64,
    /// Counted commits that touched the file; of a folder the sum of its files.
    pub commits: u64,
    /// Authors of the commits of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authors: Option<u32>,
    /// Commits times lines of a hotspot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<u64>,
    /// Those of most lines first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Owner>,
    /// Public functions, methods and types.
    pub definitions: u64,
    /// Those of them with a documentation comment.
    pub documented: u64,
    /// What a configuration file configures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// An owner of a file or folder.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Owner {
    pub name: String,
    /// The share of the lines, from 0 to 1.
    pub share: f64,
    /// `CODEOWNERS`, or `commits` of the author of most of them.
    pub by: &'static str,
}

/// A language in an overview.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LanguageRow {
    pub language: String,
    pub files: usize,
    pub lines: u64,
}

/// The most owners shown of a folder.
const OWNERS_MAX: usize = 3;
/// The deepest folders that are told apart.
const DEPTH_MAX: usize = 8;

impl FactsRow {
    fn documentation(&self) -> String {
        let Self { definitions, documented, .. } = self;
        if *definitions == 0 {
            return "no public definitions".to_owned();
        }
        let percent = 100 * documented / definitions;
        format!("{documented} of {definitions} public definitions documented ({percent} %)")
    }

    fn text(&self, what: FactKind) -> String {
        let Self { path, files, lines, commits, .. } = self;
        let figures = match what {
            FactKind::Overview => {
                let files = counted(*files, "file");
                format!("{files}  {lines} lines  {commits} commits")
            }
            FactKind::Hotspots => {
                let (score, authors) = (self.score.unwrap_or(0), self.authors.unwrap_or(0));
                let authors = counted(authors as usize, "author");
                format!("{score} = {commits} commits x {lines} lines  {authors}")
            }
            FactKind::Owners => {
                let owner = |owner: &Owner| {
                    let percent = (100.0 * owner.share).round();
                    format!("{} {percent} % ({})", owner.name, owner.by)
                };
                let owners: Vec<String> = self.owners.iter().map(owner).collect();
                if owners.is_empty() { "no owner".to_owned() } else { owners.join(", ") }
            }
            FactKind::Documentation => self.documentation(),
            FactKind::Configuration => self.kind.clone().unwrap_or_default(),
        };
        format!("{path}  {figures}\n")
    }
}

impl ToolAnswer for FactsAnswer {
    fn text(&self) -> String {
        let FactsRow { files, lines, .. } = self.sum;
        let files = counted(files, "file");
        let mut text = format!("{files}, {lines} lines, {}\n", self.sum.documentation());
        for LanguageRow { language, files, lines } in &self.languages {
            text += &format!("{language}  {}  {lines} lines\n", counted(*files, "file"));
        }
        self.rows.iter().for_each(|row| text += &row.text(self.what));
        if self.left_out > 0 {
            text += &format!("{} more rows were left out\n", self.left_out);
        }
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        text
    }
}

/// A file with its facts.
struct Known {
    row: FileRow,
    facts: FileFacts,
}

impl Known {
    fn owner(&self) -> Option<(&str, &'static str)> {
        let FileFacts { code_owners, main_author, .. } = &self.facts;
        let named = code_owners.as_deref().map(|owners| (owners, "CODEOWNERS"));
        named.or(main_author.as_deref().map(|author| (author, "commits")))
    }
}

pub(super) fn run(
    app: &App,
    input: RepoFactsInput,
    cx: &RunContext,
) -> Result<FactsAnswer, Arc<Error>> {
    let limit = super::within("limit", input.limit, 1..=200)?;
    let searcher = app.searcher()?;
    let catalog = searcher.catalog();
    let scope = scope::resolve(app, input.scope, input.scope_id.as_deref(), cx)?;
    let facts = catalog.facts()?;
    let all = facts.iter().map(|facts| (facts.path.as_str(), facts));
    let mut facts_of: HashMap<&str, &FileFacts> = all.collect();
    let with_facts = |row: FileRow| {
        let facts = facts_of.remove(row.path.as_str()).cloned().unwrap_or_default();
        Known { row, facts }
    };
    let known: Vec<Known> = catalog.files_in(&scope)?.into_iter().map(with_facts).collect();
    let files: Vec<&Known> = known.iter().collect();
    let mut rows = match input.what {
        FactKind::Overview => by_folder(&files, limit, |row| Reverse(row.lines)),
        FactKind::Hotspots => hotspots(&files),
        FactKind::Owners => by_folder(&files, limit, |row| Reverse(row.lines)),
        FactKind::Documentation => {
            let mut rows =
                by_folder(&files, limit, |row| Reverse(row.definitions - row.documented));
            rows.retain(|row| row.definitions > 0);
            rows
        }
        FactKind::Configuration => configuration(&known, &facts, &scope)?,
    };
    let left_out = rows.len().saturating_sub(limit);
    rows.truncate(limit);
    let languages =
        if input.what == FactKind::Overview { languages(&files, limit) } else { Vec::new() };
    let mut notes =
        if matches!(input.what, FactKind::Overview | FactKind::Hotspots | FactKind::Owners) {
            history_notes(catalog)?
        } else {
            Vec::new()
        };
    if files.is_empty() {
        notes.extend(empty::scope(catalog, &scope)?.notes);
    }
    let sum = row_of(String::new(), &files);
    Ok(FactsAnswer { what: input.what, sum, rows, left_out, languages, notes })
}

/// The sum of some files.
fn row_of(path: String, files: &[&Known]) -> FactsRow {
    let sum = |of: fn(&Known) -> u64| files.iter().map(|file| of(file)).sum::<u64>();
    let mut row = FactsRow {
        path,
        files: files.len(),
        lines: sum(|file| u64::from(file.row.lines)),
        commits: sum(|file| u64::from(file.facts.commits)),
        definitions: sum(|file| u64::from(file.facts.definitions)),
        documented: sum(|file| u64::from(file.facts.documented)),
        ..FactsRow::default()
    };
    let mut lines_of: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    for file in files {
        if let Some(owner) = file.owner() {
            *lines_of.entry(owner).or_default() += u64::from(file.row.lines);
        }
    }
    let total = row.lines.max(1) as f64;
    let owner = |((name, by), lines): ((&str, &'static str), u64)| Owner {
        name: name.to_owned(),
        share: lines as f64 / total,
        by,
    };
    row.owners = lines_of.into_iter().map(owner).collect();
    row.owners.sort_by(|a, b| b.share.total_cmp(&a.share));
    row.owners.truncate(OWNERS_MAX);
    row
}

/// A row for each file if there are few enough, or for each folder of the greatest depth at which
/// there are.
fn by_folder<K: Ord>(
    files: &[&Known],
    limit: usize,
    key: impl Fn(&FactsRow) -> K,
) -> Vec<FactsRow> {
    let at = |depth: usize| {
        let mut folders: BTreeMap<String, Vec<&Known>> = BTreeMap::new();
        for file in files {
            folders.entry(folder(&file.row.path, depth)).or_default().push(file);
        }
        folders
    };
    let deepest = (2..=DEPTH_MAX).map(at).take_while(|folders| folders.len() <= limit).last();
    let folders = deepest.unwrap_or_else(|| at(1));
    let mut rows: Vec<FactsRow> =
        folders.into_iter().map(|(path, files)| row_of(path, &files)).collect();
    rows.sort_by_key(key);
    rows
}

/// The first `depth` folders of a path with a slash at the end, or the path if it has fewer.
fn folder(path: &str, depth: usize) -> String {
    match path.match_indices('/').nth(depth - 1) {
        Some((at, _)) => path[..=at].to_owned(),
        None => path.to_owned(),
    }
}

/// Files of code by commits times lines (Tornhill, Your Code as a Crime Scene).
fn hotspots(files: &[&Known]) -> Vec<FactsRow> {
    let mut rows = Vec::new();
    for file in files.iter().filter(|file| file.facts.commits > 0) {
        let language = Language::from_name(&file.row.language);
        let is_code = language.is_some_and(Language::is_code);
        if is_code && file.facts.config_kind.is_none() {
            let mut row = row_of(file.row.path.clone(), &[*file]);
            row.score = Some(row.commits * row.lines);
            row.authors = Some(file.facts.authors);
            rows.push(row);
        }
    }
    rows.sort_by_key(|row| Reverse(row.score));
    rows
}

/// Configuration files by kind and path; those that are not indexed have no lines.
fn configuration(known: &[Known], facts: &[FileFacts], scope: &ScopeSpec) -> Result<Vec<FactsRow>> {
    let lines: HashMap<&str, u64> =
        known.iter().map(|file| (file.row.path.as_str(), u64::from(file.row.lines))).collect();
    let globs = GlobList::new(&scope.globs)?;
    let mut rows = Vec::new();
    for facts in facts.iter().filter(|facts| facts.config_kind.is_some()) {
        let lines = lines.get(facts.path.as_str()).copied();
        // A hidden file has no language, so a scope of languages leaves it out.
        if lines.is_some() || scope.languages.is_empty() && globs.matches(&facts.path) {
            rows.push(FactsRow {
                path: facts.path.clone(),
                files: 1,
                lines: lines.unwrap_or_default(),
                commits: u64::from(facts.commits),
                kind: facts.config_kind.clone(),
                ..FactsRow::default()
            });
        }
    }
    rows.sort_by(|a, b| (&a.kind, &a.path).cmp(&(&b.kind, &b.path)));
    Ok(rows)
}

fn languages(files: &[&Known], limit: usize) -> Vec<LanguageRow> {
    let mut of_language: BTreeMap<&str, Vec<&Known>> = BTreeMap::new();
    for file in files {
        of_language.entry(&file.row.language).or_default().push(file);
    }
    let row = |(language, files): (&str, Vec<&Known>)| LanguageRow {
        language: language.to_owned(),
        files: files.len(),
        lines: files.iter().map(|file| u64::from(file.row.lines)).sum(),
    };
    let mut rows: Vec<LanguageRow> = of_language.into_iter().map(row).collect();
    rows.sort_by_key(|row| Reverse(row.lines));
    rows.truncate(limit);
    rows
}

/// What limits the counts of commits.
fn history_notes(catalog: &Catalog) -> Result<Vec<String>> {
    if catalog.note(note::HEADS)?.is_none_or(|heads| heads.is_empty()) {
        let text =
            "no commits were counted: the files are in no git repository, or source.history is off";
        return Ok(vec![text.to_owned()]);
    }
    let text = match catalog.note(note::STOPPED)?.as_deref() {
        Some(note::STOPPED_LIMIT) => "only the last 5,000 commits were counted",
        Some(note::STOPPED_TIME) => "only the commits that were read in 3 seconds were counted",
        Some(note::STOPPED_SHALLOW) => {
            "the clone is shallow, so that its oldest commits were not counted"
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![text.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_the_beginning_of_a_path() {
        for (depth, expected) in [(1, "a/"), (2, "a/b/"), (3, "a/b/c.rs"), (9, "a/b/c.rs")] {
            assert_eq!(folder("a/b/c.rs", depth), expected);
        }
        assert_eq!(folder("c.rs", 1), "c.rs");
    }
}
