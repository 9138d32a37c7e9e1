//! `codeintel rerank`: scores for pairs of texts.

use std::path::PathBuf;

use super::Context;
use super::rows::{RowNoun, RowOutputs, run_job};
use crate::base::error::Result;
use crate::base::telemetry::labels::Tool;
use crate::batch::{self, Input, ScoreOutput};
use crate::embedding::engine::{EngineOptions, Task};
use crate::embedding::nn::ScoreActivation;

#[derive(clap::Args)]
pub struct RerankArgs {
    /// One object {"query", "text"} per line, with an "id" if wanted [default: standard input, also for -]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Write logits, without the activation that the model's files name
    #[arg(long)]
    pub raw: bool,
    /// Write to this file, which is replaced at the end
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the pairs that failed to this file, one object {"row", "line", "id", "code", "message"}
    /// per line
    #[arg(long, value_name = "FILE")]
    pub errors: Option<PathBuf>,
}

pub fn run(cx: Context, args: RerankArgs) -> Result<()> {
    let mut input = Input::open_pairs(args.file.as_deref())?;
    let options = EngineOptions { task: Task::Score, ..EngineOptions::default() };
    let engine = cx.app.start_engine(options)?;
    let (output, errors) = (args.output.as_deref(), args.errors.as_deref());
    let RowOutputs { results, errors } = RowOutputs::create(&cx, input.id(), output, errors)?;
    let run = cx.begin(Tool::Rerank, &[]);
    let tokens_max = engine.identity().max_tokens;
    let noun = RowNoun { singular: "pair", plural: "pairs", tokens_max };
    let named = engine.identity().activation;
    let activation = if args.raw { ScoreActivation::Identity } else { named };
    let result = run_job(&run, noun, output, errors, |job| {
        batch::rerank(&engine, &mut input, ScoreOutput::new(results, activation), job)
    });
    cx.finish(&run, result.as_ref().err());
    result
}
