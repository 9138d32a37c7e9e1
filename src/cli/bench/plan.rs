//! Which cells are measured?

use crate::base::error::{Error, Result};
use crate::cli::args::BenchArgs;

const BATCH_SIZES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const LENGTHS: [&str; 5] = ["16", "64", "256", "512", MIXED];
const SECONDS: f64 = 1.0;

/// What --quick measures instead.
const QUICK_BATCH_SIZES: [usize; 3] = [1, 8, 32];
const QUICK_LENGTHS: [&str; 2] = ["64", MIXED];
const QUICK_SECONDS: f64 = 0.2;

const MIXED: &str = "mixed";
/// Texts of the largest request: what `serve.items_max` lets through by default, twice.
const BATCH_MAX: usize = 4096;
/// Tokens of the longest text, as `chunk.tokens_max` has it.
const TOKENS_MAX: usize = 32_768;
/// Seconds of the longest cell: ten minutes.
const SECONDS_MAX: f64 = 600.0;
/// Vectors to search: with 1024 values each they are 200 GB.
const VECTORS_MAX: usize = 50_000_000;

/// How long the texts of a cell are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Exactly so many tokens, those that the model adds included.
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

#[derive(Debug)]
pub struct Plan {
    pub batch_sizes: Vec<usize>,
    pub lengths: Vec<Length>,
    pub seconds: f64,
    /// Vectors to search, if any.
    pub vectors: Option<usize>,
}

impl Plan {
    pub fn of(args: &BenchArgs) -> Result<Self> {
        let (sizes, lengths, seconds) = match args.quick {
            true => (&QUICK_BATCH_SIZES[..], &QUICK_LENGTHS[..], QUICK_SECONDS),
            false => (&BATCH_SIZES[..], &LENGTHS[..], SECONDS),
        };
        let sizes = if args.batch_sizes.is_empty() { sizes } else { &args.batch_sizes };
        let asked: Vec<&str> = args.lengths.iter().map(String::as_str).collect();
        let lengths = if asked.is_empty() { lengths } else { &asked };
        if let Some(size) = sizes.iter().find(|size| !(1..=BATCH_MAX).contains(*size)) {
            return Err(Error::Argument {
                name: "--batch-sizes",
                value: size.to_string(),
                expected: format!("texts of a request, 1 to {BATCH_MAX}"),
            });
        }
        let seconds = args.seconds.unwrap_or(seconds);
        if !(0.0..=SECONDS_MAX).contains(&seconds) {
            return Err(Error::Argument {
                name: "--seconds",
                value: seconds.to_string(),
                expected: format!("0 to {SECONDS_MAX}"),
            });
        }
        if let Some(n) = args.vectors.filter(|n| !(1..=VECTORS_MAX).contains(n)) {
            return Err(Error::Argument {
                name: "--vectors",
                value: n.to_string(),
                expected: format!("1 to {VECTORS_MAX}"),
            });
        }
        let lengths: Vec<_> = lengths.iter().map(|l| Length::parse(l)).collect::<Result<_>>()?;
        let (batch_sizes, lengths) = (once(sizes), once(&lengths));
        Ok(Self { batch_sizes, lengths, seconds, vectors: args.vectors })
    }

    /// Texts of the largest request.
    pub fn batch_max(&self) -> usize {
        self.batch_sizes.iter().copied().max().unwrap_or(1)
    }
}

/// Each value where it stands first.
fn once<T: Copy + PartialEq>(values: &[T]) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for value in values {
        if !kept.contains(value) {
            kept.push(*value);
        }
    }
    kept
}
