//! Ingest: whole runs with real components.

mod content;
mod fulldisk;
mod increments;
mod processes;
mod staleness;
