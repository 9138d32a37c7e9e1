//! The tool search, in the form that deep-research clients expect.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::object_id::ObjectId;
use super::{App, FileLink, ToolAnswer, ToolSpec, empty};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::base::text::prefix;
use crate::index::catalog::ScopeSpec;
use crate::search::Query;

pub const SPEC: ToolSpec = ToolSpec {
    name: "search",
    title: "Search for research",
    description: "Search the repository and return ids with short snippets, for research that reads many \
                  results: pass the ids to fetch. Prefer semantic_search for a single question.",
    label: Tool::DeepSearch,
    ..ToolSpec::SEARCHES
};

/// Bytes of a snippet.
const SNIPPET_BYTES_MAX: usize = 400;

fn default_top_k() -> usize {
    12
}

/// The arguments of search.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeepSearchInput {
    /// A question, an identifier, a path or an error message.
    pub query: String,
    /// The most results.
    #[serde(default = "default_top_k")]
    #[schemars(range(min = 1, max = 50))]
    pub top_k: usize,
    #[serde(default)]
    pub filters: SearchFilters,
}

/// What a search is restricted to.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchFilters {
    /// Only these languages, such as `rust`.
    pub languages: Vec<String>,
    /// Only paths that match one of these globs.
    pub include: Vec<String>,
    /// No path that matches one of these globs.
    pub exclude: Vec<String>,
}

/// The answer of search.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeepSearchAnswer {
    /// Best first.
    pub results: Vec<DeepSearchResult>,
    /// What is missing from the results.
    pub limits: Vec<String>,
    pub next_steps: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct DeepSearchResult {
    /// For fetch.
    pub id: String,
    pub title: String,
    /// A `file:` URI; empty if the file is not on this machine.
    pub url: String,
    /// At most 400 bytes, around the line that matches best.
    pub snippet: String,
    pub score: f64,
    pub metadata: ObjectMetadata,
}

/// Where an object is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ObjectMetadata {
    pub path: String,
    pub start_line: u32,
    pub end_line: u32,
    pub language: String,
    pub symbols: Vec<String>,
}

impl ToolAnswer for DeepSearchAnswer {
    fn text(&self) -> String {
        let mut text = format!("{} results\n", self.results.len());
        for result in &self.results {
            text += &format!("{}  {}\n", result.id, result.title);
        }
        self.limits.iter().for_each(|limit| text += &format!("note: {limit}\n"));
        self.next_steps.iter().for_each(|step| text += &format!("next: {step}\n"));
        text
    }

    fn links(&self) -> Vec<FileLink> {
        let with_url = self.results.iter().filter(|result| !result.url.is_empty());
        let link =
            |r: &DeepSearchResult| FileLink { uri: r.url.clone(), path: r.metadata.path.clone() };
        with_url.map(link).collect()
    }
}

pub(super) fn run(
    app: &App,
    input: DeepSearchInput,
    cx: &RunContext,
) -> Result<DeepSearchAnswer, Arc<Error>> {
    let top_k = super::within("top_k", input.top_k, 1..=50)?;
    let SearchFilters { languages, include: mut globs, exclude } = input.filters;
    globs.extend(exclude.iter().map(|glob| format!("!{glob}")));
    let scope = ScopeSpec { globs, languages };
    let query = Query::new(&input.query, top_k, &app.settings().search)?.with_scope(scope);
    let searcher = app.searcher()?;
    let answer = empty::answer(app, &searcher, &query, cx)?;
    let results = answer.findings.into_iter().map(|finding| {
        let place = finding.location;
        let id =
            ObjectId { path: place.path, start_line: place.start_line, end_line: place.end_line };
        let before: usize =
            finding.snippet.split_inclusive('\n').take(finding.focus).map(str::len).sum();
        DeepSearchResult {
            id: id.to_string(),
            title: finding.title,
            url: place.uri.unwrap_or_default(),
            snippet: prefix(&finding.snippet[before..], SNIPPET_BYTES_MAX).trim().to_owned(),
            score: finding.score,
            metadata: ObjectMetadata {
                path: id.path,
                start_line: id.start_line,
                end_line: id.end_line,
                language: finding.language,
                symbols: finding.symbols,
            },
        }
    });
    let (limits, next_steps) = (answer.limits, answer.next_steps);
    Ok(DeepSearchAnswer { results: results.collect(), limits, next_steps })
}
