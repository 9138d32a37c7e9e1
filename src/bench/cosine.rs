//! The cosine between vectors and those of the same model in f32.

use super::other_target::OtherTarget;
use super::report::Cosine;
use super::texts::Corpus;
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::base::vector::Matrix;
use crate::embedding::engine::{EmbedRequest, Engine, PromptKind};

/// Texts of each length that are compared, spread over the corpus.
pub const TEXTS: usize = 32;

/// One cosine for each text.
#[derive(Debug)]
pub struct Cosines(Vec<f64>);

/// The cosines of one corpus.
pub struct CorpusCosines {
    pub local: Cosines,
    /// Of another target whose vectors have the same dimension.
    pub remote: Option<Cosines>,
}

impl Cosines {
    /// a, b: `[n, d]`.
    fn new(a: &Matrix, b: &Matrix) -> Self {
        Self(a.rows().zip(b.rows()).map(|(a, b)| cosine(a, b)).collect())
    }

    /// Those of several corpora together.
    pub fn joined<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        Self(all.into_iter().flat_map(|cosines| &cosines.0).copied().collect())
    }

    pub fn summary(&self) -> Cosine {
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

/// Compares the vectors of `engine` and of `other_target` with those of `reference`, the same model in f32.
pub fn cosines(
    corpus: &Corpus,
    reference: &Engine,
    engine: &Engine,
    other_target: Option<&OtherTarget>,
    run: &RunContext,
) -> Result<CorpusCosines> {
    let stride = corpus.texts.len().div_ceil(TEXTS);
    let texts: Vec<&str> = corpus.texts.iter().step_by(stride).map(String::as_str).collect();
    let embed = |engine: &Engine| {
        let request = EmbedRequest::bulk(&texts, PromptKind::None);
        engine.embed(request, run).map(|embeddings| embeddings.vectors)
    };
    let exact = embed(reference)?;
    let local = Cosines::new(&embed(engine)?, &exact);
    let remote = other_target.map(|other_target| other_target.embed(&texts, run)).transpose()?;
    let comparable = remote.filter(|response| response.vectors.d() == exact.d());
    let remote = comparable.map(|response| Cosines::new(&response.vectors, &exact));
    Ok(CorpusCosines { local, remote })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_is_that_of_directions() {
        let a = Matrix::new(vec![3.0, 0.0, 1.0, 1.0], 2).unwrap();
        let b = Matrix::new(vec![1.0, 0.0, 0.0, 5.0], 2).unwrap();
        let summary = Cosines::new(&a, &b).summary();
        assert_eq!(summary.texts, 2);
        assert!((summary.least - 0.5_f64.sqrt()).abs() < 1e-12, "{summary:?}");
        assert!((summary.mean - (1.0 + 0.5_f64.sqrt()) / 2.0).abs() < 1e-12, "{summary:?}");
    }
}
