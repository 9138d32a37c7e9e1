//! The operations that a kind of device must have, so that a network computes there.

use std::ops::Range;

use crate::base::error::Result;
use crate::device::cpu::ops::{Activation, Attention, Embedding, Norm, RelativeBias, Rotary};

/// The operations of a network on one kind of device, and the types that they read and write there.
///
/// `place_…` copies weights from the host to the device. Rows are `[n, d]` activations:
/// [`Backend::reserve`] takes their memory, and an operation resizes its output to the result. A
/// failure may be reported by any later operation, since a device computes asynchronously.
pub trait Backend {
    type Rows: Default;
    type Linear;
    type Norm;
    type Embedding;
    type RelativeBias;
    /// The cosines and sines of every position, for rotary embeddings.
    type CosSin: Default;
    /// The tokens and the sequences of a batch, as the operations read them.
    type Batch<'a>;

    /// weight: `[outputs, inputs]`, row-major, as checkpoints store it; bias: `[outputs]`.
    fn place_linear(
        &self,
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
        inputs: usize,
    ) -> Result<Self::Linear>;

    fn place_norm(&self, norm: Norm) -> Result<Self::Norm>;

    fn place_embedding(&self, table: Embedding) -> Result<Self::Embedding>;

    fn place_bias(&self, bias: RelativeBias) -> Result<Self::RelativeBias>;

    /// Extends `cos_sin` to the positions below `n`, if it has fewer.
    fn extend_cos_sin(&self, rotary: &Rotary, cos_sin: &mut Self::CosSin, n: usize) -> Result<()>;

    /// Takes the memory of `[n, d]`; an error if there is not enough.
    fn reserve(&self, rows: &mut Self::Rows, n: usize, d: usize) -> Result<()>;

    /// out becomes `[tokens, d]`: `norm(scale * word + token type + position)`.
    fn embed(
        &self,
        table: &Self::Embedding,
        batch: &Self::Batch<'_>,
        norm: Option<&Self::Norm>,
        out: &mut Self::Rows,
    ) -> Result<()>;

    /// out becomes `norm(x)`. x, out: `[n, d]`.
    fn norm(&self, x: &Self::Rows, norm: &Self::Norm, out: &mut Self::Rows) -> Result<()>;

    /// x becomes `x + y`. x, y: `[n, d]`.
    fn residual(&self, x: &mut Self::Rows, y: &Self::Rows) -> Result<()>;

    /// x becomes `norm(x + y)`. x, y: `[n, d]`.
    fn residual_norm(&self, x: &mut Self::Rows, y: &Self::Rows, norm: &Self::Norm) -> Result<()>;

    /// x becomes `x + y`, and out `norm(x + y)`. x, y, out: `[n, d]`.
    fn add_norm(
        &self,
        x: &mut Self::Rows,
        y: &Self::Rows,
        norm: &Self::Norm,
        out: &mut Self::Rows,
    ) -> Result<()> {
        self.residual(x, y)?;
        self.norm(x, norm, out)
    }

    /// Normalises each of `heads` in each row. x: `[n, all heads * head_dim]`.
    fn norm_heads(&self, x: &mut Self::Rows, heads: Range<usize>, norm: &Self::Norm) -> Result<()>;

    /// Applies rotary position embeddings to the first `heads` heads of each row. x:
    /// `[n, all heads * head_dim]`.
    fn rotary(
        &self,
        x: &mut Self::Rows,
        heads: usize,
        head_dim: usize,
        cos_sin: &Self::CosSin,
        batch: &Self::Batch<'_>,
    ) -> Result<()>;

    /// out becomes `[tokens, heads * head_dim]`: `softmax(scale q k^T + bias) v`. qkv:
    /// `[tokens, config.row_dim()]`.
    fn attention(
        &self,
        config: &Attention,
        qkv: &Self::Rows,
        batch: &Self::Batch<'_>,
        bias: Option<&Self::RelativeBias>,
        out: &mut Self::Rows,
    ) -> Result<()>;

    /// out becomes `activation(x W^T + b)`. x: `[n, inputs]`; out: `[n, outputs]`.
    fn linear(
        &self,
        layer: &Self::Linear,
        x: &Self::Rows,
        activation: Activation,
        out: &mut Self::Rows,
    ) -> Result<()>;

    /// out becomes `activation(gate) * up` of a layer that computes both. x: `[n, inputs]`;
    /// gate_up, the layer's output: `[n, 2 * d]`, the gate first; out: `[n, d]`.
    fn gated_linear(
        &self,
        layer: &Self::Linear,
        x: &Self::Rows,
        activation: Activation,
        gate_up: &mut Self::Rows,
        out: &mut Self::Rows,
    ) -> Result<()>;
}
