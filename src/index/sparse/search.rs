//! The best chunks for a query.

use std::cmp::Reverse;
use std::ops::Range;

use super::build::Impacts;
use super::store::{Part, SparseIndex, partition_point};
use super::{BLOCK_ROWS, IMPACT_STEP};
use crate::base::hit::{ChunkId, ChunkSet, Hit, TopK};

/// The inner product of query and chunk, from that of their impacts.
pub(super) fn score(product: u64) -> f32 {
    product as f32 * (IMPACT_STEP * IMPACT_STEP)
}

impl SparseIndex {
    /// The best `k` chunks of `scope`, or of all, best first; equal scores by id. A chunk that shares no
    /// word with the query is not found.
    pub fn search(&self, query: &Impacts, k: usize, scope: Option<&ChunkSet>) -> Vec<Hit> {
        let mut best = TopK::new(k);
        if k > 0 {
            self.parts().for_each(|(first, part)| part.search(query, first, scope, &mut best));
        }
        best.into_sorted()
    }
}

/// A word of the query that occurs in a part.
struct Term {
    impact: u64,
    /// Positions of its blocks.
    blocks: Range<usize>,
}

impl Part {
    /// first: the id of the first row.
    fn search(&self, query: &Impacts, first: u32, scope: Option<&ChunkSet>, best: &mut TopK) {
        let term = |&(word, impact): &(u32, u8)| Term {
            impact: u64::from(impact),
            blocks: self.blocks_of(word),
        };
        let terms: Vec<Term> = query.0.iter().map(term).filter(|t| !t.blocks.is_empty()).collect();
        let mut bounds = vec![0_u64; self.blocks()];
        for term in &terms {
            for position in term.blocks.clone() {
                bounds[self.block(position) as usize] +=
                    term.impact * u64::from(self.maximum(position));
            }
        }
        let mut order: Vec<u32> =
            (0..).zip(&bounds).filter(|(_, b)| **b > 0).map(|b| b.0).collect();
        order.sort_unstable_by_key(|block| (Reverse(bounds[*block as usize]), *block));
        let mut products = [0_u64; BLOCK_ROWS as usize];
        for block in order {
            // The bound with the first id of the block is no worse than any of its chunks.
            let id = ChunkId(first + block * BLOCK_ROWS);
            let bound = score(bounds[block as usize]);
            if !best.accepts(&Hit { id, score: bound }) {
                if !best.accepts(&Hit { id: ChunkId(0), score: bound }) {
                    break;
                }
                continue;
            }
            products.fill(0);
            for term in &terms {
                let position = partition_point(term.blocks.clone(), |i| self.block(i) < block);
                if position < term.blocks.end && self.block(position) == block {
                    for (place, impact) in self.postings(position) {
                        products[place as usize] += term.impact * u64::from(impact);
                    }
                }
            }
            for (id, product) in (id.0..).map(ChunkId).zip(&products) {
                if *product > 0 && scope.is_none_or(|scope| scope.contains(id)) {
                    best.push(Hit { id, score: score(*product) });
                }
            }
        }
    }
}
