//! How does each token of a sequence look at the others?

use std::ops::Range;

use rayon::prelude::*;

use super::scores::{Part, Sequence};
use super::shared::Shared;
use super::tile::ROWS_MAX;
use crate::device::{Cpu, Rows};

/// Queries of one task: it packs the keys and the values that they see once for all of them.
const QUERIES_PER_TASK: usize = 43 * ROWS_MAX;

/// Products of queries and keys that are worth a thread of their own: some microseconds.
const SCORES_PER_JOB: usize = 1 << 14;

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
    pub fn keys(self, queries: &Range<usize>, start: usize, end: usize) -> Range<usize> {
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
    pub(super) fn add(&self, head: usize, query: usize, first: usize, scores: &mut [f32]) {
        let (row, reach) = (self.values.row(head), (self.values.d() / 2) as isize);
        let distance = first as isize - query as isize;
        for (i, score) in scores.iter_mut().enumerate() {
            let distance = (distance + i as isize).clamp(-reach, reach);
            *score += row[(reach + distance) as usize];
        }
    }
}

/// out becomes `[tokens, heads * head_dim]`: `softmax(scale q k^T + bias) v` over the keys that the
/// mask shows, each sequence alone. The scale is above 0.
///
/// qkv: `[tokens, (heads + 2 * heads_kv) * head_dim]`, all queries of a token, then its keys, then
/// its values; cu_seqlens: `[n + 1]`. Held against f64 to 5e-6.
pub fn attention(
    cpu: &Cpu,
    shape: &Attention,
    qkv: &Rows,
    cu_seqlens: &[u32],
    bias: Option<&RelativeBias>,
    out: &mut Rows,
) {
    let Attention { heads, heads_kv, head_dim, scale, .. } = *shape;
    assert!(heads_kv > 0 && heads.is_multiple_of(heads_kv), "{heads} heads on {heads_kv}");
    assert!(head_dim > 0 && scale > 0.0, "heads of {head_dim}, scaled by {scale}");
    assert_eq!(qkv.d(), shape.row_dim(), "values of a row of queries, keys and values");
    assert!(bias.is_none_or(|bias| bias.values.n() == heads), "a bias for each head");
    let last = cu_seqlens.last().map_or(0, |&end| end as usize);
    assert_eq!(last, qkv.n(), "cu_seqlens end where the rows end");
    out.resize(qkv.n(), heads * head_dim);
    let shared = Shared::new(out.as_mut_slice(), heads * head_dim);
    let (set, parts) = (cpu.instruction_set(), parts(cu_seqlens, shape));
    // Short sequences make small parts, of which one thread takes several.
    let greatest = parts.iter().map(|part| part.queries.len() * part.seq.len()).max().unwrap_or(0);
    let together = SCORES_PER_JOB.div_ceil(greatest * heads / heads_kv + 1);
    let sequence = Sequence { set, shape, qkv, bias };
    parts.par_iter().with_min_len(together).for_each(|part| sequence.attend(part, &shared));
}

fn parts(cu_seqlens: &[u32], shape: &Attention) -> Vec<Part> {
    let mut parts = Vec::new();
    for ends in cu_seqlens.windows(2) {
        let seq = ends[0] as usize..ends[1] as usize;
        for query in seq.clone().step_by(QUERIES_PER_TASK) {
            let queries = query..(query + QUERIES_PER_TASK).min(seq.end);
            let part = |head_kv| Part { seq: seq.clone(), queries: queries.clone(), head_kv };
            parts.extend((0..shape.heads_kv).map(part));
        }
    }
    parts
}
