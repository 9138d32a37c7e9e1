//! codeintel embeds, indexes and searches source code in one process.
//!
//! The names below are what a program needs to use it as a library. The modules are public for the
//! tests and benches of this repository alone; `ARCHITECTURE.md` is their map.
//!
//! ```no_run
//! use codeintel::{DataFolder, Query, RunContext, Searcher, Settings, Telemetry, Tool};
//!
//! # fn main() -> codeintel::Result<()> {
//! let settings = Settings::default();
//! let version = DataFolder::new(".codeintel").current()?;
//! // Without an engine, the lexical and symbol channels answer.
//! let searcher = Searcher::open(version, None, &settings)?;
//! let query = Query::new("how is a header parsed", 10, &settings.search)?;
//! let run = RunContext::new(&Telemetry::detached(), Tool::Search, &Searcher::PLANNED);
//! for finding in searcher.search(&query, &run)?.findings {
//!     println!("{}:{} {}", finding.row.path, finding.row.start_line, finding.score);
//! }
//! # Ok(())
//! # }
//! ```

#[doc(hidden)]
pub mod base;

#[doc(hidden)]
pub mod device;

#[doc(hidden)]
pub mod corpus;
#[doc(hidden)]
pub mod embedding;

#[doc(hidden)]
pub mod index;

mod batch;
#[doc(hidden)]
pub mod ingest;
#[doc(hidden)]
pub mod search;

mod bench;
mod eval;

#[doc(hidden)]
pub mod tools;

pub mod cli;
#[doc(hidden)]
pub mod http;
mod mcp;

pub use base::config::Settings;
pub use base::error::{Error, ErrorKind, Result, Warning};
pub use base::telemetry::labels::Tool;
pub use base::telemetry::{RunContext, Telemetry};
pub use base::vector::Matrix;
pub use embedding::engine::{EmbedRequest, Embeddings, Engine, PromptKind};
pub use embedding::models::ModelFolder;
pub use index::versions::{DataFolder, IndexVersion};
pub use ingest::{Ingest, IngestReport};
pub use search::{Answer, ChannelName, Finding, Query, Searcher};
pub use tools::App;
