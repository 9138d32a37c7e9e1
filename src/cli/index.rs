//! `codeintel index`: make an index, or bring it up to date.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::IndexArgs;
use super::out::{BOLD, DIM, GOOD, PATH, bytes, count, duration, paint};
use super::{Context, report};
use crate::base::config::{Settings, process_env};
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::embedding::engine::{Engine, EngineOptions};
use crate::embedding::models;
use crate::index::versions::DataFolder;
use crate::ingest::{Ingest, IngestReport, Outcome, Phase, Progress, watch};
use crate::tools::wire;

pub fn run(mut cx: Context, args: IndexArgs) -> Result<()> {
    let settings = cx.settings.clone();
    let here = std::env::current_dir().unwrap_or_default();
    let data = settings.data.folder(&here);
    let ingest = {
        let settings = settings.clone();
        let load = move || start_warm_engine(&settings);
        Ingest::new(DataFolder::new(&data), cx.settings.clone(), load)
    };
    once(&mut cx, &ingest, &args, args.full)?;
    if !args.watch {
        return Ok(());
    }
    eprintln!("watching {}; stop with Ctrl-C", list(&args.paths));
    watch(&args.paths, &data, |saved| {
        match once(&mut cx, &ingest, &args, false) {
            Ok(Outcome::Unchanged) => {}
            Ok(_) => eprintln!("searchable {} after it was saved", duration(saved.elapsed())),
            // The next change may mend it: a half-written file, a disk that was full.
            Err(error) => super::out::print_error(&error),
        }
        Ok(true)
    })
}

fn once(cx: &mut Context, ingest: &Ingest, args: &IndexArgs, full: bool) -> Result<Outcome> {
    let run = RunContext::new(&cx.telemetry, Tool::Ingest, &Ingest::PLANNED);
    let bar = Bar::start(ingest.progress());
    let result = ingest.run(&args.paths, full, &run);
    drop(bar);
    cx.finish(&run, result.as_ref().err());
    let done = result?;
    run.report().warnings.iter().for_each(super::out::print_warning);
    if args.json {
        cx.out.json(&wire::IngestReport::new(&done, &run.report()))?;
    } else if !(args.watch && done.outcome == Outcome::Unchanged) {
        print(cx, &done, &args.paths)?;
        if tracing::enabled!(tracing::Level::INFO) {
            report::print_stages(&mut cx.out, &run.report())?;
        }
    }
    Ok(done.outcome)
}

fn print(cx: &mut Context, done: &IngestReport, paths: &[PathBuf]) -> Result<()> {
    let verb = match done.outcome {
        Outcome::Built => "Indexed",
        Outcome::Updated => "Updated the index of",
        Outcome::Unchanged => "Nothing changed in",
    };
    let out = &mut cx.out;
    out.line(format!(
        "{} {}: {} files, {} chunks in {}",
        paint(GOOD, verb),
        paint(PATH, list(paths)),
        paint(BOLD, count(done.files)),
        paint(BOLD, count(done.chunks)),
        duration(done.elapsed),
    ))?;
    if done.outcome != Outcome::Unchanged {
        let s = done.elapsed.as_secs_f64();
        let changed = count(done.files_changed);
        let mut line = format!("  {changed} files read, {} removed; ", count(done.files_removed));
        line += &format!(
            "{} chunks written, {} embedded",
            count(done.chunks_written),
            count(done.chunks_embedded)
        );
        if done.chunks_embedded > 0 {
            let tokens = done.tokens as f64;
            line += &format!(" ({} tokens, {:.0} tokens/s)", count(done.tokens), tokens / s);
        }
        out.line(paint(DIM, line))?;
    }
    if done.chunks_truncated > 0 {
        let line = format!(
            "  {} chunks were longer than the model takes and were cut",
            done.chunks_truncated
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

/// Starts the engine for `model`, a name or a folder.
pub fn start_engine(settings: &Settings, model: &str) -> Result<Engine> {
    start_engine_with(settings, model, EngineOptions::default())
}

/// Starts the engine of the settings' model, and has it compute once.
pub fn start_warm_engine(settings: &Settings) -> Result<Engine> {
    let engine = start_engine(settings, &settings.model.name)?;
    engine.warm_up()?;
    Ok(engine)
}

pub fn start_engine_with(
    settings: &Settings,
    model: &str,
    options: EngineOptions,
) -> Result<Engine> {
    let folder = models::resolve(model, &settings.model.folder(process_env))?;
    let cache = settings.engine.cache_folder(process_env);
    Engine::start_with(&folder, settings, cache.as_deref(), options)
}

/// A progress bar on standard error; nothing where that is no terminal.
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
            bar.set_message(format!("{files}/{all} files  {chunks} chunks  {rate:.0} tokens/s"));
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    bar.finish_and_clear();
}
