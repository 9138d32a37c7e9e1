//! Texts to dense vectors, and to sparse ones.

use super::input::Input;
use super::job::{Computed, Job, Summary};
use super::output::{Output, SparseOutput};
use crate::base::error::Result;
use crate::embedding::engine::{EmbedRequest, Engine, PromptKind};

/// Embeds every text of `input`. Vectors are cut to the dimension of `output`.
pub fn embed(
    engine: &Engine,
    prompt: PromptKind<'_>,
    input: &mut Input<String>,
    output: Output,
    job: Job<'_>,
) -> Result<Summary> {
    let (cx, dimensions) = (job.cx, output.dimensions());
    job.run(input, output, |texts| {
        let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
        let request = EmbedRequest::bulk(&texts, prompt);
        let embeddings = engine.embed(request, cx)?.cut(dimensions, engine.identity());
        Ok(Computed { results: embeddings.vectors, truncated: embeddings.truncated })
    })
}

/// Expands every text of `input` into weights over the vocabulary (SPLADE: Formal et al., 2021).
pub fn expand(
    engine: &Engine,
    prompt: PromptKind<'_>,
    input: &mut Input<String>,
    output: SparseOutput,
    job: Job<'_>,
) -> Result<Summary> {
    let cx = job.cx;
    job.run(input, output, |texts| {
        let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
        let expanded = engine.expand(EmbedRequest::bulk(&texts, prompt), cx)?;
        Ok(Computed { results: expanded.vectors, truncated: expanded.truncated })
    })
}
