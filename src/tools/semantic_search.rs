//! The tools semantic_search and semantic_search_pro: pages of the best chunks for a query.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cursor::Pages;
use super::scope::{self, ScopeInput};
use super::wire::SearchAnswer;
use super::{App, ToolSpec, empty};
use crate::base::config::{RerankMethod, Value};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::search::{ChannelName, LIMIT_MAX, Query, RerankChoice};

pub const SPEC: ToolSpec = ToolSpec {
    name: "semantic_search",
    title: "Search code by meaning",
    description: "Find code by what it does, by a name, a path or an error message. Combines meaning \
                  (embeddings), words and symbol names, and returns the best chunks with their places. \
                  Start here unless you know the exact text (search_text) or the exact name \
                  (symbol_search).",
    ..ToolSpec::SEARCHES
};

pub const PRO_SPEC: ToolSpec = ToolSpec {
    name: "semantic_search_pro",
    title: "Search code with options",
    description: "As semantic_search, with options: channels, recency, reranking, and a time limit. Use it \
                  to compare channels, or when semantic_search was too slow or missed an exact word.",
    label: Tool::SearchPro,
    ..ToolSpec::SEARCHES
};

fn default_limit() -> usize {
    20
}

/// The arguments of semantic_search.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SemanticSearchInput {
    /// A question, an identifier, a path or an error message.
    pub query: String,
    /// Results of one page.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: usize,
    /// Stop before the snippets exceed this many tokens; the first result is always returned.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<usize>,
    /// The part of the repository to search.
    pub scope: Option<ScopeInput>,
    /// A scope that set_scope returned.
    pub scope_id: Option<String>,
    /// next_cursor of the previous page.
    #[serde(skip_serializing)]
    pub cursor: Option<String>,
}

/// The arguments of semantic_search_pro.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SemanticSearchProInput {
    /// A question, an identifier, a path or an error message.
    pub query: String,
    /// Results of one page.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: usize,
    /// Stop before the snippets exceed this many tokens; the first result is always returned.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<usize>,
    /// The part of the repository to search.
    pub scope: Option<ScopeInput>,
    /// A scope that set_scope returned.
    pub scope_id: Option<String>,
    /// next_cursor of the previous page.
    pub cursor: Option<String>,
    #[serde(default)]
    pub options: SearchOptions,
}

/// How to search.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchOptions {
    /// The channels to search, of `dense`, `lexical`, `symbol` and, if the index has it,
    /// `sparse`; all of them if empty.
    pub channels: Vec<String>,
    /// Time limit in milliseconds; channels that are late are left out. The limit of the server
    /// applies, too.
    #[schemars(range(min = 1, max = 600_000))]
    pub budget_ms: Option<u64>,
    /// Raise files that were changed recently; absent: if the query speaks of recent changes.
    pub recency: Option<bool>,
    /// Search the words again with words of their best chunks (RM3).
    pub rm3: Option<bool>,
    /// Rank the best chunks once more.
    pub rerank: RerankOptions,
}

/// How to rank the best chunks once more; absent: as the server is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RerankOptions {
    /// off, exact, maxsim, cross_encoder or listwise.
    pub method: Option<String>,
    /// Chunks to rank.
    #[schemars(range(min = 1, max = 200))]
    pub top_k: Option<usize>,
}

impl RerankOptions {
    /// The method by its name.
    pub fn check(&self) -> Result<RerankChoice> {
        let parse = |name: &String| {
            let wrong =
                |expected| Error::Argument { name: "rerank.method", value: name.clone(), expected };
            RerankMethod::parse(name).map_err(wrong)
        };
        Ok(RerankChoice { method: self.method.as_ref().map(parse).transpose()?, top_k: self.top_k })
    }
}

pub(super) fn run(
    app: &App,
    input: SemanticSearchInput,
    cx: &RunContext,
) -> Result<SearchAnswer, Arc<Error>> {
    page(app, input, SearchOptions::default(), cx)
}

pub(super) fn run_pro(
    app: &App,
    input: SemanticSearchProInput,
    cx: &RunContext,
) -> Result<SearchAnswer, Arc<Error>> {
    let SemanticSearchProInput { query, limit, max_tokens, scope, scope_id, cursor, options } =
        input;
    let input = SemanticSearchInput { query, limit, max_tokens, scope, scope_id, cursor };
    page(app, input, options, cx)
}

/// Returns one page of the answer.
fn page(
    app: &App,
    input: SemanticSearchInput,
    options: SearchOptions,
    cx: &RunContext,
) -> Result<SearchAnswer, Arc<Error>> {
    let searcher = app.searcher()?;
    let scope = scope::resolve(app, input.scope.clone(), input.scope_id.as_deref(), cx)?;
    let SearchOptions { channels, recency, rm3, rerank, budget_ms } = &options;
    let key = (&input.query, input.limit, &scope.globs, &scope.languages, channels, recency);
    let key = (key, rm3, rerank);
    let pages = Pages::new(&searcher.version().manifest.version, &key);
    let offset = pages.offset(input.cursor.as_deref())?;
    // The page itself must be within bounds before later pages extend it.
    let settings = &app.settings().search;
    let mut query =
        Query::new(&input.query, input.limit, settings)?.with_scope(scope).with_recency(*recency);
    query = query.with_rm3(*rm3).with_rerank(rerank.check()?)?;
    query.limit = LIMIT_MAX.min(offset + input.limit);
    if !channels.is_empty() {
        let channels = channels.iter().map(|name| ChannelName::parse(name));
        query = query.with_channels(channels.collect::<Result<_>>()?)?;
    }
    let cx = match budget_ms {
        Some(ms) => cx.at_most(std::time::Duration::from_millis(*ms)),
        None => cx.clone(),
    };
    let mut answer = empty::answer(app, &searcher, &query, &cx)?;
    let reachable = answer.total.min(LIMIT_MAX);
    answer.keep(offset, input.max_tokens);
    let end = offset + answer.findings.len();
    answer.next_cursor = (end < reachable).then(|| pages.next(end));
    Ok(answer)
}
