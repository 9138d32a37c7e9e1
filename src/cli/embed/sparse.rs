//! `codeintel embed --pooling splade`: texts in, the words of the vocabulary that they stand for out.

use super::input::Input;
use super::output::is_npy;
use super::{prompt_kind, warn_without_prompt};
use crate::base::config::process_env;
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{RunContext, Stage, attrs};
use crate::cli::args::{EmbedArgs, OutputDtype};
use crate::cli::lines::JsonLines;
use crate::cli::{Context, out};
use crate::embedding::engine::SparseEncoder;
use crate::embedding::models;
use crate::tools::wire;

pub fn run(cx: &Context, args: &EmbedArgs) -> Result<()> {
    check(args)?;
    let mut input = Input::open(args.file.as_deref(), args.format)?;
    let settings = &cx.settings;
    let folder = models::resolve(&settings.model_name, &settings.models_folder(process_env))?;
    let encoder = SparseEncoder::load(&folder, settings)?;
    warn_without_prompt(encoder.prompt(prompt_kind(args)), prompt_kind(args));
    let mut output = JsonLines::create(args.output.as_deref())?;
    let run = RunContext::new(&cx.telemetry, Tool::Embed, &[Stage::Embed]);
    let result = expand_all(&encoder, args, &mut input, &mut output, &run);
    cx.finish(&run, result.as_ref().err());
    out::print_truncated(result?, "texts", encoder.max_tokens());
    Ok(())
}

/// Refuses what is only for vectors that hold every value.
fn check(args: &EmbedArgs) -> Result<()> {
    let numpy = args.output.as_deref().is_some_and(is_npy);
    let refused = [
        (numpy, "a NumPy file"),
        (args.dimensions.is_some(), "--dimensions"),
        (args.no_normalize, "--no-normalize"),
        (args.output_dtype != OutputDtype::F32, "--output-dtype"),
    ];
    match refused.iter().find(|(refused, _)| *refused) {
        None => Ok(()),
        Some((_, what)) => Err(Error::Argument {
            name: "--pooling",
            value: "splade".to_owned(),
            expected: format!(
                "another pooling with {what}: vectors of splade are sparse, and written as lines \
                 of JSON with indices and values"
            ),
        }),
    }
}

/// Expands what there is to read; gives how many texts were cut.
fn expand_all(
    encoder: &SparseEncoder,
    args: &EmbedArgs,
    input: &mut Input,
    output: &mut JsonLines,
    run: &RunContext,
) -> Result<usize> {
    input.for_each(|items, texts| {
        let expanded = run.stage(Stage::Embed, |span| {
            span.set(attrs::VLLM_BATCH_SIZE, texts.len());
            encoder.expand(texts, prompt_kind(args))
        })?;
        for (item, vector) in items.iter().zip(&expanded.answers) {
            output.write(&wire::SparseLine::new(item.id.as_ref(), vector))?;
        }
        output.flush()?;
        Ok(expanded.truncated)
    })
}
