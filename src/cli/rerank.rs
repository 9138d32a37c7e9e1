//! `codeintel rerank`: scores for pairs of texts.

use std::path::PathBuf;

use super::{Context, out};
use crate::base::config::process_env;
use crate::base::error::Result;
use crate::base::telemetry::labels::Tool;
use crate::batch::{self, PairInput, ScoreOutput};
use crate::embedding::engine::Reranker;
use crate::embedding::models;

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
    let settings = cx.app.settings();
    let folder = models::resolve(&settings.model.name, &settings.model.folder(process_env))?;
    let reranker = Reranker::load(&folder, &settings.engine)?;
    let mut output = ScoreOutput::create(args.output.as_deref())?;
    let run = cx.begin(Tool::Rerank, &[]);
    let bar = out::Counter::new("pairs", args.output.is_some());
    let result =
        batch::rerank(&reranker, args.raw, &mut input, &mut output, &|done| bar.set(done.n));
    cx.finish(&run, result.as_ref().err());
    out::print_truncated(result?.truncated, "pair", reranker.max_tokens());
    Ok(())
}
