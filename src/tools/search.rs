//! The search of `POST /v1/search` and `codeintel search`: semantic_search without pages.

use std::sync::Arc;

use super::semantic_search::RerankOptions;
use super::wire::SearchAnswer;
use super::{App, Fields, FromFields, empty};
use crate::base::config::SearchSettings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::index::catalog::ScopeSpec;
use crate::search::{ChannelName, Query};

/// A query and how to search for it.
#[derive(Debug, Clone)]
pub struct SearchInput {
    /// A question, an identifier, a path or an error message; not blank, at most
    /// `search.query_bytes_max` bytes.
    pub query: String,
    /// The most results, 1 to 200; `search.limit` if absent.
    pub limit: Option<usize>,
    /// The channels to search, of `dense`, `lexical`, `symbol` and, if the index has it,
    /// `sparse`; all of them if empty.
    pub channels: Vec<String>,
    /// Only paths that match one of these globs, and none of those that begin with `!`; every path if
    /// empty.
    pub globs: Vec<String>,
    /// Only these languages, such as `rust`; every language if empty.
    pub languages: Vec<String>,
    /// Whether files that were changed recently score higher; if absent, they do if the query speaks
    /// of recent changes.
    pub recency: Option<bool>,
    /// Whether the lexical channel searches again with words of its best chunks; `search.rm3` if absent.
    pub rm3: Option<bool>,
    /// How the best chunks are ranked once more.
    pub rerank: RerankOptions,
}

impl FromFields for SearchInput {
    fn from_fields(mut fields: Fields) -> Result<Self> {
        let missing = || Error::Argument {
            name: "query",
            value: "nothing".to_owned(),
            expected: "a string".to_owned(),
        };
        let input = Self {
            query: fields.text("query")?.ok_or_else(missing)?,
            limit: fields.count("limit")?,
            channels: fields.texts("channels")?.unwrap_or_default(),
            globs: fields.texts("globs")?.unwrap_or_default(),
            languages: fields.texts("languages")?.unwrap_or_default(),
            recency: fields.flag("recency")?,
            rm3: fields.flag("rm3")?,
            rerank: fields.object("rerank")?.unwrap_or_default(),
        };
        fields
            .refuse_others("query, limit, channels, globs, languages, recency, rm3 and rerank")?;
        Ok(input)
    }
}

impl SearchInput {
    /// Checks the input against its bounds.
    pub fn check(self, settings: &SearchSettings) -> Result<Query> {
        let scope = ScopeSpec { globs: self.globs, languages: self.languages };
        let limit = self.limit.unwrap_or(settings.limit);
        let query = Query::new(&self.query, limit, settings)?
            .with_scope(scope)
            .with_recency(self.recency)
            .with_rm3(self.rm3)
            .with_rerank(self.rerank.check()?)?;
        if self.channels.is_empty() {
            return Ok(query);
        }
        let channels = self.channels.iter().map(|name| ChannelName::parse(name));
        query.with_channels(channels.collect::<Result<_>>()?)
    }
}

pub fn run(app: &App, input: SearchInput, cx: &RunContext) -> Result<SearchAnswer, Arc<Error>> {
    let query = input.check(&app.settings().search)?;
    let searcher = app.searcher_when_open(cx)?;
    Ok(empty::answer(app, &searcher, &query, cx)?)
}
