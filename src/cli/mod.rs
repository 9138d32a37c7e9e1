//! What can be typed, and what is printed?
//!
//! One file a command. Results go to standard output, everything else to standard error; a reader
//! that goes away ends the program quietly.

mod args;
mod bench;
mod doctor;
mod embed;
mod highlight;
mod index;
mod model;
mod out;
mod report;
mod rerank;
mod search;
mod serve;
mod status;
mod trace;
mod versions;

use std::process::ExitCode;

use clap::Parser;

use crate::base::config::{FILE_NAME, Settings, process_env};
use crate::base::error::{Error, Result};
use crate::base::telemetry::{RunContext, Telemetry, TelemetryConfig, log};
use crate::device::InstructionSet;
use crate::tools::RunFolder;
use args::{Args, Command};
use out::Out;

/// What every command is given.
struct Context {
    settings: Settings,
    telemetry: Telemetry,
    out: Out,
    /// Whether runs are told on standard error when they end.
    report: bool,
}

impl Context {
    /// Ends a run of this command.
    fn finish(&self, run: &RunContext, error: Option<&Error>) {
        let report = run.finish(error);
        if self.report {
            report::print_report(&report);
        }
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let args = Args::parse();
    args.color.apply();
    match settings(&args).and_then(|settings| observed(args, settings)) {
        Ok(()) => ExitCode::SUCCESS,
        // `codeintel search x | head` is no failure.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            out::print_error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// FAISS is compiled for processors with AVX2 and would stop the program without a word.
fn check_processor() -> Result<()> {
    match InstructionSet::detect() {
        InstructionSet::Portable if cfg!(target_arch = "x86_64") => Err(Error::Unavailable {
            what: "a processor with AVX2 and FMA".to_owned(),
            remedy: "build again after taking -march=x86-64-v3 out of .cargo/config.toml"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Starts telemetry, runs the command, and shuts telemetry down last.
fn observed(args: Args, settings: Settings) -> Result<()> {
    let config = TelemetryConfig::read(process_env, &settings.telemetry)?;
    let telemetry = Telemetry::install(&config)?;
    log::init(&telemetry, args.log.format(), &log_filter(&args));
    let cx =
        Context { settings, telemetry: telemetry.clone(), out: Out::new(), report: args.report };
    // A server has many runs, and keeps the failed ones; a command has one.
    let all = !matches!(args.command, Command::Serve(_));
    RunFolder::of(&cx.data(), &cx.settings.telemetry).listen(&telemetry, all);
    let result = check_processor().and_then(|()| execute(args.command, cx, &config));
    telemetry.shutdown();
    result
}

fn execute(command: Command, cx: Context, config: &TelemetryConfig) -> Result<()> {
    match command {
        Command::Index(args) => index::run(cx, args),
        Command::Search(args) => search::run(cx, args),
        Command::Status(args) => status::run(cx, args),
        Command::Embed(args) => embed::run(cx, args),
        Command::Bench(args) => bench::run(cx, args),
        Command::Rerank(args) => rerank::run(cx, args),
        Command::Model(args) => model::run(cx, args),
        Command::Doctor(args) => doctor::run(cx, args),
        Command::Serve(_) => serve::run(cx, config),
        Command::Trace(args) => trace::run(cx, args),
        Command::Versions(args) => versions::list(cx, args),
        Command::Rollback(args) => versions::rollback(cx, args),
        Command::Gc(args) => versions::gc(cx, args),
        Command::Config(args) => status::config(cx, args),
        Command::Completions(args) => args::completions(cx, args),
    }
}

/// Defaults, then the settings file, then the environment, then flags.
fn settings(args: &Args) -> Result<Settings> {
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
    let here = std::path::Path::new(FILE_NAME);
    let file = args.config.as_deref().or_else(|| here.is_file().then_some(here));
    Settings::load(file, process_env, &flags)
}

/// RUST_LOG, else by the number of -v. A command tells its own failure; a server has nobody who
/// reads its answers.
fn log_filter(args: &Args) -> String {
    process_env("RUST_LOG").unwrap_or_else(|| {
        let serves = matches!(args.command, Command::Serve(_));
        let quiet = if serves { "info" } else { "error" };
        let level = [quiet, "info", "debug"][usize::from(args.verbose.min(2))];
        format!("codeintel={level},warn")
    })
}
