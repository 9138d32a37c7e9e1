//! `codeintel rerank`: scores for pairs of texts.

use std::path::PathBuf;

use super::{Context, out};
use crate::base::error::Result;
use crate::base::output::{FileId, OutputFile};
use crate::base::telemetry::labels::Tool;
use crate::batch::{self, PairInput, ScoreOutput};
use crate::embedding::engine::{EngineOptions, Task};

#[derive(clap::Args)]
pub struct RerankArgs {
    /// One object {"query", "text"} per line [default: standard input, also for -]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Write logits instead of the probabilities made of them
    #[arg(long)]
    pub raw: bool,
    /// Write to this file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

pub fn run(cx: Context, args: RerankArgs) -> Result<()> {
    let mut input = PairInput::open(args.file.as_deref())?;
    let options = EngineOptions { task: Task::Score, ..EngineOptions::default() };
    let engine = cx.app.start_engine(options)?;
    let used: Vec<FileId> = input.id().into_iter().chain(&cx.settings_file).cloned().collect();
    let file = OutputFile::create("--output", args.output.as_deref(), &used)?;
    let mut output = ScoreOutput::new(file);
    let run = cx.begin(Tool::Rerank, &[]);
    let bar = out::Counter::new("pairs", args.output.is_some());
    let progress = |done: &batch::Summary| bar.set(done.n);
    let result = batch::rerank(&engine, args.raw, &mut input, &mut output, &run, &progress);
    let result = result.and_then(|summary| output.finish().map(|()| summary));
    cx.finish(&run, result.as_ref().err());
    out::print_truncated(result?.truncated, "pair", engine.identity().max_tokens);
    Ok(())
}
