//! The operations of a network on the CPU.

use std::ops::Range;

use super::Cpu;
use super::ops::{
    self, Activation, Attention, Embedding, Linear, Norm, RelativeBias, Rotary, Tokens,
};
use crate::base::error::Result;
use crate::device::{Backend, Rows};

/// A batch on the CPU.
pub struct CpuBatch<'a> {
    pub tokens: Tokens<'a>,
    /// `[n + 1]`.
    pub cu_seqlens: &'a [u32],
}

/// No operation fails; only taking memory does.
impl Backend for Cpu {
    type Rows = Rows;
    type Linear = Linear;
    type Norm = Norm;
    type Embedding = Embedding;
    type RelativeBias = RelativeBias;
    type CosSin = Rows;
    type Batch<'a> = CpuBatch<'a>;

    fn place_linear(
        &self,
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
        inputs: usize,
    ) -> Result<Linear> {
        let bias = bias.unwrap_or_else(|| vec![0.0; weight.len() / inputs]);
        Ok(Linear::with_dtype(&weight, bias, inputs, self.dtype()))
    }

    fn place_norm(&self, norm: Norm) -> Result<Norm> {
        Ok(norm)
    }

    fn place_embedding(&self, table: Embedding) -> Result<Embedding> {
        Ok(table)
    }

    fn place_bias(&self, bias: RelativeBias) -> Result<RelativeBias> {
        Ok(bias)
    }

    fn extend_cos_sin(&self, rotary: &Rotary, cos_sin: &mut Rows, n: usize) -> Result<()> {
        rotary.extend(cos_sin, n);
        Ok(())
    }

    fn reserve(&self, rows: &mut Rows, n: usize, d: usize) -> Result<()> {
        rows.reserve(n, d)
    }

    fn embed(
        &self,
        table: &Embedding,
        batch: &CpuBatch<'_>,
        norm: Option<&Norm>,
        out: &mut Rows,
    ) -> Result<()> {
        ops::embed(self, table, batch.tokens, norm, out);
        Ok(())
    }

    fn norm(&self, x: &Rows, norm: &Norm, out: &mut Rows) -> Result<()> {
        ops::norm(self, x, norm, out);
        Ok(())
    }

    fn residual(&self, x: &mut Rows, y: &Rows) -> Result<()> {
        ops::residual(self, x, y);
        Ok(())
    }

    fn residual_norm(&self, x: &mut Rows, y: &Rows, norm: &Norm) -> Result<()> {
        ops::residual_norm(self, x, y, norm);
        Ok(())
    }

    fn norm_heads(&self, x: &mut Rows, heads: Range<usize>, norm: &Norm) -> Result<()> {
        ops::norm_heads(self, x, heads, norm);
        Ok(())
    }

    fn rotary(
        &self,
        x: &mut Rows,
        heads: usize,
        head_dim: usize,
        cos_sin: &Rows,
        batch: &CpuBatch<'_>,
    ) -> Result<()> {
        ops::rotary(self, x, heads, head_dim, cos_sin, batch.tokens.position_ids);
        Ok(())
    }

    fn attention(
        &self,
        config: &Attention,
        qkv: &Rows,
        batch: &CpuBatch<'_>,
        bias: Option<&RelativeBias>,
        out: &mut Rows,
    ) -> Result<()> {
        ops::attention(self, config, qkv, batch.cu_seqlens, bias, out);
        Ok(())
    }

    fn linear(
        &self,
        layer: &Linear,
        x: &Rows,
        activation: Activation,
        out: &mut Rows,
    ) -> Result<()> {
        ops::linear(self, layer, x, activation, out);
        Ok(())
    }

    fn gated_linear(
        &self,
        layer: &Linear,
        x: &Rows,
        activation: Activation,
        gate_up: &mut Rows,
        out: &mut Rows,
    ) -> Result<()> {
        ops::linear(self, layer, x, Activation::None, gate_up);
        ops::glu(self, gate_up, activation, out);
        Ok(())
    }
}
