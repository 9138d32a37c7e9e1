//! Pairs of texts to scores.

use serde::Serialize;
use serde_json::value::RawValue;

use super::input::Input;
use super::job::{Computed, Job, RowError, Summary, Writer};
use super::lines::JsonLines;
use super::output::FailureLine;
use crate::base::error::Result;
use crate::base::output::OutputFile;
use crate::base::vector::Matrix;
use crate::embedding::engine::{Engine, Lane, ScoreRequest};

/// Lines `{"id", "score"}`, or `{"id", "scores"}` of a model with several labels.
pub struct ScoreOutput {
    lines: JsonLines,
    raw: bool,
}

#[derive(Serialize)]
struct ScoreLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    /// `[labels]`
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<&'a [f32]>,
}

impl ScoreOutput {
    /// Logits if `raw`, else the probabilities made of them.
    pub fn new(file: OutputFile, raw: bool) -> Self {
        Self { lines: JsonLines::new(file), raw }
    }
}

impl Writer for ScoreOutput {
    /// Logits: `[n, labels]`.
    type Results = Matrix;

    fn write(&mut self, id: Option<&RawValue>, logits: &Matrix, i: usize) -> Result<()> {
        let logits = logits.row(i);
        let scores = if self.raw { logits.to_vec() } else { probabilities(logits) };
        self.lines.write(&match scores[..] {
            [score] => ScoreLine { id, score: Some(score), scores: None },
            _ => ScoreLine { id, score: None, scores: Some(&scores) },
        })
    }

    fn write_failure(&mut self, id: Option<&RawValue>, error: RowError<'_>) -> Result<()> {
        self.lines.write(&FailureLine { id, error })
    }

    fn flush(&mut self) -> Result<()> {
        self.lines.flush()
    }

    fn finish(self) -> Result<()> {
        self.lines.finish()
    }
}

/// Scores every pair (query, text) of `input`.
pub fn rerank(
    engine: &Engine,
    input: &mut Input<(String, String)>,
    output: ScoreOutput,
    job: Job<'_>,
) -> Result<Summary> {
    let cx = job.cx;
    job.run(input, output, |pairs| {
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let scored = engine.score(ScoreRequest { pairs: &pairs, lane: Lane::Bulk }, cx)?;
        Ok(Computed { results: scored.logits, truncated: scored.truncated })
    })
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
