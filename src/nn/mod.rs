//! What does the network compute?

mod bert;
mod config;
mod encoder;
mod pooling;
mod sentence;
mod weights;

pub use config::ModelConfig;
pub use encoder::Encoder;
pub use pooling::{Pooling, pool};
pub use sentence::SentenceConfig;

#[cfg(test)]
mod tests;
