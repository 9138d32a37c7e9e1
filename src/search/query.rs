//! A validated query: text, limit, channels and scope.

use std::sync::Arc;

use super::channels::ChannelName;
use super::rerank::RerankChoice;
use crate::base::config::SearchSettings;
use crate::base::error::{Error, Result};
use crate::index::QueryText;
use crate::index::catalog::ScopeSpec;

/// Maximum results of one search.
pub const LIMIT_MAX: usize = 200;

/// One validated query.
#[derive(Debug, Clone)]
pub struct Query {
    /// Shared with the threads that search the channels.
    pub text: Arc<QueryText>,
    pub limit: usize,
    /// The channels to search; the gate decides the depth of each.
    pub channels: Vec<ChannelName>,
    /// Whether the caller named them. Otherwise they are those that the index has.
    pub names_channels: bool,
    /// The part of the index to search.
    pub scope: ScopeSpec,
    /// Whether files that were changed recently score higher; `None` if the query decides by what it
    /// asks for.
    pub recency: Option<bool>,
    /// Whether the lexical channel searches again with words of its best chunks (RM3); `None` if the
    /// settings decide.
    pub rm3: Option<bool>,
    /// How the best chunks are ranked once more.
    pub rerank: RerankChoice,
}

impl Query {
    /// A query over every channel of the index and the whole index.
    pub fn new(text: &str, limit: usize, settings: &SearchSettings) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::QueryInvalid { detail: "it is empty".to_owned() });
        }
        if text.len() > settings.query_bytes_max {
            return Err(Error::QueryInvalid {
                detail: format!(
                    "it has {} bytes and the limit is {} (search.query_bytes_max); \
                     search for the lines that matter most",
                    text.len(),
                    settings.query_bytes_max
                ),
            });
        }
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::Argument {
                name: "limit",
                value: limit.to_string(),
                expected: format!("1 to {LIMIT_MAX}"),
            });
        }
        Ok(Self {
            text: Arc::new(QueryText::new(text)),
            limit,
            channels: ChannelName::ALL.to_vec(),
            names_channels: false,
            scope: ScopeSpec::default(),
            recency: None,
            rm3: None,
            rerank: RerankChoice::default(),
        })
    }

    /// The same query over these channels.
    pub fn with_channels(mut self, channels: Vec<ChannelName>) -> Result<Self> {
        if channels.is_empty() {
            let expected = ChannelName::ALL.map(ChannelName::as_str).join(", ");
            return Err(Error::Argument { name: "channels", value: String::new(), expected });
        }
        // A channel that is named twice is searched and counted once.
        self.names_channels = true;
        self.channels.clear();
        for channel in channels {
            if !self.channels.contains(&channel) {
                self.channels.push(channel);
            }
        }
        Ok(self)
    }

    pub fn with_scope(mut self, scope: ScopeSpec) -> Self {
        self.scope = scope;
        self
    }

    /// The same query, which decides itself whether recent changes score higher if `recency` is `None`.
    pub fn with_recency(mut self, recency: Option<bool>) -> Self {
        self.recency = recency;
        self
    }

    /// The same query, whose lexical channel does as the settings say if `rm3` is `None`.
    pub fn with_rm3(mut self, rm3: Option<bool>) -> Self {
        self.rm3 = rm3;
        self
    }

    /// The same query, reranked by `choice`.
    pub fn with_rerank(mut self, choice: RerankChoice) -> Result<Self> {
        if let Some(top_k) = choice.top_k.filter(|top_k| !(1..=LIMIT_MAX).contains(top_k)) {
            return Err(Error::Argument {
                name: "rerank.top_k",
                value: top_k.to_string(),
                expected: format!("1 to {LIMIT_MAX}"),
            });
        }
        self.rerank = choice;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_out_of_bounds_are_refused_with_the_bound() {
        let settings = SearchSettings::default();
        for (text, limit, part) in [
            ("", 10, "empty"),
            (" \n\t", 10, "empty"),
            (&"x".repeat(1 << 20), 10, "16384"),
            ("x", 0, "1 to 200"),
            ("x", 1_000_000, "1 to 200"),
        ] {
            let message = Query::new(text, limit, &settings).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
