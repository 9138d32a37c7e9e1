//! Which chunks define this name, or one like it?
//!
//! Names are keys of finite-state transducers. A query is looked up exactly, by its qualified path,
//! by prefix, by its parts, and one edit away. Scores are a fixed ladder ([`rung`]), the same in every
//! index, less a penalty for the kind of the definition that the caller decides.
//!
//! Which words of a query are looked up:
//! - a query of one word is looked up on every rung, whatever the word;
//! - in a longer query a word that looks like an identifier (an underscore, `::`, a dot, a digit,
//!   or an upper-case letter after its first) is looked up on every rung;
//! - any other word matches only a definition of exactly this name, ignoring case, and nothing when
//!   it is a [common word](common) of English or of prose about code: a function called `read` is
//!   no answer to "how do I read a file";
//! - the words of a short query are also tried as one name: "connection pool" is `ConnectionPool`.
//!
//! A chunk has the score of its best rung, never a sum.

mod common;
mod search;
mod store;

pub use common::looks_like_identifier;
pub use search::rung;
pub use store::SymbolIndex;

use super::words::{lower, parts};
use crate::base::hit::ChunkId;
use crate::corpus::chunk::SymbolKind;

/// One definition.
#[derive(Debug, Clone, Copy)]
pub struct SymbolEntry<'a> {
    /// The name as it is written at its definition: `acquire`.
    pub name: &'a str,
    /// Its qualified name, separated by any of `::`, `.`, `/`, `#`, `->`, `\`: `net::Pool::acquire`.
    /// Empty if it has none.
    pub qualified: &'a str,
    /// The chunk that the definition begins in.
    pub id: ChunkId,
    pub kind: SymbolKind,
}

/// A name without case and underscores: the same for `HttpServer`, `http_server` and `HTTP_SERVER`.
pub fn folded(name: &str) -> String {
    lower(name).replace('_', "")
}

/// The segments of a qualified name, last first, lower case, joined by dots: `acquire.pool.net`. A
/// shorter path of the same symbol is then a prefix of it.
fn reversed(qualified: &str) -> String {
    let segments: Vec<String> = segments(qualified).map(lower).collect();
    segments.into_iter().rev().collect::<Vec<_>>().join(".")
}

fn segments(qualified: &str) -> impl Iterator<Item = &str> {
    let between = |c: char| matches!(c, ':' | '.' | '/' | '#' | '\\' | '-' | '>');
    qualified.split(between).map(str::trim).filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests;
