//! How does a request become vectors, expansions or scores, batched together with all others?
//!
//! An [`Engine`] loads one model for one [`Task`] and may be called from any thread. It looks a
//! request up in the vector cache (`cache`) and tokenises the rest. The sequences wait in a queue
//! (`queue`) until a device computes them in batches (`worker`). If the settings or a failing
//! device require it, an endpoint computes them over HTTP (`endpoint`).

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
mod local_call;
mod pending;
mod placement;
mod queue;
mod reference;
mod remote_call;
mod request;
mod submission;
mod worker;

pub use crate::base::telemetry::labels::Lane;
pub use crate::embedding::models::Task;
pub use endpoint::{Answer, Chat, Endpoint};
pub use engine::{Engine, EngineOptions};
pub use load::probe;
pub use reference::{exact_reference, reference};
pub use request::{
    EmbedRequest, Embeddings, Expansions, PromptKind, Purpose, ScoreRequest, Scores, TokenVectors,
};
pub use submission::Submission;
pub use worker::{EngineStats, Search, batch_max};

#[cfg(test)]
mod tests;
