//! Where does a text or a regular expression occur in the files?
//!
//! [`Repo::search_text`](super::source::Repo::search_text) searches the files that indexing lists,
//! by the crates of ripgrep. It reads what is on disk now, not the index.

mod file_matches;
mod pattern;
mod preview;
mod search;
mod text_query;

#[cfg(test)]
mod tests;

pub use file_matches::{ContextLine, TextMatch};
pub use search::TextMatches;
pub use text_query::{CaseMode, TextQuery};
