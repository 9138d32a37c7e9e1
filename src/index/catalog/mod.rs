//! What is the chunk with this id?
//!
//! One DuckDB file per version: files, chunks with their text, symbols, references and occurrences.
//! [`CatalogWriter`] writes it in one transaction, so that a killed ingest leaves the file as it was.
//! A published file never changes, and any number of [`Catalog`]s in any number of processes read it.

mod duckdb_error;
mod facts;
mod file_span;
mod hydrate;
mod occurrences;
mod pool;
mod reader;
mod rows;
mod schema;
mod scope;
mod states;
mod symbols;
mod writer;

#[cfg(test)]
mod tests;

pub use facts::{Documentation, FileEdge, FileFacts, UsedSymbol, note};
pub use file_span::FileSpan;
pub use hydrate::Hydrated;
pub use occurrences::OccurrenceRow;
pub use reader::{Catalog, Counts, LanguageCount};
pub use rows::{ChunkRow, FileRow, FileRows, RefRow, ShownChunk, SymbolName, SymbolRow};
pub use scope::ScopeSpec;
pub use states::FileState;
pub use symbols::{FoundSymbols, SymbolQuery};
pub use writer::CatalogWriter;
