//! Who is embedded next, and with whom?
//!
//! [`Engine::embed`] is called from any thread. The caller's thread looks into the cache and
//! tokenises (`call`), sequences wait until one thread computes them together (`scheduler`); or an
//! endpoint is asked over HTTP (`remote`), if the settings or a failing device want that (`backend`).

mod backend;
mod cache;
mod call;
mod endpoint;
#[allow(clippy::module_inception)] // The folder is named for the machine, the file for its face.
mod engine;
#[cfg(feature = "cuda")]
mod gpu;
mod heads;
mod limits;
mod load;
mod request;
mod scheduler;

pub use endpoint::{Answer, Endpoint};
pub use engine::{Engine, EngineOptions};
pub use heads::{Answers, Reranker, SparseEncoder};
pub use limits::batch_max;
pub use load::probe;
pub use request::{EmbedRequest, Embeddings, PromptKind, Purpose};
pub use scheduler::{EngineStats, Lane, Search};

#[cfg(test)]
mod tests;
