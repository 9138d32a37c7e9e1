//! `codeintel embed`: vectors of texts.

use super::args::{EmbedArgs, OutputDtypeArg, PoolingArg, PromptArg};
use super::{Context, out};
use crate::base::config::process_env;
use crate::base::error::{Error, Result};
use crate::base::telemetry::Stage;
use crate::base::telemetry::labels::Tool;
use crate::batch::{self, Input, Output, SparseOutput, is_npy};
use crate::embedding::engine::{EngineOptions, PromptKind, SparseEncoder};
use crate::embedding::models;
use crate::embedding::nn::Pooling;

pub fn run(cx: Context, args: EmbedArgs) -> Result<()> {
    match args.pooling {
        None => dense(&cx, &args, None),
        Some(PoolingArg::Mean) => dense(&cx, &args, Some(Pooling::Mean)),
        Some(PoolingArg::Cls) => dense(&cx, &args, Some(Pooling::Cls)),
        Some(PoolingArg::Last) => dense(&cx, &args, Some(Pooling::Last)),
        Some(PoolingArg::Max) => dense(&cx, &args, Some(Pooling::Max)),
        Some(PoolingArg::Weightedmean) => dense(&cx, &args, Some(Pooling::WeightedMean)),
        Some(PoolingArg::Splade) => sparse(&cx, &args),
    }
}

fn dense(cx: &Context, args: &EmbedArgs, pooling: Option<Pooling>) -> Result<()> {
    let options = EngineOptions { pooling, normalize: args.no_normalize.then_some(false) };
    let mut input = Input::open(args.file.as_deref(), args.format.map(Into::into))?;
    let engine = cx.app.start_engine(options)?;
    let dimensions = engine.identity().dimensions(args.dimensions)?;
    let prompt = prompt_kind(args);
    warn_without_prompt(engine.prompt(prompt), prompt);
    let mut output = Output::create(args.output.as_deref(), args.output_dtype.into(), dimensions)?;
    let run = cx.begin(Tool::Embed, &[Stage::Embed]);
    let bar = out::Counter::new("texts", args.output.is_some());
    let progress = |done: &batch::Summary| bar.set(done.n);
    let result = batch::embed(&engine, prompt, &mut input, &mut output, &run, &progress);
    cx.finish(&run, result.as_ref().err());
    let summary = result?;
    output.finish()?;
    out::print_truncated(summary.truncated, "text", engine.identity().max_tokens);
    Ok(())
}

fn sparse(cx: &Context, args: &EmbedArgs) -> Result<()> {
    refuse_dense_flags(args)?;
    let mut input = Input::open(args.file.as_deref(), args.format.map(Into::into))?;
    let settings = cx.app.settings();
    let folder = models::resolve(&settings.model.name, &settings.model.folder(process_env))?;
    let encoder = SparseEncoder::load(&folder, &settings.engine)?;
    let prompt = prompt_kind(args);
    warn_without_prompt(encoder.prompt(prompt), prompt);
    let mut output = SparseOutput::create(args.output.as_deref())?;
    let run = cx.begin(Tool::Embed, &[Stage::Embed]);
    let bar = out::Counter::new("texts", args.output.is_some());
    let progress = |done: &batch::Summary| bar.set(done.n);
    let result = batch::expand(&encoder, prompt, &mut input, &mut output, &run, &progress);
    cx.finish(&run, result.as_ref().err());
    out::print_truncated(result?.truncated, "text", encoder.max_tokens());
    Ok(())
}

/// Refuses the flags that have a meaning for dense vectors only.
fn refuse_dense_flags(args: &EmbedArgs) -> Result<()> {
    let numpy = args.output.as_deref().is_some_and(is_npy);
    let refused = [
        (numpy, "a NumPy file"),
        (args.dimensions.is_some(), "--dimensions"),
        (args.no_normalize, "--no-normalize"),
        (args.output_dtype != OutputDtypeArg::F32, "--output-dtype"),
    ];
    match refused.iter().find(|(refused, _)| *refused) {
        None => Ok(()),
        Some((_, flag)) => Err(Error::Argument {
            name: "--pooling",
            value: "splade".to_owned(),
            expected: format!(
                "a dense pooling with {flag}: sparse vectors are written as lines of JSON with \
                 indices and values, whole"
            ),
        }),
    }
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
        out::print_warning("the model has no such prompt; texts are embedded without one");
    }
}
