//! Which chunks are near this query?
//!
//! Three channels with one grammar: build, save, open, `search(query, k, params)`. They know each
//! other only by [`ChunkId`](crate::base::hit::ChunkId), which is the row number in all of them.
//!
//! What holds for each of them:
//! - a scope (`filter`) is applied before the best `k` are chosen, so no answer is short;
//! - equal scores are ordered by chunk id, and one query has one answer on any thread count;
//! - a published file is never written again: saving writes a new file and renames it, so a hard
//!   link of the old one in another version keeps its bytes;
//! - a damaged file is `IndexCorrupt` when it is opened, not a crash when it is searched.

pub mod catalog;
pub mod dense;
pub mod lexical;
pub mod symbols;
pub mod versions;

pub use dense::{DenseIndex, DenseParams, Resident};
pub use lexical::{LexicalDoc, LexicalIndex, LexicalParams, LexicalWriter};
pub use symbols::{SymbolEntry, SymbolIndex, SymbolParams};
