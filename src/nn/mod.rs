//! What does the network compute?

mod config;
mod encoder;
mod pooling;
mod sentence;

pub use config::ModelConfig;
pub use encoder::Encoder;
pub use pooling::{Pooling, pool};
pub use sentence::SentenceConfig;
