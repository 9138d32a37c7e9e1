//! Ingest: whole runs with real components.

mod content;
mod edit_script;
mod fulldisk;
mod git_listing;
mod increments;
mod kinds;
mod processes;
mod staleness;
