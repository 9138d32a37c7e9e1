//! How does a repository become an index?
//!
//! [`Ingest`] walks the files, finds what changed, chunks and embeds only that, writes a new version
//! beside the old one and publishes it. A process that is killed at any instant leaves the old version
//! or the new one.

mod build;
mod centrality;
mod changes;
mod diff;
mod expand;
mod facts;
mod pipeline;
mod prepare;
mod progress;
mod roots;
mod sparse_model;
mod staleness;
mod version_job;
mod version_writer;
mod watch;

pub use changes::changed_files;
pub use pipeline::{Ingest, IngestOutcome, IngestReport};
pub use prepare::ModelTokens;
pub use progress::{Phase, Progress};
pub use sparse_model::{Expander, Expanders};
pub use version_writer::{FileOrigin, MadeFrom, VersionWriter, add_lexical};
pub use watch::{Watched, watch};
