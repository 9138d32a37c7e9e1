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
use crate::embedding::nn::ScoreActivation;

/// Lines `{"id", "score"}`, or `{"id", "scores"}` of a model with several labels.
pub struct ScoreOutput {
    lines: JsonLines,
    activation: ScoreActivation,
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
    /// Scores that `activation` makes of logits.
    pub fn new(file: OutputFile, activation: ScoreActivation) -> Self {
        Self { lines: JsonLines::new(file), activation }
    }
}

impl Writer for ScoreOutput {
    /// Logits: `[n, labels]`.
    type Results = Matrix;

    fn write(&mut self, id: Option<&RawValue>, logits: &Matrix, i: usize) -> Result<()> {
        let scores = self.activation.apply(logits.row(i));
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
