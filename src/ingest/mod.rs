//! How does a repository become an index?
//!
//! Walk, find what changed, chunk and embed only that, write a new version beside the old one, and
//! publish it. A kill at any instant leaves the old version or the new one.

mod build;
mod diff;
mod journey;
mod prepare;
mod progress;
mod watch;
mod write;

pub use journey::{Ingest, IngestReport, Outcome};
pub use prepare::ModelTokens;
pub use progress::{Phase, Progress};
pub use watch::watch;
