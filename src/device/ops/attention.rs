//! How does each token of a sequence look at the others?

use std::ops::Range;

use rayon::prelude::*;

use super::math;
use super::matmul::{Shared, View};
use crate::device::{Device, InstructionSet, Rows};

/// Queries of one task: its scores are `[QUERIES_PER_TASK, keys]`, 128 KiB at 512 keys, whatever
/// the length of the batch.
const QUERIES_PER_TASK: usize = 64;

/// Which keys a query sees: those from `before` tokens before it to `after` tokens behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask {
    pub before: usize,
    pub after: usize,
}

impl Mask {
    /// The whole sequence.
    pub const FULL: Self = Self { before: usize::MAX, after: usize::MAX };
    /// The query itself and all before it.
    pub const CAUSAL: Self = Self { before: usize::MAX, after: 0 };

    /// Of a sequence at rows `start..end`, the rows that some query of `queries` sees.
    fn keys(self, queries: &Range<usize>, start: usize, end: usize) -> Range<usize> {
        let first = queries.start.saturating_sub(self.before).max(start);
        first..queries.end.saturating_add(self.after).min(end)
    }
}

/// The sizes and constants of an attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    pub heads: usize,
    /// Heads of keys and values; each serves `heads / heads_kv` heads of queries, neighbours.
    pub heads_kv: usize,
    pub head_dim: usize,
    /// What a product of query and key is multiplied by.
    pub scale: f32,
    pub mask: Mask,
}

impl Attention {
    /// Values of a token's row: its queries, then its keys, then its values.
    pub fn row_dim(&self) -> usize {
        (self.heads + 2 * self.heads_kv) * self.head_dim
    }
}

/// What is added to a score for the distance between key and query.
#[derive(Debug, Clone)]
pub struct RelativeBias {
    /// `[heads, 2 * reach + 1]`: column `reach + key - query`; a farther key counts as the
    /// farthest.
    pub values: Rows,
}

impl RelativeBias {
    /// scores: `[keys]`, of the keys from `first` on; both places count from the same row.
    fn add(&self, head: usize, query: usize, first: usize, scores: &mut [f32]) {
        let (row, reach) = (self.values.row(head), (self.values.d() / 2) as isize);
        let distance = first as isize - query as isize;
        for (i, score) in scores.iter_mut().enumerate() {
            let distance = (distance + i as isize).clamp(-reach, reach);
            *score += row[(reach + distance) as usize];
        }
    }
}

/// One task: some queries of one head of one sequence, and the keys that they see.
struct Task {
    /// Where the sequence lies in the batch.
    start: usize,
    end: usize,
    queries: Range<usize>,
    keys: Range<usize>,
    head: usize,
}

/// out becomes `[tokens, heads * head_dim]`: `softmax(scale q k^T + bias) v` over the keys that the
/// mask shows, each sequence alone.
///
/// qkv: `[tokens, (heads + 2 * heads_kv) * head_dim]`, all queries of a token, then its keys, then
/// its values; cu_seqlens: `[n + 1]`.
pub fn attention(
    device: &Device,
    shape: &Attention,
    qkv: &Rows,
    cu_seqlens: &[u32],
    bias: Option<&RelativeBias>,
    out: &mut Rows,
) {
    let Attention { heads, heads_kv, head_dim, .. } = *shape;
    assert!(heads_kv > 0 && heads.is_multiple_of(heads_kv), "{heads} heads on {heads_kv}");
    assert_eq!(qkv.d(), shape.row_dim(), "values of a row of queries, keys and values");
    assert!(bias.is_none_or(|bias| bias.values.n() == heads), "a bias for each head");
    let last = cu_seqlens.last().map_or(0, |&end| end as usize);
    assert_eq!(last, qkv.n(), "cu_seqlens end where the rows end");
    out.resize(qkv.n(), heads * head_dim);
    let set = device.instruction_set();
    let tasks = tasks(cu_seqlens, shape);
    let shared = Shared::new(out.as_mut_slice(), heads * head_dim);
    tasks.par_iter().for_each_init(Vec::new, |scores, task| {
        one(set, shape, qkv, task, bias, scores, &shared);
    });
}

fn tasks(cu_seqlens: &[u32], shape: &Attention) -> Vec<Task> {
    let mut tasks = Vec::new();
    for ends in cu_seqlens.windows(2) {
        let (start, end) = (ends[0] as usize, ends[1] as usize);
        for query in (start..end).step_by(QUERIES_PER_TASK) {
            let queries = query..(query + QUERIES_PER_TASK).min(end);
            let keys = shape.mask.keys(&queries, start, end);
            let task =
                |head| Task { start, end, queries: queries.clone(), keys: keys.clone(), head };
            tasks.extend((0..shape.heads).map(task));
        }
    }
    tasks
}

fn one(
    set: InstructionSet,
    shape: &Attention,
    qkv: &Rows,
    task: &Task,
    bias: Option<&RelativeBias>,
    scores: &mut Vec<f32>,
    out: &Shared<'_>,
) {
    let Attention { heads, heads_kv, head_dim, scale, mask } = *shape;
    let Task { queries, keys, head, .. } = task;
    let part = |rows: &Range<usize>, head: usize| {
        let cols = head * head_dim..(head + 1) * head_dim;
        View::new(qkv.as_slice(), qkv.d(), rows.clone(), cols)
    };
    let head_kv = head / (heads / heads_kv);
    let (q, k) = (part(queries, *head), part(keys, heads + head_kv));
    let v = part(keys, heads + heads_kv + head_kv);
    let (n, seen) = (queries.len(), keys.len());
    scores.resize(n * seen, 0.0);
    let weights = Shared::new(scores, seen);
    // SAFETY: the only tile of this task's own buffer; it ends before the weights are read below.
    let mut tile = unsafe { weights.tile(0..n, 0..seen) };
    tile.product(q, k.transposed(), scale);
    let mut scales = [0.0; QUERIES_PER_TASK];
    for (i, scale) in scales[..n].iter_mut().enumerate() {
        let query = queries.start + i;
        let own = mask.keys(&(query..query + 1), task.start, task.end);
        let row = tile.row(i);
        row[..own.start - keys.start].fill(0.0);
        row[own.end - keys.start..].fill(0.0);
        let row = &mut row[own.start - keys.start..own.end - keys.start];
        if let Some(bias) = bias {
            bias.add(*head, query, own.start, row);
        }
        exp_row(set, row, scale);
    }
    // SAFETY: tasks differ in their queries or in their head.
    let mut context = unsafe { out.tile(queries.clone(), head * head_dim..(head + 1) * head_dim) };
    context.product(View::new(scores, seen, 0..n, 0..seen), v, 1.0);
    for (i, &scale) in scales[..n].iter().enumerate() {
        context.row(i).iter_mut().for_each(|value| *value *= scale);
    }
}

multiversion! {
    /// Each score becomes `e^(score - greatest)`, and `scale` one over their sum. row: `[seen]`.
    fn exp_row(row: &mut [f32], scale: &mut f32) = exp_row_body
}

#[inline(always)]
fn exp_row_body<const FMA: bool>(row: &mut [f32], scale: &mut f32) {
    let greatest = math::max(row);
    for value in row.iter_mut() {
        *value = math::exp::<FMA>(*value - greatest);
    }
    *scale = 1.0 / math::sum::<FMA>(row);
}
