//! codeintel embeds, indexes and searches source code in one process.
//!
//! Read `ARCHITECTURE.md` for the map: vocabulary, instruments, machines, journeys, doors.

pub mod config;
pub mod error;
pub mod hit;
pub mod vector;

pub mod telemetry;

pub mod catalog;
pub mod chunk;
pub mod device;
pub mod engine;
pub mod index;
pub mod nn;
pub mod source;
pub mod token;

pub mod ingest;
pub mod search;

pub mod cli;
pub mod serve;
