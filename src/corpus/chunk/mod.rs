//! Which pieces of a file can be found alone?
//!
//! A syntax tree gives each line a level: how deep the outermost node that starts there lies. A range
//! of lines over the token budget is cut at its lowest levels, and small neighbours are merged again
//! (cAST, Zhang et al. 2025). Text without a grammar has levels too: blank lines and indentation.
//! Joining the texts of a file's chunks gives back the file.

mod chunker;
mod grammar;
mod header;
mod languages;
mod levels;
mod lines;
mod outline;
mod split;
mod symbol;

#[cfg(test)]
mod tests;

pub use chunker::{Chunk, Chunker, FileChunks, TokenCount};
pub use grammar::grammar;
pub use header::HEADER_VERSION;
pub use symbol::{Reference, Symbol, SymbolKind};
