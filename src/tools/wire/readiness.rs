//! The JSON of `/readyz`: the readiness of the engine and the index.

use serde::Serialize;

use crate::base::config::IndexNeed;
use crate::base::error::ErrorKind;
use crate::embedding::engine::Engine;
use crate::tools::App;

/// Whether every probe that is required is ready, and each probe by name.
#[derive(Serialize)]
pub struct Readiness {
    pub ready: bool,
    pub probes: Probes,
}

#[derive(Serialize)]
pub struct Probes {
    pub engine: EngineProbe,
    pub index: IndexProbe,
}

#[derive(Serialize)]
pub struct EngineProbe {
    pub ready: bool,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Details of an engine that is ready, or was ready before its device failed.
    #[serde(flatten)]
    pub state: Option<EngineState>,
}

#[derive(Serialize)]
pub struct EngineState {
    pub device: String,
    /// Why it is this device.
    pub device_reason: String,
    pub batches: u64,
    pub sequences: u64,
    pub tokens: u64,
    pub tokens_per_s: u64,
    pub batch_tokens_max: usize,
    /// Batches that did not fit into memory.
    pub out_of_memory: u64,
    pub gpu_memory_bytes: Option<MemoryBytes>,
    pub waiting: WaitingWork,
}

#[derive(Serialize)]
pub struct MemoryBytes {
    pub used: u64,
    pub total: u64,
    pub peak: u64,
}

#[derive(Serialize)]
pub struct WaitingWork {
    pub sequences: usize,
    pub interactive_tokens: usize,
    pub bulk_tokens: usize,
}

#[derive(Serialize)]
pub struct IndexProbe {
    pub ready: bool,
    /// Whether the server is not ready without it.
    pub required: bool,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(flatten)]
    pub state: Option<IndexState>,
}

#[derive(Serialize)]
pub struct IndexState {
    pub vectors_on_gpu: bool,
    pub why_vectors_on_cpu: Option<String>,
}

impl Readiness {
    pub fn new(app: &App) -> Self {
        let engine = match app.engine() {
            Ok(engine) => {
                let why = engine.why_not();
                EngineProbe { ready: why.is_none(), why, state: Some(EngineState::new(&engine)) }
            }
            Err(error) => EngineProbe { ready: false, why: Some(error.to_string()), state: None },
        };
        let index = match app.searcher() {
            Ok(searcher) => {
                let why_vectors_on_cpu = searcher.why_on_cpu().map(str::to_owned);
                let vectors_on_gpu = why_vectors_on_cpu.is_none();
                let state = Some(IndexState { vectors_on_gpu, why_vectors_on_cpu });
                IndexProbe { ready: true, required: true, why: None, state }
            }
            Err(error) => {
                // A data folder without any version belongs to a server that only embeds.
                let has_none = || app.data().list().is_ok_and(|versions| versions.is_empty());
                let required = app.settings().serve.index == IndexNeed::Required
                    || error.kind() != ErrorKind::IndexMissing
                    || !has_none();
                IndexProbe { ready: false, required, why: Some(error.to_string()), state: None }
            }
        };
        let ready = engine.ready && (index.ready || !index.required);
        Self { ready, probes: Probes { engine, index } }
    }
}

impl EngineState {
    fn new(engine: &Engine) -> Self {
        let stats = engine.stats();
        Self {
            device: engine.device_name().to_owned(),
            device_reason: engine.device_reason().to_owned(),
            batches: stats.batches,
            sequences: stats.sequences,
            tokens: stats.tokens,
            tokens_per_s: stats.tokens_per_s,
            batch_tokens_max: stats.batch_tokens_max,
            out_of_memory: stats.out_of_memory,
            gpu_memory_bytes: stats.memory.map(|memory| MemoryBytes {
                used: memory.used_bytes,
                total: memory.total_bytes,
                peak: memory.peak_bytes,
            }),
            waiting: WaitingWork {
                sequences: stats.queue_depth,
                interactive_tokens: stats.interactive_tokens,
                bulk_tokens: stats.bulk_tokens,
            },
        }
    }
}
