//! What does `codeintel bench` tell as JSON?
//!
//! docs/benchmarking.md documents it. What cannot be known, such as the CPU time of an endpoint, is
//! null.

use serde::Serialize;

/// One run of `codeintel bench`.
#[derive(Debug, Serialize)]
pub struct Bench {
    /// `2026-11-22T17:14:00Z`
    pub measured_at: String,
    pub machine: Machine,
    pub model: String,
    /// `cpu avx512`
    pub device: String,
    pub dtype: &'static str,
    pub threads: usize,
    pub roof: Roof,
    /// Vectors that every text was searched in; null where texts were embedded only.
    pub vectors: Option<usize>,
    /// Of this process, over the texts of every length.
    pub cosine: Cosine,
    /// Where the texts of `mixed` come from.
    pub texts: String,
    pub against: Option<Against>,
    /// Whether every cell was measured.
    pub complete: bool,
    /// What was left out or is to be known before reading the figures.
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

#[derive(Debug, Serialize)]
pub struct Roof {
    /// 10^9 operations a second, a multiply-add counted as two.
    pub gflops: f64,
    pub what: String,
}

/// How near vectors are to those of the same model in f32.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cosine {
    pub mean: f64,
    pub least: f64,
    pub texts: usize,
}

/// The endpoint that was measured in turn.
#[derive(Debug, Serialize)]
pub struct Against {
    pub url: String,
    pub model: String,
    /// Values of its vectors.
    pub dim: usize,
    /// To this process's vectors in f32; null if it has another model.
    pub cosine: Option<Cosine>,
}

/// Requests of one size, to one target.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// `inproc`, or the address of the endpoint.
    pub target: String,
    /// Tokens of each text, or `mixed`.
    pub length: String,
    /// Texts of a request.
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
    pub roof_share: Option<f64>,
    /// Tokens of a batch, as a share of engine.max_batch_tokens.
    pub batch_fill: Option<f64>,
    /// The mean cosine of the target for this length.
    pub cosine: Option<f64>,
    pub stages_ms: StagesMs,
}

/// Medians of the rounds; they overlap where a request is more than one batch.
#[derive(Debug, Serialize)]
pub struct StagesMs {
    pub tokenise: Option<f64>,
    /// Until the first batch was launched.
    pub queue: Option<f64>,
    pub compute: Option<f64>,
    /// For the nearest vectors; on a GPU the device's own time.
    pub search: Option<f64>,
}

impl Cell {
    /// Whether this process was measured.
    pub fn is_here(&self) -> bool {
        self.target == Bench::HERE
    }
}

impl Bench {
    /// The target that is this process.
    pub const HERE: &'static str = "inproc";
}
