//! What does a network compute, of which family is it, and what is behind its hidden states?

mod agreement;
mod architecture;
mod candle_network;
mod candle_transformers_network;
mod checkpoint;
mod config;
mod cost;
mod cpu_network;
mod cuts;
mod description;
mod encoder;
mod family;
#[cfg(feature = "cuda")]
mod gpu_network;
mod head;
mod layer;
mod network;
mod part;
mod pooler;
mod poolings;
mod prompts;
mod sentence;
mod similarity;
mod static_table;
mod weights;

pub use crate::device::cpu::ops::Pooling;
pub use agreement::{AGREEMENT_MIN, PROBES, agreement};
pub use architecture::NetworkKind;
pub use cost::Cost;
pub use cuts::Cuts;
pub use encoder::Encoder;
pub use head::{Classifier, ScoreActivation, Splade, has_answer_module};
pub use pooler::Pooler;
pub use poolings::Poolings;
pub use prompts::Prompts;
pub use sentence::{SentenceConfig, TextConfig, network_folder};
pub use similarity::Similarity;

#[cfg(test)]
mod tests;
