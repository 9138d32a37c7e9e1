//! What does the network make of packed ids?

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::config::Raw;
use super::description::Description;
use super::family::{Family, family};
use super::network::{Network, State};
use super::part::Part;
use super::weights::Weights;
use crate::device::{Device, Rows};
use crate::error::{Error, Result};
use crate::token::Ragged;
use crate::vector::Matrix;

/// A transformer that gives one hidden state a token. Pure: the same ids give the same values.
pub struct Encoder {
    device: Device,
    vocab_size: usize,
    max_tokens: usize,
    hidden_dim: usize,
    network: Network,
    /// The buffers of the last pass. A second pass at the same time makes its own.
    state: Mutex<Option<State>>,
}

/// A model folder that is being loaded, so that a head finds its part of it.
pub(super) struct Opened {
    pub raw: Raw,
    pub family: &'static Family,
    pub description: Description,
    pub weights: Weights,
}

impl Opened {
    pub fn read(folder: &Path, device: &Device) -> Result<Self> {
        let raw = Raw::read(folder)?;
        let family = family(&raw)?;
        let description = (family.describe)(&raw)?;
        let weights = Weights::open(folder, device.dtype())?;
        Ok(Self { raw, family, description, weights })
    }

    /// The tensors of the encoder.
    pub fn encoder(&self) -> Result<Part<'_>> {
        let names = self.description.names;
        Part::find(&self.weights, names.prefixes, &format!("{}.weight", names.words))
    }
}

impl Encoder {
    /// Loads `config.json` and the safetensors of `folder`.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        Self::load_opened(&Opened::read(folder, device)?, device)
    }

    /// Values of a hidden state and tokens of the longest sequence, as `config.json` of `folder` has
    /// them; no weights are read.
    pub fn limits(folder: &Path) -> Result<(usize, usize)> {
        let raw = Raw::read(folder)?;
        let description = (family(&raw)?.describe)(&raw)?;
        Ok((description.hidden_dim, description.max_tokens))
    }

    pub(super) fn load_opened(opened: &Opened, device: &Device) -> Result<Self> {
        let description = &opened.description;
        Ok(Self {
            device: device.clone(),
            vocab_size: description.vocab_size,
            max_tokens: description.max_tokens,
            hidden_dim: description.hidden_dim,
            network: Network::load(&opened.encoder()?, description)?,
            state: Mutex::new(None),
        })
    }

    /// Values of a hidden state.
    pub fn hidden_dim(&self) -> usize {
        self.hidden_dim
    }

    /// Tokens of the longest sequence that the network takes.
    pub fn max_positions(&self) -> usize {
        self.max_tokens
    }

    /// The hidden state of every token: `[tokens, hidden_dim]`.
    ///
    /// A sequence longer than [`Encoder::max_positions`] or an id outside the vocabulary is an
    /// error.
    pub fn forward(&self, batch: &Ragged) -> Result<Matrix> {
        let hidden = self.forward_then(batch, |hidden| hidden.as_slice().to_vec())?;
        Matrix::new(hidden, self.hidden_dim)
    }

    /// What `then` makes, on the device's threads, of the hidden states: `[tokens, hidden_dim]`.
    pub(super) fn forward_then<R: Send>(
        &self,
        batch: &Ragged,
        then: impl FnOnce(&Rows) -> R + Send,
    ) -> Result<R> {
        self.check(batch)?;
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = lock().take().unwrap_or_default();
        let result = self.device.install(|| {
            self.network.forward(&self.device, batch, &mut state);
            then(&state.scratch.hidden)
        });
        *lock() = Some(state);
        Ok(result)
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
        let (longest, positions) = (batch.max_len(), self.max_tokens);
        if longest > positions {
            return argument("tokens of a sequence", longest, format!("at most {positions}"));
        }
        let vocab = self.vocab_size;
        match batch.ids.iter().find(|&&id| id as usize >= vocab) {
            Some(&id) => argument("token id", id as usize, format!("less than {vocab}")),
            None => Ok(()),
        }
    }
}
