//! The cells of a bench: which batch sizes and lengths are measured, and for how long.

use std::path::PathBuf;

use crate::base::error::{Error, Result};

const BATCH_SIZES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const LENGTHS: [&str; 5] = ["16", "64", "256", "512", MIXED];
const SECONDS: f64 = 1.0;

/// What a quick bench measures instead.
const QUICK_BATCH_SIZES: [usize; 3] = [1, 8, 32];
const QUICK_LENGTHS: [&str; 2] = ["64", MIXED];
const QUICK_SECONDS: f64 = 0.2;

const MIXED: &str = "mixed";
/// Texts of the largest request: twice the default of `serve.items_max`.
const BATCH_MAX: usize = 4096;
/// Tokens of the longest text: the bound of `chunk.tokens_max`.
const TOKENS_MAX: usize = 32_768;
/// Seconds of the longest cell: ten minutes.
const SECONDS_MAX: f64 = 600.0;
/// Vectors that are searched: 50 million of 1024 values are 200 GB.
const VECTORS_MAX: usize = 50_000_000;

/// The length of the texts of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Exactly this many tokens, including special tokens.
    Tokens(usize),
    /// Real texts as they are.
    Mixed,
}

impl Length {
    fn parse(word: &str) -> Result<Self> {
        let tokens = word.parse().ok().filter(|n| (1..=TOKENS_MAX).contains(n));
        match (word, tokens) {
            (MIXED, _) => Ok(Self::Mixed),
            (_, Some(tokens)) => Ok(Self::Tokens(tokens)),
            _ => Err(Error::Argument {
                name: "--lengths",
                value: word.to_owned(),
                expected: format!("{MIXED}, or a number of tokens from 1 to {TOKENS_MAX}"),
            }),
        }
    }
}

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tokens(tokens) => tokens.fmt(f),
            Self::Mixed => MIXED.fmt(f),
        }
    }
}

/// What was asked for; [`Plan::new`] checks it. Each default is documented in docs/benchmarking.md.
#[derive(Debug, Default)]
pub struct Options {
    /// Texts per request; the default sizes if empty.
    pub batch_sizes: Vec<usize>,
    /// Numbers of tokens, or `mixed`; the default lengths if empty.
    pub lengths: Vec<String>,
    pub seconds: Option<f64>,
    /// Random vectors in which each text is searched.
    pub vectors: Option<usize>,
    /// Where the texts of `mixed` are read from.
    pub texts: Option<PathBuf>,
    pub against: Option<TargetOptions>,
    /// Fewer and shorter cells, where nothing else is set.
    pub quick: bool,
}

/// What is measured in turn with this process's own networks.
#[derive(Debug, Clone)]
pub enum TargetOptions {
    /// The same model in this process with the operations of candle.
    Candle,
    /// An OpenAI-compatible endpoint. model: its name of the model; the model's own name if `None`.
    Endpoint { url: String, model: Option<String> },
}

/// What is measured.
#[derive(Debug)]
pub struct Plan {
    pub batch_sizes: Vec<usize>,
    pub lengths: Vec<Length>,
    pub seconds: f64,
    pub vectors: Option<usize>,
    pub texts: Option<PathBuf>,
    pub against: Option<TargetOptions>,
}

impl Plan {
    /// Checks the options. An error names the flag of `codeintel bench`, the only interface.
    pub fn new(options: Options) -> Result<Self> {
        let Options { batch_sizes, lengths, seconds, vectors, texts, against, quick } = options;
        let (default_sizes, default_lengths, default_seconds) = if quick {
            (&QUICK_BATCH_SIZES[..], &QUICK_LENGTHS[..], QUICK_SECONDS)
        } else {
            (&BATCH_SIZES[..], &LENGTHS[..], SECONDS)
        };
        let sizes = if batch_sizes.is_empty() { default_sizes } else { &batch_sizes };
        if let Some(size) = sizes.iter().find(|size| !(1..=BATCH_MAX).contains(*size)) {
            return Err(Error::Argument {
                name: "--batch-sizes",
                value: size.to_string(),
                expected: format!("texts per request, 1 to {BATCH_MAX}"),
            });
        }
        let lengths: Vec<&str> = if lengths.is_empty() {
            default_lengths.to_vec()
        } else {
            lengths.iter().map(String::as_str).collect()
        };
        let lengths = lengths.into_iter().map(Length::parse).collect::<Result<Vec<_>>>()?;
        let seconds = seconds.unwrap_or(default_seconds);
        if !(0.0..=SECONDS_MAX).contains(&seconds) {
            return Err(Error::Argument {
                name: "--seconds",
                value: seconds.to_string(),
                expected: format!("0 to {SECONDS_MAX}"),
            });
        }
        if let Some(n) = vectors.filter(|n| !(1..=VECTORS_MAX).contains(n)) {
            return Err(Error::Argument {
                name: "--vectors",
                value: n.to_string(),
                expected: format!("1 to {VECTORS_MAX}"),
            });
        }
        let (batch_sizes, lengths) = (distinct(sizes), distinct(&lengths));
        Ok(Self { batch_sizes, lengths, seconds, vectors, texts, against })
    }

    /// Texts of the largest request.
    pub fn batch_max(&self) -> usize {
        self.batch_sizes.iter().copied().max().unwrap_or(1)
    }
}

/// The values without repetitions, in the order in which they first occur.
fn distinct<T: Copy + PartialEq>(values: &[T]) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for value in values {
        if !kept.contains(value) {
            kept.push(*value);
        }
    }
    kept
}
