//! Tests of the engine's guarantees.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::InMemorySpanExporter;

use super::engine::DeviceLabel;
use super::load::{Loaded, load};
use super::placement::Placement;
use super::worker::compute::{BatchOutput, BatchRequest, BatchRows, Compute, Launch};
use super::worker::{DeviceCompute, WorkerLimits, Workers};
use super::*;
use crate::base::config::{EngineSettings, Settings};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::telemetry::labels::{Mode, Tool};
use crate::base::telemetry::{BatchSpan, RunContext, Stage, Telemetry};
use crate::base::vector::Matrix;
use crate::embedding::engine::endpoint::Remote;
use crate::embedding::models::{ModelFolder, ModelIdentity};
use crate::embedding::nn::{Pooling, Prompts};
use crate::embedding::token::{Ragged, Tokenizer};

mod flights;
mod isolation;
mod memory;
mod reference;
mod static_models;
mod stored;
mod submissions;
mod tasks;
mod workers;

fn bert() -> ModelFolder {
    ModelFolder::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bert"))
}

fn settings() -> Settings {
    let engine = EngineSettings {
        threads: 1,
        max_batch_tokens: 64,
        max_batch_seqs: 8,
        ..Default::default()
    };
    Settings { engine, ..Settings::default() }
}

fn run() -> RunContext {
    RunContext::new(&Telemetry::detached(), Tool::Embed, &[Stage::Embed])
}

fn embed(engine: &Engine, lane: Lane, texts: &[&str], cx: &RunContext) -> Result<Embeddings> {
    let request = match lane {
        Lane::Interactive => EmbedRequest::query(texts, PromptKind::None),
        Lane::Bulk => EmbedRequest::bulk(texts, PromptKind::None),
    };
    engine.embed(request, cx)
}

/// An engine whose vectors are `[tokens, sum of ids]`, so that the tests can detect a wrong one.
fn fake(
    settings: &Settings,
    cache: Option<&Path>,
    before: impl FnMut() + Send + 'static,
) -> Engine {
    fake_with(settings, cache, None, before)
}

/// Like [`fake`], with an optional endpoint to fall back to.
fn fake_with(
    settings: &Settings,
    cache: Option<&Path>,
    remote: Option<Remote>,
    mut before: impl FnMut() + Send + 'static,
) -> Engine {
    let compute = Box::new(move |batch: &Ragged| {
        before();
        let seq = |i: usize| batch.seq(i).iter().map(|id| *id as f32).sum::<f32>();
        let values = (0..batch.n()).flat_map(|i| [batch.seq(i).len() as f32, seq(i)]).collect();
        Matrix::new(values, 2)
    });
    engine_of(settings, cache, remote, 2, compute)
}

/// An engine that computes vectors of `dim` values with `compute`.
fn engine_of(
    settings: &Settings,
    cache: Option<&Path>,
    remote: Option<Remote>,
    dim: usize,
    compute: Box<dyn Compute>,
) -> Engine {
    engine_on(settings, cache, remote, dim, vec![compute])
}

/// An engine with a worker for each of `computes`.
fn engine_on(
    settings: &Settings,
    cache: Option<&Path>,
    remote: Option<Remote>,
    dim: usize,
    computes: Vec<Box<dyn Compute>>,
) -> Engine {
    let identity = ModelIdentity {
        name: "fake".to_owned(),
        revision: "0".repeat(16),
        pooling: Pooling::Mean.into(),
        normalize: false,
        dim,
        max_tokens: 64,
        dtype: crate::device::Dtype::F32,
        document_prompt: String::new(),
        task: Task::Embed,
        activation: Default::default(),
        cuts: crate::embedding::nn::Cuts::Any,
        similarity: Default::default(),
        mode: Mode::Inproc,
    };
    engine_for(identity, &bert(), settings, cache, remote, computes)
}

/// An engine of the model `identity`, with the tokenizer of `folder` and a worker for each of
/// `computes`.
fn engine_for(
    identity: ModelIdentity,
    folder: &ModelFolder,
    settings: &Settings,
    cache: Option<&Path>,
    remote: Option<Remote>,
    computes: Vec<Box<dyn Compute>>,
) -> Engine {
    let tokenizer = Tokenizer::open(&folder.path, identity.max_tokens).unwrap();
    let limits = WorkerLimits::new(&settings.engine, 64, false);
    let device = |compute| DeviceCompute { limits, compute, device: None };
    let devices = computes.into_iter().map(device).collect();
    let workers = Workers::start(settings.engine.queue_tokens_max, devices).unwrap();
    let placement = Placement::new(workers, remote);
    let (prompts, device) = (Prompts::default(), DeviceLabel::new("cpu", "a test"));
    Engine::assemble(identity, prompts, device, tokenizer, settings, cache, placement).unwrap()
}

fn expected(engine: &Engine, texts: &[&str]) -> Vec<f32> {
    let ragged = engine.tokenizer().encode_batch(texts).unwrap();
    let sum = |i: usize| ragged.seq(i).iter().map(|id| *id as f32).sum::<f32>();
    (0..texts.len()).flat_map(|i| [ragged.seq(i).len() as f32, sum(i)]).collect()
}

/// A gate that a test opens. The worker waits at it in every batch.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar, AtomicUsize)>);

impl Gate {
    fn pass(&self) {
        self.0.2.fetch_add(1, Ordering::SeqCst);
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
    /// Waits until the worker has reached the gate.
    fn wait_for_worker(&self) {
        wait_until(|| self.0.2.load(Ordering::SeqCst) > 0);
    }
}

fn wait_until(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

const TEXTS: [&str; 6] = [
    "fn main() { println!(\"hello\"); }",
    "x",
    "",
    "how do we retry an http request with backoff?",
    "class Pool:\n    def acquire(self, timeout_ms: int = 5_000):\n        ...\n",
    "parseURLQueryString snake_case_identifier SCREAMING_CASE",
];

#[test]
fn a_batch_equals_singles_whatever_else_is_queued() {
    let engine = Engine::start(&bert(), &settings(), None).unwrap();
    let singles: Vec<_> = TEXTS
        .iter()
        .map(|text| embed(&engine, Lane::Interactive, &[text], &run()).unwrap())
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| embed(&engine, Lane::Bulk, &TEXTS.repeat(10), &run()).unwrap());
        }
        let batch = embed(&engine, Lane::Bulk, &TEXTS, &run()).unwrap();
        for (row, single) in batch.vectors.rows().zip(&singles) {
            let single = single.vectors.row(0);
            assert!(row.iter().zip(single).all(|(a, b)| (a - b).abs() < 1e-5));
            let length: f32 = row.iter().map(|v| v * v).sum();
            assert!((length - 1.0).abs() < 1e-5, "length {length}");
        }
        let tokens: usize = singles.iter().map(|single| single.tokens).sum();
        assert_eq!(batch.tokens, tokens);
    });
    let (a, b) = (singles[0].vectors.row(0), singles[3].vectors.row(0));
    assert!(a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3), "texts differ, so must vectors");
}

#[test]
fn many_threads_in_both_lanes_are_each_answered_once_and_rightly() {
    let engine = fake(&settings(), None, || ());
    std::thread::scope(|scope| {
        for t in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                let lane = if t % 2 == 0 { Lane::Interactive } else { Lane::Bulk };
                for i in 0..25 {
                    let texts: Vec<_> =
                        (0..=i).map(|j| format!("{t} text {}", "x ".repeat(j))).collect();
                    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
                    let answer = embed(engine, lane, &texts, &run()).unwrap();
                    assert_eq!(answer.vectors.as_slice(), expected(engine, &texts));
                }
            });
        }
    });
    let stats = engine.stats();
    assert_eq!((stats.queue_depth, stats.bulk_tokens, stats.interactive_tokens), (0, 0, 0));
    assert!(stats.sequences <= 8 * 25 * 26 / 2 && stats.batches > 0);
}

#[test]
fn a_full_lane_refuses_at_once_and_a_large_request_alone_is_fed_through() {
    let gate = Gate::default();
    let door = gate.clone();
    let mut settings = settings();
    settings.engine.queue_tokens_max = 1024;
    let engine = fake(&settings, None, move || door.pass());
    let texts: Vec<_> = (0..1000).map(|i| format!("number {i}")).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    std::thread::scope(|scope| {
        let large = scope.spawn(|| embed(&engine, Lane::Bulk, &texts, &run()).unwrap());
        gate.wait_for_worker();
        wait_until(|| engine.stats().bulk_tokens > 900);
        // The device computes nothing before the gate opens, so this does not wait for it.
        let error = embed(&engine, Lane::Bulk, &texts[..200], &run()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
        assert!(error.to_string().contains("1024 tokens"), "{error}");
        assert!(engine.stats().bulk_tokens <= 1024);
        // The other lane has its own limit.
        let query = scope.spawn(|| embed(&engine, Lane::Interactive, &["x"], &run()).unwrap());
        gate.open();
        assert_eq!(query.join().unwrap().vectors.n(), 1);
        let large = large.join().unwrap();
        assert_eq!(large.vectors.as_slice(), expected(&engine, &texts));
    });
}

#[test]
fn who_is_cancelled_or_late_gets_that_error_and_costs_no_compute() {
    let gate = Gate::default();
    let door = gate.clone();
    let engine = fake(&settings(), None, move || door.pass());
    let cx = run();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| embed(&engine, Lane::Bulk, &["x"], &run()));
        gate.wait_for_worker();
        let cancelled = scope.spawn(|| embed(&engine, Lane::Bulk, &TEXTS, &cx));
        wait_until(|| engine.stats().queue_depth == TEXTS.len());
        cx.cancel();
        assert_eq!(cancelled.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        let late = run().with_deadline(Duration::from_millis(30));
        let error = embed(&engine, Lane::Interactive, &TEXTS, &late).unwrap_err();
        assert!(matches!(error, Error::DeadlineExceeded { budget_ms: ..=30, .. }), "{error}");
        gate.open();
        first.join().unwrap().unwrap();
    });
    wait_until(|| engine.stats().queue_depth == 0);
    assert_eq!(engine.stats().sequences, 1, "only the first request was computed");
}

#[test]
fn a_batch_that_fails_ends_its_requests_and_no_later_ones() {
    let mut batch = 0;
    let engine = fake(&settings(), None, move || {
        batch += 1;
        assert!(batch != 1, "a bug in the encoder");
    });
    let cx = run();
    let error = embed(&engine, Lane::Bulk, &["x"], &cx).unwrap_err();
    assert!(error.to_string().contains("a bug in the encoder"), "{error}");
    assert_eq!(cx.report().first_missing_stage, Some(Stage::Embed));
    let answer = embed(&engine, Lane::Bulk, &["x"], &run()).unwrap();
    assert_eq!(answer.vectors.as_slice(), expected(&engine, &["x"]));
}

#[test]
fn a_stopped_engine_answers_those_who_wait_and_those_who_come() {
    let gate = Gate::default();
    let door = gate.clone();
    let engine = fake(&settings(), None, move || door.pass());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| embed(&engine, Lane::Bulk, &["x"], &run()));
        gate.wait_for_worker();
        let waiting = scope.spawn(|| embed(&engine, Lane::Bulk, &["y"], &run()));
        wait_until(|| engine.stats().queue_depth == 1);
        let stop = scope.spawn(|| engine.stop());
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        gate.open();
        stop.join().unwrap();
        first.join().unwrap().unwrap();
    });
    let error = embed(&engine, Lane::Interactive, &["x"], &run()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn dropping_the_last_clone_ends_the_thread() {
    let alive = Arc::new(());
    let held = alive.clone();
    let engine = fake(&settings(), None, move || assert_eq!(Arc::strong_count(&held), 2));
    let clone = engine.clone();
    drop(engine);
    embed(&clone, Lane::Bulk, &["x"], &run()).unwrap();
    drop(clone);
    assert_eq!(Arc::strong_count(&alive), 1, "the worker's closure is gone");
}

#[test]
fn a_shorter_vector_is_the_head_of_the_longer_one_and_as_long_as_the_model_says() {
    let shorter = |normalize| {
        let options = EngineOptions { normalize, ..EngineOptions::default() };
        let mut settings = settings();
        settings.model.allow_any_dimensions = true;
        let engine = Engine::start_with(&bert(), &settings, None, options).unwrap();
        let whole = embed(&engine, Lane::Bulk, &TEXTS, &run()).unwrap();
        let n = engine.identity().dimensions(Some(24)).unwrap();
        (whole.vectors.clone(), whole.cut(n, engine.identity()).vectors)
    };
    let (whole, raw) = shorter(Some(false));
    assert_eq!((raw.n(), raw.d()), (TEXTS.len(), 24));
    assert!(raw.rows().zip(whole.rows()).all(|(short, long)| short == &long[..24]));
    let (whole, unit) = shorter(None);
    for (short, long) in unit.rows().zip(whole.rows()) {
        let length = long[..24].iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!(length < 0.9, "something was cut off");
        assert!(short.iter().zip(long).all(|(short, long)| (short - long / length).abs() < 1e-6));
    }
    let engine = fake(&settings(), None, || ());
    let identity = engine.identity();
    assert_eq!(identity.dimensions(None).unwrap(), 2);
    for n in [0, 3] {
        let error = identity.dimensions(Some(n)).unwrap_err().to_string();
        assert!(error.contains(&format!("dimensions = {n}")), "{error}");
        assert!(error.contains("1 to 2, the dimension of fake"), "{error}");
    }
}

#[test]
fn long_texts_are_counted_and_no_text_gives_no_row() {
    let engine = fake(&settings(), None, || ());
    let long = "word ".repeat(500);
    let answer = embed(&engine, Lane::Bulk, &["x", &long], &run()).unwrap();
    assert_eq!(answer.truncated, 1);
    assert_eq!(answer.vectors.row(1)[0], 64.0);
    let none = embed(&engine, Lane::Bulk, &[], &run()).unwrap();
    assert_eq!((none.vectors.n(), none.vectors.d(), none.tokens), (0, 2, 0));
    assert_eq!(engine.stats().sequences, 2);
}

#[test]
fn the_span_tells_model_batch_queue_and_tokens_and_a_failure_its_kind() {
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::with_exporter(exporter.clone());
    let folder = tempfile::tempdir().unwrap();
    let engine = fake(&settings(), Some(folder.path()), || ());
    let cx = RunContext::new(&telemetry, Tool::Embed, &[Stage::EmbedQuery]);
    embed(&engine, Lane::Interactive, &["x"], &cx).unwrap();
    let answer = embed(&engine, Lane::Interactive, &["x", "y"], &cx).unwrap();
    engine.stop();
    embed(&engine, Lane::Bulk, &["z"], &cx).unwrap_err();

    let mut spans = exporter.get_finished_spans().unwrap();
    let batches = spans.extract_if(.., |span| span.name == "engine.batch").count();
    assert_eq!(batches, 2, "a batch for each request that computed something");
    let get = |i: usize, key: &str| {
        let found = spans[i].attributes.iter().find(|kv| kv.key.as_str() == key);
        found.unwrap_or_else(|| panic!("no {key}")).value.to_string()
    };
    assert_eq!(
        (spans[1].name.as_ref(), &spans[1].span_kind),
        ("vllm.embed_batch", &SpanKind::Client)
    );
    let tokens = answer.tokens.to_string();
    use crate::base::telemetry::attrs::*;
    for (key, value) in [
        (REQUEST_STAGE, "embed_query"),
        (VLLM_MODE, "inproc"),
        (VLLM_MODEL, "fake"),
        (VLLM_DIM, "2"),
        (VLLM_BATCH_SIZE, "2"),
        (VLLM_DEVICE, "cpu"),
        (VLLM_DTYPE, "f32"),
        (GEN_AI_OPERATION, "embeddings"),
        (GEN_AI_PROVIDER, "codeintel"),
        (GEN_AI_INPUT_TOKENS, &tokens),
        (CACHE_HITS, "1"),
    ] {
        for name in [Some(key.key()), key.official()].into_iter().flatten() {
            assert_eq!(get(1, name), value, "{name}");
        }
    }
    assert!(get(1, VLLM_QUEUE_MS.key()).parse::<f64>().unwrap() >= 0.0);
    assert_eq!(get(2, REQUEST_STAGE.key()), "embed");
    assert_eq!(get(2, ERROR_TYPE.key()), ErrorKind::Unavailable.code());
    assert!(matches!(spans[2].status, Status::Error { .. }));
}
