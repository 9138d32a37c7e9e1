//! `codeintel model distill`: a static model from a transformer.

use std::cell::OnceCell;
use std::path::PathBuf;

use super::Context;
use super::out::{DIM, GOOD, counted, paint};
use crate::base::config::process_env;
use crate::base::error::{Error, Result};
use crate::batch;
use crate::embedding::models;

/// What benches/results/2026-11-29-static-models.md records.
const QUALITY: &str = "Measured for all-MiniLM-L6-v2 on questions about 26 repositories: nDCG@10 of \
    the vectors alone .676 (teacher .749), of the whole search .853 (teacher .876)";

#[derive(clap::Args)]
pub struct DistillArgs {
    /// The transformer: a name or a folder
    pub teacher: String,
    /// Values of a vector, at most those of the teacher [default: 256, or those of the teacher]
    #[arg(long, value_name = "N")]
    pub dim: Option<usize>,
    /// Name of the new model in the folder of models [default: that of the teacher and -static]
    #[arg(long)]
    pub name: Option<String>,
    /// Write to this new folder instead
    #[arg(short, long, value_name = "FOLDER", conflicts_with = "name")]
    pub output: Option<PathBuf>,
}

pub fn run(cx: &mut Context, args: DistillArgs) -> Result<()> {
    let settings = cx.app.settings();
    let places = settings.model.places(process_env);
    let teacher = models::resolve(&args.teacher, &places)?;
    let name = args.name.unwrap_or_else(|| format!("{}-static", teacher.name));
    if PathBuf::from(&name).file_name() != Some(name.as_ref()) {
        let expected = "a name without a path; --output takes a folder".to_owned();
        return Err(Error::Argument { name: "--name", value: name, expected });
    }
    let out = args.output.unwrap_or_else(|| places.models.join(&name));
    let bar = OnceCell::new();
    let progress = |done: usize, n: usize| {
        let bar = bar.get_or_init(|| indicatif::ProgressBar::new(n as u64));
        bar.set_position(done as u64);
    };
    let written = batch::distill(&teacher, args.dim, &settings.engine, &out, &progress)?;
    if let Some(bar) = bar.get() {
        bar.finish_and_clear();
    }
    let batch::Distilled { tokens, dimensions, variance_kept } = written;
    let (ready, out) = (paint(GOOD, "Ready:"), out.display());
    let tokens = counted(tokens, "token");
    let share = 100.0 * variance_kept;
    cx.out.line(format!(
        "{ready} {out}\n{tokens}, {dimensions} dimensions, {share:.0} % of the teacher's variance"
    ))?;
    cx.out.line(paint(DIM, QUALITY))
}
