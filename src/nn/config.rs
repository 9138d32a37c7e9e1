//! Which sizes and constants has the network?

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};

/// The `model_type` values that [`super::Encoder`] computes.
pub const SUPPORTED: &str = "bert";

/// What comes out of the first linear layer of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenAct {
    Gelu,
    GeluTanh,
    Relu,
}

/// A transformer's sizes and constants, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    pub model_type: String,
    pub vocab_size: usize,
    pub type_vocab_size: usize,
    pub max_positions: usize,
    pub hidden_dim: usize,
    pub intermediate_dim: usize,
    pub layers: usize,
    pub heads: usize,
    pub norm_eps: f32,
    pub activation: HiddenAct,
}

impl ModelConfig {
    /// Reads and checks `config.json` in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let _ = folder;
        #[derive(Deserialize)]
        struct Raw {}
        Err(Error::ModelUnsupported { found: String::new(), supported: SUPPORTED.to_owned() })
    }
}
