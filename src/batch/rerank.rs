//! Pairs of texts to scores.

use std::path::Path;

use serde::Serialize;

use super::Summary;
use super::lines::{JsonLines, Lines};
use crate::base::error::Result;
use crate::base::output::{FileId, OutputFile};
use crate::base::telemetry::RunContext;
use crate::embedding::engine::{Engine, Lane, ScoreRequest};

/// Pairs that are scored together; the input is never held in memory whole.
const BLOCK_PAIRS: usize = 512;

/// Lines `{"query", "text"}`.
pub struct PairInput(Lines);

/// Lines `{"score"}`, or `{"scores"}` of a model with several labels.
pub struct ScoreOutput(JsonLines);

#[derive(Serialize)]
#[serde(untagged)]
enum ScoreLine {
    One {
        score: f32,
    },
    /// `[labels]`
    Several {
        scores: Vec<f32>,
    },
}

impl PairInput {
    /// A file, or standard input for `None` and `-`.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        Lines::open(path).map(Self)
    }

    /// The file that is read, unless it is a pipe or a terminal.
    pub fn id(&self) -> Option<&FileId> {
        self.0.id()
    }

    /// The next pairs, at most [`BLOCK_PAIRS`]; empty at the end.
    fn next_block(&mut self) -> Result<Vec<(String, String)>> {
        let mut pairs = Vec::new();
        while pairs.len() < BLOCK_PAIRS {
            let Some(object) = self.0.read_object(&["query", "text"])? else { break };
            let field = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
            pairs.push((field("query"), field("text")));
        }
        Ok(pairs)
    }
}

impl ScoreOutput {
    pub fn new(file: OutputFile) -> Self {
        Self(JsonLines::new(file))
    }

    pub fn finish(self) -> Result<()> {
        self.0.finish()
    }

    /// scores: `[labels]`.
    fn write(&mut self, scores: Vec<f32>) -> Result<()> {
        self.0.write(&match scores[..] {
            [score] => ScoreLine::One { score },
            _ => ScoreLine::Several { scores },
        })
    }
}

/// Scores every pair of `input`: logits if `raw`, else the probabilities made of them.
pub fn rerank(
    engine: &Engine,
    raw: bool,
    input: &mut PairInput,
    output: &mut ScoreOutput,
    cx: &RunContext,
    progress: &dyn Fn(&Summary),
) -> Result<Summary> {
    let mut summary = Summary::default();
    loop {
        let pairs = input.next_block()?;
        if pairs.is_empty() {
            return Ok(summary);
        }
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let scored = engine.score(ScoreRequest { pairs: &pairs, lane: Lane::Bulk }, cx)?;
        for logits in scored.logits.rows() {
            output.write(if raw { logits.to_vec() } else { probabilities(logits) })?;
        }
        output.0.flush()?;
        summary.add(pairs.len(), scored.truncated);
        progress(&summary);
    }
}

/// The logistic function of a single logit, the softmax of several. logits: `[labels]`.
fn probabilities(logits: &[f32]) -> Vec<f32> {
    if let [logit] = logits {
        return vec![1.0 / (1.0 + (-logit).exp())];
    }
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - max).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_logit_becomes_a_probability_and_several_sum_to_one() {
        assert_eq!(probabilities(&[0.0]), [0.5]);
        assert_eq!(probabilities(&[-200.0]), [0.0]);
        assert_eq!(probabilities(&[200.0]), [1.0]);
        let several = probabilities(&[1000.0, 1001.0, 999.0]);
        assert!((several.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((several[1] / several[0] - 1.0_f32.exp()).abs() < 1e-4);
    }
}
