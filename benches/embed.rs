//! How fast does the engine embed, and are the vectors right?
//!
//! Measured: the whole engine with the default model (all-MiniLM-L6-v2) on all cores, from texts to
//! vectors, without a vector cache. Three loads: one query of 12 tokens; 32 texts of 256 tokens; the
//! chunks of this repository's `src`, as `codeintel index` makes them, of mixed length. A table shows,
//! for each number format (`engine.dtype`), tokens per second and per CPU-second, and the mean and
//! the least cosine to the f32 vectors of sentence-transformers for tests/golden/minilm/texts.json.
//! Then divan shows the times of the format that `auto` chooses.
//!
//! Elapsed time is noisy on a shared machine; tokens per CPU-second are less so.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::sync::LazyLock;
use std::time::Duration;

use codeintel::base::config::DtypeChoice;
use codeintel::embedding::engine::{EmbedRequest, Embeddings, Engine, Lane, PromptKind};
use divan::Bencher;
use divan::counter::ItemsCount;

use support::{corpus, repeat, size, smoke};

mod support;

const QUERY: &str = "how is a vector cache kept small when it grows";
/// The mean cosine to the reference that counts as the same vector.
const COSINE_MIN: f32 = 0.9999;

static ENGINE: LazyLock<Engine> = LazyLock::new(support::engine);

fn main() {
    if !smoke() && !std::env::args().any(|arg| arg == "--list") {
        table();
    }
    divan::main();
}

fn embed_with(engine: &Engine, texts: &[String], lane: Lane) -> Embeddings {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let request = match lane {
        Lane::Interactive => EmbedRequest::query(&texts, PromptKind::None),
        Lane::Bulk => EmbedRequest::bulk(&texts, PromptKind::None),
    };
    engine.embed(request, &support::run()).expect("the engine works")
}

fn embed(texts: &[String], lane: Lane) -> Embeddings {
    embed_with(&ENGINE, texts, lane)
}

fn query() -> Vec<String> {
    vec![QUERY.to_owned()]
}

/// 32 texts that the model reads 256 tokens of.
fn long_texts() -> Vec<String> {
    let all: String = corpus::own_sources().into_iter().map(|file| file.text).collect();
    let letters: Vec<char> = all.chars().take(32 * 2000).collect();
    letters.chunks(2000).take(size(32, 1)).map(|text| text.iter().collect()).collect()
}

/// Every chunk of this repository in a full run, some of them in a smoke run.
fn chunks() -> Vec<String> {
    let files = corpus::own_sources().into_iter().take(size(usize::MAX, 2)).collect();
    let files = corpus::chunked(files, ENGINE.tokenizer());
    let chunks = files.iter().flat_map(|(_, cut)| &cut.chunks);
    chunks.map(|chunk| chunk.embedded_text()).take(size(256, 2)).collect()
}

/// The mean and the least cosine to the reference's vectors.
fn cosines(engine: &Engine) -> (f32, f32) {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/minilm");
    let texts = std::fs::read(golden.join("texts.json")).expect("a part of the tree");
    let mut texts: Vec<String> = serde_json::from_slice(&texts).expect("a list of texts");
    texts.truncate(size(usize::MAX, 3));
    let file = golden.join("expected.safetensors");
    let expected = candle_core::safetensors::load(file, &candle_core::Device::Cpu)
        .expect("a part of the tree")
        .remove("embeddings")
        .and_then(|tensor| tensor.to_vec2::<f32>().ok())
        .expect("[n, d] values");
    let got = embed_with(engine, &texts, Lane::Bulk).vectors;
    let cosine = |(a, b): (&[f32], &Vec<f32>)| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let all: Vec<f32> = got.rows().zip(&expected).map(cosine).collect();
    (all.iter().sum::<f32>() / all.len() as f32, all.iter().copied().fold(1.0, f32::min))
}

fn table() {
    let engines = [DtypeChoice::F32, DtypeChoice::Bf16, DtypeChoice::Int16, DtypeChoice::Int8]
        .map(|choice| (choice, support::engine_of(choice)));
    println!("{} {}", ENGINE.identity().name, ENGINE.device_name());
    for (choice, engine) in &engines {
        let (mean, least) = cosines(engine);
        let auto = if ENGINE.identity().dtype == engine.identity().dtype { ", auto" } else { "" };
        println!("{choice:<6} cosine to f32: mean {mean:.6}, least {least:.6}{auto}");
    }
    println!(
        "{:<30} {:<6} {:>8} {:>10} {:>13} {:>8} {:>11}",
        "load", "dtype", "tokens", "tokens/s", "tokens/CPU-s", "to f32", "ms a round"
    );
    for (name, texts, lane) in [
        ("one query of 12 tokens", query(), Lane::Interactive),
        ("32 texts of 256 tokens", long_texts(), Lane::Bulk),
        ("256 chunks of this repository", chunks(), Lane::Bulk),
    ] {
        let mut f32_per_cpu_s = None;
        for (choice, engine) in &engines {
            let mut tokens = 0;
            let round = || tokens = embed_with(engine, &texts, lane).tokens;
            let cost = repeat(Duration::from_secs(4), round);
            let all = tokens as f64 * f64::from(cost.rounds);
            let per_cpu_s = all / cost.cpu.as_secs_f64().max(0.01);
            let to_f32 = per_cpu_s / *f32_per_cpu_s.get_or_insert(per_cpu_s);
            let wall_s = cost.wall.as_secs_f64();
            let round_ms = 1e3 * wall_s / f64::from(cost.rounds);
            let per_s = all / wall_s;
            println!(
                "{name:<30} {choice:<6} {tokens:>8} {per_s:>10.0} {per_cpu_s:>13.0} {to_f32:>8.2} {round_ms:>11.2}",
            );
        }
    }
}

#[divan::bench(max_time = 5)]
fn golden_texts(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        let (cosine, _) = cosines(&ENGINE);
        assert!(cosine >= COSINE_MIN, "the mean cosine to the reference is {cosine}");
    });
}

#[divan::bench]
fn one_query_of_12_tokens(bencher: Bencher<'_, '_>) {
    let texts = query();
    assert_eq!(embed(&texts, Lane::Interactive).tokens, 12);
    bencher.counter(ItemsCount::new(12_usize)).bench_local(|| embed(&texts, Lane::Interactive));
}

#[divan::bench(max_time = 10)]
fn texts_of_256_tokens(bencher: Bencher<'_, '_>) {
    let texts = long_texts();
    let tokens = embed(&texts, Lane::Bulk).tokens;
    assert_eq!(tokens, 256 * texts.len());
    bencher.counter(ItemsCount::new(tokens)).bench_local(|| embed(&texts, Lane::Bulk));
}

#[divan::bench(max_time = 10)]
fn chunks_of_this_repository(bencher: Bencher<'_, '_>) {
    let texts = chunks();
    let tokens = embed(&texts, Lane::Bulk).tokens;
    bencher.counter(ItemsCount::new(tokens)).bench_local(|| embed(&texts, Lane::Bulk));
}
