//! What does a BERT encoder compute? (Devlin et al., 2018: post-norm, absolute positions.)

use super::ModelConfig;
use super::weights::Weights;
use crate::device::ops::{
    self, Activation, Attention, Embedding, Linear, Mask, Norm, NormKind, Tokens,
};
use crate::device::{Device, Rows};
use crate::error::Result;
use crate::token::Ragged;

/// The names under which checkpoints keep the encoder, and a tensor that each has.
pub const PREFIXES: [&str; 2] = ["", "bert."];
pub const PROBE: &str = "embeddings.word_embeddings.weight";

/// A BERT encoder with its weights.
pub struct Bert {
    attention: Attention,
    activation: Activation,
    embedding: Embedding,
    embedding_norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    /// Query, key and value in one product: `[hidden, 3 * hidden]`.
    qkv: Linear,
    attended: Linear,
    attended_norm: Norm,
    up: Linear,
    down: Linear,
    output_norm: Norm,
}

/// The activations of one forward pass, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    /// `[tokens, hidden]`: what each layer reads and leaves.
    pub hidden: Rows,
    qkv: Rows,
    context: Rows,
    wide: Rows,
    /// `[tokens, hidden]`: what is added to `hidden`.
    update: Rows,
}

impl Bert {
    pub fn load(weights: &Weights, config: &ModelConfig) -> Result<Self> {
        let layer = |i| Layer::load(weights, config, &format!("encoder.layer.{i}"));
        Ok(Self {
            attention: attention(config),
            activation: config.activation,
            embedding: embedding(weights, config)?,
            embedding_norm: norm(weights, config, "embeddings.LayerNorm")?,
            layers: (0..config.layers).map(layer).collect::<Result<_>>()?,
        })
    }

    /// Leaves the hidden state of every token in `scratch.hidden`: `[tokens, hidden]`.
    pub fn forward(&self, device: &Device, batch: &Ragged, scratch: &mut Scratch) {
        let Scratch { hidden, qkv, context, wide, update } = scratch;
        let (ids, cu_seqlens) = (&batch.ids, &batch.cu_seqlens);
        let norm = &self.embedding_norm;
        let places: Vec<u32> = cu_seqlens.windows(2).flat_map(|e| 0..e[1] - e[0]).collect();
        let types = vec![0; ids.len()];
        let tokens = Tokens { ids, types: &types, places: &places };
        ops::embed(device, &self.embedding, tokens, Some(norm), hidden);
        for layer in &self.layers {
            ops::linear(device, &layer.qkv, hidden, Activation::None, qkv);
            ops::attention(device, &self.attention, qkv, cu_seqlens, None, context);
            ops::linear(device, &layer.attended, context, Activation::None, update);
            ops::residual_norm(device, hidden, update, &layer.attended_norm);
            ops::linear(device, &layer.up, hidden, self.activation, wide);
            ops::linear(device, &layer.down, wide, Activation::None, update);
            ops::residual_norm(device, hidden, update, &layer.output_norm);
        }
    }
}

impl Layer {
    fn load(weights: &Weights, config: &ModelConfig, at: &str) -> Result<Self> {
        let (hidden, wide) = (config.hidden_dim, config.intermediate_dim);
        Ok(Self {
            qkv: qkv(weights, &format!("{at}.attention.self"), hidden)?,
            attended: linear(weights, &format!("{at}.attention.output.dense"), hidden, hidden)?,
            attended_norm: norm(weights, config, &format!("{at}.attention.output.LayerNorm"))?,
            up: linear(weights, &format!("{at}.intermediate.dense"), hidden, wide)?,
            down: linear(weights, &format!("{at}.output.dense"), wide, hidden)?,
            output_norm: norm(weights, config, &format!("{at}.output.LayerNorm"))?,
        })
    }
}

fn attention(config: &ModelConfig) -> Attention {
    let (heads, head_dim) = (config.heads, config.hidden_dim / config.heads);
    let scale = 1.0 / (head_dim as f32).sqrt();
    Attention { heads, heads_kv: heads, head_dim, scale, mask: Mask::FULL }
}

fn embedding(weights: &Weights, config: &ModelConfig) -> Result<Embedding> {
    let d = config.hidden_dim;
    let table = |name: &str, rows| {
        let values = weights.take(&format!("embeddings.{name}.weight"), &[rows, d])?;
        Ok(Rows::new(values, d))
    };
    Ok(Embedding {
        words: table("word_embeddings", config.vocab_size)?,
        types: Some(table("token_type_embeddings", config.type_vocab_size)?),
        positions: Some(table("position_embeddings", config.max_positions)?),
        scale: 1.0,
    })
}

fn linear(weights: &Weights, at: &str, inputs: usize, outputs: usize) -> Result<Linear> {
    let weight = weights.take(&format!("{at}.weight"), &[outputs, inputs])?;
    let bias = weights.take(&format!("{at}.bias"), &[outputs])?;
    Ok(Linear::new(&weight, bias, inputs))
}

fn qkv(weights: &Weights, at: &str, hidden: usize) -> Result<Linear> {
    let (mut weight, mut bias) = (Vec::new(), Vec::new());
    for part in ["query", "key", "value"] {
        weight.extend(weights.take(&format!("{at}.{part}.weight"), &[hidden, hidden])?);
        bias.extend(weights.take(&format!("{at}.{part}.bias"), &[hidden])?);
    }
    Ok(Linear::new(&weight, bias, hidden))
}

/// A layer norm; checkpoints converted from TensorFlow call its parts gamma and beta.
fn norm(weights: &Weights, config: &ModelConfig, at: &str) -> Result<Norm> {
    let old = weights.has(&format!("{at}.gamma"));
    let (weight, bias) = if old { ("gamma", "beta") } else { ("weight", "bias") };
    let take = |part| weights.take(&format!("{at}.{part}"), &[config.hidden_dim]);
    let (weight, bias) = (take(weight)?, Some(take(bias)?));
    Ok(Norm { kind: NormKind::Layer, weight, bias, eps: config.norm_eps })
}
