//! How is a file split into chunks that can be retrieved on their own?
//!
//! Each line has a level: the depth of the outermost node of the syntax tree that starts there. A
//! range of lines over the token budget is split at its lowest levels, and small neighbours are merged
//! again (cAST, Zhang et al. 2025). Without a grammar, blank lines and indentation decide the levels.
//! The texts of a file's chunks, joined, are the file.

mod chunker;
mod definitions;
mod grammar;
mod grammar_spec;
mod header;
mod languages;
mod levels;
mod lines;
mod names;
mod node_parts;
mod outline;
mod script_blocks;
mod splitter;
mod symbol;
mod type_names;

#[cfg(test)]
mod tests;

pub use chunker::{Chunk, Chunker, FileChunks, TokenCount, definitions, embedded_text};
pub use grammar::{fingerprint, grammar};
pub use header::HEADER_VERSION;
pub use symbol::{Reference, Symbol, SymbolKind};
