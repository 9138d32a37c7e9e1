//! MaxSim, the late interaction of ColBERT (Khattab and Zaharia 2020), over the token vectors of the
//! embedding model: each token of the query counts as much as the token of the chunk that is most like
//! it.

use super::Scorer;
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::base::vector::Matrix;
use crate::embedding::engine::{EmbedRequest, Engine, Lane, PromptKind, Purpose};

pub struct MaxSim<'a> {
    engine: &'a Engine,
    /// `[tokens, d]`, each row of length 1.
    query: Vec<Vec<f32>>,
}

impl<'a> MaxSim<'a> {
    /// engine: loaded for token vectors.
    pub fn new(engine: &'a Engine, query: &str, cx: &RunContext) -> Result<Self> {
        let found = engine.token_vectors(request(&[query], PromptKind::Query), cx)?;
        Ok(Self { engine, query: unit_rows(&found.vectors[0]) })
    }
}

/// Somebody waits for the vectors of the chunks, too.
fn request<'s, 't>(texts: &'s [&'t str], prompt: PromptKind<'s>) -> EmbedRequest<'s, 't> {
    EmbedRequest { texts, lane: Lane::Interactive, prompt, purpose: Purpose::Query }
}

impl Scorer for MaxSim<'_> {
    const BATCH: usize = 8;
    const WEIGHT: f64 = 0.2;

    fn scores(&self, texts: &[&str], cx: &RunContext) -> Result<Vec<f64>> {
        let found = self.engine.token_vectors(request(texts, PromptKind::Document), cx)?;
        Ok(found.vectors.iter().map(|chunk| max_sim(&self.query, &unit_rows(chunk))).collect())
    }
}

/// The rows, each with length 1; a row of zeros stays.
fn unit_rows(vectors: &Matrix) -> Vec<Vec<f32>> {
    let unit = |row: &[f32]| {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        row.iter().map(|x| x / length).collect()
    };
    vectors.rows().map(unit).collect()
}

/// The mean over the rows of `query` of the greatest inner product with a row of `chunk`; 0 if either
/// has no rows.
fn max_sim(query: &[Vec<f32>], chunk: &[Vec<f32>]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let best = |row: &Vec<f32>| chunk.iter().map(|other| dot(row, other)).reduce(f32::max);
    let sum: f64 = query.iter().filter_map(best).map(f64::from).sum();
    sum / query.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_of_the_query_counts_its_most_similar_token() {
        let matrix = |values: &[f32]| Matrix::new(values.to_vec(), 2).unwrap();
        let query = unit_rows(&matrix(&[2.0, 0.0, 0.0, 1.0]));
        let both = unit_rows(&matrix(&[0.0, 3.0, 5.0, 0.0, 1.0, 1.0]));
        assert_eq!(max_sim(&query, &both), 1.0);
        let one = unit_rows(&matrix(&[1.0, 0.0, -1.0, 0.0]));
        assert_eq!(max_sim(&query, &one), 0.5);
        assert_eq!(max_sim(&query, &[]), 0.0);
        assert_eq!(max_sim(&[], &both), 0.0);
        assert_eq!(unit_rows(&matrix(&[0.0, 0.0])), [[0.0, 0.0]]);
    }
}
