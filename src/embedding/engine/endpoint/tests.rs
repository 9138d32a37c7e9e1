//! Tests of an endpoint that is slow, busy, faulty or unreachable.

mod endpoint;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::InMemorySpanExporter;
use serde_json::json;

use self::endpoint::{Does, Endpoint, vector};
use super::{Policy, Remote};
use crate::base::config::{Secret, Settings, VllmMode};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::telemetry::labels::{Mode, Tool};
use crate::base::telemetry::{RunContext, Stage, Telemetry, attrs};
use crate::base::vector::Matrix;
use crate::embedding::engine::engine::DeviceLabel;
use crate::embedding::engine::placement::Placement;
use crate::embedding::engine::worker::{DeviceCompute, WorkerLimits, Workers};
use crate::embedding::engine::{EmbedRequest, Embeddings, Engine, PromptKind};
use crate::embedding::models::ModelFolder;
use crate::embedding::models::{ModelIdentity, Task};
use crate::embedding::nn::{Pooling, Prompts};
use crate::embedding::token::{Ragged, Tokenizer};

/// Values of a hidden state of the tiny BERT.
const D: usize = 64;
const HOUR: Duration = Duration::from_secs(3600);

fn bert() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bert")
}

fn settings(url: &str) -> Settings {
    let mut settings = Settings::default();
    settings.engine.threads = 1;
    settings.vllm.mode = VllmMode::Http;
    settings.endpoint.url = url.to_owned();
    settings.endpoint.model = "far/bert".to_owned();
    settings.endpoint.retries_max = 2;
    settings
}

/// Like [`settings`], with one change.
fn settings_with(url: &str, change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settings(url);
    change(&mut settings);
    settings
}

/// Retries immediately and never opens the circuit.
const PATIENT: Policy =
    Policy { failures_max: u32::MAX, cool_down: HOUR, backoff: Duration::from_millis(1) };

fn identity(mode: Mode) -> ModelIdentity {
    ModelIdentity {
        document_prompt: String::new(),
        name: "bert".to_owned(),
        revision: "far/bert".to_owned(),
        pooling: Pooling::Mean.into(),
        normalize: false,
        dim: D,
        max_tokens: 64,
        dtype: crate::device::Dtype::F32,
        task: Task::Embed,
        activation: Default::default(),
        cuts: crate::embedding::nn::Cuts::Any,
        similarity: Default::default(),
        mode,
    }
}

fn engine_of(identity: ModelIdentity, settings: &Settings, placement: Placement) -> Engine {
    let tokenizer = Tokenizer::open(&bert(), 64).unwrap();
    let (prompts, device) = (Prompts::default(), DeviceLabel::new("cpu", "a test"));
    Engine::assemble(identity, prompts, device, tokenizer, settings, None, placement).unwrap()
}

fn far(settings: &Settings, policy: Policy) -> Engine {
    let remote = Remote::with_policy(&settings.endpoint, "bert", policy).unwrap();
    engine_of(identity(Mode::Http), settings, Placement::Remote { remote, reason: None })
}

fn run() -> RunContext {
    RunContext::new(&Telemetry::detached(), Tool::Embed, &[Stage::Embed])
}

fn embed(engine: &Engine, texts: &[&str], cx: &RunContext) -> Result<Embeddings> {
    engine.embed(EmbedRequest::bulk(texts, PromptKind::None), cx)
}

#[track_caller]
fn assert_right(answer: &Embeddings, texts: &[&str]) {
    let expected: Vec<f32> = texts.iter().flat_map(|text| vector(text, D)).collect();
    assert_eq!(answer.vectors.as_slice(), expected);
}

/// The error of a request that never succeeds, and the number of requests that the endpoint
/// received.
fn failed(does: Does) -> (Error, usize) {
    // The timeout is short only for an endpoint that never responds.
    let timeout_ms = if matches!(does, Does::Hangs) { 300 } else { 120_000 };
    let endpoint = Endpoint::start(&[does]);
    let settings = settings_with(&endpoint.url, |s| s.endpoint.timeout_ms = timeout_ms);
    let error = embed(&far(&settings, PATIENT), &["x"], &run()).unwrap_err();
    (error, endpoint.count())
}

#[test]
fn texts_are_split_asked_in_parallel_and_put_back_in_their_order() {
    let endpoint = Endpoint::start(&[Does::Answers(D)]);
    let settings = settings_with(&endpoint.url, |s| {
        s.endpoint.batch_texts_max = 7;
        s.endpoint.parallel_max = 3;
    });
    let engine = far(&settings, PATIENT);
    let texts: Vec<_> = (0..300).map(|i| format!("text {i} {}", "x".repeat(i % 13))).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let answer = embed(&engine, &texts, &run()).unwrap();
    assert_right(&answer, &texts);
    let expected = engine.tokenizer().encode_batch(&texts).unwrap().tokens();
    assert_eq!((answer.tokens, answer.truncated), (expected, 0));
    assert_eq!(endpoint.count(), 300_usize.div_ceil(7));
    assert!(endpoint.seen.most.load(Ordering::SeqCst) <= 3);
    let stats = engine.stats();
    assert_eq!((stats.batches, stats.sequences, stats.tokens), (43, 300, 5 * 43));
    let none = embed(&engine, &[], &run()).unwrap();
    assert_eq!((none.vectors.n(), none.vectors.d(), endpoint.count()), (0, D, 43));
    let long = "y".repeat(2 << 20);
    let answer = embed(&engine, &["", &long, "z"], &run()).unwrap();
    assert_eq!(answer.vectors.row(0), vector(" ", D), "an empty text is asked for as a space");
    let sent = answer.vectors.row(1)[0];
    assert!(answer.truncated == 0 && sent < 10_000.0, "{sent} bytes of a text of one token");
}

#[test]
fn a_batch_that_is_too_large_for_the_endpoint_is_halved_and_the_next_is_smaller() {
    for status in [413, 422] {
        let endpoint = Endpoint::start(&[Does::Takes(3, status)]);
        let settings = settings_with(&endpoint.url, |s| s.endpoint.batch_texts_max = 10);
        let engine = far(&settings, PATIENT);
        let texts: Vec<_> = (0..10).map(|i| "x".repeat(i + 1)).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let answer = embed(&engine, &texts, &run()).unwrap();
        assert_right(&answer, &texts);
        // Requests of 10 texts, then twice 5, each split into 3 and 2.
        assert_eq!((answer.tokens > 0, endpoint.count()), (true, 7));
        assert_right(&embed(&engine, &texts, &run()).unwrap(), &texts);
        assert_eq!(endpoint.count(), 7 + 4, "what was learned stays");
    }
    let endpoint = Endpoint::start(&[Does::Takes(0, 413)]);
    let engine = far(&settings(&endpoint.url), PATIENT);
    for asked in [2, 4] {
        let error = embed(&engine, &["x", "y"], &run()).unwrap_err();
        assert!(error.to_string().contains("413: too many"), "{error}");
        assert_eq!(
            endpoint.count(),
            asked,
            "a text that is refused alone says nothing of the size"
        );
    }
}

#[test]
fn a_request_carries_the_trace_the_run_the_key_and_the_model() {
    let endpoint = Endpoint::start(&[Does::AnswersFloats]);
    let settings = settings_with(&endpoint.url, |s| {
        s.endpoint.api_key = Secret::new(Some("sesame".to_owned()));
    });
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::with_exporter(exporter.clone());
    let cx = RunContext::new(&telemetry, Tool::Embed, &[Stage::Embed]);
    assert_right(&embed(&far(&settings, PATIENT), &["x"], &cx).unwrap(), &["x"]);
    let (headers, body) = endpoint.seen.requests.lock().unwrap()[0].clone();
    assert_eq!(headers["route"], "POST /v1/embeddings HTTP/1.1");
    assert_eq!(headers["authorization"], "Bearer sesame");
    assert_eq!(body, json!({ "model": "far/bert", "input": ["x"], "encoding_format": "base64" }));
    let span = exporter.get_finished_spans().unwrap().remove(0);
    let (trace, id) = (span.span_context.trace_id(), span.span_context.span_id());
    assert_eq!(headers["traceparent"], format!("00-{trace}-{id}-01"));
    assert!(headers["baggage"].contains(&format!("run.id={}", cx.run_id())), "{headers:?}");
    let get = |key: attrs::Attr| {
        let found = span.attributes.iter().find(|kv| kv.key.as_str() == key.key());
        found.map(|kv| kv.value.to_string()).unwrap_or_default()
    };
    assert_eq!((get(attrs::VLLM_MODE), get(attrs::VLLM_MODEL)), ("http".into(), "far/bert".into()));
    assert_eq!((get(attrs::VLLM_DEVICE), get(attrs::VLLM_DTYPE)), (endpoint.url, String::new()));
}

#[test]
fn what_may_pass_is_asked_again() {
    let script = [
        Does::Says(500, "", "oops"),
        Does::BreaksOff,
        Does::HangsUp,
        Does::Says(503, "retry-after: 0\r\n", ""),
        Does::Answers(D),
    ];
    let endpoint = Endpoint::start(&script);
    let settings = settings_with(&endpoint.url, |s| s.endpoint.retries_max = 9);
    assert_right(&embed(&far(&settings, PATIENT), &["x"], &run()).unwrap(), &["x"]);
    assert_eq!(endpoint.count(), 5);
}

#[test]
fn a_busy_endpoint_is_left_alone_for_as_long_as_it_asks() {
    let endpoint =
        Endpoint::start(&[Does::Says(429, "Retry-After: 1\r\n", "busy"), Does::Answers(D)]);
    let began = Instant::now();
    assert_right(&embed(&far(&settings(&endpoint.url), PATIENT), &["x"], &run()).unwrap(), &["x"]);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(endpoint.count(), 2);

    // A wait beyond the deadline of the run fails immediately with the endpoint's error.
    let endpoint = Endpoint::start(&[Does::Says(429, "Retry-After: 3000\r\n", "busy")]);
    let cx = run().with_deadline(Duration::from_secs(60));
    let error = embed(&far(&settings(&endpoint.url), PATIENT), &["x"], &cx).unwrap_err();
    assert_eq!((error.kind(), endpoint.count()), (ErrorKind::Overloaded, 1), "{error}");
    assert!(error.to_string().contains("429: busy"), "{error}");
}

#[test]
fn a_failure_names_the_endpoint_what_it_did_and_how_often_it_was_asked() {
    for (does, requests, parts) in [
        (Does::Says(500, "", "out of\n  memory"), 3, &["500: out of memory", "3 times"][..]),
        (Does::Hangs, 1, &["no answer within 300 ms"]),
        (Does::Says(200, "", "<html>"), 1, &["no embeddings"]),
        (Does::Says(200, "", ""), 1, &["no embeddings"]),
        (Does::BreaksOff, 3, &["broke off", "3 times"]),
        (Does::Answers(3), 1, &["vectors of 3 values, expected 64"]),
        (Does::Says(401, "", "who?"), 1, &["401: who?", "CODEINTEL_ENDPOINT_API_KEY"]),
        (Does::Says(404, "", ""), 1, &["404", "endpoint.model"]),
        (Does::Says(302, "location: http://127.0.0.1:1/\r\n", ""), 1, &["302"]),
    ] {
        let (error, asked) = failed(does);
        assert_eq!((error.kind(), asked), (ErrorKind::Unavailable, requests), "{error}");
        for part in ["http://127.0.0.1:", "endpoint.url", "far/bert"].iter().chain(parts) {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }
    // A bound port without a listener.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let settings = settings(&format!("http://{}", socket.local_addr().unwrap()));
    let error = embed(&far(&settings, PATIENT), &["x"], &run()).unwrap_err().to_string();
    assert!(error.contains("refused") && error.contains("3 times"), "{error}");
}

#[test]
fn an_endpoint_that_keeps_failing_is_not_asked_any_more_until_it_has_had_time() {
    let endpoint = Endpoint::start(&[Does::Says(500, "", "oops")]);
    let policy = Policy { failures_max: 4, ..PATIENT };
    let engine = far(&settings(&endpoint.url), policy);
    for _ in 0..5 {
        embed(&engine, &["x"], &run()).unwrap_err();
    }
    assert_eq!(endpoint.count(), 4 + 1, "and once with another text");
    let error = embed(&engine, &["x"], &run()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    for part in ["the circuit is open", "4 failures in a row", "500: oops", &endpoint.url] {
        assert!(error.to_string().contains(part), "{error}");
    }

    // An endpoint that recovers is used as before.
    let mut script = vec![Does::Says(500, "", "oops"); 4];
    script.push(Does::Answers(D));
    let endpoint = Endpoint::start(&script);
    let policy = Policy { failures_max: 2, cool_down: Duration::ZERO, ..PATIENT };
    let settings = settings_with(&endpoint.url, |s| s.endpoint.retries_max = 0);
    let engine = far(&settings, policy);
    // Twice "x" and the probe; then "x" once more, and the probe is answered.
    for _ in 0..3 {
        embed(&engine, &["x"], &run()).unwrap_err();
    }
    for _ in 0..3 {
        assert_right(&embed(&engine, &["x"], &run()).unwrap(), &["x"]);
    }
    assert_eq!(endpoint.count(), 5 + 3);
}

#[test]
fn who_is_cancelled_or_late_does_not_wait_for_the_endpoint() {
    let endpoint = Endpoint::start(&[Does::Hangs]);
    let settings = settings_with(&endpoint.url, |s| s.endpoint.timeout_ms = 600_000);
    let engine = far(&settings, PATIENT);
    let cx = run();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| embed(&engine, &["x"], &cx));
        endpoint.wait_for(1);
        cx.cancel();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    });
    let late = run().with_deadline(Duration::from_millis(50));
    let error = embed(&engine, &["x"], &late).unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { budget_ms: ..=50, .. }), "{error}");
    let before = endpoint.count();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| embed(&engine, &["x"], &run()));
        endpoint.wait_for(before + 1);
        engine.stop();
        for error in [waiting.join().unwrap(), embed(&engine, &["x"], &run())] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("shutting down"), "{error}");
        }
    });
}

#[test]
fn where_the_device_fails_the_endpoint_answers_with_one_warning_a_run() {
    let endpoint = Endpoint::start(&[Does::Answers(D)]);
    let settings = settings(&endpoint.url);
    let tried = Arc::new(AtomicUsize::new(0));
    let counter = tried.clone();
    let compute = Box::new(move |batch: &Ragged| {
        let batches = counter.fetch_add(1, Ordering::SeqCst);
        assert!(batches == 0, "the device fell off the bus");
        Matrix::new(vec![7.0; batch.n() * D], D)
    });
    let limits = WorkerLimits::new(&settings.engine, 64, false);
    let device = DeviceCompute { limits, compute, device: None };
    let worker = Workers::start(settings.engine.queue_tokens_max, vec![device]).unwrap();
    let remote = Remote::with_policy(&settings.endpoint, "bert", PATIENT).unwrap();
    let local = ModelIdentity { revision: "0".repeat(16), ..identity(Mode::Inproc) };
    let engine = engine_of(local, &settings, Placement::new(worker, Some(remote)));

    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::with_exporter(exporter.clone());
    let cx = RunContext::new(&telemetry, Tool::Embed, &[Stage::Embed]);
    assert_eq!(embed(&engine, &["x"], &cx).unwrap().vectors.row(0), [7.0; D]);
    assert!(cx.report().warnings.is_empty() && endpoint.count() == 0);
    for _ in 0..6 {
        assert_right(&embed(&engine, &["x"], &cx).unwrap(), &["x"]);
    }
    assert_eq!(tried.load(Ordering::SeqCst), 4, "after three failures the device is left alone");
    let warnings = cx.report().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].code, "vllm-fallback");
    for part in [endpoint.url.as_str(), "fell off the bus"] {
        assert!(warnings[0].message.contains(part), "{warnings:?}");
    }
    let spans = exporter.get_finished_spans().unwrap();
    let get = |span: &opentelemetry_sdk::trace::SpanData, key: attrs::Attr| {
        let found = span.attributes.iter().find(|kv| kv.key.as_str() == key.key());
        found.map(|kv| kv.value.to_string()).unwrap_or_default()
    };
    let calls = spans.iter().filter(|span| span.name == "vllm.embed_batch");
    let modes: Vec<_> = calls.clone().map(|span| get(span, attrs::VLLM_MODE)).collect();
    assert_eq!(modes, ["inproc", "http", "http", "http", "http", "http", "http"]);
    let reasons: Vec<_> = calls.map(|span| get(span, attrs::VLLM_FALLBACK)).collect();
    let cool = "cool_down";
    assert_eq!(reasons, ["", "device", "device", "device", cool, cool, cool]);
    let scraped = telemetry.scrape().unwrap();
    for (reason, requests) in [("device", 3), (cool, 3), ("load", 0)] {
        let reason = format!("reason=\"{reason}\"");
        let is_series = |line: &&str| {
            line.starts_with("codeintel_embed_fallbacks_total{") && line.contains(&reason)
        };
        let series: Vec<_> = scraped.lines().filter(is_series).collect();
        assert!(
            matches!(series[..], [line] if line.ends_with(&format!(" {requests}"))),
            "{series:?}"
        );
    }
    assert_eq!(engine.stats().batches, 4 + 6);
}

#[test]
fn a_text_that_the_endpoint_cannot_embed_fails_alone_and_opens_no_circuit() {
    let policy = Policy { failures_max: 2, ..PATIENT };
    for base64 in [true, false] {
        let endpoint = Endpoint::start(&[Does::NotFiniteFor("bad", base64)]);
        let settings = settings_with(&endpoint.url, |s| s.endpoint.batch_texts_max = 3);
        let engine = far(&settings, policy);
        for _ in 0..5 {
            let error = embed(&engine, &["a", "b", "c", "d", "bad", "e"], &run()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
            assert!(error.to_string().starts_with("input 4: "), "{error}");
            assert_right(&embed(&engine, &["good"], &run()).unwrap(), &["good"]);
        }
    }
    let endpoint = Endpoint::start(&[Does::FailsOn("bad")]);
    let engine = far(&settings(&endpoint.url), policy);
    for _ in 0..5 {
        let error = embed(&engine, &["bad"], &run()).unwrap_err().to_string();
        assert!(error.contains("500: no memory"), "{error}");
    }
    assert_right(&embed(&engine, &["good"], &run()).unwrap(), &["good"]);
}

#[test]
fn a_text_on_which_the_model_overflows_is_no_failure_of_the_device() {
    let endpoint = Endpoint::start(&[Does::Answers(D)]);
    let settings = settings(&endpoint.url);
    let compute = Box::new(move |batch: &Ragged| {
        let value = |i: usize| if batch.seq(i).len() > 9 { f32::NAN } else { 7.0 };
        Matrix::new((0..batch.n()).flat_map(|i| [value(i); D]).collect(), D)
    });
    let limits = WorkerLimits::new(&settings.engine, 64, false);
    let device = DeviceCompute { limits, compute, device: None };
    let worker = Workers::start(settings.engine.queue_tokens_max, vec![device]).unwrap();
    let remote = Remote::with_policy(&settings.endpoint, "bert", PATIENT).unwrap();
    let engine = engine_of(identity(Mode::Inproc), &settings, Placement::new(worker, Some(remote)));
    let long = "word ".repeat(20);
    for _ in 0..5 {
        let error = embed(&engine, &["x", &long], &run()).unwrap_err();
        assert!(error.to_string().starts_with("input 1: "), "{error}");
    }
    assert_eq!(embed(&engine, &["x"], &run()).unwrap().vectors.row(0), [7.0; D]);
    assert_eq!(endpoint.count(), 0);
}

#[test]
fn a_redirect_is_not_followed_and_its_target_receives_no_key() {
    let target = Endpoint::start(&[Does::Answers(D)]);
    for status in [301, 302, 307, 308] {
        let location = format!("location: {}/v1/embeddings\r\n", target.url);
        let endpoint = Endpoint::start(&[Does::Says(status, location.leak(), "")]);
        let settings = settings_with(&endpoint.url, |s| {
            s.endpoint.api_key = Secret::new(Some("sesame".to_owned()));
        });
        let error = embed(&far(&settings, PATIENT), &["x"], &run()).unwrap_err().to_string();
        assert!(error.contains(&status.to_string()) && !error.contains("sesame"), "{error}");
    }
    assert_eq!(target.count(), 0);
}

/// A model folder without weights.
fn without_weights() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pooling = "1_Pooling/config.json";
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    std::fs::copy(bert().join(pooling), folder.path().join(pooling)).unwrap();
    for entry in std::fs::read_dir(bert()).unwrap().flatten().filter(|e| e.path().is_file()) {
        if entry.path().extension().is_none_or(|extension| extension != "safetensors") {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    folder
}

#[test]
fn without_weights_the_endpoint_answers_and_is_known_by_its_model_and_dimension() {
    let endpoint = Endpoint::start(&[Does::Answers(D)]);
    let folder = without_weights();
    let folder = ModelFolder::at(folder.path());
    let start =
        |mode| Engine::start(&folder, &settings_with(&endpoint.url, |s| s.vllm.mode = mode), None);
    assert!(start(VllmMode::Inproc).is_err());
    for (mode, warnings) in [(VllmMode::Http, 0), (VllmMode::Auto, 1)] {
        let engine = start(mode).unwrap();
        assert_eq!(engine.identity().index_key(), "http-far/bert-64");
        assert_eq!(engine.identity().name, folder.name);
        let cx = run();
        for _ in 0..2 {
            assert_right(&embed(&engine, &["x"], &cx).unwrap(), &["x"]);
        }
        let codes: Vec<_> = cx.report().warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, vec!["vllm-fallback"; warnings]);
    }
    // With a complete folder this process embeds, and the endpoint receives no request.
    let asked = endpoint.count();
    let settings = settings_with(&endpoint.url, |s| s.vllm.mode = VllmMode::Auto);
    let engine = Engine::start(&ModelFolder::at(&bert()), &settings, None).unwrap();
    assert_eq!(engine.identity().mode, Mode::Inproc);
    embed(&engine, &["x"], &run()).unwrap();
    assert_eq!(endpoint.count(), asked);
}

#[test]
fn settings_that_cannot_work_are_refused_when_the_engine_starts() {
    let endpoint = Endpoint::start(&[Does::Answers(3)]);
    let folder = ModelFolder::at(&bert());
    let start = |settings: &Settings| Engine::start(&folder, settings, None).err().unwrap();
    for mode in [VllmMode::Http, VllmMode::Auto] {
        let error = start(&settings_with("", |s| s.vllm.mode = mode));
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("endpoint.url"), "{error}");
    }
    let error = start(&settings(&endpoint.url)).to_string();
    for part in ["have 3 values", "have 64", "endpoint.model", &endpoint.url] {
        assert!(error.contains(part), "{error}");
    }
    let pooling = crate::embedding::engine::EngineOptions {
        pooling: Some(Pooling::Cls),
        ..Default::default()
    };
    let settings = settings(&endpoint.url);
    let error = Engine::start_with(&folder, &settings, None, pooling).err().unwrap();
    assert!(error.to_string().contains("vllm.mode"), "{error}");
    let bare = tempfile::tempdir().unwrap();
    std::fs::write(bare.path().join("config.json"), "{}").unwrap();
    let endpoint = Endpoint::start(&[Does::Answers(D)]);
    let settings = self::settings(&endpoint.url);
    let error = Engine::start(&ModelFolder::at(bare.path()), &settings, None).err().unwrap();
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
}
