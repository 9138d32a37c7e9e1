//! A cross-encoder: a model that reads the query and a chunk together.

use super::Scorer;
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::embedding::engine::{Engine, Lane, ScoreRequest};

pub struct CrossEncoder<'a> {
    /// Loaded to score pairs.
    pub engine: &'a Engine,
    pub query: &'a str,
}

impl Scorer for CrossEncoder<'_> {
    const BATCH: usize = 8;
    const WEIGHT: f64 = 0.7;

    fn scores(&self, texts: &[&str], cx: &RunContext) -> Result<Vec<f64>> {
        let identity = self.engine.identity();
        if identity.dim != 1 {
            let found = format!("a classifier with {} labels, {},", identity.dim, identity.name);
            let supported = "one with a single label, the relevance".to_owned();
            return Err(Error::ModelUnsupported { found, supported });
        }
        let pairs: Vec<_> = texts.iter().map(|text| (self.query, *text)).collect();
        let request = ScoreRequest { pairs: &pairs, lane: Lane::Interactive };
        let logits = self.engine.score(request, cx)?.logits;
        let score = |row: &[f32]| f64::from(identity.activation.apply(row)[0]);
        Ok(logits.rows().map(score).collect())
    }
}
