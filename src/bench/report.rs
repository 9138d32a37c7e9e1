//! The figures of a bench; serialised they are its JSON, which docs/benchmarking.md documents.
//!
//! What cannot be known, such as the CPU time of an endpoint, is null.

use serde::Serialize;

/// One run of `codeintel bench`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `2026-11-22T17:14:00Z`
    pub measured_at: String,
    pub machine: Machine,
    pub model: String,
    /// `cpu avx512`
    pub device: String,
    pub dtype: &'static str,
    pub threads: usize,
    pub roof: Roof,
    /// Vectors in which every text was searched; null if texts were only embedded.
    pub vectors: Option<usize>,
    /// Of this process, over the texts of every length.
    pub cosine: Cosine,
    /// Where the texts of `mixed` come from.
    pub texts: String,
    pub against: Option<Against>,
    /// Whether every cell was measured.
    pub complete: bool,
    /// What was left out, and what a reader of the figures should know.
    pub notes: Vec<String>,
    pub cells: Vec<Cell>,
}

/// What the figures depend on; neither names nor paths.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub instruction_set: &'static str,
    pub os: &'static str,
    pub arch: &'static str,
    pub codeintel: &'static str,
}

/// The highest rate that the device can reach, measured.
#[derive(Debug, Serialize)]
pub struct Roof {
    /// 10^9 operations per second; a multiply-add counts as two.
    pub gflops: f64,
    /// How it was measured.
    pub what: String,
}

/// Cosines between vectors and those of the same model in f32.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cosine {
    pub mean: f64,
    pub least: f64,
    pub texts: usize,
}

/// The endpoint, or candle, that was measured in turn with this process.
#[derive(Debug, Serialize)]
pub struct Against {
    /// The address of the endpoint, or `candle cpu`.
    pub url: String,
    pub model: String,
    /// The dimension of its vectors.
    pub dim: usize,
    /// Compared with the f32 vectors of this process; null if it has another model.
    pub cosine: Option<Cosine>,
}

/// Requests of one size to one target.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// `inproc`, the address of the endpoint, or `candle cpu`.
    pub target: String,
    /// Tokens of each text, or `mixed`.
    pub length: String,
    /// Texts per request.
    pub batch: usize,
    pub rounds: usize,
    /// Of all rounds.
    pub sequences: usize,
    /// Of all rounds, as the target counts them.
    pub tokens: Option<usize>,
    pub wall_s: f64,
    pub cpu_s: Option<f64>,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub sequences_per_s: f64,
    pub tokens_per_s: Option<f64>,
    pub tokens_per_cpu_s: Option<f64>,
    /// Fraction of the roof.
    pub roof_share: Option<f64>,
    /// Tokens per forward pass, as a fraction of engine.max_batch_tokens.
    pub batch_fill: Option<f64>,
    /// The mean cosine of the target for this length.
    pub cosine: Option<f64>,
    pub stages_ms: StagesMs,
}

/// Medians over the rounds. They overlap where a request is more than one batch.
#[derive(Debug, Default, Serialize)]
pub struct StagesMs {
    pub tokenise: Option<f64>,
    /// Until the first batch was launched.
    pub queue: Option<f64>,
    pub compute: Option<f64>,
    /// The search for the nearest vectors; on a GPU the device's own time.
    pub search: Option<f64>,
}

impl Cell {
    /// Whether this process was measured, and not the endpoint.
    pub fn is_local(&self) -> bool {
        self.target == Report::LOCAL
    }
}

impl Report {
    /// The target that is this process.
    pub const LOCAL: &'static str = "inproc";

    /// The cells of this process, each with the cell of the endpoint for the same requests, if that
    /// was measured.
    pub fn pairs(&self) -> impl Iterator<Item = (&Cell, Option<&Cell>)> {
        let local = self.cells.iter().filter(|cell| cell.is_local());
        local.map(|cell| {
            let same_requests = |other: &&Cell| {
                !other.is_local() && other.length == cell.length && other.batch == cell.batch
            };
            (cell, self.cells.iter().find(same_requests))
        })
    }
}
