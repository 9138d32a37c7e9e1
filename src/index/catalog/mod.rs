//! Here is a chunk id: what is it?
//!
//! One DuckDB file a version, `catalog.duckdb`: files, chunks with their text, symbols, references,
//! runs and versions. [`CatalogWriter`] writes it in one transaction, so that a killed
//! ingest leaves the file as it was; a published file never changes, and any number of
//! [`Catalog`]s in any number of processes read it.

mod fault;
mod globs;
mod hydrate;
mod pool;
mod read;
mod rows;
mod schema;
mod scope;
mod write;

#[cfg(test)]
mod tests;

pub use globs::{GlobList, Globs};
pub use hydrate::Hydrated;
pub use read::{Catalog, Counts, LanguageCount};
pub use rows::{ChunkRow, FileRow, FileSpan, RefRow, RunRow, SymbolName, SymbolRow, VersionRow};
pub use scope::ScopeSpec;
pub use write::CatalogWriter;
