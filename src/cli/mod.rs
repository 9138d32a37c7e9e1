//! Which commands are there, and what do they print?
//!
//! One file per command: it parses its flags, calls a tool or a pipeline, and prints. Results go to
//! standard output, everything else to standard error; a closed pipe ends the program without an
//! error.

#![allow(clippy::print_stderr)] // The terminal is the interface.

mod args;
mod bench;
mod completions;
mod config;
mod doctor;
mod embed;
mod eval;
mod highlight;
mod index;
mod install;
mod mcp;
mod model;
mod out;
mod report;
mod rerank;
mod rows;
mod search;
mod serve;
mod short;
mod status;
mod status_files;
mod tool;
mod trace;
mod tune;
mod versions;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::base::config::{FILE_NAME, Settings, process_env};
use crate::base::error::{Error, Result, Warning};
use crate::base::output::FileId;
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{RunContext, Stage, Telemetry, TelemetryConfig, log};
use crate::device::InstructionSet;
use crate::embedding::models;
use crate::index::versions::DataFolder;
use crate::tools::{App, KeptRuns};
use args::{Args, Command};
use out::Out;

/// The context that every command receives.
struct Context {
    app: App,
    out: Out,
    /// Whether the report of a run is printed on standard error.
    report: bool,
    /// The settings file that was read.
    settings_file: Option<FileId>,
}

impl Context {
    /// The files that every command reads: the settings file and those of the model. No output may
    /// replace one of them.
    fn files_read(&self) -> Vec<FileId> {
        let settings = self.app.settings();
        let model = models::resolve(&settings.model.name, &settings.model.places(process_env));
        let files = model.ok().and_then(|model| std::fs::read_dir(&model.path).ok());
        let files = files.into_iter().flatten().flatten();
        let model = files.filter_map(|entry| FileId::at(&entry.path()));
        let calibration = FileId::at(settings.model.calibration.as_ref());
        self.settings_file.iter().cloned().chain(calibration).chain(model).collect()
    }

    /// Begins a run of this command.
    fn begin(&self, tool: Tool, planned: &'static [Stage]) -> RunContext {
        let run = RunContext::new(self.app.telemetry(), tool, planned);
        match tool {
            // These call the engine many times; in one stage, the calls are one trace.
            Tool::Embed | Tool::Rerank => run.within(Stage::Batch),
            Tool::Bench => run.within(Stage::Bench),
            _ => run,
        }
    }

    /// Ends a run of this command.
    fn finish(&self, run: &RunContext, error: Option<&Error>) {
        run.finish(error);
        self.print_report(run);
    }

    /// Prints the report of a finished run, if it was asked for.
    fn print_report(&self, run: &RunContext) {
        if self.report {
            report::print_report(&run.report());
        }
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let args = Args::parse();
    args.color.apply();
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        // `codeintel search x | head` is not a failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            out::print_error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// FAISS is compiled for processors with AVX2. On other processors it would crash without a
/// message.
fn check_processor() -> Result<()> {
    match InstructionSet::detect() {
        InstructionSet::Portable if cfg!(target_arch = "x86_64") => Err(Error::Unavailable {
            what: "a processor with AVX2 and FMA".to_owned(),
            remedy: "remove -march=x86-64-v3 from .cargo/config.toml and build again".to_owned(),
        }),
        _ => Ok(()),
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A server logs its warnings; a command prints them.
fn warn(warnings: &[Warning], is_server: bool) {
    for warning in warnings {
        if is_server {
            tracing::warn!(code = warning.code, "{}", warning.message);
        } else {
            out::print_warning(&warning.message);
        }
    }
}

/// Starts telemetry, runs the command, and shuts telemetry down last.
fn start(args: Args) -> Result<(), Arc<Error>> {
    let file = settings_file(&args);
    let (settings, warnings) = settings(&args, file)?;
    let config = TelemetryConfig::read(process_env, &settings.telemetry)?;
    let telemetry = Telemetry::install(&config)?;
    log::init(&telemetry, args.log.format(), &log_filter(&args));
    let here = std::env::current_dir().unwrap_or_default();
    let data = DataFolder::new(settings.data.folder(&here));
    let app = App::new(settings, telemetry.clone(), data);
    // A server has many runs and keeps the failed ones; a command has one run.
    let is_server = matches!(args.command, Command::Serve(_) | Command::Mcp(_));
    warn(&warnings, is_server);
    let kept = if is_server { KeptRuns::Failed } else { KeptRuns::All };
    app.runs().keep(kept, &telemetry);
    let settings_file = file.and_then(FileId::at);
    let cx = Context { app, out: Out::new(), report: args.report, settings_file };
    let result =
        check_processor().map_err(Arc::new).and_then(|()| execute(args.command, cx, &config));
    telemetry.shutdown();
    result
}

fn execute(command: Command, cx: Context, config: &TelemetryConfig) -> Result<(), Arc<Error>> {
    match command {
        Command::Index(args) => index::run(cx, args)?,
        Command::Search(args) => search::run(cx, args)?,
        Command::Status(args) => status::run(cx, args)?,
        Command::Embed(args) => embed::run(cx, args)?,
        Command::Bench(args) => bench::run(cx, args)?,
        Command::Eval(args) => eval::run(cx, args)?,
        Command::Tune(args) => tune::run(cx, args)?,
        Command::Rerank(args) => rerank::run(cx, args)?,
        Command::Model(args) => model::run(cx, args)?,
        Command::Doctor(args) => doctor::run(cx, args)?,
        Command::Serve(_) => serve::run(cx, config)?,
        Command::Install(args) => install::install(cx, args)?,
        Command::Uninstall(args) => install::uninstall(cx, args)?,
        Command::Mcp(args) => mcp::run(cx, args)?,
        Command::Tool(args) => tool::run(cx, args)?,
        Command::Grep(args) => short::grep(cx, args)?,
        Command::Symbols(args) => short::symbols(cx, args)?,
        Command::Refs(args) => short::refs(cx, args)?,
        Command::Related(args) => short::related(cx, args)?,
        Command::Impact(args) => short::impact(cx, args)?,
        Command::Open(args) => short::open(cx, args)?,
        Command::Blame(args) => short::blame(cx, args)?,
        Command::Log(args) => short::log(cx, args)?,
        Command::Map(args) => short::map(cx, args)?,
        Command::Facts(args) => short::facts(cx, args)?,
        Command::Trace(args) => trace::run(cx, args)?,
        Command::Versions(args) => versions::list(cx, args)?,
        Command::Rollback(args) => versions::rollback(cx, args)?,
        Command::Gc(args) => versions::gc(cx, args)?,
        Command::Config(args) => config::run(cx, args)?,
        Command::Completions(args) => completions::run(cx, args)?,
    }
    Ok(())
}

fn settings_file(args: &Args) -> Option<&Path> {
    let here = Path::new(FILE_NAME);
    args.config.as_deref().or_else(|| here.is_file().then_some(here))
}

/// Defaults, then the settings file, then the environment, then flags.
fn settings(args: &Args, file: Option<&Path>) -> Result<(Settings, Vec<Warning>)> {
    let mut flags = Vec::new();
    for pair in &args.set {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Error::Argument {
                name: "--set",
                value: pair.clone(),
                expected: "NAME=VALUE, such as engine.threads=4".to_owned(),
            });
        };
        flags.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let data = args.data.as_ref().map(|path| path.display().to_string());
    let (model, device) = (args.model.clone(), args.device.clone());
    let general = [("data.dir", data), ("model.name", model), ("engine.device", device)];
    let general = general.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let short = general.chain(args.command.settings());
    flags.extend(short.map(|(name, value)| (name.to_owned(), value)));
    Settings::load(file, process_env, &flags)
}

/// RUST_LOG, else by the number of -v. A command prints its own failure, so it logs less than a
/// server.
fn log_filter(args: &Args) -> String {
    process_env("RUST_LOG").unwrap_or_else(|| {
        let serves = matches!(args.command, Command::Serve(_) | Command::Mcp(_));
        let quiet = if serves { "info" } else { "error" };
        let level = [quiet, "info", "debug"][usize::from(args.verbose.min(2))];
        format!("codeintel={level},warn")
    })
}
