//! How near are vectors to those of the same model in f32?

use super::texts::Corpus;
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::base::vector::Matrix;
use crate::embedding::engine::{EmbedRequest, Endpoint, Engine, PromptKind};
use crate::tools::wire::Cosine;

/// Texts of each length that are compared, from all over the corpus.
pub const TEXTS: usize = 32;

/// Cosines of single texts.
#[derive(Debug)]
pub struct Cosines(Vec<f64>);

impl Cosines {
    /// a, b: `[n, d]`.
    fn of(a: &Matrix, b: &Matrix) -> Self {
        Self(a.rows().zip(b.rows()).map(|(a, b)| cosine(a, b)).collect())
    }

    /// Those of several corpora.
    pub fn joined<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        Self(all.into_iter().flat_map(|cosines| &cosines.0).copied().collect())
    }

    pub fn told(&self) -> Cosine {
        let texts = self.0.len();
        let least = self.0.iter().copied().fold(1.0, f64::min);
        Cosine { mean: self.0.iter().sum::<f64>() / texts as f64, least, texts }
    }
}

/// a, b: `[d]`.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The cosines of one corpus: of this process, and of an endpoint whose vectors have as many values.
pub fn cosines(
    corpus: &Corpus,
    reference: &Engine,
    engine: &Engine,
    endpoint: Option<&Endpoint>,
    run: &RunContext,
) -> Result<(Cosines, Option<Cosines>)> {
    let apart = corpus.texts.len().div_ceil(TEXTS);
    let texts: Vec<&str> = corpus.texts.iter().step_by(apart).map(String::as_str).collect();
    let embed = |engine: &Engine| {
        let request = EmbedRequest::bulk(&texts, PromptKind::None);
        engine.embed(request, run).map(|embeddings| embeddings.vectors)
    };
    let exact = embed(reference)?;
    let here = Cosines::of(&embed(engine)?, &exact);
    let there = endpoint.map(|endpoint| endpoint.embed(&texts, run)).transpose()?;
    let there = there.filter(|answer| answer.vectors.d() == exact.d());
    Ok((here, there.map(|answer| Cosines::of(&answer.vectors, &exact))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_is_that_of_directions() {
        let a = Matrix::new(vec![3.0, 0.0, 1.0, 1.0], 2).unwrap();
        let b = Matrix::new(vec![1.0, 0.0, 0.0, 5.0], 2).unwrap();
        let told = Cosines::of(&a, &b).told();
        assert_eq!(told.texts, 2);
        assert!((told.least - 0.5_f64.sqrt()).abs() < 1e-12, "{told:?}");
        assert!((told.mean - (1.0 + 0.5_f64.sqrt()) / 2.0).abs() < 1e-12, "{told:?}");
    }
}
