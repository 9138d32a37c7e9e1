//! `codeintel bench`: a bench as a table, as JSON and as a page.

mod html;
mod plot;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use super::out::print_warning;
use crate::base::config::help;
use crate::base::error::{Error, Result};
use crate::base::output::{FileId, OutputFile};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::bench::{Options, Plan, Progress, Report, Session, TargetOptions};

/// The exit code after a second Ctrl-C.
const INTERRUPTED: i32 = 130;

#[derive(clap::Args)]
pub struct BenchArgs {
    #[arg(long, value_name = "TYPE", help = help("engine.dtype"))]
    pub dtype: Option<String>,
    #[arg(long, value_name = "N", help = help("engine.threads"))]
    pub threads: Option<usize>,
    /// Texts per request [default: 1, 2, 4 … 256]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub batch_sizes: Vec<usize>,
    /// Tokens of each text, or mixed: real texts as they are [default: 16,64,256,512,mixed]
    #[arg(long, value_delimiter = ',', value_name = "LENGTHS")]
    pub lengths: Vec<String>,
    /// Texts of mixed, read as `embed` reads them [default: chunks of this folder's index, or of
    /// codeintel's own sources]
    #[arg(long, value_name = "FILE")]
    pub texts: Option<PathBuf>,
    /// Seconds for which each cell is measured, at least three rounds [default: 1]
    #[arg(long, value_name = "S")]
    pub seconds: Option<f64>,
    /// Also search each text in N random vectors, on the device that embeds it
    #[arg(long, value_name = "N", conflicts_with = "against")]
    pub vectors: Option<usize>,
    /// Also measure an OpenAI-compatible endpoint, such as http://127.0.0.1:8000, in turn with this
    /// process; candle measures the same model with the operations of candle
    #[arg(long, value_name = "URL|candle")]
    pub against: Option<String>,
    /// The endpoint's name of the model [default: that of --model]
    #[arg(long, value_name = "NAME", requires = "against")]
    pub against_model: Option<String>,
    /// Write the figures as JSON; - prints them instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with the table and plots; it loads no other file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Measure fewer and shorter cells: 1, 8 and 32 texts of 64 tokens and mixed
    #[arg(long)]
    pub quick: bool,
}

pub fn run(mut cx: Context, args: BenchArgs) -> Result<()> {
    let plan = Plan::new(options(&args))?;
    let run = cx.begin(Tool::Bench, &[]);
    stop_on_interrupt(&run)?;
    let measured = measure(&cx, &args, &plan, &run);
    cx.finish(&run, measured.as_ref().map_or_else(Some, |measured| measured.stopped.as_ref()));
    let Measured { report, files, stopped } = measured?;
    report.notes.iter().for_each(|note| print_warning(note));
    if args.json.as_deref().is_some_and(is_dash) {
        cx.out.json(&report)?;
    } else {
        table::print(&mut cx.out, &report)?;
    }
    files.write(&report)?;
    stopped.map_or(Ok(()), Err)
}

fn options(args: &BenchArgs) -> Options {
    Options {
        batch_sizes: args.batch_sizes.clone(),
        lengths: args.lengths.clone(),
        seconds: args.seconds,
        vectors: args.vectors,
        texts: args.texts.clone(),
        against: args.against.clone().map(|against| match against.as_str() {
            "candle" => TargetOptions::Candle,
            _ => TargetOptions::Endpoint { url: against, model: args.against_model.clone() },
        }),
        quick: args.quick,
    }
}

/// The report of a bench, complete or stopped by an error after its first figures.
struct Measured {
    report: Report,
    files: Files,
    stopped: Option<Error>,
}

fn measure(cx: &Context, args: &BenchArgs, plan: &Plan, run: &RunContext) -> Result<Measured> {
    let bar = bar();
    let progress = |progress: Progress<'_>| match progress {
        Progress::Step(name) => bar.set_message(name.to_owned()),
        Progress::Cells(n) => bar.set_length(n as u64),
        Progress::CellDone => bar.inc(1),
    };
    let session = Session::open(cx.app.settings(), cx.app.data().clone(), plan, run, &progress)?;
    let files = Files::create(cx, args)?;
    let measured = session.measure();
    bar.finish_and_clear();
    let (report, stopped) = measured?;
    Ok(Measured { report, files, stopped })
}

fn bar() -> ProgressBar {
    let template = "{pos:>4}/{len} cells {wide_bar:.cyan/dim} {msg}  {elapsed_precise}";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    let bar = ProgressBar::new(0).with_style(style.progress_chars("━╸─"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// The first Ctrl-C ends the run and prints the cells measured so far. The second one ends the
/// program.
fn stop_on_interrupt(run: &RunContext) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::library("tokio", "start"))?;
    let entered = runtime.enter();
    let mut interrupts =
        signal(SignalKind::interrupt()).map_err(Error::library("tokio", "listen to signals"))?;
    drop(entered);
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

/// The files of a bench. They are created before the measurements, so that an unwritable path fails
/// immediately.
struct Files {
    json: Option<OutputFile>,
    html: Option<OutputFile>,
}

impl Files {
    fn create(cx: &Context, args: &BenchArgs) -> Result<Self> {
        let mut used = cx.files_read();
        used.extend(args.texts.as_deref().and_then(FileId::at));
        let mut create = |name, path: Option<&PathBuf>| {
            let path = path.filter(|path| !is_dash(path));
            let file = path.map(|path| OutputFile::create(name, Some(path), &used)).transpose()?;
            used.extend(file.as_ref().and_then(OutputFile::id).cloned());
            Ok(file)
        };
        let json = create("--json", args.json.as_ref())?;
        Ok(Self { json, html: create("--html", args.html.as_ref())? })
    }

    fn write(self, report: &Report) -> Result<()> {
        let write = |mut file: OutputFile, text: &str| {
            file.append(text.as_bytes())?;
            file.finish()
        };
        if let Some(json) = self.json {
            let text = serde_json::to_string_pretty(report);
            write(json, &text.map_err(Error::library("serde_json", "write the figures"))?)?;
        }
        if let Some(html) = self.html {
            write(html, &html::page(report))?;
        }
        Ok(())
    }
}
