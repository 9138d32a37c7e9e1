//! codeintel embeds, indexes and searches source code in one process.
//!
//! Read `ARCHITECTURE.md` for the map. The folders, lowest layer first: base, device, embedding and
//! corpus, index, the pipelines ingest and search, tools, and the interfaces http and cli.

pub mod base;

pub mod device;

pub mod corpus;
pub mod embedding;

pub mod index;

pub mod batch;
pub mod bench;
pub mod ingest;
pub mod search;

pub mod tools;

pub mod cli;
pub mod http;
