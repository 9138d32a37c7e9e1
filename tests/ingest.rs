//! Does an ingest keep its promises? Whole runs with real components.

mod content;
mod fulldisk;
mod increments;
mod processes;
