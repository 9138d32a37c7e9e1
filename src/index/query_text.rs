//! The text of a query, split once for every channel.

use super::words;

/// What was asked, whole and in pieces. Upper and lower case are as they were typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryText {
    /// The text without space around it.
    pub raw: String,
    /// Runs of letters, digits and underscores: `Pool::acquire` is two words.
    pub words: Vec<String>,
    /// Words with the separators of qualified names inside them: `Pool::acquire` is one identifier.
    pub identifiers: Vec<String>,
}

impl QueryText {
    pub fn new(text: &str) -> Self {
        let raw = text.trim();
        Self {
            raw: raw.to_owned(),
            words: words::words(raw).map(str::to_owned).collect(),
            identifiers: words::identifiers(raw).map(str::to_owned).collect(),
        }
    }
}
