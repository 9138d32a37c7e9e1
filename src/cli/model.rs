//! `codeintel model`: pulls, adds, lists and verifies models.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::Context;
use super::out::{BAD, BOLD, DIM, GOOD, bytes, paint};
use crate::base::config::{ModelPlaces, Settings, process_env};
use crate::base::error::{Error, Result};
use crate::device::{Device, Dtype, Selection};
use crate::embedding::engine::{exact_reference, reference};
use crate::embedding::models::{self, ModelFolder, Progress, Pull, Reference, Source};
use crate::tools::wire::ModelAnswer;

#[derive(clap::Args)]
pub struct ModelArgs {
    #[command(subcommand)]
    pub command: ModelCommand,
}

#[derive(Subcommand)]
pub enum ModelCommand {
    /// Download a model and verify it; no other command downloads models
    Pull {
        /// A name from `codeintel model list`, or ORG/NAME[@REVISION] of a model hub
        name: Option<String>,
    },
    /// Give a model in a folder a name, and record its checksums
    Add {
        folder: PathBuf,
        /// By default that of the folder
        #[arg(long)]
        name: Option<String>,
    },
    /// List the known models, and where each is
    List {
        #[arg(long)]
        json: bool,
    },
    /// Compare a model's files, and what it computes, with what was recorded
    Verify { name: Option<String> },
}

pub fn run(mut cx: Context, args: ModelArgs) -> Result<()> {
    let settings = cx.app.settings().clone();
    let places = settings.model.places(process_env);
    let named = |name: Option<String>| name.unwrap_or_else(|| settings.model.name.clone());
    let compute = |model: &ModelFolder| exact_reference(model, &settings);
    match args.command {
        ModelCommand::Pull { name } => {
            let mut display = Display::new();
            let mut progress = |progress: Progress| display.show(progress);
            let mut pull = Pull { places: &places, progress: &mut progress, compute: &compute };
            let model = pull.run(&named(name))?;
            display.bar.finish_and_clear();
            ready(&mut cx, &model)
        }
        ModelCommand::Add { folder, name } => {
            let model = models::add(&folder, name.as_deref(), &places, &compute)?;
            ready(&mut cx, &model)
        }
        ModelCommand::List { json } => list(&mut cx, &places, json),
        ModelCommand::Verify { name } => verify(&mut cx, &named(name), &places, &settings),
    }
}

fn ready(cx: &mut Context, model: &ModelFolder) -> Result<()> {
    let revision = model.record.as_ref().and_then(|record| record.revision.as_ref());
    let at = revision.map_or(String::new(), |revision| format!("@{revision}"));
    let path = model.path.display();
    cx.out.line(format!("{} {}{at} in {path}", paint(GOOD, "Ready:"), model.name))
}

/// The progress of a pull: a bar on a terminal, otherwise a line for each step and file.
struct Display {
    bar: ProgressBar,
    is_terminal: bool,
    /// The file of the last line.
    file: String,
}

impl Display {
    fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::new_spinner();
        if is_terminal {
            bar.enable_steady_tick(std::time::Duration::from_millis(100));
        }
        Self { bar, is_terminal, file: String::new() }
    }

    fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Step(what) if self.is_terminal => self.bar.set_message(what.to_owned()),
            Progress::Step(what) => anstream::eprintln!("{what}"),
            Progress::Bytes { file, done, total } => self.show_bytes(file, done, total),
        }
    }

    fn show_bytes(&mut self, file: &str, done: u64, total: u64) {
        if self.file != file {
            file.clone_into(&mut self.file);
            if self.is_terminal {
                let template =
                    "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    self.bar.set_style(style);
                }
                self.bar.set_message(file.to_owned());
                self.bar.reset_eta();
            } else {
                let from = if done == 0 { "" } else { &format!(", continued at {}", bytes(done)) };
                anstream::eprintln!("{file}: {}{from}", bytes(total));
            }
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}

fn list(cx: &mut Context, places: &ModelPlaces, json: bool) -> Result<()> {
    let states = models::list(places);
    if json {
        return cx.out.json(&states.iter().map(ModelAnswer::from).collect::<Vec<_>>());
    }
    for state in states {
        let name = paint(BOLD, &state.name);
        let licence = state.licence.as_deref().unwrap_or("licence not stated");
        match &state.facts {
            Err(problem) => cx.out.line(format!("{name}  {}", paint(BAD, problem)))?,
            Ok(facts) => {
                let prompts: Vec<_> = facts.prompts.keys().map(String::as_str).collect();
                let prompts = if prompts.is_empty() {
                    "no prompts".to_owned()
                } else {
                    format!("prompts {}", prompts.join(", "))
                };
                let size = facts.bytes.map_or(String::new(), |n| format!(", {}", bytes(n)));
                cx.out.line(format!(
                    "{name}  {} ({}), {} dimensions, {} tokens, {} pooling, {prompts}, {licence}{size}",
                    facts.family, facts.way, facts.dimension, facts.tokens_max, facts.pooling
                ))?;
            }
        }
        let here = match &state.folder {
            Some(path) => paint(GOOD, format!("{}: {}", state.source.as_str(), path.display())),
            None if state.source == Source::Added => paint(DIM, "its folder is gone"),
            None => paint(DIM, format!("not installed: codeintel model pull {}", state.name)),
        };
        cx.out.line(format!("  {here}"))?;
    }
    Ok(())
}

fn verify(cx: &mut Context, name: &str, places: &ModelPlaces, settings: &Settings) -> Result<()> {
    let model = models::resolve(name, places)?;
    let Some(record) = &model.record else {
        let path = model.path.display();
        let how = if model.name.contains('/') {
            format!("codeintel model pull {}", model.name)
        } else {
            format!("codeintel model add {path}")
        };
        return cx.out.line(format!("{path} has no record to compare with; make one with: {how}"));
    };
    let checks = model.check_files()?;
    for check in &checks {
        line(cx, check.is_ok(), &check.file)?;
    }
    if let Some(check) = checks.iter().find(|check| !check.is_ok()) {
        return Err(Error::ModelBroken {
            path: model.path.join(&check.file),
            detail: match &check.found {
                Some(found) => format!("its checksum is {found}, not {}", check.expected),
                None => "it is missing".to_owned(),
            },
        });
    }
    let Some(recorded) = &record.reference else {
        return cx.out.line(
            "no vectors were recorded: the model was too large to load when it was pulled or added",
        );
    };
    let found = exact_reference(&model, settings)?.unwrap_or_else(|| recorded.clone());
    compare(cx, &model.path, recorded, &found, "cpu, f32")?;
    let Selection { device, .. } = Selection::open(&settings.engine)?;
    if matches!(device, Device::Cpu(_)) && device.dtype() == Dtype::F32 {
        return Ok(());
    }
    let how = format!("{}, {}", device.name(), device.dtype().as_str());
    compare(cx, &model.path, recorded, &reference(&model, settings)?, &how)
}

/// Compares what a model computes with what was recorded, and prints the result.
fn compare(
    cx: &mut Context,
    path: &Path,
    recorded: &Reference,
    found: &Reference,
    how: &str,
) -> Result<()> {
    let nearness = recorded.nearness(found);
    let is_ok = nearness.is_some_and(|nearness| nearness.is_ok(how == "cpu, f32"));
    let values = nearness.map_or("another shape".to_owned(), |nearness| {
        format!("greatest difference {:.1e}, cosine {:.6}", nearness.difference, nearness.cosine)
    });
    line(cx, is_ok, &format!("recorded vectors ({how}): {values}"))?;
    if is_ok {
        return Ok(());
    }
    Err(Error::ModelBroken {
        path: path.to_path_buf(),
        detail: format!(
            "its files are as recorded, but it computes other vectors ({how}): {values}; this build \
             or this device computes the model in another way"
        ),
    })
}

fn line(cx: &mut Context, is_ok: bool, what: &str) -> Result<()> {
    let word = if is_ok { paint(GOOD, "ok     ") } else { paint(BAD, "WRONG  ") };
    cx.out.line(format!("{word} {what}"))
}
