//! Networks of candle-transformers, for families that our layers do not describe.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use parking_lot::Mutex;

use super::architecture::SequenceConfig;
use super::checkpoint::Checkpoint;
use super::config::Raw;
use super::weights::Weights;
use crate::base::error::{Error, Result};
use crate::device::candle::failed;
use crate::device::{Candle, Rows};
use crate::embedding::token::Ragged;

/// Makes a network from config.json and the tensors of a checkpoint.
pub type Loader = fn(&Raw, VarBuilder<'_>) -> Result<Forward>;

/// The hidden states of a sequence, `[1, len, hidden_dim]`; `[1, hidden_dim]` of a network that
/// pools by itself.
pub type Forward = Box<dyn FnMut(&Sequence) -> candle_core::Result<Tensor> + Send>;

/// One sequence on the device.
pub struct Sequence {
    /// `[1, len]`.
    pub ids: Tensor,
    /// `[1, len]`.
    pub token_type_ids: Tensor,
    /// `[1, len]`: 0 for the tokens of a prompt that pooling leaves out, else 1.
    pub pooled: Tensor,
}

/// A network of candle-transformers with its weights on one device. It takes one sequence at a time,
/// since most of these networks know no packed sequences.
pub struct CandleTransformersNetwork {
    on: Candle,
    hidden_dim: usize,
    pools: bool,
    forward: Mutex<Forward>,
}

impl CandleTransformersNetwork {
    pub fn load(checkpoint: &Checkpoint, config: &SequenceConfig, on: Candle) -> Result<Self> {
        let failure = Mutex::new(None);
        let tensors = CheckpointTensors { weights: &checkpoint.weights, failure: &failure };
        let (dtype, device) = (on.value_type(), on.device.clone());
        let tensors = VarBuilder::from_backend(Box::new(tensors), dtype, device);
        let loaded = (config.load)(&checkpoint.raw, tensors);
        // Why a tensor could not be taken says more than what became of it.
        let forward = loaded.map_err(|error| failure.lock().take().unwrap_or(error))?;
        let (hidden_dim, pools) = (config.shape.hidden_dim, config.pools);
        Ok(Self { on, hidden_dim, pools, forward: Mutex::new(forward) })
    }

    /// The hidden states of `batch`, `[tokens, hidden_dim]`, and the sequences that they belong to:
    /// those of `batch`, or sequences of one token if the network pools by itself.
    pub fn hidden(&self, batch: &Ragged) -> Result<(Ragged, Rows)> {
        let compute = |i| -> candle_core::Result<Vec<f32>> {
            let hidden = (self.forward.lock())(&self.sequence(batch, i)?)?;
            hidden.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
        };
        let computed = self.on.host.install(|| {
            let sequences = (0..batch.n()).map(|i| match batch.seq(i) {
                [] if self.pools => Ok(vec![0.0; self.hidden_dim]),
                [] => Ok(Vec::new()),
                _ => compute(i),
            });
            sequences.collect::<candle_core::Result<Vec<_>>>()
        });
        let rows = Rows::new(computed.map_err(failed)?.concat(), self.hidden_dim);
        let sequences =
            if self.pools { Ragged::from_seqs(vec![&[0][..]; batch.n()]) } else { batch.clone() };
        Ok((sequences, rows))
    }

    fn sequence(&self, batch: &Ragged, i: usize) -> candle_core::Result<Sequence> {
        let (ids, left_out) = (batch.seq(i), batch.left_out[i] as usize);
        let types: Vec<u32> = batch.seq_types(i).iter().map(|kind| (*kind).into()).collect();
        let pooled: Vec<f32> =
            (0..ids.len()).map(|token| if token < left_out { 0.0 } else { 1.0 }).collect();
        let device = &self.on.device;
        Ok(Sequence {
            ids: Tensor::new(ids, device)?.unsqueeze(0)?,
            token_type_ids: Tensor::new(types, device)?.unsqueeze(0)?,
            pooled: Tensor::new(pooled, device)?.unsqueeze(0)?,
        })
    }
}

/// The tensors of a checkpoint, checked as those of our layers are.
struct CheckpointTensors<'a> {
    weights: &'a Weights,
    /// Why a tensor could not be taken.
    failure: &'a Mutex<Option<Error>>,
}

impl SimpleBackend for CheckpointTensors<'_> {
    fn get(
        &self,
        shape: candle_core::Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let values = self.weights.take(name, shape.dims()).map_err(|error| {
            let message = candle_core::Error::msg(&error);
            self.failure.lock().get_or_insert(error);
            message
        })?;
        Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("tensor {name} is wanted in any shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.weights.has(name)
    }
}
