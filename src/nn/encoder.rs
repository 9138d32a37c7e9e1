//! What does the network make of packed ids?

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

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

/// Tokens of whole sequences that go through all layers together: their activations stay in the
/// cache of one core.
const GROUP_TOKENS: usize = 256;

/// A transformer that gives one hidden state a token. Pure: the same ids give the same values.
pub struct Encoder {
    device: Device,
    vocab_size: usize,
    max_tokens: usize,
    hidden_dim: usize,
    network: Network,
    /// The buffers of earlier passes, one for each that ran at the same time.
    states: Mutex<Vec<State>>,
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
            states: Mutex::default(),
        })
    }

    /// Values of a hidden state.
    pub fn hidden_dim(&self) -> usize {
        self.hidden_dim
    }

    /// Tokens of a batch that keeps every thread busy once.
    pub fn busy_tokens(&self) -> usize {
        self.device.threads() * GROUP_TOKENS
    }

    /// Tokens of the longest sequence that the network takes.
    pub fn max_positions(&self) -> usize {
        self.max_tokens
    }

    /// The hidden state of every token: `[tokens, hidden_dim]`.
    ///
    /// A sequence longer than [`Encoder::max_positions`], an id outside the vocabulary and a batch
    /// that the memory does not hold are errors.
    pub fn forward(&self, batch: &Ragged) -> Result<Matrix> {
        let hidden = self.forward_then(batch, Rows::into_vec)?;
        Matrix::new(hidden, self.hidden_dim)
    }

    /// What `then` makes, on the device's threads, of the hidden states: `[tokens, hidden_dim]`.
    pub(super) fn forward_then<R: Send>(
        &self,
        batch: &Ragged,
        then: impl FnOnce(Rows) -> R + Send,
    ) -> Result<R> {
        self.check(batch)?;
        self.device.install(|| {
            let mut hidden = Rows::default();
            hidden.reserve(batch.tokens(), self.hidden_dim)?;
            hidden.resize(batch.tokens(), self.hidden_dim);
            let mut rest = hidden.as_mut_slice();
            // The shapes alone decide on the groups, so that any number of threads gives the same
            // bytes.
            let groups = batch.batches(GROUP_TOKENS, usize::MAX).map(|group| {
                let values = group.tokens() * self.hidden_dim;
                let (out, others) = std::mem::take(&mut rest).split_at_mut(values);
                rest = others;
                (group, out)
            });
            let groups: Vec<_> = groups.collect();
            groups.into_par_iter().try_for_each(|(group, out)| {
                let mut state = self.states().pop().unwrap_or_default();
                self.network.reserve(group.tokens(), &mut state)?;
                self.network.forward(&self.device, &group, &mut state);
                out.copy_from_slice(state.scratch.hidden.as_slice());
                self.states().push(state);
                Ok::<_, Error>(())
            })?;
            Ok(then(hidden))
        })
    }

    /// A state is taken out or put back; a panic between leaves the others usable.
    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_takes_no_more_memory_than_was_reserved_for_it() {
        let device = Device::cpu(1).unwrap();
        let batch = Ragged::from_seqs([&[5_u32; 17][..], &[6; 30]]);
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        for family in ["bert", "nomic_bert", "modernbert", "qwen3", "gemma3_text"] {
            let encoder = Encoder::load(&models.join(family), &device).unwrap();
            let mut state = State::default();
            encoder.network.reserve(batch.tokens(), &mut state).unwrap();
            let reserved = state.scratch.capacities();
            encoder.network.forward(&device, &batch, &mut state);
            assert_eq!(state.scratch.capacities(), reserved, "{family}");
        }
    }
}
