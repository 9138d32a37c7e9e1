//! How does a request become vectors, together with all others?
//!
//! [`Engine`] may be called from any thread. A request is looked up in the vector cache (`cache`) and
//! tokenised; its sequences wait in a queue (`queue`) until a device computes them in batches
//! (`worker`). If the settings or a failing device require it, an endpoint computes them over HTTP
//! (`endpoint`).

mod backend;
mod cache;
mod call;
mod endpoint;
#[allow(clippy::module_inception)] // The file is named after its type.
mod engine;
#[cfg(feature = "cuda")]
mod gpu;
mod heads;
mod load;
mod pending;
mod queue;
mod request;
mod worker;

pub use crate::base::telemetry::labels::Lane;
pub use endpoint::{Answer, Endpoint};
pub use engine::{Engine, EngineOptions};
pub use heads::{Answers, Reranker, SparseEncoder};
pub use load::probe;
pub use request::{EmbedRequest, Embeddings, PromptKind, Purpose};
pub use worker::{EngineStats, Search, batch_max};

#[cfg(test)]
mod tests;
