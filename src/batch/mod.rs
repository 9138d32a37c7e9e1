//! How does a table of texts become vectors or scores?
//!
//! A pipeline reads its input block by block, computes, and writes the results in the order of the
//! input. It is given what it needs: a loaded model, an input, an output, and a [`Job`]. A row that
//! fails leaves its place in the output and stops no other.

mod distill;
mod dtype;
mod embed;
mod input;
mod job;
mod json_row;
mod lines;
mod output;
mod ranges;
mod rerank;

pub use distill::{Distilled, distill};
pub use dtype::{EncodedVector, OutputDtype, VectorFormat};
pub use embed::{embed, expand};
pub use input::{Input, InputFormat};
pub use job::{Job, RowFailure, Summary};
pub use output::{Output, SparseOutput, is_npy};
pub use ranges::Ranges;
pub use rerank::{ScoreOutput, rerank};
