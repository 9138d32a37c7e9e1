//! How many tokens does a static model embed in a second?
//!
//! Measured: a table of 30,522 random vectors of 256 values with the tokenizer of the default model,
//! on one thread, over the chunks of this repository's `src` as `codeintel index` makes them. From
//! ids to vectors, and from texts to vectors through the whole engine. The values of a table make no
//! difference to the time, so that no teacher is needed.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::collections::HashMap;
use std::fs;
use std::sync::LazyLock;

use candle_core::Tensor;
use codeintel::base::config::Settings;
use codeintel::device::Selection;
use codeintel::embedding::engine::{EmbedRequest, Engine, PromptKind};
use codeintel::embedding::models::ModelFolder;
use codeintel::embedding::nn::{Encoder, Pooling};
use divan::Bencher;
use divan::counter::ItemsCount;
use tempfile::TempDir;

use support::{corpus, size};

mod support;

const DIMENSIONS: usize = 256;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::copy(support::model().path.join("tokenizer.json"), path("tokenizer.json")).unwrap();
    fs::write(path("config.json"), r#"{"model_type": "model2vec", "normalize": true}"#).unwrap();
    let vocab = support::tokenizer().vocabulary().len();
    let table = Tensor::randn(0f32, 1.0, (vocab, DIMENSIONS), &candle_core::Device::Cpu).unwrap();
    let tensors = HashMap::from([("embeddings", table)]);
    candle_core::safetensors::save(&tensors, path("model.safetensors")).unwrap();
    folder
});

fn main() {
    divan::main();
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.engine.threads = 1;
    settings
}

fn engine() -> Engine {
    Engine::start(&ModelFolder::at(FOLDER.path()), &settings(), None).unwrap()
}

/// Every chunk of this repository in a full run, some of them in a smoke run.
fn chunks(engine: &Engine) -> Vec<String> {
    let files = corpus::own_sources().into_iter().take(size(usize::MAX, 2)).collect();
    let files = corpus::chunked(files, engine.tokenizer());
    let chunks = files.iter().flat_map(|(_, cut)| &cut.chunks);
    chunks.map(|chunk| chunk.embedded_text()).take(size(usize::MAX, 2)).collect()
}

#[divan::bench(max_time = 5)]
fn from_ids(bencher: Bencher<'_, '_>) {
    let engine = engine();
    let texts = chunks(&engine);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batch = engine.tokenizer().encode_batch(&texts).unwrap();
    let device = Selection::open(&settings().engine).unwrap().device;
    let encoder = Encoder::load(FOLDER.path(), &device).unwrap();
    let embed = || encoder.pooled(&batch, &[Pooling::Mean], true).unwrap();
    assert_eq!(embed().len(), texts.len() * DIMENSIONS);
    bencher.counter(ItemsCount::new(batch.tokens())).bench_local(embed);
}

#[divan::bench(max_time = 10)]
fn from_texts(bencher: Bencher<'_, '_>) {
    let engine = engine();
    let texts = chunks(&engine);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let embed = || {
        let request = EmbedRequest::bulk(&texts, PromptKind::None);
        engine.embed(request, &support::run()).unwrap()
    };
    bencher.counter(ItemsCount::new(embed().tokens)).bench_local(embed);
}
