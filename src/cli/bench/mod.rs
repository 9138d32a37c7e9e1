//! `codeintel bench`: how fast are texts embedded here, how near to f32, and how fast elsewhere?

mod base;
mod cosine;
mod html;
mod machine;
mod measure;
mod plan;
mod plot;
mod session;
mod table;
mod texts;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use super::args::BenchArgs;
use super::out::print_warning;
use crate::base::error::{Error, Result, Warning};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::tools::wire::Bench;
use plan::Plan;
use session::Session;

/// The exit code of a program that a second Ctrl-C ends.
const INTERRUPTED: i32 = 130;

pub fn run(mut cx: Context, args: BenchArgs) -> Result<()> {
    let plan = Plan::of(&args)?;
    let run = RunContext::new(&cx.telemetry, Tool::Bench, &[]);
    stop_on_interrupt(&run)?;
    let measured = measure(&cx, &args, &plan, &run);
    let failed = measured.as_ref().map_or_else(Some, |(_, _, stopped)| stopped.as_ref());
    cx.finish(&run, failed);
    let (bench, files, stopped) = measured?;
    bench.notes.iter().for_each(|note| print_warning(&Warning::new("bench", note.clone())));
    match args.json.as_deref().is_some_and(is_dash) {
        true => cx.out.json(&bench)?,
        false => table::print(&mut cx.out, &bench)?,
    }
    files.write(&bench)?;
    stopped.map_or(Ok(()), Err)
}

fn measure(
    cx: &Context,
    args: &BenchArgs,
    plan: &Plan,
    run: &RunContext,
) -> Result<(Bench, Files, Option<Error>)> {
    let bar = bar();
    bar.set_message("the model");
    let session = Session::open(cx, args, plan, run, &bar)?;
    let files = Files::create(args)?;
    let measured = session.measure();
    bar.finish_and_clear();
    let (bench, stopped) = measured?;
    Ok((bench, files, stopped))
}

fn bar() -> ProgressBar {
    let template = "{pos:>4}/{len} cells {wide_bar:.cyan/dim} {msg}  {elapsed_precise}";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    let bar = ProgressBar::new(0).with_style(style.progress_chars("━╸─"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// The first Ctrl-C ends the run, and what was measured is printed; the second ends the program.
fn stop_on_interrupt(run: &RunContext) -> Result<()> {
    let failed = Error::library("tokio", "listen to signals");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::library("tokio", "start"))?;
    let listening = runtime.enter();
    let mut interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
    drop(listening);
    let run = run.clone();
    std::thread::spawn(move || {
        runtime.block_on(async {
            interrupts.recv().await;
            run.cancel();
            interrupts.recv().await;
            std::process::exit(INTERRUPTED)
        })
    });
    Ok(())
}

fn is_dash(path: &Path) -> bool {
    path == "-"
}

/// The files to be written, made before anything is measured: one that cannot be is told at once.
struct Files {
    json: Option<(PathBuf, File)>,
    html: Option<(PathBuf, File)>,
}

impl Files {
    fn create(args: &BenchArgs) -> Result<Self> {
        let create = |path: &PathBuf| {
            let file = File::create(path).map_err(|e| Error::io("create", path, e))?;
            Ok((path.clone(), file))
        };
        let json = args.json.as_ref().filter(|path| !is_dash(path));
        Ok(Self {
            json: json.map(create).transpose()?,
            html: args.html.as_ref().map(create).transpose()?,
        })
    }

    fn write(self, bench: &Bench) -> Result<()> {
        let text = || {
            let text = serde_json::to_string_pretty(bench);
            text.map_err(Error::library("serde_json", "write the figures"))
        };
        for (target, text) in [
            (self.json, &text as &dyn Fn() -> Result<String>),
            (self.html, &|| Ok(html::page(bench))),
        ] {
            if let Some((path, mut file)) = target {
                file.write_all(text()?.as_bytes()).map_err(|e| Error::io("write", &path, e))?;
            }
        }
        Ok(())
    }
}
