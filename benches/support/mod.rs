//! What several benches share: sizes, the model, CPU time, texts and vectors.
#![allow(dead_code)] // Every bench takes its own part of this.

pub mod corpus;
pub mod vectors;
pub mod version;

use std::time::{Duration, Instant};

use codeintel::base::config::{DtypeChoice, Settings, process_env};
use codeintel::base::telemetry::labels::Tool;
use codeintel::base::telemetry::{RunContext, Stage, Telemetry};
use codeintel::device::process_cpu_time;
use codeintel::embedding::engine::Engine;
use codeintel::embedding::models::{self, ModelFolder};
use codeintel::embedding::token::Tokenizer;
pub use codeintel::ingest::ModelTokens;

/// The binary's allocator, so that a bench measures what the program does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whether this is a smoke run: only `cargo bench` passes `--bench`, and `--test` overrides it.
pub fn smoke() -> bool {
    let given = |flag: &str| std::env::args().any(|arg| arg == flag);
    given("--test") || !given("--bench")
}

/// `small` in a smoke run, `full` otherwise.
pub fn size(full: usize, small: usize) -> usize {
    if smoke() { small } else { full }
}

/// The folder of the default model.
pub fn model() -> ModelFolder {
    let settings = Settings::default();
    let folder = models::resolve(&settings.model.name, &settings.model.places(process_env));
    folder.expect("the default model is here; get it with: codeintel model pull")
}

/// The default model without a vector cache, on all cores.
pub fn engine() -> Engine {
    engine_of(Settings::default().engine.dtype)
}

/// The default model in a number format, without a vector cache, on all cores.
pub fn engine_of(dtype: DtypeChoice) -> Engine {
    let mut settings = Settings::default();
    settings.engine.dtype = dtype;
    Engine::start(&model(), &settings, None).expect("the default model loads")
}

/// The default model's own tokenizer.
pub fn tokenizer() -> Tokenizer {
    Tokenizer::open(&model().path, 256).expect("the default model has a tokenizer")
}

/// A run without exporters.
pub fn run() -> RunContext {
    RunContext::new(&Telemetry::detached(), Tool::Embed, &[Stage::Embed])
}

/// What `work` cost when repeated.
pub struct Cost {
    pub rounds: u32,
    pub wall: Duration,
    pub cpu: Duration,
}

/// Repeats `work` for about `least`, in a smoke run once; the first round is not counted.
pub fn repeat(least: Duration, mut work: impl FnMut()) -> Cost {
    if !smoke() {
        work();
    }
    let (began, cpu, mut rounds) = (Instant::now(), process_cpu_time(), 0);
    while rounds == 0 || (!smoke() && began.elapsed() < least) {
        work();
        rounds += 1;
    }
    Cost { rounds, wall: began.elapsed(), cpu: process_cpu_time() - cpu }
}
