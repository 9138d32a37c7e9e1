//! The operations of a network with candle.

use std::ops::Range;

use candle_core::{D, Tensor};
use candle_nn::{LayerNorm, Linear, Module, RmsNorm, rotary_emb::rope_thd};

use super::{Candle, attention::attention, failed};
use crate::base::error::Result;
use crate::device::cpu::ops::{Activation, Attention, Embedding, Norm, NormKind, Tokens};
use crate::device::cpu::ops::{RelativeBias, Rotary};
use crate::device::{Backend, Rows};

/// `[n, d]` on the device; nothing before the first operation that writes it.
#[derive(Default)]
pub struct CandleRows(Option<Tensor>);

impl CandleRows {
    pub fn tensor(&self) -> &Tensor {
        self.0.as_ref().expect("an operation reads only what another one wrote")
    }

    fn set(&mut self, value: candle_core::Result<Tensor>) -> Result<()> {
        self.0 = Some(value.map_err(failed)?);
        Ok(())
    }
}

pub enum CandleNorm {
    Layer(LayerNorm),
    Rms(RmsNorm),
}

impl CandleNorm {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Layer(norm) => norm.forward(x),
            Self::Rms(norm) => norm.forward(x),
        }
    }
}

pub struct CandleEmbedding {
    /// `[vocab, d]`.
    word_embeddings: Tensor,
    /// `[token types, d]`.
    token_type_embeddings: Option<Tensor>,
    /// `[positions, d]`.
    position_embeddings: Option<Tensor>,
    scale: f64,
}

/// Cosines and sines, `[positions, pairs]` each, on the device, and as the CPU computed them.
#[derive(Default)]
pub struct CandleCosSin {
    host: Rows,
    device: Option<[Tensor; 2]>,
}

/// A batch on the device.
pub struct CandleBatch<'a> {
    /// `[tokens]` each.
    ids: Tensor,
    token_type_ids: Vec<u32>,
    position_ids: Tensor,
    /// `[n + 1]`.
    cu_seqlens: &'a [u32],
}

impl<'a> CandleBatch<'a> {
    /// cu_seqlens: `[n + 1]`.
    pub fn upload(on: &Candle, tokens: Tokens<'_>, cu_seqlens: &'a [u32]) -> Result<Self> {
        let place = |ids: &[u32]| Tensor::new(ids, &on.device).map_err(failed);
        Ok(Self {
            ids: place(tokens.ids)?,
            token_type_ids: tokens.token_type_ids.iter().map(|id| (*id).into()).collect(),
            position_ids: place(tokens.position_ids)?,
            cu_seqlens,
        })
    }
}

impl Backend for Candle {
    type Rows = CandleRows;
    type Linear = Linear;
    type Norm = CandleNorm;
    type Embedding = CandleEmbedding;
    type RelativeBias = Tensor;
    type CosSin = CandleCosSin;
    type Batch<'a> = CandleBatch<'a>;

    fn place_linear(
        &self,
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
        inputs: usize,
    ) -> Result<Linear> {
        let outputs = weight.len() / inputs;
        let bias = bias.map(|bias| self.upload(bias, outputs)).transpose()?;
        Ok(Linear::new(self.upload(weight, (outputs, inputs))?, bias))
    }

    fn place_norm(&self, norm: Norm) -> Result<CandleNorm> {
        let (d, eps) = (norm.weight.len(), norm.eps.into());
        let weight = self.upload(norm.weight, d)?;
        let bias = norm.bias.map(|bias| self.upload(bias, d)).transpose()?;
        Ok(match (norm.kind, bias) {
            (NormKind::Rms, _) => CandleNorm::Rms(RmsNorm::new(weight, eps)),
            (NormKind::Layer, None) => CandleNorm::Layer(LayerNorm::new_no_bias(weight, eps)),
            (NormKind::Layer, Some(bias)) => CandleNorm::Layer(LayerNorm::new(weight, bias, eps)),
        })
    }

    fn place_embedding(&self, table: Embedding) -> Result<CandleEmbedding> {
        let place = |rows: Rows| self.place_rows(&rows);
        Ok(CandleEmbedding {
            word_embeddings: place(table.word_embeddings)?,
            token_type_embeddings: table.token_type_embeddings.map(place).transpose()?,
            position_embeddings: table.position_embeddings.map(place).transpose()?,
            scale: table.scale.into(),
        })
    }

    fn place_bias(&self, bias: RelativeBias) -> Result<Tensor> {
        self.place_rows(&bias.values)
    }

    fn extend_cos_sin(&self, rotary: &Rotary, cos_sin: &mut CandleCosSin, n: usize) -> Result<()> {
        let pairs = rotary.frequencies.len();
        if cos_sin.device.is_none() || cos_sin.host.n() < n {
            rotary.extend(&mut cos_sin.host, n.max(1));
            let both = self.place_rows(&cos_sin.host)?;
            let half = |first| both.narrow(1, first, pairs)?.contiguous();
            cos_sin.device = Some([half(0).map_err(failed)?, half(pairs).map_err(failed)?]);
        }
        Ok(())
    }

    /// candle takes memory in each operation.
    fn reserve(&self, _: &mut CandleRows, _: usize, _: usize) -> Result<()> {
        Ok(())
    }

    fn embed(
        &self,
        table: &CandleEmbedding,
        batch: &CandleBatch<'_>,
        norm: Option<&CandleNorm>,
        out: &mut CandleRows,
    ) -> Result<()> {
        let sum = || {
            let mut x = table.word_embeddings.index_select(&batch.ids, 0)?;
            if table.scale != 1.0 {
                x = (x * table.scale)?;
            }
            if let Some(types) = &table.token_type_embeddings {
                let last = types.dim(0)? as u32 - 1;
                let ids: Vec<u32> = batch.token_type_ids.iter().map(|id| (*id).min(last)).collect();
                x = (x + types.index_select(&Tensor::new(ids, &self.device)?, 0)?)?;
            }
            if let Some(positions) = &table.position_embeddings {
                x = (x + positions.index_select(&batch.position_ids, 0)?)?;
            }
            norm.map_or(Ok(x.clone()), |norm| norm.forward(&x))
        };
        out.set(sum())
    }

    fn norm(&self, x: &CandleRows, norm: &CandleNorm, out: &mut CandleRows) -> Result<()> {
        out.set(norm.forward(x.tensor()))
    }

    fn residual(&self, x: &mut CandleRows, y: &CandleRows) -> Result<()> {
        x.set(x.tensor() + y.tensor())
    }

    fn residual_norm(&self, x: &mut CandleRows, y: &CandleRows, norm: &CandleNorm) -> Result<()> {
        x.set((x.tensor() + y.tensor()).and_then(|sum| norm.forward(&sum)))
    }

    fn norm_heads(&self, x: &mut CandleRows, heads: Range<usize>, norm: &CandleNorm) -> Result<()> {
        let norm_row = match norm {
            CandleNorm::Layer(norm) => norm.weight(),
            CandleNorm::Rms(norm) => norm.weight(),
        };
        let head_dim = norm_row.elem_count();
        let columns = heads.start * head_dim..heads.end * head_dim;
        let normed = replace_columns(x.tensor(), columns, |part| {
            let shape = part.shape().clone();
            norm.forward(&part.reshape(((), head_dim))?)?.reshape(shape)
        });
        x.set(normed)
    }

    fn rotary(
        &self,
        x: &mut CandleRows,
        heads: usize,
        head_dim: usize,
        cos_sin: &CandleCosSin,
        batch: &CandleBatch<'_>,
    ) -> Result<()> {
        let [cos, sin] = cos_sin.device.as_ref().expect("extend_cos_sin comes before");
        let rotated = replace_columns(x.tensor(), 0..heads * head_dim, |part| {
            let (tokens, pairs) = (part.dim(0)?, cos.dim(1)?);
            let all = part.reshape((1, tokens, heads, head_dim))?;
            let turned = all.narrow(D::Minus1, 0, 2 * pairs)?.contiguous()?;
            let at = |table: &Tensor| table.index_select(&batch.position_ids, 0);
            let mut parts = vec![rope_thd(&turned, &at(cos)?, &at(sin)?)?];
            if 2 * pairs < head_dim {
                parts.push(all.narrow(D::Minus1, 2 * pairs, head_dim - 2 * pairs)?);
            }
            Tensor::cat(&parts, 3)?.reshape((tokens, heads * head_dim))
        });
        x.set(rotated)
    }

    fn attention(
        &self,
        config: &Attention,
        qkv: &CandleRows,
        batch: &CandleBatch<'_>,
        bias: Option<&Tensor>,
        out: &mut CandleRows,
    ) -> Result<()> {
        out.set(attention(config, qkv.tensor(), batch.cu_seqlens, bias))
    }

    fn linear(
        &self,
        layer: &Linear,
        x: &CandleRows,
        activation: Activation,
        out: &mut CandleRows,
    ) -> Result<()> {
        out.set(layer.forward(x.tensor()).and_then(|x| activate(&x, activation)))
    }

    fn gated_linear(
        &self,
        layer: &Linear,
        x: &CandleRows,
        activation: Activation,
        _: &mut CandleRows,
        out: &mut CandleRows,
    ) -> Result<()> {
        let gated = || {
            let both = layer.forward(x.tensor())?.chunk(2, 1)?;
            activate(&both[0].contiguous()?, activation)? * &both[1]
        };
        out.set(gated())
    }
}

impl Candle {
    fn place_rows(&self, rows: &Rows) -> Result<Tensor> {
        self.upload(rows.as_slice().to_vec(), (rows.n(), rows.d()))
    }
}

fn activate(x: &Tensor, activation: Activation) -> candle_core::Result<Tensor> {
    match activation {
        Activation::None => Ok(x.clone()),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::Relu => x.relu(),
        Activation::Silu => x.silu(),
        Activation::Tanh => x.tanh(),
    }
}

/// x with some of its columns replaced by `of` them. x: `[n, d]`.
fn replace_columns(
    x: &Tensor,
    columns: Range<usize>,
    of: impl FnOnce(&Tensor) -> candle_core::Result<Tensor>,
) -> candle_core::Result<Tensor> {
    let part = |columns: Range<usize>| x.narrow(1, columns.start, columns.len())?.contiguous();
    let mut parts = vec![of(&part(columns.clone())?)?];
    if columns.start > 0 {
        parts.insert(0, part(0..columns.start)?);
    }
    if columns.end < x.dim(1)? {
        parts.push(part(columns.end..x.dim(1)?)?);
    }
    Tensor::cat(&parts, 1)
}
