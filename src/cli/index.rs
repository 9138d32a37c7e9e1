//! `codeintel index`: builds an index, or updates it.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::out::{
    BOLD, DIM, GOOD, PATH, bytes, count, counted, duration, paint, print_error, print_warning,
};
use super::{Context, report};
use crate::base::config::{clone_folder, process_env};
use crate::base::error::Result;
use crate::base::telemetry::labels::Tool;
use crate::corpus::git::CloneAddress;
use crate::ingest::{Ingest, IngestOutcome, IngestReport, Phase, Progress, watch};
use crate::tools::wire::{IngestAnswer, RunRecord};

#[derive(clap::Args)]
pub struct IndexArgs {
    /// Folders, files, or addresses such as https://host/owner/repo@ref, which are cloned into the cache;
    /// the index holds exactly these
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Keep running, and update the index whenever a file is saved
    #[arg(long)]
    pub watch: bool,
    /// Read every file again, even if the model or the format of the index changed
    #[arg(long)]
    pub full: bool,
    /// Index only these paths, although the index holds others
    #[arg(long)]
    pub replace: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Clones those of `paths` that are addresses, and puts the folder of the clone in their place.
fn clone_addresses(paths: &mut [PathBuf]) -> Result<()> {
    for path in paths {
        let Some(text) = path.to_str().filter(|text| CloneAddress::is_meant(text)) else {
            continue;
        };
        let stderr = std::io::stderr();
        let shows = stderr.is_terminal();
        // What cannot be shown does not end the clone.
        let mut progress = |bytes: &[u8]| {
            if shows {
                let _ = (&stderr).write_all(bytes);
            }
        };
        let clone = CloneAddress::parse(text)?.fetch(&clone_folder(process_env), &mut progress)?;
        eprintln!("{text} is at commit {} in {}", clone.commit, clone.path.display());
        *path = clone.path;
    }
    Ok(())
}

pub fn run(mut cx: Context, mut args: IndexArgs) -> Result<()> {
    clone_addresses(&mut args.paths)?;
    let app = cx.app.clone();
    let ingest = Ingest::new(app.data().clone(), app.settings().clone(), {
        let app = app.clone();
        move || app.start_warm_engine()
    });
    if !args.replace
        && let Some(roots) = ingest.roots_instead(&args.paths)?
    {
        let (given, data) = (list(&args.paths), app.data().path().display());
        args.paths = roots;
        eprintln!(
            "{given} is part of {}, whose index in {data} is updated; --replace indexes only the part",
            list(&args.paths)
        );
    }
    once(&mut cx, &ingest, &args, args.full)?;
    if !args.watch {
        return Ok(());
    }
    eprintln!("watching {}; stop with Ctrl-C", list(&args.paths));
    let (data, settings) = (app.data().path(), app.settings());
    watch(&args.paths, data, settings, Arc::default(), print_warning, |saved| {
        match once(&mut cx, &ingest, &args, false) {
            Ok(IngestOutcome::Unchanged) => {}
            Ok(_) => eprintln!("searchable {} after it was saved", duration(saved.elapsed())),
            // The next change may resolve the error, such as a partially written file or a full
            // disk.
            Err(error) => print_error(&error),
        }
        Ok(true)
    })
}

fn once(cx: &mut Context, ingest: &Ingest, args: &IndexArgs, full: bool) -> Result<IngestOutcome> {
    let run = cx.begin(Tool::Ingest, &Ingest::PLANNED);
    let bar = Bar::start(ingest.progress());
    let result = ingest.run(&args.paths, full, &run);
    drop(bar);
    cx.finish(&run, result.as_ref().err());
    let done = result?;
    run.report().warnings.iter().for_each(|warning| print_warning(&warning.message));
    if args.json {
        cx.out.json(&IngestAnswer::new(&done, &run.report()))?;
    } else if !(args.watch && done.outcome == IngestOutcome::Unchanged) {
        print(cx, &done, &args.paths)?;
        if tracing::enabled!(tracing::Level::INFO) {
            {
                let record = RunRecord::new(&run.report());
                report::print_stages(&mut cx.out, &record.stages, &record.run_id, &record.trace_id)?
            };
        }
    }
    Ok(done.outcome)
}

fn print(cx: &mut Context, done: &IngestReport, paths: &[PathBuf]) -> Result<()> {
    let verb = match done.outcome {
        IngestOutcome::Built => "Indexed",
        IngestOutcome::Updated => "Updated the index of",
        IngestOutcome::Unchanged => "Nothing changed in",
    };
    let out = &mut cx.out;
    out.line(format!(
        "{} {}: {}, {} in {}",
        paint(GOOD, verb),
        paint(PATH, list(paths)),
        paint(BOLD, counted(done.files, "file")),
        paint(BOLD, counted(done.chunks, "chunk")),
        duration(done.elapsed),
    ))?;
    for reason in &done.reasons {
        out.line(paint(DIM, format!("  every file was indexed again: {reason}")))?;
    }
    if done.outcome != IngestOutcome::Unchanged {
        let mut line = format!(
            "  {} read, {} removed; {} written, {} embedded",
            counted(done.files_changed, "file"),
            count(done.files_removed),
            counted(done.chunks_written, "chunk"),
            count(done.chunks_embedded)
        );
        if done.chunks_embedded > 0 {
            let tokens_per_s = done.tokens as f64 / done.elapsed.as_secs_f64();
            line += &format!(" ({} tokens, {tokens_per_s:.0} tokens/s)", count(done.tokens));
        }
        out.line(paint(DIM, line))?;
    }
    if done.chunks_truncated > 0 {
        let was = if done.chunks_truncated == 1 { "was" } else { "were" };
        let line = format!(
            "  {} exceeded the model's token limit and {was} truncated",
            counted(done.chunks_truncated, "chunk")
        );
        out.line(paint(DIM, line))?;
    }
    if done.skipped.total() > 0 {
        out.line(paint(DIM, format!("  skipped: {}", done.skipped)))?;
    }
    let line = format!("  version {}, {} on disk", done.version, bytes(done.bytes_on_disk));
    out.line(paint(DIM, line))
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The interval of lines about the progress where standard error is no terminal, such as in a log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A progress bar on standard error, or a line now and then if that is no terminal.
struct Bar {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bar {
    fn start(progress: Arc<Progress>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || draw(&progress, &stopped));
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn draw(progress: &Progress, stopped: &AtomicBool) {
    let template = "{prefix:>10} {wide_bar:.cyan/dim} {msg}  {elapsed_precise} eta {eta}";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    let bar = ProgressBar::new(0).with_style(style.progress_chars("━╸─"));
    let mut embedding_since = None;
    let is_terminal = std::io::stderr().is_terminal();
    let mut logged = Instant::now();
    while !stopped.load(Ordering::Relaxed) {
        let phase = progress.phase();
        bar.set_prefix(phase.as_str());
        let (bytes_done, bytes_total) = progress.bytes();
        bar.set_length(bytes_total as u64);
        bar.set_position(bytes_done as u64);
        if phase == Phase::Embedding {
            let since = *embedding_since.get_or_insert_with(Instant::now);
            let rate = progress.tokens() as f64 / since.elapsed().as_secs_f64().max(0.001);
            let (files, all) = progress.files();
            let chunks = count(progress.chunks());
            let message = format!("{files}/{all} files  {chunks} chunks  {rate:.0} tokens/s");
            if !is_terminal && logged.elapsed() >= LOG_INTERVAL {
                logged = Instant::now();
                eprintln!("{}: {message}", phase.as_str());
            }
            bar.set_message(message);
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    bar.finish_and_clear();
}
