//! The text in which a language model reads a query and a document.

/// The parts of a text around a query and a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairTemplate {
    /// Before the query.
    pub before: String,
    /// Between the query and the document.
    pub between: String,
    /// After the document; it is kept when a long document is truncated.
    pub after: String,
}

impl PairTemplate {
    /// The text up to the end of the document.
    pub fn head(&self, query: &str, document: &str) -> String {
        [&self.before, query, &self.between, document].concat()
    }
}
