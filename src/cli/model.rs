//! `codeintel model`: downloads, lists and verifies models.

use std::path::Path;

use clap::Subcommand;

use super::Context;
use super::distill::{self, DistillArgs};
use super::out::{BAD, BOLD, DIM, GOOD, paint};
use crate::base::config::process_env;
use crate::base::error::{Error, Result};
use crate::embedding::models;
use crate::tools::wire::ModelAnswer;

#[derive(clap::Args)]
pub struct ModelArgs {
    #[command(subcommand)]
    pub command: ModelCommand,
}

#[derive(Subcommand)]
pub enum ModelCommand {
    /// Download a model and verify it; no other command needs the network
    Pull { name: Option<String> },
    /// List the known models, and which are installed
    List {
        #[arg(long)]
        json: bool,
    },
    /// Make a static model from a transformer: far faster, and less exact
    Distill(DistillArgs),
    /// Compare a model's files with their checksums
    Verify { name: Option<String> },
}

pub fn run(mut cx: Context, args: ModelArgs) -> Result<()> {
    let settings = cx.app.settings();
    let folder = settings.model.folder(process_env);
    let default = settings.model.name.clone();
    match args.command {
        ModelCommand::Pull { name } => pull(&mut cx, &name.unwrap_or(default), &folder),
        ModelCommand::List { json } => list(&mut cx, &folder, json),
        ModelCommand::Distill(args) => distill::run(&mut cx, args),
        ModelCommand::Verify { name } => verify(&mut cx, &name.unwrap_or(default), &folder),
    }
}

fn pull(cx: &mut Context, name: &str, folder: &Path) -> Result<()> {
    let spinner = indicatif::ProgressBar::new_spinner();
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    let model = models::pull(name, folder, &mut |step| spinner.set_message(step.to_owned()))?;
    spinner.finish_and_clear();
    let line = format!("{} {} in {}", paint(GOOD, "Ready:"), model.name, model.path.display());
    cx.out.line(line)
}

fn list(cx: &mut Context, folder: &Path, json: bool) -> Result<()> {
    let states = models::list(folder);
    if json {
        return cx.out.json(&states.iter().map(ModelAnswer::from).collect::<Vec<_>>());
    }
    for state in states {
        let entry = state.entry;
        let here = match &state.folder {
            Some(path) => paint(GOOD, path.display()),
            None => paint(DIM, format!("not installed: codeintel model pull {}", entry.name)),
        };
        let name = paint(BOLD, &entry.name);
        let facts = format!(
            "{} dimensions, {} tokens, {} pooling, {}",
            entry.dimension, entry.tokens_max, entry.pooling, entry.licence
        );
        cx.out.line(format!("{name}  {facts}\n  {here}"))?;
    }
    Ok(())
}

fn verify(cx: &mut Context, name: &str, folder: &Path) -> Result<()> {
    let model = models::resolve(name, folder)?;
    let checks = models::verify(&model)?;
    if checks.is_empty() {
        return cx.out.line(format!("{} has no known checksums", model.path.display()));
    }
    for check in &checks {
        let word = if check.is_ok() { paint(GOOD, "ok     ") } else { paint(BAD, "WRONG  ") };
        cx.out.line(format!("{word} {}", check.file))?;
    }
    match checks.iter().find(|check| !check.is_ok()) {
        None => Ok(()),
        Some(check) => Err(Error::ModelBroken {
            path: model.path.join(&check.file),
            detail: match &check.found {
                Some(found) => format!("its checksum is {found}, not {}", check.expected),
                None => "it is missing".to_owned(),
            },
        }),
    }
}
