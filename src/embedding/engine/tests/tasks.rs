//! Tests of scores and expansions, which use the same queue as embeddings.

use super::memory::Small;
use super::*;
use crate::base::config::DtypeChoice;
use crate::base::vector::SparseVec;
use crate::device::Device;
use crate::embedding::nn::{Encoder, Splade};

const PAIRS: [(&str, &str); 5] = [
    ("how are retries limited", "fn retry(max: u32) {}"),
    ("a", "b"),
    ("", ""),
    ("parse a url", "def parse_url(text: str) -> Url:\n    ..."),
    ("how are retries limited", "the weather is fine"),
];

fn golden(name: &str) -> ModelFolder {
    ModelFolder::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name))
}

fn options(task: Task) -> EngineOptions {
    EngineOptions { task, ..EngineOptions::default() }
}

fn start(name: &str, task: Task, cache: Option<&Path>) -> Engine {
    Engine::start_with(&golden(name), &settings(), cache, options(task)).unwrap()
}

fn score(engine: &Engine, lane: Lane, pairs: &[(&str, &str)], cx: &RunContext) -> Result<Scores> {
    engine.score(ScoreRequest { pairs, lane }, cx)
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn a_batch_of_pairs_equals_single_pairs_whatever_else_is_queued() {
    let engine = start("bert_rerank", Task::Score, None);
    let singles: Vec<Scores> = PAIRS
        .iter()
        .map(|pair| score(&engine, Lane::Interactive, &[*pair], &run()).unwrap())
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| score(&engine, Lane::Bulk, &PAIRS.repeat(10), &run()).unwrap());
        }
        let batch = score(&engine, Lane::Bulk, &PAIRS, &run()).unwrap();
        assert_eq!((batch.logits.n(), batch.logits.d()), (PAIRS.len(), 1));
        for (row, single) in batch.logits.rows().zip(&singles) {
            assert!(near(row, single.logits.row(0)));
        }
        assert_eq!(batch.tokens, singles.iter().map(|single| single.tokens).sum::<usize>());
    });
    let of = |i: usize| singles[i].logits.row(0)[0];
    assert!((of(0) - of(4)).abs() > 1e-3, "the texts differ, so must the scores");
    let swapped = [(PAIRS[0].1, PAIRS[0].0)];
    let swapped = score(&engine, Lane::Bulk, &swapped, &run()).unwrap();
    assert!((swapped.logits.row(0)[0] - of(0)).abs() > 1e-4, "the order of a pair matters");
}

#[test]
fn a_pair_seen_before_is_the_same_bits_without_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let first = {
        let engine = start("bert_rerank", Task::Score, Some(folder.path()));
        score(&engine, Lane::Bulk, &PAIRS, &run()).unwrap()
    };
    assert_eq!(first.cache_hits, 0);
    let engine = start("bert_rerank", Task::Score, Some(folder.path()));
    let again = score(&engine, Lane::Interactive, &PAIRS, &run()).unwrap();
    assert_eq!((again.cache_hits, engine.stats().batches), (PAIRS.len(), 0));
    assert_eq!((again.logits, again.tokens), (first.logits, first.tokens));
    // The same letters as the pair ("a", "b"), divided at another position.
    let other = score(&engine, Lane::Bulk, &[("ab", ""), ("", "ab")], &run()).unwrap();
    assert_eq!(other.cache_hits, 0);
}

#[test]
fn pairs_beyond_the_memory_are_scored_in_halves_and_one_pair_alone_fails() {
    let whole = start("bert_rerank", Task::Score, None);
    let right = score(&whole, Lane::Bulk, &PAIRS, &run()).unwrap();
    let on_small_device = |tokens_max| {
        let engine_settings = &settings().engine;
        let loaded = load(&golden("bert_rerank"), engine_settings, options(Task::Score)).unwrap();
        let Loaded { identity, compute, .. } = loaded;
        let small = Box::new(Small { compute, tokens_max, before: || () });
        let folder = golden("bert_rerank");
        engine_for(identity, &folder, &settings(), None, None, vec![small])
    };
    let longest = PAIRS.map(|pair| score(&whole, Lane::Bulk, &[pair], &run()).unwrap().tokens);
    let longest = longest.into_iter().max().unwrap();
    let small = on_small_device(longest);
    let halved = score(&small, Lane::Bulk, &PAIRS, &run()).unwrap();
    assert!(near(halved.logits.as_slice(), right.logits.as_slice()));
    assert!(small.stats().out_of_memory > 0);
    let error = score(&on_small_device(longest - 1), Lane::Bulk, &PAIRS, &run()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
}

#[test]
fn scores_are_refused_when_cancelled_late_or_stopped_and_are_recorded_as_a_stage() {
    let engine = start("bert_rerank", Task::Score, None);
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::with_exporter(exporter.clone());
    let cx = RunContext::new(&telemetry, Tool::Rerank, &[Stage::Score]);
    score(&engine, Lane::Interactive, &PAIRS, &cx).unwrap();
    assert_eq!(cx.report().last_completed_stage, Some(Stage::Score));
    let names: Vec<_> = exporter.get_finished_spans().unwrap();
    let count = |name: &str| names.iter().filter(|span| span.name == name).count();
    assert_eq!(count("vllm.score_batch"), 1);
    assert!(count("engine.batch") > 0);
    cx.cancel();
    let cancelled = score(&engine, Lane::Bulk, &PAIRS, &cx).unwrap_err();
    assert_eq!(cancelled.kind(), ErrorKind::Cancelled);
    let late = run().with_deadline(Duration::ZERO);
    let late = score(&engine, Lane::Bulk, &PAIRS, &late).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    engine.stop();
    let stopped = score(&engine, Lane::Bulk, &PAIRS, &run()).unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::Unavailable);
}

#[test]
fn expansions_are_those_of_the_model_in_any_batch() {
    let mut exact = settings();
    exact.engine.dtype = DtypeChoice::F32;
    let model = golden("bert_splade");
    let engine = Engine::start_with(&model, &exact, None, options(Task::Expand)).unwrap();
    let device = Device::cpu(1).unwrap();
    let splade = Splade::load(&model.path, &device).unwrap();
    let texts: Vec<&str> = TEXTS.repeat(4);
    let request = EmbedRequest::bulk(&texts, PromptKind::None);
    let expanded = engine.expand(request, &run()).unwrap();
    let ragged = engine.tokenizer().encode_batch(&TEXTS).unwrap();
    let expected: Vec<SparseVec> = splade.expand(&ragged).unwrap();
    assert_eq!(expanded.vectors.len(), texts.len());
    for (found, expected) in expanded.vectors.iter().zip(expected.iter().cycle()) {
        assert_eq!(found.ids, expected.ids);
        assert!(near(&found.weights, &expected.weights));
    }
    assert_eq!(expanded.tokens, 4 * ragged.tokens());
    assert!(engine.stats().sequences < texts.len() as u64, "equal texts share a row");
}

#[test]
fn token_vectors_are_the_hidden_states_of_the_model_in_any_batch() {
    let mut exact = settings();
    exact.engine.dtype = DtypeChoice::F32;
    let model = golden("bert");
    let engine = Engine::start_with(&model, &exact, None, options(Task::TokenVectors)).unwrap();
    let encoder = Encoder::load(&model.path, &Device::cpu(1).unwrap()).unwrap();
    let texts: Vec<&str> = TEXTS.repeat(4);
    let request = EmbedRequest::bulk(&texts, PromptKind::None);
    let found = engine.token_vectors(request, &run()).unwrap();
    assert_eq!(found.vectors.len(), texts.len());
    for (found, text) in found.vectors.iter().zip(&texts) {
        let ragged = engine.tokenizer().encode_batch(&[*text]).unwrap();
        let expected = encoder.forward(&ragged).unwrap();
        assert_eq!((found.n(), found.d()), (ragged.tokens(), encoder.hidden_dim()));
        assert!(near(found.as_slice(), expected.as_slice()), "{text:?}");
    }
    assert_eq!(found.tokens, found.vectors.iter().map(Matrix::n).sum::<usize>());
    let empty = engine.token_vectors(EmbedRequest::bulk(&[], PromptKind::None), &run()).unwrap();
    assert_eq!((empty.vectors.len(), empty.tokens), (0, 0));
}

#[test]
fn a_model_refuses_other_tasks_than_the_one_it_was_loaded_for() {
    let engine = start("bert_rerank", Task::Score, None);
    let embedder = Engine::start(&bert(), &settings(), None).unwrap();
    for error in [
        embed(&engine, Lane::Bulk, &["x"], &run()).unwrap_err(),
        engine.expand(EmbedRequest::bulk(&["x"], PromptKind::None), &run()).unwrap_err(),
        engine.token_vectors(EmbedRequest::bulk(&["x"], PromptKind::None), &run()).unwrap_err(),
        score(&embedder, Lane::Bulk, &PAIRS, &run()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Model, "{error}");
    }
}
