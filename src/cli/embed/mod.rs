//! `codeintel embed`: texts in, vectors out, in the same order.

pub mod input;
mod numbers;
mod output;
mod sparse;

use super::args::{EmbedArgs, PoolingArg, PromptArg};
use super::index::start_engine_with;
use super::{Context, out};
use crate::base::error::{Result, Warning};
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{RunContext, Stage};
use crate::embedding::engine::{EmbedRequest, Engine, EngineOptions, PromptKind};
use crate::embedding::nn::Pooling;
use input::Input;
use output::Output;

pub fn run(cx: Context, args: EmbedArgs) -> Result<()> {
    let pooling = match args.pooling {
        None => None,
        Some(PoolingArg::Mean) => Some(Pooling::Mean),
        Some(PoolingArg::Cls) => Some(Pooling::Cls),
        Some(PoolingArg::Last) => Some(Pooling::Last),
        Some(PoolingArg::Max) => Some(Pooling::Max),
        Some(PoolingArg::Weightedmean) => Some(Pooling::WeightedMean),
        Some(PoolingArg::Splade) => return sparse::run(&cx, &args),
    };
    let options = EngineOptions { pooling, normalize: args.no_normalize.then_some(false) };
    let mut input = Input::open(args.file.as_deref(), args.format)?;
    let engine = start_engine_with(&cx.settings, &cx.settings.model_name, options)?;
    let d = engine.identity().dimensions(args.dimensions)?;
    let prompt = prompt_kind(&args);
    warn_without_prompt(engine.prompt(prompt), prompt);
    let mut output = Output::create(&args, d)?;
    let run = RunContext::new(&cx.telemetry, Tool::Embed, &[Stage::Embed]);
    let result = embed_all(&engine, (prompt, d), &mut input, &mut output, &run);
    cx.finish(&run, result.as_ref().err());
    let truncated = result?;
    output.finish()?;
    out::print_truncated(truncated, "texts", engine.identity().max_tokens);
    Ok(())
}

fn prompt_kind(args: &EmbedArgs) -> PromptKind {
    match args.prompt {
        None => PromptKind::None,
        Some(PromptArg::Query) => PromptKind::Query,
        Some(PromptArg::Document) => PromptKind::Document,
    }
}

fn warn_without_prompt(prompt: &str, kind: PromptKind) {
    if kind != PromptKind::None && prompt.is_empty() {
        let message = "the model has no such prompt; texts are embedded as they are";
        out::print_warning(&Warning::new("no-prompt", message));
    }
}

/// Embeds what there is to read, each vector cut to `d` values; gives how many texts were cut.
fn embed_all(
    engine: &Engine,
    (prompt, d): (PromptKind, usize),
    input: &mut Input,
    output: &mut Output,
    run: &RunContext,
) -> Result<usize> {
    input.for_each(|items, texts| {
        let request = EmbedRequest::bulk(texts, prompt);
        let embeddings = engine.embed(request, run)?.cut(d, engine.identity());
        output.write(items, &embeddings.vectors)?;
        Ok(embeddings.truncated)
    })
}
