//! What may be asked?

use crate::base::config::SearchSettings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::Stage;
use crate::index::catalog::ScopeSpec;

/// The largest number of results that one search returns.
pub const LIMIT_MAX: usize = 200;

/// A source of ranked chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    Dense,
    Lexical,
    Symbol,
}

impl Channel {
    pub const ALL: [Channel; 3] = [Channel::Dense, Channel::Lexical, Channel::Symbol];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Lexical => "lexical",
            Self::Symbol => "symbol",
        }
    }

    /// The step that asks it.
    pub fn stage(self) -> Stage {
        match self {
            Self::Dense => Stage::Dense,
            Self::Lexical => Stage::Lexical,
            Self::Symbol => Stage::Symbol,
        }
    }

    pub fn parse(word: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == word).ok_or_else(|| Error::Argument {
            name: "channel",
            value: word.to_owned(),
            expected: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// One question, checked.
#[derive(Debug, Clone)]
pub struct Query {
    pub text: String,
    pub limit: usize,
    /// The channels to ask; the gate decides how deep each one looks.
    pub channels: Vec<Channel>,
    /// Which part of the index is searched.
    pub scope: ScopeSpec,
}

impl Query {
    /// A question over every channel and the whole index.
    pub fn new(text: &str, limit: usize, settings: &SearchSettings) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::QueryInvalid { detail: "it is empty; ask something".to_owned() });
        }
        if text.len() > settings.query_bytes_max {
            return Err(Error::QueryInvalid {
                detail: format!(
                    "it has {} bytes, the most is {} (search.query_bytes_max); \
                     search for its most telling lines",
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
            text: text.to_owned(),
            limit,
            channels: Channel::ALL.to_vec(),
            scope: ScopeSpec::default(),
        })
    }

    /// The same question to fewer channels.
    pub fn with_channels(mut self, channels: Vec<Channel>) -> Result<Self> {
        if channels.is_empty() {
            let expected = Channel::ALL.map(Channel::as_str).join(", ");
            return Err(Error::Argument { name: "channels", value: String::new(), expected });
        }
        // A channel that is named twice is asked, and counts, once.
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
        assert!(Channel::parse("vector").unwrap_err().to_string().contains("lexical"));
    }
}
