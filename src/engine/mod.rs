//! Who is embedded next, and with whom?
//!
//! [`Engine::embed`] is called from any thread. The caller's thread looks into the cache and
//! tokenises (`call`), sequences wait until one thread computes them together (`scheduler`); or an
//! endpoint is asked over HTTP (`remote`), if the settings or a failing device want that (`backend`).

mod backend;
mod cache;
mod call;
#[allow(clippy::module_inception)] // The folder is named for the machine, the file for its face.
mod engine;
#[cfg(feature = "cuda")]
mod gpu;
mod heads;
mod identity;
mod limits;
mod load;
pub mod models;
mod remote;
mod scheduler;

pub use engine::{EmbedRequest, Embeddings, Engine, EngineOptions, Task};
pub use heads::{Answers, Reranker, SparseEncoder};
pub use identity::ModelIdentity;
pub use limits::batch_max;
pub use load::probe;
pub use remote::{Answer, Endpoint};
pub use scheduler::{EngineStats, Lane, Search};

#[cfg(test)]
mod tests;
