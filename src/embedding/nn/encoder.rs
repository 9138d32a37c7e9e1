//! What does the network make of packed ids?

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "cuda")]
use half::{bf16, f16};
use rayon::prelude::*;

use super::config::Raw;
use super::description::Description;
use super::family::{Family, family};
#[cfg(feature = "cuda")]
use super::gpu::GpuNetwork;
use super::network::{Network, State};
use super::part::Part;
use super::weights::Weights;
use crate::base::error::{Error, Result};
use crate::base::vector::Matrix;
use crate::device::cpu::ops::{self, Segment};
use crate::device::{Backend, Cpu, Device, Rows};
#[cfg(feature = "cuda")]
use crate::device::{Dtype, cuda::Flight};
use crate::embedding::token::Ragged;

/// Tokens of whole sequences that go through all layers together: their activations stay in the
/// cache of one core. Twice as many were slower in int8, half as many no faster.
pub(super) const GROUP_TOKENS: usize = 256;

/// Tokens of a batch with enough tiles of 128 rows for every multiprocessor of a large GPU, also in
/// the narrowest layers; not measured yet.
const GPU_BUSY_TOKENS: usize = 16_384;

/// A transformer that gives one hidden state a token. Pure: the same ids give the same values.
pub struct Encoder {
    device: Device,
    vocab_size: usize,
    max_tokens: usize,
    hidden_dim: usize,
    network: Placed,
}

/// A network, where it computes.
enum Placed {
    Cpu(CpuNetwork),
    #[cfg(feature = "cuda")]
    Bf16(GpuNetwork<bf16>),
    #[cfg(feature = "cuda")]
    F16(GpuNetwork<f16>),
}

/// A network on the CPU, each of whose passes takes a group of whole sequences on one thread.
struct CpuNetwork {
    network: Network<Cpu>,
    /// The buffers of earlier passes, one for each that ran at the same time.
    states: Mutex<Vec<State<Cpu>>>,
}

/// A model folder that is being loaded, so that a head finds its part of it.
pub(super) struct Opened {
    pub raw: Raw,
    pub family: &'static Family,
    pub description: Description,
    pub weights: Weights,
}

impl Opened {
    pub fn read(folder: &Path) -> Result<Self> {
        let raw = Raw::read(folder)?;
        let family = family(&raw)?;
        let description = (family.describe)(&raw)?;
        let weights = Weights::open(folder)?;
        Ok(Self { raw, family, description, weights })
    }

    /// The tensors of the encoder, for layers on `on`.
    pub fn encoder<'a, B: Backend>(&'a self, on: &'a B) -> Result<Part<'a, B>> {
        let names = self.description.names;
        Part::find(&self.weights, names.prefixes, &format!("{}.weight", names.words), on)
    }
}

impl Encoder {
    /// Loads `config.json` and the safetensors of `folder`.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        Self::load_opened(&Opened::read(folder)?, device)
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
            network: Placed::load(opened, device)?,
        })
    }

    /// Values of a hidden state.
    pub fn hidden_dim(&self) -> usize {
        self.hidden_dim
    }

    /// Tokens of a batch that keeps all of the device busy once.
    pub fn busy_tokens(&self) -> usize {
        match self.device.is_gpu() {
            true => GPU_BUSY_TOKENS,
            false => self.device.host().threads() * GROUP_TOKENS,
        }
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

    /// One row a sequence, `[n * hidden_dim]` row-major, of length 1 if `normalize`.
    pub(super) fn pooled(
        &self,
        batch: &Ragged,
        segment: Segment,
        normalize: bool,
    ) -> Result<Vec<f32>> {
        self.check(batch)?;
        match &self.network {
            Placed::Cpu(network) => {
                let pool = |group: &Ragged, hidden: &Rows| {
                    let (values, d) = (hidden.as_slice(), hidden.d());
                    ops::pool(values, d, &group.cu_seqlens, segment, normalize)
                };
                Ok(network.forward_then(self.device.host(), batch, pool)?.concat())
            }
            #[cfg(feature = "cuda")]
            Placed::Bf16(network) => network.pooled(batch, segment, normalize),
            #[cfg(feature = "cuda")]
            Placed::F16(network) => network.pooled(batch, segment, normalize),
        }
    }

    /// Begins to make one vector a sequence on the GPU where the network is.
    #[cfg(feature = "cuda")]
    pub(super) fn launch(
        &self,
        batch: &Ragged,
        segment: Segment,
        normalize: bool,
    ) -> Result<Flight> {
        self.check(batch)?;
        match &self.network {
            Placed::Cpu(_) => panic!("the network is on the CPU"),
            Placed::Bf16(network) => network.launch(batch, segment, normalize),
            Placed::F16(network) => network.launch(batch, segment, normalize),
        }
    }

    /// What `then` makes of each group of whole sequences and its hidden states, `[tokens,
    /// hidden_dim]`, in the order of the sequences. It runs on the thread that computed them, and
    /// only one group a thread is held at a time; what a GPU computed comes to the host as one group.
    pub(super) fn forward_then<R: Send>(
        &self,
        batch: &Ragged,
        then: impl Fn(&Ragged, &Rows) -> R + Sync,
    ) -> Result<Vec<R>> {
        self.check(batch)?;
        match &self.network {
            Placed::Cpu(network) => network.forward_then(self.device.host(), batch, then),
            #[cfg(feature = "cuda")]
            Placed::Bf16(network) => self.as_one_group(batch, network.hidden(batch)?, then),
            #[cfg(feature = "cuda")]
            Placed::F16(network) => self.as_one_group(batch, network.hidden(batch)?, then),
        }
    }

    /// hidden: `[tokens, hidden_dim]`.
    #[cfg(feature = "cuda")]
    fn as_one_group<R: Send>(
        &self,
        batch: &Ragged,
        hidden: Rows,
        then: impl Fn(&Ragged, &Rows) -> R + Sync,
    ) -> Result<Vec<R>> {
        Ok(vec![self.device.host().install(|| then(batch, &hidden))])
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

impl Placed {
    fn load(opened: &Opened, device: &Device) -> Result<Self> {
        #[cfg(feature = "cuda")]
        match device.gpu() {
            Some(gpu) if gpu.dtype == Dtype::F16 => {
                return Ok(Self::F16(GpuNetwork::load(opened, &gpu.cuda)?));
            }
            Some(gpu) => return Ok(Self::Bf16(GpuNetwork::load(opened, &gpu.cuda)?)),
            None => {}
        }
        let network = Network::load(&opened.encoder(device.host())?, &opened.description)?;
        Ok(Self::Cpu(CpuNetwork { network, states: Mutex::default() }))
    }
}

impl CpuNetwork {
    fn forward_then<R: Send>(
        &self,
        cpu: &Cpu,
        batch: &Ragged,
        then: impl Fn(&Ragged, &Rows) -> R + Sync,
    ) -> Result<Vec<R>> {
        // The shapes alone decide on the groups, so that any number of threads gives the same bytes.
        let groups: Vec<_> = batch.batches(GROUP_TOKENS, usize::MAX).collect();
        let pass = |group: &Ragged| {
            let mut state = self.states().pop().unwrap_or_default();
            self.network.reserve(cpu, group.tokens(), &mut state)?;
            let hidden = self.network.forward(cpu, group, &mut state)?;
            let made = then(group, hidden);
            self.states().push(state);
            Ok(made)
        };
        match &groups[..] {
            // One group is split over all threads, operation by operation.
            [group] if cpu.threads() > 1 => Ok(vec![cpu.install_awake(|| pass(group))?]),
            groups => cpu.install(|| groups.par_iter().map(pass).collect()),
        }
    }

    /// A state is taken out or put back; a panic between leaves the others usable.
    fn states(&self) -> MutexGuard<'_, Vec<State<Cpu>>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::nn::Cost;

    #[test]
    fn a_pass_takes_no_more_memory_than_was_reserved_for_it() {
        let device = Device::cpu(1).unwrap();
        let batch = Ragged::from_seqs([&[5_u32; 17][..], &[6; 30]]);
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        for family in ["bert", "nomic_bert", "modernbert", "qwen3", "gemma3_text"] {
            let encoder = Encoder::load(&models.join(family), &device).unwrap();
            let cost = Cost::read(&models.join(family)).unwrap();
            let network = match &encoder.network {
                Placed::Cpu(CpuNetwork { network, .. }) => network,
                #[cfg(feature = "cuda")]
                _ => panic!("the device is the CPU"),
            };
            let mut state = State::default();
            network.reserve(device.host(), batch.tokens(), &mut state).unwrap();
            let reserved = state.scratch.capacities();
            network.forward(device.host(), &batch, &mut state).unwrap();
            assert_eq!(state.scratch.capacities(), reserved, "{family}");
            let longest = GROUP_TOKENS.max(encoder.max_positions());
            network.reserve(device.host(), longest, &mut state).unwrap();
            let held = size_of::<f32>() * state.scratch.capacities().iter().sum::<usize>();
            assert!(held as u64 <= cost.scratch_bytes(), "{family}: {held} bytes");
        }
    }
}
