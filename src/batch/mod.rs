//! How does a table of texts become vectors or scores?
//!
//! A pipeline reads its input block by block, computes, and writes the results in the order of the
//! input. It is given what it needs: a loaded model, an input, an output, and a function that is
//! called after each block.

mod dtype;
mod embed;
mod input;
mod lines;
mod output;
mod rerank;

pub use dtype::OutputDtype;
pub use embed::{embed, expand};
pub use input::{Input, InputFormat};
pub use output::{Output, SparseOutput, is_npy};
pub use rerank::{PairInput, ScoreOutput, rerank};

/// What a pipeline did so far; when it returns, in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Texts or pairs.
    pub n: usize,
    /// How many of them were longer than the model reads, and were truncated.
    pub truncated: usize,
}

impl Summary {
    fn add(&mut self, n: usize, truncated: usize) {
        self.n += n;
        self.truncated += truncated;
    }
}
