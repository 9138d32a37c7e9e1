//! What can be typed, and what is printed?
//!
//! One file a command. Results go to standard output, everything else to standard error; a reader
//! that goes away ends the program quietly.

mod args;
mod doctor;
mod embed;
mod highlight;
mod index;
mod model;
mod out;
mod report;
mod search;
mod serve;
mod status;
mod versions;

use std::process::ExitCode;

use clap::Parser;

use crate::config::{FILE_NAME, Settings, process_env};
use crate::device::InstructionSet;
use crate::error::{Error, Result};
use crate::telemetry::Telemetry;
use args::{Args, Command};
use out::Out;

/// What every command is given.
struct Context {
    settings: Settings,
    telemetry: Telemetry,
    out: Out,
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let args = Args::parse();
    args.color.apply();
    init_log(args.verbose);
    let telemetry = Telemetry::install();
    let result = execute(args, telemetry.clone());
    telemetry.shutdown();
    match result {
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

fn execute(args: Args, telemetry: Telemetry) -> Result<()> {
    check_processor()?;
    let settings = settings(&args)?;
    let cx = Context { settings, telemetry, out: Out::new() };
    match args.command {
        Command::Index(args) => index::run(cx, args),
        Command::Search(args) => search::run(cx, args),
        Command::Status(args) => status::run(cx, args),
        Command::Embed(args) => embed::run(cx, args),
        Command::Model(args) => model::run(cx, args),
        Command::Doctor(args) => doctor::run(cx, args),
        Command::Serve(_) => serve::run(cx),
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
    for (name, value) in [
        ("data.dir", data),
        ("model.name", args.model.clone()),
        ("serve.address", args.command.address()),
    ] {
        flags.extend(value.map(|value| (name.to_owned(), value)));
    }
    let here = std::path::Path::new(FILE_NAME);
    let file = args.config.as_deref().or_else(|| here.is_file().then_some(here));
    Settings::load(file, process_env, &flags)
}

fn init_log(verbose: u8) {
    let default = ["warn", "info", "debug"][usize::from(verbose.min(2))];
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new(format!("codeintel={default},warn"))
    });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
