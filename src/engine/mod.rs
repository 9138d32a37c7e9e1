//! Who is embedded next, and with whom?
//!
//! [`Engine::embed`] is called from any thread. The caller's thread looks into the cache and
//! tokenises (`call`), sequences wait in lanes (`lanes`), and one thread computes (`worker`).

mod cache;
mod call;
#[allow(clippy::module_inception)] // The folder is named for the machine, the file for its face.
mod engine;
mod heads;
mod identity;
mod lanes;
pub mod models;
mod worker;

pub use engine::{EmbedRequest, Embeddings, Engine, EngineOptions, Task};
pub use heads::{Answers, Reranker, SparseEncoder};
pub use identity::ModelIdentity;
pub use lanes::Lane;
pub use worker::EngineStats;

#[cfg(test)]
mod tests;
