//! How good are the answers?
//!
//! A set of questions with what is relevant to each is asked of one index by several systems: each channel alone, their fusion, the whole pipeline, and baselines without an index.
//! [`Evaluation`] holds the figures. [`make`] derives questions from the documentation of any
//! repository. Nothing is printed here.

mod baselines;
mod candidates;
mod documentation;
mod evaluation;
mod metrics;
mod question;
mod systems;

pub use candidates::QuestionCandidates;
pub use documentation::{MadeSet, MakeOptions, make};
pub use evaluation::{Comparison, Evaluation, QuestionScores, compare};
pub use question::read_questions;
pub use systems::{TakeCandidates, evaluate};
