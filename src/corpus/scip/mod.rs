//! Where does `index.scip` say that each symbol is defined and used?
//!
//! A compiler or a language server writes this file (SCIP, a protobuf format), and so it knows what a
//! name means, which a syntax tree does not. [`ScipIndex`] reads the files at the top of the roots.
//! They are read with calls to the operating system and not mapped: an indexer that rewrites a
//! mapped file would end this process.

mod columns;
mod fit;
mod messages;
mod scip_file;
mod scip_index;
mod symbol;

#[cfg(test)]
mod tests;

pub use scip_index::{Misfit, Occurrence, ScipIndex, fingerprint};
pub use symbol::{SymbolName, local_of, package};
