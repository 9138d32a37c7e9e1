//! What does the network make of packed ids?

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::ModelConfig;
use super::bert::{self, Bert, Scratch};
use super::weights::Weights;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::token::Ragged;
use crate::vector::Matrix;

/// A transformer that gives one hidden state a token. Pure: the same ids give the same values.
pub struct Encoder {
    device: Device,
    config: ModelConfig,
    network: Bert,
    /// The buffers of the last pass. A second pass at the same time makes its own.
    scratch: Mutex<Option<Scratch>>,
}

impl Encoder {
    /// Loads `config.json` and the safetensors of `folder`.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let config = ModelConfig::read(folder)?;
        let weights = Weights::open(folder, &bert::PREFIXES, bert::PROBE)?;
        let network = Bert::load(&weights, &config)?;
        Ok(Self { device: device.clone(), config, network, scratch: Mutex::new(None) })
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
    ///
    /// A sequence longer than [`Encoder::max_positions`] or an id outside the vocabulary is an
    /// error.
    pub fn forward(&self, batch: &Ragged) -> Result<Matrix> {
        self.check(batch)?;
        let lock = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = lock().take().unwrap_or_default();
        let hidden = self.device.install(|| {
            self.network.forward(&self.device, batch, &mut scratch);
            scratch.hidden.as_slice().to_vec()
        });
        *lock() = Some(scratch);
        Matrix::new(hidden, self.hidden_dim())
    }

    fn check(&self, batch: &Ragged) -> Result<()> {
        let ends = &batch.cu_seqlens;
        assert!(
            ends.first() == Some(&0)
                && ends.is_sorted()
                && ends.last().map(|&end| end as usize) == Some(batch.tokens()),
            "cu_seqlens of a batch begin at 0, ascend, and end at its tokens"
        );
        let argument = |name, value: usize, expected| {
            Err(Error::Argument { name, value: value.to_string(), expected })
        };
        let (longest, positions) = (batch.max_len(), self.config.max_positions);
        if longest > positions {
            return argument("tokens of a sequence", longest, format!("at most {positions}"));
        }
        let vocab = self.config.vocab_size;
        match batch.ids.iter().find(|&&id| id as usize >= vocab) {
            Some(&id) => argument("token id", id as usize, format!("less than {vocab}")),
            None => Ok(()),
        }
    }
}
