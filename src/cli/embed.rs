//! `codeintel embed`: vectors of texts.

use std::path::PathBuf;

use clap::ValueEnum;

use super::rows::{RowNoun, RowOutputs, run_job};
use super::{Context, out};
use crate::base::config::help;
use crate::base::error::{Error, Result};
use crate::base::telemetry::Stage;
use crate::base::telemetry::labels::Tool;
use crate::batch::{
    self, Input, InputFormat, Output, OutputDtype, SparseOutput, VectorFormat, is_npy,
};
use crate::embedding::engine::{Engine, EngineOptions, PromptKind, Task};
use crate::embedding::nn::Pooling;

#[derive(clap::Args)]
pub struct EmbedArgs {
    /// Texts [default: standard input, also for -]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Format of the input [default: jsonl if the name of the file ends in .jsonl, else lines]
    #[arg(long, value_enum)]
    pub format: Option<InputFormatArg>,
    /// How token vectors become one vector [default: as the model's files say]
    #[arg(long, value_enum)]
    pub pooling: Option<PoolingArg>,
    /// Do not normalise the vectors, even if the model's files ask for it
    #[arg(long)]
    pub no_normalize: bool,
    #[arg(long, value_name = "TYPE", help = help("engine.dtype"))]
    pub dtype: Option<String>,
    /// Put the model's prompt of this name before each text, such as query or document
    /// [default: none]
    #[arg(long, alias = "prompt-name", value_name = "NAME")]
    pub prompt: Option<String>,
    /// Keep the first N values of each vector; for models trained for it (Matryoshka)
    #[arg(long, value_name = "N")]
    pub dimensions: Option<usize>,
    /// Write to this file, which is replaced at the end; if its name ends in .npy, a NumPy array with one row per text
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the texts that failed to this file, one object {"row", "line", "id", "code", "message"}
    /// per line
    #[arg(long, value_name = "FILE")]
    pub errors: Option<PathBuf>,
    /// Number format of the output
    #[arg(long, value_enum, default_value = "f32")]
    pub output_dtype: OutputDtypeArg,
    #[arg(long, value_name = "FILE", help = help("model.calibration"))]
    pub calibration: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum InputFormatArg {
    /// One text per line
    Lines,
    /// One object {"id", "text"} per line
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
    /// Sparse vectors over the vocabulary, for models with a masked-language-model head
    Splade,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum OutputDtypeArg {
    F32,
    F16,
    /// -128 to 127 over the ranges of the calibration; without one, the largest value of a vector
    /// becomes 127, and a line of JSON also holds the scale
    Int8,
    /// 0 to 255 over the ranges of the calibration
    Uint8,
    /// One bit per value, 8 per byte: 1 if the value is above 0; as bytes less 128
    Binary,
    /// The same bytes as they are
    Ubinary,
}

impl From<OutputDtypeArg> for OutputDtype {
    fn from(dtype: OutputDtypeArg) -> Self {
        match dtype {
            OutputDtypeArg::F32 => Self::F32,
            OutputDtypeArg::F16 => Self::F16,
            OutputDtypeArg::Int8 => Self::Int8,
            OutputDtypeArg::Uint8 => Self::Uint8,
            OutputDtypeArg::Binary => Self::Binary,
            OutputDtypeArg::Ubinary => Self::Ubinary,
        }
    }
}

pub fn run(cx: Context, args: EmbedArgs) -> Result<()> {
    match args.pooling {
        None => dense(&cx, &args, None),
        Some(PoolingArg::Mean) => dense(&cx, &args, Some(Pooling::Mean)),
        Some(PoolingArg::Cls) => dense(&cx, &args, Some(Pooling::Cls)),
        Some(PoolingArg::Last) => dense(&cx, &args, Some(Pooling::Last)),
        Some(PoolingArg::Max) => dense(&cx, &args, Some(Pooling::Max)),
        Some(PoolingArg::Weightedmean) => dense(&cx, &args, Some(Pooling::WeightedMean)),
        Some(PoolingArg::Splade) => sparse(&cx, &args),
    }
}

fn dense(cx: &Context, args: &EmbedArgs, pooling: Option<Pooling>) -> Result<()> {
    let normalize = args.no_normalize.then_some(false);
    let options = EngineOptions { pooling, normalize, ..EngineOptions::default() };
    let mut input = Input::open(args.file.as_deref(), args.format.map(Into::into))?;
    let engine = cx.app.start_engine(options)?;
    let dimensions = engine.identity().dimensions(args.dimensions)?;
    let prompt = prompt(&engine, args)?;
    let format = vector_format(cx, args, dimensions)?;
    let RowOutputs { results, errors } = create_outputs(cx, args, &input)?;
    let output = Output::new(results, to_numpy(args), format, dimensions)?;
    let run = cx.begin(Tool::Embed, &[Stage::Embed]);
    let result = run_job(&run, noun(&engine), args.output.as_deref(), errors, |job| {
        batch::embed(&engine, prompt, &mut input, output, job)
    });
    cx.finish(&run, result.as_ref().err());
    result
}

fn sparse(cx: &Context, args: &EmbedArgs) -> Result<()> {
    refuse_dense_flags(args)?;
    let mut input = Input::open(args.file.as_deref(), args.format.map(Into::into))?;
    let options = EngineOptions { task: Task::Expand, ..EngineOptions::default() };
    let engine = cx.app.start_engine(options)?;
    let prompt = prompt(&engine, args)?;
    let RowOutputs { results, errors } = create_outputs(cx, args, &input)?;
    let run = cx.begin(Tool::Embed, &[Stage::Embed]);
    let result = run_job(&run, noun(&engine), args.output.as_deref(), errors, |job| {
        batch::expand(&engine, prompt, &mut input, SparseOutput::new(results), job)
    });
    cx.finish(&run, result.as_ref().err());
    result
}

fn noun(engine: &Engine) -> RowNoun {
    let tokens_max = engine.identity().max_tokens;
    RowNoun { singular: "text", plural: "texts", tokens_max }
}

fn create_outputs(cx: &Context, args: &EmbedArgs, input: &Input<String>) -> Result<RowOutputs> {
    RowOutputs::create(cx, input.id(), args.output.as_deref(), args.errors.as_deref())
}

fn to_numpy(args: &EmbedArgs) -> bool {
    args.output.as_deref().is_some_and(is_npy)
}

/// Refuses the flags that have a meaning for dense vectors only.
fn refuse_dense_flags(args: &EmbedArgs) -> Result<()> {
    let refused = [
        (to_numpy(args), "a NumPy file"),
        (args.dimensions.is_some(), "--dimensions"),
        (args.no_normalize, "--no-normalize"),
        (args.output_dtype != OutputDtypeArg::F32, "--output-dtype"),
        (args.calibration.is_some(), "--calibration"),
    ];
    match refused.iter().find(|(refused, _)| *refused) {
        None => Ok(()),
        Some((_, flag)) => Err(Error::Argument {
            name: "--pooling",
            value: "splade".to_owned(),
            expected: format!(
                "a dense pooling with {flag}: sparse vectors are written as lines of JSON with \
                 indices and values, whole"
            ),
        }),
    }
}

/// The prompt that is asked for. Every model takes query and document, even if it has no such
/// prompt.
fn prompt<'e>(engine: &'e Engine, args: &EmbedArgs) -> Result<PromptKind<'e>> {
    let Some(name) = &args.prompt else { return Ok(PromptKind::None) };
    let text = engine.prompt_named(name)?;
    if text.is_empty() {
        out::print_warning("the model has no such prompt; texts are embedded without one");
    }
    Ok(PromptKind::Text(text))
}

fn vector_format(cx: &Context, args: &EmbedArgs, dimensions: usize) -> Result<VectorFormat> {
    let dtype: OutputDtype = args.output_dtype.into();
    let ranges = if dtype.has_ranges() { cx.app.ranges()? } else { None };
    match dtype {
        OutputDtype::Int8 if ranges.is_none() => Ok(VectorFormat::scaled()),
        dtype => VectorFormat::new(dtype, ranges, dimensions),
    }
}
