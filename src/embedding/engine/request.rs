//! Requests to an engine and their responses.

use std::time::Duration;

use super::Lane;
use crate::base::hit::Hit;
use crate::base::vector::{Matrix, SparseVec};
use crate::device::cpu::ops;
use crate::embedding::models::ModelIdentity;
use crate::embedding::nn::Prompts;

/// Which of the model's prompts is prepended to each text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PromptKind<'p> {
    /// No prompt, even if the model has a default one.
    #[default]
    None,
    Query,
    Document,
    /// This text, such as [`Engine::prompt_named`] returns it.
    ///
    /// [`Engine::prompt_named`]: super::Engine::prompt_named
    Text(&'p str),
}

impl<'p> PromptKind<'p> {
    pub(super) fn prompt(self, prompts: &'p Prompts) -> &'p str {
        match self {
            Self::None => "",
            Self::Query => prompts.get("query"),
            Self::Document => prompts.get("document"),
            Self::Text(text) => text,
        }
    }
}

/// The purpose of the results. It decides which stage records the request. The lane alone decides
/// the priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Answering one query.
    Query,
    /// Building an index or a file.
    Document,
}

/// Texts to embed or to expand.
#[derive(Debug, Clone, Copy)]
pub struct EmbedRequest<'s, 't> {
    /// `[n]`, may be empty.
    pub texts: &'s [&'t str],
    pub lane: Lane,
    pub prompt: PromptKind<'s>,
    pub purpose: Purpose,
}

impl<'s, 't> EmbedRequest<'s, 't> {
    /// Queries with a waiting user. texts: `[n]`.
    pub fn query(texts: &'s [&'t str], prompt: PromptKind<'s>) -> Self {
        Self { texts, lane: Lane::Interactive, prompt, purpose: Purpose::Query }
    }

    /// Documents, which give way to queries. texts: `[n]`.
    pub fn bulk(texts: &'s [&'t str], prompt: PromptKind<'s>) -> Self {
        Self { texts, lane: Lane::Bulk, prompt, purpose: Purpose::Document }
    }
}

/// Pairs of texts to score.
#[derive(Debug, Clone, Copy)]
pub struct ScoreRequest<'a> {
    /// `[n]`, may be empty.
    pub pairs: &'a [(&'a str, &'a str)],
    pub lane: Lane,
}

/// The response to a [`ScoreRequest`].
#[derive(Debug, Clone)]
pub struct Scores {
    /// The raw logits: `[n, labels]`, in the order of the pairs.
    pub logits: Matrix,
    /// Tokens of all pairs after truncation, including those of cached pairs.
    pub tokens: usize,
    /// Tokens that were computed for this request: those of cached items are not, and a sequence
    /// that occurs several times in a batch counts once, for the first request that holds it.
    pub computed_tokens: usize,
    /// Pairs that exceeded the model's limit and were truncated.
    pub truncated: usize,
    /// Pairs whose logits were found in the cache.
    pub cache_hits: usize,
}

/// The response to an [`EmbedRequest`] to expand its texts.
#[derive(Debug, Clone)]
pub struct Expansions {
    /// Weights over the vocabulary: `[n]`, in the order of the texts.
    pub vectors: Vec<SparseVec>,
    /// Tokens of all texts after truncation.
    pub tokens: usize,
    /// Tokens that were computed for this request: those of cached items are not, and a sequence
    /// that occurs several times in a batch counts once, for the first request that holds it.
    pub computed_tokens: usize,
    /// Texts that exceeded the model's limit and were truncated.
    pub truncated: usize,
}

/// The response to an [`EmbedRequest`] for a vector for each token of its texts.
#[derive(Debug, Clone)]
pub struct TokenVectors {
    /// `[n]`, in the order of the texts; each `[tokens, d]`, special tokens included.
    pub vectors: Vec<Matrix>,
    /// Tokens of all texts after truncation.
    pub tokens: usize,
    /// Tokens that were computed for this request: those of cached items are not, and a sequence
    /// that occurs several times in a batch counts once, for the first request that holds it.
    pub computed_tokens: usize,
    /// Texts that exceeded the model's limit and were truncated.
    pub truncated: usize,
}

/// The response to an [`EmbedRequest`] to embed its texts.
#[derive(Debug, Clone)]
pub struct Embeddings {
    /// `[n, d]`, in the order of the texts; no rows if `nearest` replaces them.
    pub vectors: Matrix,
    /// `[n]`: the hits that [`Engine::nearest`] found for each text; empty for other calls.
    pub nearest: Vec<Vec<Hit>>,
    /// The time that the device spent on the search; it is part of the time of each batch.
    pub searched: Duration,
    /// Tokens of all texts after truncation, including those of cached vectors.
    pub tokens: usize,
    /// Tokens that were computed for this request: those of cached items are not, and a sequence
    /// that occurs several times in a batch counts once, for the first request that holds it.
    pub computed_tokens: usize,
    /// Texts that exceeded the model's limit and were truncated.
    pub truncated: usize,
    /// Vectors found in the cache.
    pub cache_hits: usize,
    /// The time spent on tokenising, which overlaps with the computation of batches.
    pub tokenise: Duration,
    /// The time that the first batch waited for the device.
    pub queue: Duration,
}

impl Embeddings {
    /// The vectors of length 1, as an index over inner products needs them for cosines, even if
    /// those of `identity` are not.
    pub fn unit(mut self, identity: &ModelIdentity) -> Self {
        if !identity.normalize {
            let d = self.vectors.d();
            let mut values = self.vectors.as_slice().to_vec();
            ops::normalize(&mut values, d);
            self.vectors = Matrix::new(values, d).expect("the same rows");
        }
        self
    }

    /// Keeps the first `dimensions` values of each vector (Matryoshka representations, Kusupati et
    /// al., 2022). If the vectors of `identity` are normalised, the result is normalised again.
    pub fn cut(mut self, dimensions: usize, identity: &ModelIdentity) -> Self {
        let d = self.vectors.d();
        assert!((1..=d).contains(&dimensions), "{dimensions} of {d} values");
        if dimensions < d {
            let rows = self.vectors.rows().flat_map(|row| &row[..dimensions]);
            let mut values: Vec<f32> = rows.copied().collect();
            if identity.normalize {
                ops::normalize(&mut values, dimensions);
            }
            self.vectors = Matrix::new(values, dimensions).expect("each row was cut to its place");
        }
        self
    }
}
