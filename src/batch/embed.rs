//! Texts to dense vectors, and to sparse ones.

use super::Summary;
use super::input::{Input, Item};
use super::output::{Output, SparseOutput};
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::embedding::engine::{EmbedRequest, Engine, PromptKind};

/// Embeds every text of `input`. Vectors are cut to the dimension of `output`.
pub fn embed(
    engine: &Engine,
    prompt: PromptKind,
    input: &mut Input,
    output: &mut Output,
    cx: &RunContext,
    progress: &dyn Fn(&Summary),
) -> Result<Summary> {
    let dimensions = output.dimensions();
    for_each_block(input, progress, |items, texts| {
        let request = EmbedRequest::bulk(texts, prompt);
        let embeddings = engine.embed(request, cx)?.cut(dimensions, engine.identity());
        output.write(items, &embeddings.vectors)?;
        Ok(embeddings.truncated)
    })
}

/// Expands every text of `input` into weights over the vocabulary (SPLADE: Formal et al., 2021).
pub fn expand(
    engine: &Engine,
    prompt: PromptKind,
    input: &mut Input,
    output: &mut SparseOutput,
    cx: &RunContext,
    progress: &dyn Fn(&Summary),
) -> Result<Summary> {
    for_each_block(input, progress, |items, texts| {
        let expanded = engine.expand(EmbedRequest::bulk(texts, prompt), cx)?;
        output.write(items, &expanded.vectors)?;
        Ok(expanded.truncated)
    })
}

/// Calls `compute` for each block; it returns how many of its texts were truncated.
fn for_each_block(
    input: &mut Input,
    progress: &dyn Fn(&Summary),
    mut compute: impl FnMut(&[Item], &[&str]) -> Result<usize>,
) -> Result<Summary> {
    let mut summary = Summary::default();
    loop {
        let items = input.next_block()?;
        if items.is_empty() {
            return Ok(summary);
        }
        let texts: Vec<&str> = items.iter().map(|item| item.text.as_str()).collect();
        summary.add(items.len(), compute(&items, &texts)?);
        progress(&summary);
    }
}
