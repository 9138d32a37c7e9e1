//! What does a transformer compute, whatever its family?

use super::description::{Absolute, Description};
use super::layer::{Layer, Pass, Scratch};
use super::part::Part;
use crate::base::error::Result;
use crate::device::cpu::ops::{Embedding, RelativeBias, Rotary, Tokens};
use crate::device::{Backend, Cpu, CpuBatch, Rows};
use crate::embedding::token::Ragged;

/// The distance between key and query from which on a bias is the same (Raffel et al., 2020).
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
    widths: [usize; 7],
}

/// What a forward pass leaves for the next one.
pub struct State<B: Backend> {
    pub scratch: Scratch<B>,
    /// Of each token of the batch.
    pub places: Vec<u32>,
    /// For each rotary, as many places as the longest sequence so far.
    pub turns: Vec<B::Turns>,
}

impl<B: Backend> Default for State<B> {
    fn default() -> Self {
        Self { scratch: Scratch::default(), places: Vec::new(), turns: Vec::new() }
    }
}

impl<B: Backend> Network<B> {
    pub fn load(part: &Part<'_, B>, of: &Description) -> Result<Self> {
        let (names, d) = (of.names, of.hidden_dim);
        let norm = |name: Option<&str>| name.map(|name| part.norm(name, d, &of.norm)).transpose();
        let table = |name, rows: Option<usize>| rows.map(|n| part.table(name, n, d)).transpose();
        let embedding = Embedding {
            words: part.table(names.words, of.vocab_size, d)?,
            types: table(names.types, Some(of.types).filter(|&n| n > 0))?,
            positions: table(names.positions, of.absolute.map(|absolute| absolute.rows))?,
            scale: of.embedding_scale,
        };
        let layer = |(i, rule)| Layer::load(part, of, i, rule);
        let bias = of.relative_buckets.map(|n| {
            let table = part.table(names.relative, n, of.heads)?;
            part.on.place_bias(relative_bias(&table))
        });
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

    /// Takes the memory that a pass over `tokens` needs, or says that it is not there.
    pub fn reserve(&self, on: &B, tokens: usize, state: &mut State<B>) -> Result<()> {
        state.scratch.reserve(on, tokens, self.widths)
    }

    /// Sets the places of the tokens of `batch`, and has a turn for each.
    pub fn prepare(&self, on: &B, batch: &Ragged, state: &mut State<B>) -> Result<()> {
        let State { places, turns, .. } = state;
        set_places(self.absolute, batch, places);
        turns.resize_with(self.rotaries.len(), B::Turns::default);
        let pairs = self.rotaries.iter().zip(turns);
        pairs.into_iter().try_for_each(|(rotary, turns)| on.extend(rotary, turns, batch.max_len()))
    }

    /// Computes the hidden state of every token, for [`Network::hidden`]. turns: as
    /// [`Network::prepare`] made them for `batch`.
    pub fn compute(
        &self,
        on: &B,
        batch: &B::Batch<'_>,
        turns: &[B::Turns],
        scratch: &mut Scratch<B>,
    ) -> Result<()> {
        let norm = self.embedding_norm.as_ref();
        on.embed(&self.embedding, batch, norm, &mut scratch.hidden)?;
        let pass = Pass { batch, turns, bias: self.bias.as_ref() };
        // Whoever leaves the hidden states norms them for what comes next.
        let norm_of = |i| self.layers.get(i).map_or(self.final_norm.as_ref(), Layer::first_norm);
        if let Some(norm) = norm_of(0) {
            on.norm(&scratch.hidden, norm, &mut scratch.normed)?;
        }
        let mut layers = self.layers.iter().enumerate();
        layers.try_for_each(|(i, layer)| layer.forward(on, &pass, norm_of(i + 1), scratch))
    }

    /// Where [`Network::compute`] leaves the hidden states: `[tokens, hidden]`.
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
        let State { scratch, places, turns } = state;
        let tokens = Tokens { ids: &batch.ids, types: &batch.types, places };
        let batch = CpuBatch { tokens, cu_seqlens: &batch.cu_seqlens };
        self.compute(cpu, &batch, turns, scratch)?;
        Ok(self.hidden(scratch))
    }
}

/// Where each token stands in its sequence. places becomes `[tokens]`.
fn set_places(absolute: Option<Absolute>, batch: &Ragged, places: &mut Vec<u32>) {
    places.clear();
    let Absolute { first, pad, .. } = absolute.unwrap_or(Absolute { rows: 0, first: 0, pad: None });
    for i in 0..batch.n() {
        let mut place = first as u32;
        for &id in batch.seq(i) {
            let counts = pad != Some(id);
            places.push(if counts { place } else { id });
            place += u32::from(counts);
        }
    }
}

/// The bias for each distance out of a table for each bucket of distances, `[buckets, heads]`.
///
/// Half the buckets are for keys behind the query. Of each half, one half holds one distance each,
/// the other half ever more of them, up to [`RELATIVE_DISTANCE_MAX`] (Raffel et al., 2020).
fn relative_bias(table: &Rows) -> RelativeBias {
    let (half, reach) = (table.n() / 2, RELATIVE_DISTANCE_MAX);
    let exact = half / 2;
    // In f32, as the reference computes it: a distance on the edge of a bucket stays where it was.
    let growth = |n: usize| (n as f32 / exact as f32).ln() / (reach as f32 / exact as f32).ln();
    let bucket = |n: usize| match n < exact {
        true => n,
        false => (exact + (growth(n) * (half - exact) as f32) as usize).min(half - 1),
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
