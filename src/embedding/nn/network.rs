//! A transformer of any family, with its weights.

use super::description::{Absolute, Description, Widths};
use super::layer::{Layer, Pass, Scratch};
use super::part::Part;
use crate::base::error::Result;
use crate::device::cpu::ops::{Embedding, RelativeBias, Rotary, Tokens};
use crate::device::{Backend, Cpu, CpuBatch, Rows};
use crate::embedding::token::Ragged;

/// Keys farther from the query than this share the bias of this distance (Raffel et al., 2020).
const RELATIVE_DISTANCE_MAX: usize = 128;

/// A transformer with its weights on one device.
pub struct Network<B: Backend> {
    embedding: B::Embedding,
    embedding_norm: Option<B::Norm>,
    absolute: Option<Absolute>,
    rotaries: Vec<Rotary>,
    bias: Option<B::RelativeBias>,
    layers: Vec<Layer<B>>,
    final_norm: Option<B::Norm>,
    widths: Widths,
}

/// The buffers of a forward pass, kept for the next one.
pub struct State<B: Backend> {
    pub scratch: Scratch<B>,
    /// `[tokens]`.
    pub position_ids: Vec<u32>,
    /// For each rotary embedding, as many positions as the longest sequence so far.
    pub cos_sin: Vec<B::CosSin>,
}

impl<B: Backend> Default for State<B> {
    fn default() -> Self {
        Self { scratch: Scratch::default(), position_ids: Vec::new(), cos_sin: Vec::new() }
    }
}

impl<B: Backend> Network<B> {
    pub fn load(part: &Part<'_, B>, of: &Description) -> Result<Self> {
        let (names, d) = (of.names, of.hidden_dim);
        let norm = |name: Option<&str>| name.map(|name| part.norm(name, d, &of.norm)).transpose();
        let table = |name: Option<&str>, rows: Option<usize>, d| {
            name.zip(rows).map(|(name, n)| part.table(name, n, d)).transpose()
        };
        let position_rows = of.absolute.map(|absolute| absolute.rows);
        let embedding = Embedding {
            word_embeddings: part.table(names.word_embeddings, of.vocab_size, d)?,
            token_type_embeddings: table(names.token_type_embeddings, of.token_types, d)?,
            position_embeddings: table(names.position_embeddings, position_rows, d)?,
            scale: of.embedding_scale,
        };
        let layer = |(i, config)| Layer::load(part, of, i, config);
        let buckets = table(names.relative_attention_bias, of.relative_buckets, of.heads)?;
        let bias = match buckets {
            Some(table) => Some(relative_bias(&table)),
            None => of.alibi.then(|| alibi(of.heads, of.max_tokens)),
        };
        let bias = bias.map(|bias| part.on.place_bias(bias));
        Ok(Self {
            embedding: part.on.place_embedding(embedding)?,
            embedding_norm: norm(names.embedding_norm)?,
            absolute: of.absolute,
            rotaries: of.rotaries.clone(),
            bias: bias.transpose()?,
            layers: of.layers.iter().enumerate().map(layer).collect::<Result<_>>()?,
            final_norm: norm(names.final_norm)?,
            widths: of.widths(),
        })
    }

    /// Takes the memory that a pass over `tokens` needs; an error if there is not enough.
    pub fn reserve(&self, on: &B, tokens: usize, state: &mut State<B>) -> Result<()> {
        state.scratch.reserve(on, tokens, &self.widths)
    }

    /// Sets the position of each token of `batch`, with its cosines and sines.
    pub fn prepare(&self, on: &B, batch: &Ragged, state: &mut State<B>) -> Result<()> {
        let State { position_ids, cos_sin, .. } = state;
        set_position_ids(self.absolute, batch, position_ids);
        cos_sin.resize_with(self.rotaries.len(), B::CosSin::default);
        let pairs = self.rotaries.iter().zip(cos_sin);
        pairs
            .into_iter()
            .try_for_each(|(rotary, cos_sin)| on.extend_cos_sin(rotary, cos_sin, batch.max_len()))
    }

    /// Computes the hidden state of every token, for [`Network::hidden`]. cos_sin: as
    /// [`Network::prepare`] made them for `batch`.
    pub fn compute(
        &self,
        on: &B,
        batch: &B::Batch<'_>,
        cos_sin: &[B::CosSin],
        scratch: &mut Scratch<B>,
    ) -> Result<()> {
        let norm = self.embedding_norm.as_ref();
        on.embed(&self.embedding, batch, norm, &mut scratch.hidden)?;
        let pass = Pass { batch, cos_sin, bias: self.bias.as_ref() };
        // Each layer norms its output for the next one.
        let norm_of = |i| self.layers.get(i).map_or(self.final_norm.as_ref(), Layer::first_norm);
        if let Some(norm) = norm_of(0) {
            on.norm(&scratch.hidden, norm, &mut scratch.normed)?;
        }
        let mut layers = self.layers.iter().enumerate();
        layers.try_for_each(|(i, layer)| layer.forward(on, &pass, norm_of(i + 1), scratch))
    }

    /// The hidden states that [`Network::compute`] left: `[tokens, hidden]`.
    pub fn hidden<'a>(&self, scratch: &'a mut Scratch<B>) -> &'a mut B::Rows {
        if self.final_norm.is_some() { &mut scratch.normed } else { &mut scratch.hidden }
    }
}

impl Network<Cpu> {
    /// The hidden state of every token: `[tokens, hidden]`.
    pub fn forward<'a>(
        &self,
        cpu: &Cpu,
        batch: &Ragged,
        state: &'a mut State<Cpu>,
    ) -> Result<&'a Rows> {
        self.prepare(cpu, batch, state)?;
        let State { scratch, position_ids, cos_sin } = state;
        let tokens =
            Tokens { ids: &batch.ids, token_type_ids: &batch.token_type_ids, position_ids };
        let batch = CpuBatch { tokens, cu_seqlens: &batch.cu_seqlens };
        self.compute(cpu, &batch, cos_sin, scratch)?;
        Ok(self.hidden(scratch))
    }
}

/// The position of each token in its sequence. position_ids becomes `[tokens]`.
fn set_position_ids(absolute: Option<Absolute>, batch: &Ragged, position_ids: &mut Vec<u32>) {
    position_ids.clear();
    let Absolute { first, pad, .. } = absolute.unwrap_or(Absolute { rows: 0, first: 0, pad: None });
    for i in 0..batch.n() {
        let mut position = first as u32;
        for &id in batch.seq(i) {
            let counts = pad != Some(id);
            position_ids.push(if counts { position } else { id });
            position += u32::from(counts);
        }
    }
}

/// The bias of ALiBi (Press et al., 2022) in both directions: the distance times a slope of each
/// head.
fn alibi(heads: usize, max_tokens: usize) -> RelativeBias {
    // A geometric sequence that ends at 2^-8, for a number of heads that is a power of two. Other
    // numbers take the rest from the sequence for twice as many.
    let sequence = |heads: usize| {
        let ratio = (-8.0 / heads as f64).exp2();
        (0..heads).map(move |i| ratio.powi(i as i32 + 1))
    };
    let power = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    let slopes: Vec<f64> =
        sequence(power).chain(sequence(2 * power).step_by(2)).take(heads).collect();
    let reach = max_tokens - 1;
    let columns = 2 * reach + 1;
    let value = |slope: f64, column: usize| (-slope * column.abs_diff(reach) as f64) as f32;
    let values = slopes.iter().flat_map(|slope| (0..columns).map(|i| value(*slope, i)));
    RelativeBias { values: Rows::new(values.collect(), columns) }
}

/// The bias for each distance. table: `[buckets, heads]`, the bias for each bucket of distances.
///
/// Half the buckets are for keys behind the query. Of each half, one half holds one distance each,
/// the other half ever more of them, up to [`RELATIVE_DISTANCE_MAX`] (Raffel et al., 2020).
fn relative_bias(table: &Rows) -> RelativeBias {
    let (half, reach) = (table.n() / 2, RELATIVE_DISTANCE_MAX);
    let exact = half / 2;
    // In f32, as the reference computes it, so that a distance on the edge of a bucket is in the
    // same.
    let growth = |n: usize| (n as f32 / exact as f32).ln() / (reach as f32 / exact as f32).ln();
    let bucket = |n: usize| {
        if n < exact {
            n
        } else {
            (exact + (growth(n) * (half - exact) as f32) as usize).min(half - 1)
        }
    };
    let value = |head: usize, column: usize| {
        let behind = column > reach;
        let n = column.abs_diff(reach);
        table.row(bucket(n) + if behind { half } else { 0 })[head]
    };
    let columns = 2 * reach + 1;
    let values = (0..table.d() * columns).map(|i| value(i / columns, i % columns)).collect();
    RelativeBias { values: Rows::new(values, columns) }
}
