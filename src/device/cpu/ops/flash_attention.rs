//! Attention whose scores stay in the cache (FlashAttention: Dao et al., 2022).
//!
//! Keys are taken in blocks of [`KEYS_PER_BLOCK`]. A block is packed once for all queries of the
//! part: its keys as panels of 32 keys, `[panels, head_dim]` steps, its values as panels of 32
//! dimensions, `[panels, keys]` steps. Then, for each tile of queries:
//!
//! ```text
//! scores  [rows, block]     = q k^T                       (the tile's loop of linear layers)
//! weights [rows, block]     = 2^(log2(e) (scale * score + bias) - max)
//! context [rows, head_dim]  = context * 2^(old max - max) + weights v                (same loop)
//! ```
//!
//! The maximum score so far and the sum of the weights are kept for each row, and the context is
//! divided by that sum at the end (the online softmax of Milakov and Gimelshein, 2018). What a mask
//! hides has weight 0; blocks that it hides from a whole tile are not computed.

use std::cell::RefCell;
use std::f32::consts::LOG2_E;
use std::ops::Range;

use rayon::prelude::*;

use super::attention::{Attention, RelativeBias};
use super::math;
use super::shared::{self, Shared};
use super::tile::{Kernel, PANEL, ROWS_MAX, Step};
use crate::device::{Cpu, Dtype, InstructionSet, Rows};

/// Queries of one task, which packs the keys and the values that they see once for all of them.
const QUERIES_PER_TASK: usize = 43 * ROWS_MAX;

/// Products of queries and keys that are worth a thread of their own: some microseconds.
const SCORES_PER_JOB: usize = 1 << 14;

/// Keys packed at a time: at 32 dimensions 32 KiB, their values as many, the scores of a tile 12.
const KEYS_PER_BLOCK: usize = 8 * PANEL;

/// Panels of a block, and steps of a row of scores.
const PANELS_PER_BLOCK: usize = KEYS_PER_BLOCK / PANEL;

/// out becomes `[tokens, heads * head_dim]`: `softmax(scale q k^T + bias) v` over the keys that the
/// mask shows, each sequence by itself. The scale is above 0.
///
/// qkv: `[tokens, (heads + 2 * heads_kv) * head_dim]`, all queries of a token, then its keys, then
/// its values; cu_seqlens: `[n + 1]`. Tested against f64 to 5e-6.
pub fn attention(
    cpu: &Cpu,
    config: &Attention,
    qkv: &Rows,
    cu_seqlens: &[u32],
    bias: Option<&RelativeBias>,
    out: &mut Rows,
) {
    let Attention { heads, heads_kv, head_dim, scale, .. } = *config;
    assert!(heads_kv > 0 && heads.is_multiple_of(heads_kv), "{heads} heads on {heads_kv}");
    assert!(head_dim > 0 && scale > 0.0, "heads of {head_dim}, scaled by {scale}");
    assert_eq!(qkv.d(), config.row_dim(), "values of a row of queries, keys and values");
    assert!(bias.is_none_or(|bias| bias.values.n() == heads), "a bias for each head");
    let last = cu_seqlens.last().map_or(0, |&end| end as usize);
    assert_eq!(last, qkv.n(), "cu_seqlens end where the rows end");
    out.resize(qkv.n(), heads * head_dim);
    let shared = Shared::new(out.as_mut_slice(), heads * head_dim);
    let (set, parts) = (cpu.instruction_set(), parts(cu_seqlens, config));
    // Short sequences make small parts, of which one thread takes several.
    let scores_max =
        parts.iter().map(|part| part.queries.len() * part.seq.len()).max().unwrap_or(0);
    let together = SCORES_PER_JOB.div_ceil(scores_max * heads / heads_kv + 1);
    let sequence = Sequence { set, config, qkv, bias };
    parts.par_iter().with_min_len(together).for_each(|part| sequence.attend(part, &shared));
}

fn parts(cu_seqlens: &[u32], config: &Attention) -> Vec<Part> {
    let mut parts = Vec::new();
    for ends in cu_seqlens.windows(2) {
        let seq = ends[0] as usize..ends[1] as usize;
        for query in seq.clone().step_by(QUERIES_PER_TASK) {
            let queries = query..(query + QUERIES_PER_TASK).min(seq.end);
            let part = |head_kv| Part { seq: seq.clone(), queries: queries.clone(), head_kv };
            parts.extend((0..config.heads_kv).map(part));
        }
    }
    parts
}

/// The input of an attention.
struct Sequence<'a> {
    set: InstructionSet,
    config: &'a Attention,
    /// `[tokens, config.row_dim()]`.
    qkv: &'a Rows,
    bias: Option<&'a RelativeBias>,
}

/// Some queries of one sequence, of all heads that share one head of keys and values.
struct Part {
    /// The rows of the sequence in the batch.
    seq: Range<usize>,
    queries: Range<usize>,
    head_kv: usize,
}

impl Part {
    /// The first of the heads of queries that share its head of keys.
    fn first_head(&self, config: &Attention) -> usize {
        self.head_kv * (config.heads / config.heads_kv)
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

/// The buffers of a part, which a thread keeps for its next one.
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

/// The softmax of a row after some blocks.
#[derive(Debug, Clone, Copy)]
struct State {
    /// The maximum score, as an exponent of 2.
    max: f32,
    /// The sum of the weights.
    sum: f32,
    /// The factor of the context so far, before the next block is added.
    fade: f32,
}

impl State {
    const NEW: Self = Self { max: f32::NEG_INFINITY, sum: 0.0, fade: 1.0 };
}

impl Sequence<'_> {
    /// Writes the context of a part. out: `[tokens, heads * head_dim]`.
    fn attend(&self, part: &Part, out: &Shared<'_>) {
        let Attention { heads, heads_kv, head_dim, mask, .. } = *self.config;
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
        let Attention { heads, heads_kv, head_dim, .. } = *self.config;
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
        let Attention { head_dim, mask, .. } = *self.config;
        let (stride, across) = (self.qkv.d(), head_dim.div_ceil(PANEL));
        let head_q = part.first_head(self.config) + head;
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

    /// Replaces the scores of one query by weights; those of keys that it does not see become 0.
    ///
    /// row: `[KEYS_PER_BLOCK]`.
    fn weights(&self, tile: &Tile<'_>, query: usize, row: &mut [f32], state: &mut State) {
        let Tile { seq, head, block, seen } = tile;
        let own = within(self.config.mask.keys(&(query..query + 1), seq.start, seq.end), block);
        if own.is_empty() {
            row[seen.clone()].fill(0.0);
            state.fade = 1.0;
            return;
        }
        let first = block.start + own.start;
        // Weights are powers of 2, not of e.
        let mut scale = self.config.scale * LOG2_E;
        if let Some(bias) = self.bias {
            let row = &mut row[own.clone()];
            row.iter_mut().for_each(|score| *score *= self.config.scale);
            bias.add(*head, query, first, row);
            scale = LOG2_E;
        }
        // Whole panels are computed.
        let whole = own.start / PANEL * PANEL..own.end.next_multiple_of(PANEL);
        row[whole.start..own.start].fill(f32::NEG_INFINITY);
        row[own.end..whole.end].fill(f32::NEG_INFINITY);
        weigh(self.set, &mut row[whole], scale, state);
        row[seen.start..own.start].fill(0.0);
        row[own.end..seen.end].fill(0.0);
    }

    /// Divides the contexts by the sums of their weights, into `out`.
    fn write(&self, part: &Part, head: usize, scratch: &Scratch, out: &Shared<'_>) {
        let head_dim = self.config.head_dim;
        let across = head_dim.div_ceil(PANEL);
        let col = (part.first_head(self.config) + head) * head_dim;
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
    /// Each score becomes its weight, 2^(scale * score - max), and `state` includes them. row:
    /// `[panels * 32]`.
    fn weigh(row: &mut [f32], scale: f32, state: &mut State) = weigh_body
}

#[inline(always)]
fn weigh_body<const FMA: bool>(row: &mut [f32], scale: f32, state: &mut State) {
    let max = math::greater(math::max(row) * scale, state.max);
    let mut lanes = [0.0; PANEL];
    for panel in row.as_chunks_mut::<PANEL>().0 {
        for (score, lane) in panel.iter_mut().zip(&mut lanes) {
            *score = math::exp2::<FMA>(math::fma::<FMA>(*score, scale, -max));
            *lane += *score;
        }
    }
    let fade = math::exp2::<FMA>(state.max - max);
    let sum = math::fma::<FMA>(state.sum, fade, math::sum::<FMA>(&lanes));
    *state = State { max, sum, fade };
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
