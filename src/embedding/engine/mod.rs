//! How does a request become vectors, expansions or scores, together with all others?
//!
//! [`Engine`] may be called from any thread. Each loads one model for one [`Task`]. A request is looked
//! up in the vector cache (`cache`) and tokenised; its sequences wait in a queue (`queue`) until a device computes them in batches
//! (`worker`). If the settings or a failing device require it, an endpoint computes them over HTTP
//! (`endpoint`).

mod cache;
mod call;
mod collector;
mod endpoint;
#[allow(clippy::module_inception)] // The file is named after its type.
mod engine;
#[cfg(feature = "cuda")]
mod gpu;
mod input;
mod load;
mod pending;
mod placement;
mod queue;
mod request;
mod worker;

pub use crate::base::telemetry::labels::Lane;
pub use crate::embedding::models::Task;
pub use endpoint::{Answer, Endpoint};
pub use engine::{Engine, EngineOptions};
pub use load::probe;
pub use request::{
    EmbedRequest, Embeddings, Expansions, PromptKind, Purpose, ScoreRequest, Scores, TokenVectors,
};
pub use worker::{EngineStats, Search, batch_max};

#[cfg(test)]
mod tests;
