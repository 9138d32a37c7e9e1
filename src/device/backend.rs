//! Which operations must a device have, so that a network computes there?

use std::ops::Range;

use crate::base::error::Result;
use crate::device::cpu::ops::{Activation, Attention, Embedding, Norm, RelativeBias, Rotary};

/// The operations of a network on one kind of device, and what they read and write there.
///
/// `place_…` brings what is known on the host to the device. Rows are `[n, d]` activations:
/// [`Backend::reserve`] takes their memory, and an operation makes them as large as its outcome.
/// What is computed may fail at any later operation, since a device need not wait for the host.
pub trait Backend {
    type Rows: Default;
    type Linear;
    type Norm;
    type Embedding;
    type RelativeBias;
    /// Cosines and sines of places.
    type Turns: Default;
    /// What is known of the tokens and of the sequences of a batch.
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

    /// Makes `turns` good for the places below `n`, if it is not yet.
    fn extend(&self, rotary: &Rotary, turns: &mut Self::Turns, n: usize) -> Result<()>;

    /// Takes the memory of `[n, d]`, or says that it is not there.
    fn reserve(&self, rows: &mut Self::Rows, n: usize, d: usize) -> Result<()>;

    /// out becomes `[tokens, d]`: `norm(scale word + type + position)`.
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

    /// Each of the heads in each row becomes its norm. x: `[n, all heads * head_dim]`.
    fn norm_heads(&self, x: &mut Self::Rows, heads: Range<usize>, norm: &Self::Norm) -> Result<()>;

    /// Turns the first `heads` heads of each row by its place. x: `[n, all heads * head_dim]`.
    fn rotary(
        &self,
        x: &mut Self::Rows,
        heads: usize,
        head_dim: usize,
        turns: &Self::Turns,
        batch: &Self::Batch<'_>,
    ) -> Result<()>;

    /// out becomes `[tokens, heads * head_dim]`: `softmax(scale q k^T + bias) v`. qkv: as `of` has it.
    fn attention(
        &self,
        of: &Attention,
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

    /// out becomes `activation(gate) * up`, which the layer gives side by side. x: `[n, inputs]`;
    /// wide, for the sums between: `[n, 2 * d]`; out: `[n, d]`.
    fn gated_linear(
        &self,
        layer: &Self::Linear,
        x: &Self::Rows,
        activation: Activation,
        wide: &mut Self::Rows,
        out: &mut Self::Rows,
    ) -> Result<()>;
}
