//! Which chunks share weighted vocabulary words with this query?
//!
//! Texts become weights of words of a model's vocabulary (SPLADE: Formal et al., 2021). A weight is
//! stored as an impact of one byte, and a score is the inner product of the impacts of query and chunk,
//! in whole numbers, so that it depends on no order of summation.
//!
//! Chunks lie in blocks of [`BLOCK_ROWS`]. Each word has the blocks it occurs in, with its largest impact
//! in each. A search bounds the score of every block and computes blocks from the highest bound on, until
//! no other block can have one of the best (block-max pruning: Mallia, Suel, Tonellotto, 2024). The answer
//! is exact.
//!
//! As in the dense index, the base over rows `0..n` never changes once it is built, and the delta over
//! rows `n..m` is written anew by each version.

mod build;
mod search;
mod store;

pub use build::Impacts;
pub use store::SparseIndex;

/// Chunks of one block: the place of a chunk in its block is one byte.
const BLOCK_ROWS: u32 = 256;

/// The weight of impact 1. Impacts end at 255 times that, `log(1 + logit)` of a logit of 163, and
/// weights below half of it are dropped.
const IMPACT_STEP: f32 = 0.02;

#[cfg(test)]
mod tests;
