//! A network on its device: packed ids become hidden states.

use std::path::Path;

#[cfg(feature = "cuda")]
use half::{bf16, f16};

use super::architecture::{Architecture, Shape};
use super::candle_network::CandleNetwork;
use super::candle_transformers_network::CandleTransformersNetwork;
use super::checkpoint::Checkpoint;
use super::cpu_network::{CpuNetwork, GROUP_TOKENS};
#[cfg(feature = "cuda")]
use super::gpu_network::GpuNetwork;
use super::static_table::StaticTable;
use crate::base::error::{Error, Result};
use crate::base::vector::Matrix;
use crate::device::cpu::ops::{self, Pooling};
use crate::device::{Candle, Device, Rows};
#[cfg(feature = "cuda")]
use crate::device::{Dtype, cuda::SlotGuard};
use crate::embedding::token::{Ragged, Tables};

/// Tokens of a batch with enough tiles of 128 rows for every multiprocessor of a large GPU, also in
/// the narrowest layers; not measured yet.
const GPU_BUSY_TOKENS: usize = 16_384;

/// A transformer that computes one hidden state for each token. Pure: the same ids give the same
/// values.
pub struct Encoder {
    device: Device,
    shape: Shape,
    network: AnyNetwork,
}

/// A network of any device and type of numbers.
enum AnyNetwork {
    Cpu(CpuNetwork),
    Candle(CandleNetwork),
    CandleTransformers(CandleTransformersNetwork),
    Static(StaticTable),
    #[cfg(feature = "cuda")]
    Bf16(GpuNetwork<bf16>),
    #[cfg(feature = "cuda")]
    F16(GpuNetwork<f16>),
}

impl Encoder {
    /// Loads `config.json` and the safetensors of `folder`.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        if let Architecture::Static(config, shape) = Architecture::read(folder)? {
            let network = AnyNetwork::Static(StaticTable::load(&config)?);
            return Ok(Self { device: device.clone(), shape, network });
        }
        Self::from_checkpoint(&Checkpoint::open(folder)?, device)
    }

    /// Values of a hidden state and tokens of the longest sequence, by `config.json` of `folder`;
    /// no weights are read.
    pub fn limits(folder: &Path) -> Result<(usize, usize)> {
        let Shape { hidden_dim, max_tokens, .. } = Architecture::read(folder)?.shape();
        Ok((hidden_dim, max_tokens))
    }

    /// The sizes of the tables that read the tokenizer's ids, by `config.json` of `folder`.
    pub fn tables(folder: &Path) -> Result<Tables> {
        let Shape { vocab_size, token_types, .. } = Architecture::read(folder)?.shape();
        Ok(Tables { vocab_size, token_types })
    }

    pub(super) fn from_checkpoint(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        Ok(Self {
            device: device.clone(),
            shape: checkpoint.architecture.shape(),
            network: AnyNetwork::load(checkpoint, device)?,
        })
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Values of a hidden state.
    pub fn hidden_dim(&self) -> usize {
        self.shape.hidden_dim
    }

    /// Tokens of a batch that keeps the whole device busy.
    pub fn busy_tokens(&self) -> usize {
        if self.device.is_gpu() {
            GPU_BUSY_TOKENS
        } else {
            self.device.host().threads() * GROUP_TOKENS
        }
    }

    /// Tokens of the longest sequence that the network takes.
    pub fn max_positions(&self) -> usize {
        self.shape.max_tokens
    }

    /// The hidden state of every token: `[tokens, hidden_dim]`.
    ///
    /// A sequence longer than [`Encoder::max_positions`], an id outside the vocabulary and a batch
    /// that does not fit the memory are errors.
    pub fn forward(&self, batch: &Ragged) -> Result<Matrix> {
        let groups = self.forward_then(batch, |_, hidden| hidden.as_slice().to_vec())?;
        Matrix::new(groups.concat(), self.shape.hidden_dim)
    }

    /// One vector for each sequence, `[n * poolings * hidden_dim]` row-major, of length 1 if
    /// `normalize`.
    pub fn pooled(
        &self,
        batch: &Ragged,
        poolings: &[Pooling],
        normalize: bool,
    ) -> Result<Vec<f32>> {
        if let (AnyNetwork::Static(table), [Pooling::Mean]) = (&self.network, poolings) {
            self.check(batch)?;
            return Ok(self.device.host().install(|| table.means(batch, normalize)));
        }
        #[cfg(feature = "cuda")]
        if let [pooling] = *poolings
            && on_gpu(pooling)
            && batch.left_out.iter().all(|tokens| *tokens == 0)
        {
            self.check(batch)?;
            match &self.network {
                AnyNetwork::Bf16(network) => return network.pooled(batch, pooling, normalize),
                AnyNetwork::F16(network) => return network.pooled(batch, pooling, normalize),
                _ => {}
            }
        }
        let pool = |group: &Ragged, hidden: &Rows| {
            let Ragged { cu_seqlens, left_out, .. } = group;
            let (values, d) = (hidden.as_slice(), hidden.d());
            ops::pool_all(values, d, cu_seqlens, left_out, poolings, normalize)
        };
        Ok(self.forward_then(batch, pool)?.concat())
    }

    /// Starts to compute one vector for each sequence, on the GPU that has the network.
    #[cfg(feature = "cuda")]
    pub(super) fn launch(
        &self,
        batch: &Ragged,
        pooling: Pooling,
        normalize: bool,
    ) -> Result<SlotGuard> {
        self.check(batch)?;
        match &self.network {
            AnyNetwork::Bf16(network) => network.launch(batch, pooling, normalize),
            AnyNetwork::F16(network) => network.launch(batch, pooling, normalize),
            _ => panic!("the network is not on a GPU of ours"),
        }
    }

    /// The results of `then` for each group of whole sequences and its hidden states, `[tokens,
    /// hidden_dim]`, in the order of the sequences. It runs on the thread that computed them, and
    /// each thread holds only one group at a time; the hidden states of a GPU are one group.
    pub(super) fn forward_then<R: Send>(
        &self,
        batch: &Ragged,
        then: impl Fn(&Ragged, &Rows) -> R + Sync,
    ) -> Result<Vec<R>> {
        self.check(batch)?;
        match &self.network {
            AnyNetwork::Cpu(network) => network.forward_then(batch, then),
            AnyNetwork::Candle(network) => self.as_one_group(batch, network.hidden(batch)?, then),
            AnyNetwork::CandleTransformers(network) => {
                let (sequences, hidden) = network.hidden(batch)?;
                self.as_one_group(&sequences, hidden, then)
            }
            AnyNetwork::Static(table) => self.as_one_group(batch, table.token_vectors(batch), then),
            #[cfg(feature = "cuda")]
            AnyNetwork::Bf16(network) => self.as_one_group(batch, network.hidden(batch)?, then),
            #[cfg(feature = "cuda")]
            AnyNetwork::F16(network) => self.as_one_group(batch, network.hidden(batch)?, then),
        }
    }

    /// hidden: `[tokens, hidden_dim]`.
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
        let (longest, positions) = (batch.max_len(), self.shape.max_tokens);
        if longest > positions {
            return argument("tokens of a sequence", longest, format!("at most {positions}"));
        }
        let vocab = self.shape.vocab_size;
        match batch.ids.iter().find(|&&id| id as usize >= vocab) {
            Some(&id) => argument("token id", id as usize, format!("less than {vocab}")),
            None => Ok(()),
        }
    }
}

/// Whether a GPU pools like this.
#[cfg(feature = "cuda")]
pub(super) fn on_gpu(pooling: Pooling) -> bool {
    pooling != Pooling::MeanSqrtLen
}

impl AnyNetwork {
    fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        match (&checkpoint.architecture, device) {
            (Architecture::CandleTransformers(config), _) => {
                let on = match device {
                    Device::Candle(candle) => candle.clone(),
                    other => Candle::on_cpu(other.host().clone()),
                };
                let network = CandleTransformersNetwork::load(checkpoint, config, on)?;
                Ok(Self::CandleTransformers(network))
            }
            (Architecture::Static(..), _) => panic!("a table is no checkpoint"),
            (_, Device::Cpu(cpu)) => Ok(Self::Cpu(CpuNetwork::load(checkpoint, cpu)?)),
            (_, Device::Candle(candle)) => {
                Ok(Self::Candle(CandleNetwork::load(checkpoint, candle)?))
            }
            #[cfg(feature = "cuda")]
            (_, Device::Cuda(gpu)) if gpu.dtype == Dtype::F16 => {
                Ok(Self::F16(GpuNetwork::load(checkpoint, &gpu.cuda)?))
            }
            #[cfg(feature = "cuda")]
            (_, Device::Cuda(gpu)) => Ok(Self::Bf16(GpuNetwork::load(checkpoint, &gpu.cuda)?)),
        }
    }
}
