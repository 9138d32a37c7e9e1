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
/// cache of one core. Twice as many were slower in int8, half as many no faster.
pub(super) const GROUP_TOKENS: usize = 256;

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
        let groups = self.forward_then(batch, |_, hidden| hidden.as_slice().to_vec())?;
        Matrix::new(groups.concat(), self.hidden_dim)
    }

    /// What `then` makes of each group of whole sequences and its hidden states, `[tokens,
    /// hidden_dim]`, in the order of the sequences. It runs on the thread that computed them, and
    /// only one group a thread is held at a time.
    pub(super) fn forward_then<R: Send>(
        &self,
        batch: &Ragged,
        then: impl Fn(&Ragged, &Rows) -> R + Sync,
    ) -> Result<Vec<R>> {
        self.check(batch)?;
        // The shapes alone decide on the groups, so that any number of threads gives the same bytes.
        let groups: Vec<_> = batch.batches(GROUP_TOKENS, usize::MAX).collect();
        let pass = |group: &Ragged| {
            let mut state = self.states().pop().unwrap_or_default();
            self.network.reserve(group.tokens(), &mut state)?;
            self.network.forward(&self.device, group, &mut state);
            let made = then(group, &state.scratch.hidden);
            self.states().push(state);
            Ok(made)
        };
        match &groups[..] {
            // One group is split over all threads, operation by operation.
            [group] if self.device.threads() > 1 => {
                Ok(vec![self.device.install_awake(|| pass(group))?])
            }
            groups => self.device.install(|| groups.par_iter().map(pass).collect()),
        }
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
    use crate::nn::Cost;

    #[test]
    fn a_pass_takes_no_more_memory_than_was_reserved_for_it() {
        let device = Device::cpu(1).unwrap();
        let batch = Ragged::from_seqs([&[5_u32; 17][..], &[6; 30]]);
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        for family in ["bert", "nomic_bert", "modernbert", "qwen3", "gemma3_text"] {
            let encoder = Encoder::load(&models.join(family), &device).unwrap();
            let cost = Cost::read(&models.join(family)).unwrap();
            let mut state = State::default();
            encoder.network.reserve(batch.tokens(), &mut state).unwrap();
            let reserved = state.scratch.capacities();
            encoder.network.forward(&device, &batch, &mut state);
            assert_eq!(state.scratch.capacities(), reserved, "{family}");
            encoder.network.reserve(GROUP_TOKENS.max(encoder.max_positions()), &mut state).unwrap();
            let held = size_of::<f32>() * state.scratch.capacities().iter().sum::<usize>();
            assert!(held as u64 <= cost.scratch_bytes(), "{family}: {held} bytes");
        }
    }
}
