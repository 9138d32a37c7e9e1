//! The commands, and the flags that every command has.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use super::bench::BenchArgs;
use super::completions::CompletionsArgs;
use super::config::ConfigArgs;
use super::doctor::DoctorArgs;
use super::embed::EmbedArgs;
use super::eval::EvalArgs;
use super::index::IndexArgs;
use super::install::InstallArgs;
use super::mcp::McpArgs;
use super::model::ModelArgs;
use super::rerank::RerankArgs;
use super::search::SearchArgs;
use super::serve::ServeArgs;
use super::short::{
    FactsArgs, GrepArgs, ImpactArgs, LinesArgs, LogArgs, MapArgs, RefsArgs, RelatedArgs,
    SymbolsArgs,
};
use super::status::StatusArgs;
use super::tool::ToolArgs;
use super::trace::TraceArgs;
use super::tune::TuneArgs;
use super::versions::{GcArgs, RollbackArgs};
use crate::base::config::help;
use crate::base::telemetry::log::LogFormat;
use crate::http::route_list;

/// Embeds, indexes and searches source code in one process.
#[derive(Parser)]
#[command(name = "codeintel", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 ok, 2 wrong input, 3 settings, 4 path, 5 nothing to index, \
    6 model missing, 7 model, 8 no index, 9 index damaged, 10 index of another model, \
    11 index locked, 12 storage, 13 overloaded, 14 timeout, 16 unavailable, \
    20 some rows failed, 1 anything else.")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[arg(long, global = true, value_name = "DIR", help = help("data.dir"))]
    pub data: Option<PathBuf>,
    #[arg(long, global = true, value_name = "NAME|FOLDER", help = help("model.name"))]
    pub model: Option<String>,
    #[arg(long, global = true, value_name = "WHERE", help = help("engine.device"))]
    pub device: Option<String>,
    /// Settings file [default: ./codeintel.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any setting, such as engine.threads=4; `codeintel config` lists them
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Log informational messages, which `serve` always does; twice: debug messages as well
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Format of log lines on standard error; RUST_LOG selects which lines are written
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "FORMAT")]
    pub log: LogArg,
    /// Print a report of the run, with hints, on standard error
    #[arg(long, global = true)]
    pub report: bool,
    /// When to print colours
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub color: ColorArg,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum LogArg {
    /// Human-readable on a terminal, else JSON
    Auto,
    Human,
    Json,
}

impl LogArg {
    pub fn format(self) -> LogFormat {
        match self {
            Self::Auto if !std::io::stderr().is_terminal() => LogFormat::Json,
            Self::Auto | Self::Human => LogFormat::Human,
            Self::Json => LogFormat::Json,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ColorArg {
    Auto,
    Always,
    Never,
}

impl ColorArg {
    pub fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

#[derive(Subcommand)]
pub enum Command {
    /// Build the index of folders and files, or update it
    Index(IndexArgs),
    /// Search the index
    Search(SearchArgs),
    /// Find the lines of files that contain a text or match a regular expression
    Grep(GrepArgs),
    /// Find definitions by name
    Symbols(SymbolsArgs),
    /// Find where a name is used
    Refs(RefsArgs),
    /// Find code that resembles the code at a line
    Related(RelatedArgs),
    /// Find the callers and the tests of what a change touches
    Impact(ImpactArgs),
    /// Print lines of an indexed file
    Open(LinesArgs),
    /// Show the commit of each line of a file
    Blame(LinesArgs),
    /// List the commits that changed a file
    Log(LogArgs),
    /// Show the most central files with their definitions
    Map(MapArgs),
    /// Show hotspots, owners, documentation or configuration of the repository
    Facts(FactsArgs),
    /// Show what the index holds and how fresh it is
    Status(StatusArgs),
    /// Embed texts from a file or standard input
    Embed(EmbedArgs),
    /// Score pairs of texts with a reranker or a classifier
    Rerank(RerankArgs),
    /// Measure embedding speed and accuracy for each batch size and text length
    Bench(BenchArgs),
    /// Measure how good the answers are
    Eval(EvalArgs),
    /// Find the fastest setting of the vector index that loses no recall
    Tune(TuneArgs),
    /// Download, list and verify embedding models
    Model(ModelArgs),
    /// Check what works on this machine
    Doctor(DoctorArgs),
    /// Serve over HTTP
    #[command(after_help = format!("Routes: {}.", route_list()))]
    Serve(ServeArgs),
    /// Serve an agent over the Model Context Protocol, on standard input and output
    Mcp(McpArgs),
    /// Configure an agent of this project to use codeintel; shows the change first
    Install(InstallArgs),
    /// Remove what `install` wrote
    Uninstall(InstallArgs),
    /// Call a tool as an agent does, or list the tools
    Tool(ToolArgs),
    /// Show what happened in a run: its stages, warnings and hints
    Trace(TraceArgs),
    /// List the published versions of the index
    Versions(JsonArgs),
    /// Return to an older version of the index
    Rollback(RollbackArgs),
    /// Remove old versions, and leftovers of killed runs
    Gc(GcArgs),
    /// Show every setting, or the documented default file
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

impl Command {
    /// The settings for which this command has flags of its own, with the values that were given.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let settings = match self {
            Self::Serve(args) => vec![("serve.address", args.address.clone())],
            Self::Embed(args) => {
                let calibration = args.calibration.as_ref().map(|path| path.display().to_string());
                vec![("engine.dtype", args.dtype.clone()), ("model.calibration", calibration)]
            }
            Self::Bench(args) => {
                let threads = args.threads.map(|n| n.to_string());
                vec![("engine.dtype", args.dtype.clone()), ("engine.threads", threads)]
            }
            _ => Vec::new(),
        };
        settings.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// The flag of commands that have no other.
#[derive(clap::Args)]
pub struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_shows_the_help_of_the_settings_table() {
        Args::command().debug_assert();
        let help = Args::command().render_long_help().to_string();
        assert!(help.contains(crate::base::config::help("data.dir")), "{help}");
    }
}
