//! The sizes, the mask and the bias of an attention.

use std::ops::Range;

use crate::device::Rows;

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

    /// The keys that any of `queries` sees, of a sequence at rows `start..end`.
    pub fn keys(self, queries: &Range<usize>, start: usize, end: usize) -> Range<usize> {
        let first = queries.start.saturating_sub(self.before).max(start);
        first..queries.end.saturating_add(self.after).min(end)
    }
}

/// The sizes and constants of an attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    pub heads: usize,
    /// Heads of keys and values; each serves `heads / heads_kv` consecutive heads of queries.
    pub heads_kv: usize,
    pub head_dim: usize,
    /// The factor of each product of a query and a key.
    pub scale: f32,
    pub mask: Mask,
}

impl Attention {
    /// The length of a token's row: its queries, then its keys, then its values.
    pub fn row_dim(&self) -> usize {
        (self.heads + 2 * self.heads_kv) * self.head_dim
    }
}

/// A bias that is added to each score by the distance between key and query.
#[derive(Debug, Clone)]
pub struct RelativeBias {
    /// `[heads, 2 * reach + 1]`: column `reach + key - query`; beyond the reach, the nearest
    /// column.
    pub values: Rows,
}

impl RelativeBias {
    /// scores: `[keys]`, of the keys from `first` on, which counts from the same row as `query`.
    pub(super) fn add(&self, head: usize, query: usize, first: usize, scores: &mut [f32]) {
        let (row, reach) = (self.values.row(head), (self.values.d() / 2) as isize);
        let distance = first as isize - query as isize;
        for (i, score) in scores.iter_mut().enumerate() {
            let distance = (distance + i as isize).clamp(-reach, reach);
            *score += row[(reach + distance) as usize];
        }
    }
}
