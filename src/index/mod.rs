//! Which chunks are near this query?
//!
//! Four indexes with one interface: build, save, open, `search(query, k, params)`. They share only the
//! [`ChunkId`](crate::base::hit::ChunkId), which is the row number in each of them.
//!
//! Each of them guarantees:
//! - a scope is applied before the best `k` are chosen, so that no answer is short;
//! - equal scores are ordered by chunk id, and a query has the same answer on any number of threads;
//! - a published file is never modified: saving writes a new file and renames it, so that a hard link
//!   to the old file in another version keeps its bytes;
//! - a damaged file is `IndexCorrupt` when it is opened and does not crash a search.

pub mod catalog;
pub mod dense;
pub mod lexical;
mod query_text;
pub mod sparse;
pub mod symbols;
pub mod versions;
pub(crate) mod words;

pub use dense::{DenseIndex, DenseParams, Resident};
pub use lexical::{FEEDBACK_DOCS, Feedback, LexicalDoc, LexicalIndex, LexicalWriter};
pub use query_text::QueryText;
pub use sparse::{Impacts, SparseIndex};
pub use symbols::{SymbolEntry, SymbolIndex};
