//! Pooling and the dense layers behind it: hidden states become embeddings.

use std::path::Path;

use super::config::{Raw, unsupported};
use super::part::Part;
use super::weights::Weights;
use super::{Encoder, Poolings, SentenceConfig};
use crate::base::config::DtypeChoice;
use crate::base::error::Result;
use crate::base::vector::Matrix;
use crate::device::cpu::ops::{self, Activation, Linear};
#[cfg(feature = "cuda")]
use crate::device::cuda::SlotGuard;
use crate::device::{Cpu, Device, Rows};
use crate::embedding::token::Ragged;

/// Pooling where the encoder is, then dense layers on the CPU, then a length of 1, then fewer values.
pub struct Pooler {
    device: Device,
    poolings: Poolings,
    dense: Vec<(Linear, Activation)>,
    normalize: bool,
    /// Values behind the pooling.
    pooled_dim: usize,
    /// Values behind the last layer.
    full_dim: usize,
    /// Values that are kept of them.
    dim: usize,
    /// Whether every sequence is pooled whole.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))] // Only a GPU needs to know before.
    pools_whole: bool,
}

impl Pooler {
    /// Loads the dense layers that `config` names from `folder`, whose encoder computes
    /// `hidden_dim` values for each token.
    pub fn load(
        folder: &Path,
        config: &SentenceConfig,
        hidden_dim: usize,
        device: &Device,
    ) -> Result<Self> {
        let pooled_dim = config.pooling.as_slice().len() * hidden_dim;
        let (mut dense, mut d) = (Vec::new(), pooled_dim);
        let exact = device.host().clone().with_dtype(DtypeChoice::F32)?;
        for name in &config.dense {
            let layer = load_dense(&folder.join(name), d, &exact)?;
            d = layer.0.outputs();
            dense.push(layer);
        }
        Ok(Self {
            device: device.clone(),
            poolings: config.pooling.clone(),
            dense,
            normalize: config.normalize,
            pooled_dim,
            full_dim: d,
            dim: config.truncate_dim.map_or(d, |dim| dim.min(d)),
            pools_whole: !config.prompts.left_out,
        })
    }

    /// Values of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether an embedding has all values of the last layer.
    pub fn is_whole(&self) -> bool {
        self.dim == self.full_dim
    }

    /// One embedding for each sequence of `batch`: `[n, dim]`; errors are those of
    /// [`Encoder::forward`].
    pub fn embed(&self, encoder: &Encoder, batch: &Ragged) -> Result<Matrix> {
        let normalize = self.normalize && self.dense.is_empty();
        let pooled = encoder.pooled(batch, self.poolings.as_slice(), normalize)?;
        let mut vectors = self.device.host().install(|| self.apply_dense(pooled));
        if !self.is_whole() {
            let rows = vectors.chunks_exact(self.full_dim);
            vectors = rows.flat_map(|row| &row[..self.dim]).copied().collect();
        }
        Matrix::new(vectors, self.dim)
    }

    /// Whether a GPU computes the whole embedding.
    #[cfg(feature = "cuda")]
    pub fn is_on_gpu(&self) -> bool {
        self.device.is_gpu()
            && self.dense.is_empty()
            && self.is_whole()
            && self.pools_whole
            && self.poolings.single().is_some_and(super::encoder::on_gpu)
    }

    /// Starts to embed a batch on the GPU that computes all of it.
    #[cfg(feature = "cuda")]
    pub fn launch(&self, encoder: &Encoder, batch: &Ragged) -> Result<SlotGuard> {
        let pooling = self.poolings.single().filter(|_| self.is_on_gpu());
        let pooling = pooling.expect("a model that is not all on the GPU is not launched");
        encoder.launch(batch, pooling, self.normalize)
    }

    /// The output of the dense layers: `[n * full_dim]`. pooled: `[n * pooled_dim]`.
    pub(super) fn apply_dense(&self, pooled: Vec<f32>) -> Vec<f32> {
        if self.dense.is_empty() {
            return pooled;
        }
        let (mut x, mut out) = (Rows::new(pooled, self.pooled_dim), Rows::default());
        for (linear, activation) in &self.dense {
            ops::linear(self.device.host(), linear, &x, *activation, &mut out);
            std::mem::swap(&mut x, &mut out);
        }
        let mut pooled = x.as_slice().to_vec();
        if self.normalize {
            ops::normalize(&mut pooled, x.d());
        }
        pooled
    }
}

/// The Dense module in `folder`, which must take `inputs` values.
fn load_dense(folder: &Path, inputs: usize, cpu: &Cpu) -> Result<(Linear, Activation)> {
    let raw = Raw::read(folder)?;
    let found = raw.size("in_features")?;
    if found != inputs {
        return Err(raw
            .broken(format!("in_features is {found}, but the layer before has {inputs} outputs")));
    }
    for key in ["module_input_name", "module_output_name"] {
        raw.only(key, serde_json::json!("sentence_embedding"))?;
    }
    raw.only("use_residual", serde_json::json!(false))?;
    let name = raw.text_or("activation_function", "torch.nn.modules.activation.Tanh")?;
    let activation = match name.rsplit('.').next().unwrap_or_default() {
        "Identity" => Activation::None,
        "Tanh" => Activation::Tanh,
        "ReLU" => Activation::Relu,
        "GELU" => Activation::Gelu,
        "SiLU" => Activation::Silu,
        _ => {
            let found = format!("activation_function {name}");
            return Err(unsupported(found, "Identity, Tanh, ReLU, GELU and SiLU"));
        }
    };
    let (outputs, bias) = (raw.size("out_features")?, raw.flag_or("bias", true)?);
    let weights = Weights::open(folder)?;
    Ok((Part::whole(&weights, cpu).linear("linear", inputs, outputs, bias)?, activation))
}
