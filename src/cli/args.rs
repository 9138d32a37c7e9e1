//! Which commands and flags are there?

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};

use super::Context;
use crate::base::config::help;
use crate::base::error::Result;
use crate::base::telemetry::log::LogFormat;
use crate::batch::{InputFormat, OutputDtype};
use crate::http::route_list;

/// Embeds, indexes and searches source code in one process.
#[derive(Parser)]
#[command(name = "codeintel", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 ok, 2 wrong input, 3 settings, 4 path, 5 nothing to index, \
    6 model missing, 7 model, 8 no index, 9 index damaged, 10 index of another model, \
    11 index locked, 12 storage, 13 overloaded, 14 timeout, 16 unavailable, 1 anything else.")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[arg(long, global = true, value_name = "DIR", help = help("data.dir"))]
    pub data: Option<PathBuf>,
    #[arg(long, global = true, value_name = "NAME|FOLDER", help = help("model.name"))]
    pub model: Option<String>,
    #[arg(long, global = true, value_name = "WHERE", help = help("engine.device"))]
    pub device: Option<String>,
    /// Settings file; without it ./codeintel.toml is read if it is there
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any setting, such as engine.threads=4; `codeintel config` lists them
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// More of what happens, on standard error; twice for every step
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// How log lines on standard error look; RUST_LOG says which are written
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "FORM")]
    pub log: LogArg,
    /// Print what the run did, and what could go better, on standard error
    #[arg(long, global = true)]
    pub report: bool,
    /// When to print colours
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub color: ColorArg,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum LogArg {
    /// Lines on a terminal, else JSON
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
    /// Index folders and files, or bring their index up to date
    Index(IndexArgs),
    /// Search the index
    Search(SearchArgs),
    /// What the index holds and how fresh it is
    Status(StatusArgs),
    /// Embed texts from a file or standard input
    Embed(EmbedArgs),
    /// Score pairs of texts with a reranker or classifier
    Rerank(RerankArgs),
    /// Measure how fast texts are embedded, and how near to f32, for each batch size and length
    Bench(BenchArgs),
    /// Get, list and check embedding models
    Model(ModelArgs),
    /// What works on this machine
    Doctor(JsonArgs),
    /// Answer over HTTP
    #[command(after_help = format!("Routes: {}.", route_list()))]
    Serve(ServeArgs),
    /// Show what happened in a run: its stages, warnings and hints
    Trace(TraceArgs),
    /// List the published versions of the index
    Versions(JsonArgs),
    /// Return to an older version of the index
    Rollback(RollbackArgs),
    /// Remove old versions and what a killed writer left
    Gc(GcArgs),
    /// Show every setting, or the documented default file
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

impl Command {
    /// The settings that flags of this command are short for, where the flags are there.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let settings = match self {
            Self::Serve(args) => vec![("serve.address", args.address.clone())],
            Self::Embed(args) => vec![("engine.dtype", args.dtype.clone())],
            Self::Bench(args) => {
                let threads = args.threads.map(|n| n.to_string());
                vec![("engine.dtype", args.dtype.clone()), ("engine.threads", threads)]
            }
            _ => Vec::new(),
        };
        settings.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

#[derive(ClapArgs)]
pub struct IndexArgs {
    /// Folders or files; the index holds exactly these
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Keep running, and take in each change as it is saved
    #[arg(long)]
    pub watch: bool,
    /// Read every file anew, also when the model or the index's format changed
    #[arg(long)]
    pub full: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(ClapArgs)]
pub struct SearchArgs {
    /// A question, an identifier, a path, an error message
    #[arg(required = true, value_name = "QUERY")]
    pub query: Vec<String>,
    #[arg(short, long, value_name = "N", help = help("search.limit"))]
    pub limit: Option<usize>,
    /// Print the answer as JSON (docs/searching.md)
    #[arg(long)]
    pub json: bool,
    /// Which channels to ask: dense, lexical, symbol
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub channels: Vec<String>,
    /// Show why each result ranked and how long each stage took
    #[arg(long)]
    pub explain: bool,
    /// Only these languages, such as rust,python
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub lang: Vec<String>,
    /// Only paths that match; with a leading ! only those that do not
    #[arg(long, value_name = "GLOB")]
    pub glob: Vec<String>,
}

#[derive(ClapArgs)]
pub struct TraceArgs {
    /// As printed by --explain or --report, or in the header X-Run-Id; without one, the last run
    #[arg(default_value = "latest", value_name = "RUN_ID")]
    pub run_id: String,
    /// Ask a running server, such as http://127.0.0.1:8080, instead of the data folder
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    pub format: RunFormatArg,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum RunFormatArg {
    Text,
    Json,
    Markdown,
    /// A gantt chart for Mermaid
    Mermaid,
}

#[derive(ClapArgs)]
pub struct StatusArgs {
    #[arg(long)]
    pub json: bool,
    /// Compare every file of the index with its checksum
    #[arg(long)]
    pub verify: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum InputFormatArg {
    /// One text a line
    Lines,
    /// One object {"id", "text"} a line
    Jsonl,
}

impl From<InputFormatArg> for InputFormat {
    fn from(format: InputFormatArg) -> Self {
        match format {
            InputFormatArg::Lines => Self::Lines,
            InputFormatArg::Jsonl => Self::Jsonl,
        }
    }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum PoolingArg {
    Mean,
    Cls,
    Last,
    Max,
    Weightedmean,
    /// A sparse vector over the vocabulary, of models with that head
    Splade,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum PromptArg {
    Query,
    Document,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum OutputDtypeArg {
    F32,
    F16,
    /// The largest value of a vector becomes 127; a line of JSON also holds the scale
    Int8,
    /// One bit per value, 8 per byte: 1 if the value is above 0
    Binary,
}

impl From<OutputDtypeArg> for OutputDtype {
    fn from(dtype: OutputDtypeArg) -> Self {
        match dtype {
            OutputDtypeArg::F32 => Self::F32,
            OutputDtypeArg::F16 => Self::F16,
            OutputDtypeArg::Int8 => Self::Int8,
            OutputDtypeArg::Binary => Self::Binary,
        }
    }
}

#[derive(ClapArgs)]
pub struct EmbedArgs {
    /// Texts; standard input when absent or -
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What the input is; a file that ends in .jsonl is jsonl
    #[arg(long, value_enum)]
    pub format: Option<InputFormatArg>,
    /// How token vectors become one; the model's own way when absent
    #[arg(long, value_enum)]
    pub pooling: Option<PoolingArg>,
    /// Leave vectors as long as they are, also those that the model would give length 1
    #[arg(long)]
    pub no_normalize: bool,
    #[arg(long, value_name = "TYPE", help = help("engine.dtype"))]
    pub dtype: Option<String>,
    /// The model's own prompt to put before each text; none when absent
    #[arg(long, value_enum)]
    pub prompt: Option<PromptArg>,
    /// Keep the first N values of each vector, of models that were trained for it (Matryoshka)
    #[arg(long, value_name = "N")]
    pub dimensions: Option<usize>,
    /// Where to write; a name that ends in .npy gets a NumPy array, a row for each text
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// In which numbers to write
    #[arg(long, value_enum, default_value = "f32")]
    pub output_dtype: OutputDtypeArg,
}

#[derive(ClapArgs)]
pub struct RerankArgs {
    /// {"query", "text"} a line; standard input when absent or -
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Write logits as they are, not the probabilities made of them
    #[arg(long)]
    pub raw: bool,
    /// Where to write
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(ClapArgs)]
pub struct BenchArgs {
    #[arg(long, value_name = "TYPE", help = help("engine.dtype"))]
    pub dtype: Option<String>,
    #[arg(long, value_name = "N", help = help("engine.threads"))]
    pub threads: Option<usize>,
    /// Texts of one request; 1, 2, 4 … 256 when absent
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub batch_sizes: Vec<usize>,
    /// Tokens of each text, or mixed: real texts as they are; 16,64,256,512,mixed when absent
    #[arg(long, value_delimiter = ',', value_name = "LENGTHS")]
    pub lengths: Vec<String>,
    /// Texts for mixed, as `embed` reads them; else the chunks of this folder's index, or of
    /// codeintel's own sources
    #[arg(long, value_name = "FILE")]
    pub texts: Option<PathBuf>,
    /// How long each cell is measured, at least three rounds; 1 when absent
    #[arg(long, value_name = "S")]
    pub seconds: Option<f64>,
    /// Also search so many random vectors for each text, where the texts are embedded
    #[arg(long, value_name = "N", conflicts_with = "against")]
    pub vectors: Option<usize>,
    /// An OpenAI-compatible endpoint, such as http://127.0.0.1:8000, measured in turn with this
    /// process
    #[arg(long, value_name = "URL")]
    pub against: Option<String>,
    /// The name by which the endpoint knows the model; that of --model when absent
    #[arg(long, value_name = "NAME", requires = "against")]
    pub against_model: Option<String>,
    /// Write the figures as JSON; - prints them instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write one page with the table and plots, which needs nothing beside it
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Fewer and shorter cells: 1, 8 and 32 texts of 64 tokens and mixed
    #[arg(long)]
    pub quick: bool,
}

#[derive(ClapArgs)]
pub struct ModelArgs {
    #[command(subcommand)]
    pub command: ModelCommand,
}

#[derive(Subcommand)]
pub enum ModelCommand {
    /// Download a model and check it; the only command that uses the network
    Pull { name: Option<String> },
    /// The models known, and which are here
    List {
        #[arg(long)]
        json: bool,
    },
    /// Compare a model's files with their checksums
    Verify { name: Option<String> },
}

#[derive(ClapArgs)]
pub struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(ClapArgs)]
pub struct ServeArgs {
    #[arg(long, value_name = "HOST:PORT", help = help("serve.address"))]
    pub address: Option<String>,
}

#[derive(ClapArgs)]
pub struct RollbackArgs {
    /// A name of `codeintel versions`; the one before the current one when absent
    #[arg(value_name = "VERSION")]
    pub version: Option<String>,
}

#[derive(ClapArgs)]
pub struct GcArgs {
    #[arg(long, value_name = "N", help = help("data.versions_kept"))]
    pub keep: Option<usize>,
}

#[derive(ClapArgs)]
pub struct ConfigArgs {
    /// Print the documented default file
    #[arg(long)]
    pub defaults: bool,
    /// Print every span, attribute and metric, as Markdown
    #[arg(long, conflicts_with = "defaults")]
    pub telemetry: bool,
}

#[derive(ClapArgs)]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}

pub fn completions(mut cx: Context, args: CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "codeintel", &mut script);
    cx.out.raw(&script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_shows_the_help_of_the_settings_table() {
        Args::command().debug_assert();
        let help = Args::command().render_long_help().to_string();
        assert!(help.contains(crate::base::config::help("data.dir")), "{help}");
    }
}
