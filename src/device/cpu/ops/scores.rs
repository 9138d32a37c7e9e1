//! How are the scores of some queries computed, weighed and spent without leaving the cache?
//!
//! Keys are taken in blocks of [`KEYS_PER_BLOCK`]. A block is packed once for all queries of the
//! part: its keys as panels of 32 keys, `[panels, head_dim]` steps, its values as panels of 32
//! dimensions, `[panels, keys]` steps. Then, for each tile of queries:
//!
//! ```text
//! scores  [rows, block]     = q k^T                       (the tile's loop of linear layers)
//! weights [rows, block]     = 2^(log2(e) (scale * score + bias) - greatest)
//! context [rows, head_dim]  = context * 2^(old greatest - greatest) + weights v      (same loop)
//! ```
//!
//! The greatest score so far and the sum of the weights are kept for each row, and the context is
//! divided by that sum at the end (the online softmax of Milakov and Gimelshein, 2018). What a mask
//! hides has weight 0; blocks that it hides from a whole tile are not computed.

use std::cell::RefCell;
use std::f32::consts::LOG2_E;
use std::ops::Range;

use super::attention::{Attention, RelativeBias};
use super::math;
use super::shared::{self, Shared};
use super::tile::{Kernel, PANEL, ROWS_MAX, Step};
use crate::device::{Dtype, InstructionSet, Rows};

/// Keys packed at a time: at 32 dimensions 32 KiB, their values as many, the scores of a tile 12.
const KEYS_PER_BLOCK: usize = 8 * PANEL;

/// Panels of a block, and steps of a row of scores.
const PANELS_PER_BLOCK: usize = KEYS_PER_BLOCK / PANEL;

/// What one attention works on.
pub struct Sequence<'a> {
    pub set: InstructionSet,
    pub shape: &'a Attention,
    /// `[tokens, shape.row_dim()]`.
    pub qkv: &'a Rows,
    pub bias: Option<&'a RelativeBias>,
}

/// Some queries of one sequence, of all heads that share one head of keys and values.
pub struct Part {
    /// The rows of the sequence in the batch.
    pub seq: Range<usize>,
    pub queries: Range<usize>,
    pub head_kv: usize,
}

impl Part {
    /// The first of the heads of queries that share its head of keys.
    fn first_head(&self, shape: &Attention) -> usize {
        self.head_kv * (shape.heads / shape.heads_kv)
    }
}

/// Some queries of one head and a block of keys.
struct Tile<'a> {
    seq: &'a Range<usize>,
    head: usize,
    block: &'a Range<usize>,
    /// The keys of the block whose weights are read, counted from its first.
    seen: Range<usize>,
}

/// The part of `keys` in `block`, counted from the block's first; empty if there is none.
fn within(keys: Range<usize>, block: &Range<usize>) -> Range<usize> {
    let start = keys.start.max(block.start) - block.start;
    start..keys.end.min(block.end).saturating_sub(block.start)
}

/// The buffers of a part; made once a thread and reused.
#[derive(Default)]
struct Scratch {
    /// `[PANELS_PER_BLOCK, head_dim]`.
    keys: Vec<Step>,
    /// `[panels of head_dim, KEYS_PER_BLOCK]`.
    values: Vec<Step>,
    /// `[ROWS_MAX, PANELS_PER_BLOCK]`.
    scores: Vec<Step>,
    /// `[heads, queries, panels of head_dim]`.
    context: Vec<Step>,
    /// `[heads, queries]`.
    states: Vec<State>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What is known of a row after some blocks.
#[derive(Debug, Clone, Copy)]
struct State {
    /// The greatest score, as an exponent of 2.
    greatest: f32,
    /// The sum of the weights.
    sum: f32,
    /// What the context so far is to be multiplied by before the next block is added.
    fade: f32,
}

impl State {
    const NEW: Self = Self { greatest: f32::NEG_INFINITY, sum: 0.0, fade: 1.0 };
}

impl Sequence<'_> {
    /// Writes the context of a part. out: `[tokens, heads * head_dim]`.
    pub fn attend(&self, part: &Part, out: &Shared<'_>) {
        let Attention { heads, heads_kv, head_dim, mask, .. } = *self.shape;
        let (group, across) = (heads / heads_kv, head_dim.div_ceil(PANEL));
        let mut scratch = SCRATCH.take();
        scratch.keys.resize(PANELS_PER_BLOCK * head_dim, Step::ZERO);
        scratch.values.resize(across * KEYS_PER_BLOCK, Step::ZERO);
        scratch.scores.resize(ROWS_MAX * PANELS_PER_BLOCK, Step::ZERO);
        scratch.context.clear();
        scratch.context.resize(group * part.queries.len() * across, Step::ZERO);
        scratch.states.clear();
        scratch.states.resize(group * part.queries.len(), State::NEW);
        let seen = mask.keys(&part.queries, part.seq.start, part.seq.end);
        for first in seen.clone().step_by(KEYS_PER_BLOCK) {
            let block = first..(first + KEYS_PER_BLOCK).min(seen.end);
            self.pack(part, &block, &mut scratch);
            for head in 0..group {
                self.block(part, head, &block, &mut scratch);
            }
        }
        for head in 0..group {
            self.write(part, head, &scratch, out);
        }
        SCRATCH.set(scratch);
    }

    /// Packs the keys and the values of a block.
    fn pack(&self, part: &Part, block: &Range<usize>, scratch: &mut Scratch) {
        let Attention { heads, heads_kv, head_dim, .. } = *self.shape;
        let key = (heads + part.head_kv) * head_dim;
        let value = key + heads_kv * head_dim;
        let words =
            |row: usize, from: usize| shared::words(&self.qkv.row(row)[from..from + head_dim]);
        for (i, row) in block.clone().enumerate() {
            for (chunk, panel) in
                words(row, value).chunks(PANEL).zip(scratch.values.chunks_exact_mut(KEYS_PER_BLOCK))
            {
                panel[i].0[..chunk.len()].copy_from_slice(chunk);
            }
        }
        for (first, panel) in
            block.clone().step_by(PANEL).zip(scratch.keys.chunks_exact_mut(head_dim))
        {
            // A lane beyond the block holds the last key again; its weight is 0.
            let lane = |lane: usize| words((first + lane).min(block.end - 1), key);
            shared::transpose(std::array::from_fn(lane), panel);
        }
    }

    /// One block of keys for all queries of one head of the part.
    fn block(&self, part: &Part, head: usize, block: &Range<usize>, scratch: &mut Scratch) {
        let Attention { head_dim, mask, .. } = *self.shape;
        let (stride, across) = (self.qkv.d(), head_dim.div_ceil(PANEL));
        let head_q = part.first_head(self.shape) + head;
        let kernel = Kernel::new(self.set, Dtype::F32);
        let Scratch { keys, values, scores, context, states } = scratch;
        let height = kernel.height(part.queries.len());
        for query in part.queries.clone().step_by(height) {
            let queries = query..(query + height).min(part.queries.end);
            // The keys of the block that some of these queries sees, counted from its first.
            let seen = within(mask.keys(&queries, part.seq.start, part.seq.end), block);
            if seen.is_empty() {
                continue;
            }
            let rows = queries.len();
            let q = shared::words(&self.qkv.as_slice()[query * stride + head_q * head_dim..]);
            for panel in seen.start / PANEL..seen.end.div_ceil(PANEL) {
                let keys = &keys[panel * head_dim..][..head_dim];
                kernel.run(rows, q, stride, keys, &mut scores[panel..], PANELS_PER_BLOCK, &[]);
            }
            let at = head * part.queries.len() + query - part.queries.start;
            let states = &mut states[at..at + rows];
            let tile = Tile { seq: &part.seq, head: head_q, block, seen: seen.clone() };
            let rows_of_scores = scores.chunks_exact_mut(PANELS_PER_BLOCK).map(shared::floats);
            for ((query, row), state) in queries.zip(rows_of_scores).zip(&mut *states) {
                self.weights(&tile, query, row, state);
            }
            let weights = &shared::words_of(scores)[seen.start..];
            let mut sums = [Step::ZERO; ROWS_MAX];
            for panel in 0..across {
                let values = &values[panel * KEYS_PER_BLOCK..][seen.clone()];
                kernel.run(rows, weights, KEYS_PER_BLOCK, values, &mut sums, 1, &[]);
                add(self.set, &sums, states, &mut context[at * across + panel..], across);
            }
        }
    }

    /// Turns the scores of one query into weights; those of keys that it does not see become 0.
    ///
    /// row: `[KEYS_PER_BLOCK]`.
    fn weights(&self, tile: &Tile<'_>, query: usize, row: &mut [f32], state: &mut State) {
        let Tile { seq, head, block, seen } = tile;
        let own = within(self.shape.mask.keys(&(query..query + 1), seq.start, seq.end), block);
        if own.is_empty() {
            row[seen.clone()].fill(0.0);
            state.fade = 1.0;
            return;
        }
        let first = block.start + own.start;
        // Weights are powers of 2, not of e.
        let mut scale = self.shape.scale * LOG2_E;
        if let Some(bias) = self.bias {
            let row = &mut row[own.clone()];
            row.iter_mut().for_each(|score| *score *= self.shape.scale);
            bias.add(*head, query, first, row);
            scale = LOG2_E;
        }
        // What is computed are whole panels.
        let whole = own.start / PANEL * PANEL..own.end.next_multiple_of(PANEL);
        row[whole.start..own.start].fill(f32::NEG_INFINITY);
        row[own.end..whole.end].fill(f32::NEG_INFINITY);
        weigh(self.set, &mut row[whole], scale, state);
        row[seen.start..own.start].fill(0.0);
        row[own.end..seen.end].fill(0.0);
    }

    /// Divides the contexts by the sums of their weights, into `out`.
    fn write(&self, part: &Part, head: usize, scratch: &Scratch, out: &Shared<'_>) {
        let head_dim = self.shape.head_dim;
        let across = head_dim.div_ceil(PANEL);
        let col = (part.first_head(self.shape) + head) * head_dim;
        // SAFETY: parts differ in their queries or in their heads.
        let mut tile = unsafe { out.tile(part.queries.clone(), col..col + head_dim) };
        for i in 0..part.queries.len() {
            let at = head * part.queries.len() + i;
            let scale = 1.0 / scratch.states[at].sum;
            let context = &scratch.context[at * across..][..across];
            for (out, context) in tile.row(i).chunks_mut(PANEL).zip(context) {
                for (out, word) in out.iter_mut().zip(&context.0) {
                    *out = f32::from_bits(*word) * scale;
                }
            }
        }
    }
}

multiversion! {
    /// Each score becomes its weight, 2^(scale * score - greatest), and `state` that of the row with
    /// them. row: `[panels * 32]`.
    fn weigh(row: &mut [f32], scale: f32, state: &mut State) = weigh_body
}

#[inline(always)]
fn weigh_body<const FMA: bool>(row: &mut [f32], scale: f32, state: &mut State) {
    let greatest = math::greater(math::max(row) * scale, state.greatest);
    let mut lanes = [0.0; PANEL];
    for panel in row.as_chunks_mut::<PANEL>().0 {
        for (score, lane) in panel.iter_mut().zip(&mut lanes) {
            *score = math::exp2::<FMA>(math::fma::<FMA>(*score, scale, -greatest));
            *lane += *score;
        }
    }
    let fade = math::exp2::<FMA>(state.greatest - greatest);
    let sum = math::fma::<FMA>(state.sum, fade, math::sum::<FMA>(&lanes));
    *state = State { greatest, sum, fade };
}

multiversion! {
    /// context becomes `context * fade + sums`. sums, states: `[rows]`; context: `[rows, across]`,
    /// the first of each row.
    fn add(sums: &[Step], states: &[State], context: &mut [Step], across: usize) = add_body
}

#[inline(always)]
fn add_body<const FMA: bool>(sums: &[Step], states: &[State], context: &mut [Step], across: usize) {
    for ((context, sums), state) in context.iter_mut().step_by(across).zip(sums).zip(states) {
        for (context, sum) in context.0.iter_mut().zip(&sums.0) {
            let faded =
                math::fma::<FMA>(f32::from_bits(*context), state.fade, f32::from_bits(*sum));
            *context = faded.to_bits();
        }
    }
}
