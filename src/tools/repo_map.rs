//! The tool repo_map: the most central files with their most used definitions.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scope::{self, ScopeInput};
use super::{App, FileLink, ToolAnswer, ToolSpec, empty, estimated_tokens, file_uri};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::index::catalog::UsedSymbol;

pub const SPEC: ToolSpec = ToolSpec {
    name: "repo_map",
    title: "Map of the repository",
    description: "Show the files that the rest of the code depends on most, best first, each with its most \
                  used definitions. Begin with it in a repository that you do not know.",
    label: Tool::RepoMap,
    ..ToolSpec::READS_INDEX
};

/// The most definitions shown of a file.
const SYMBOLS_MAX: usize = 6;
/// A file and its definitions take at least so many tokens of a map.
const FILE_TOKENS_MIN: usize = 15;
/// Characters of a signature.
const SIGNATURE_CHARS_MAX: usize = 120;

fn default_tokens() -> usize {
    2000
}

/// The arguments of repo_map.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepoMapInput {
    /// The size of the map in tokens.
    #[serde(default = "default_tokens")]
    #[schemars(range(min = 256, max = 16000))]
    pub max_tokens: usize,
    /// The files to show; all of them if absent.
    pub scope: Option<ScopeInput>,
    /// A scope that set_scope returned.
    pub scope_id: Option<String>,
}

/// The answer of repo_map.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MapAnswer {
    /// The most central first.
    pub files: Vec<MapFile>,
    /// Files in scope.
    pub total: usize,
    /// About how many tokens the map has.
    pub tokens: usize,
    pub notes: Vec<String>,
}

/// A file of the map.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MapFile {
    pub path: String,
    /// Its share of the centrality of all files of the index.
    pub centrality: f64,
    /// Its most used definitions, from top to bottom.
    pub symbols: Vec<MapSymbol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// A definition of the map.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MapSymbol {
    pub start_line: u32,
    pub end_line: u32,
    pub signature: String,
}

impl MapFile {
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.path);
        for MapSymbol { start_line, end_line, signature } in &self.symbols {
            text += &format!("  {start_line}-{end_line}  {signature}\n");
        }
        text
    }
}

impl ToolAnswer for MapAnswer {
    fn text(&self) -> String {
        let mut text =
            format!("{} of {} files, most central first\n", self.files.len(), self.total);
        self.files.iter().for_each(|file| text += &file.text());
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        text
    }

    fn links(&self) -> Vec<FileLink> {
        let link =
            |file: &MapFile| Some(FileLink { uri: file.uri.clone()?, path: file.path.clone() });
        self.files.iter().filter_map(link).collect()
    }
}

pub(super) fn run(
    app: &App,
    input: RepoMapInput,
    cx: &RunContext,
) -> Result<MapAnswer, Arc<Error>> {
    let tokens_max = super::within("max_tokens", input.max_tokens, 256..=16_000)?;
    let searcher = app.searcher()?;
    let catalog = searcher.catalog();
    let scope = scope::resolve(app, input.scope, input.scope_id.as_deref(), cx)?;
    let centrality: HashMap<String, f64> =
        catalog.facts()?.into_iter().map(|facts| (facts.path, facts.centrality)).collect();
    let in_scope = catalog.files_in(&scope)?;
    let total = in_scope.len();
    let with_rank = in_scope.into_iter().map(|file| {
        let rank = centrality.get(&file.path).copied().unwrap_or_default();
        (rank, file.path)
    });
    let mut ranked: Vec<(f64, String)> = with_rank.collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    ranked.truncate(tokens_max / FILE_TOKENS_MIN);
    let paths: Vec<&str> = ranked.iter().map(|(_, path)| path.as_str()).collect();
    let mut of_file: HashMap<String, Vec<UsedSymbol>> = HashMap::new();
    for used in catalog.used_symbols(&paths)? {
        of_file.entry(used.symbol.path.clone()).or_default().push(used);
    }
    let notes = if total == 0 { empty::scope(catalog, &scope)?.notes } else { Vec::new() };
    let mut answer = MapAnswer { files: Vec::new(), total, tokens: 0, notes };
    answer.tokens = estimated_tokens(&answer.text());
    for (centrality, path) in ranked {
        let symbols = chosen(of_file.remove(&path).unwrap_or_default());
        if symbols.is_empty() {
            // A document or data: nothing refers to it.
            continue;
        }
        let uri = searcher.roots().find(&path).and_then(|file| file_uri(&file, None));
        let file = MapFile { path, centrality, symbols, uri };
        let tokens = estimated_tokens(&file.text());
        if answer.tokens + tokens > tokens_max {
            break;
        }
        answer.tokens += tokens;
        answer.files.push(file);
    }
    Ok(answer)
}

/// The most used definitions, each name once, from top to bottom; without any that others use, the
/// first of the file.
fn chosen(mut symbols: Vec<UsedSymbol>) -> Vec<MapSymbol> {
    let used = symbols.iter().filter(|used| used.centrality > 0.0).count();
    if used > 0 {
        symbols.truncate(used);
    }
    let mut chosen: Vec<UsedSymbol> = Vec::new();
    for used in symbols {
        let is_known = |other: &UsedSymbol| other.symbol.name == used.symbol.name;
        if chosen.len() < SYMBOLS_MAX && !chosen.iter().any(is_known) {
            chosen.push(used);
        }
    }
    chosen.sort_by_key(|used| used.symbol.start_line);
    let shown = chosen.into_iter().map(|UsedSymbol { symbol, .. }| MapSymbol {
        start_line: symbol.start_line,
        end_line: symbol.end_line,
        signature: shortened(&symbol.signature),
    });
    shown.collect()
}

fn shortened(signature: &str) -> String {
    match signature.char_indices().nth(SIGNATURE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &signature[..end]),
        None => signature.to_owned(),
    }
}
