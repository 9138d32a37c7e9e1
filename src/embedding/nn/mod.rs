//! What does the network compute?

mod config;
mod cost;
mod description;
mod encoder;
mod family;
#[cfg(feature = "cuda")]
mod gpu;
mod head;
mod layer;
mod network;
mod part;
mod pooler;
mod pooling;
mod sentence;
mod weights;

pub use cost::Cost;
pub use encoder::Encoder;
pub use head::{Classifier, Splade};
pub use pooler::Pooler;
pub use pooling::Pooling;
pub use sentence::{Prompts, SentenceConfig, TextConfig};

#[cfg(test)]
mod tests;
