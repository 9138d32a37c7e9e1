//! Static models, against model2vec and sentence-transformers.

use candle_core::Tensor;
use serde::Deserialize;

use super::*;
use crate::base::config::DeviceChoice;

/// Of the largest value: the reference adds in other orders.
const TOLERANCE: f32 = 1e-5;

/// `expected.json` of a folder in `tests/golden/static`, which `make.py` beside them wrote.
#[derive(Deserialize)]
struct Expected {
    texts: Vec<String>,
    /// `[n][d]`
    vectors: Vec<Vec<f32>>,
}

fn golden(name: &str) -> ModelFolder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/static").join(name);
    ModelFolder::at(&folder)
}

fn expected(name: &str) -> Expected {
    let path = golden(name).path.join("expected.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn vectors_equal_those_of_the_reference() {
    for (name, normalize, max_tokens, truncated) in
        [("plain", true, 12, 3), ("quantised", false, 512, 0), ("module", false, 1 << 17, 0)]
    {
        let Expected { texts, vectors } = expected(name);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let cache = tempfile::tempdir().unwrap();
        let engine = Engine::start(&golden(name), &settings(), Some(cache.path())).unwrap();
        let identity = engine.identity();
        assert_eq!((identity.normalize, identity.max_tokens), (normalize, max_tokens), "{name}");
        let together = embed(&engine, Lane::Bulk, &texts, &run()).unwrap();
        assert_eq!(together.truncated, truncated, "{name}");
        let cached = embed(&engine, Lane::Bulk, &texts, &run()).unwrap();
        // Of texts with the same ids, here two without any, a batch keeps one.
        assert!(cached.cache_hits >= texts.len() - 1, "{name}: {}", cached.cache_hits);
        assert_eq!(cached.vectors, together.vectors);
        let scale = vectors.iter().flatten().fold(1.0, |max: f32, v| max.max(v.abs()));
        for (i, want) in vectors.iter().enumerate() {
            let differences = want.iter().zip(together.vectors.row(i)).map(|(a, b)| (a - b).abs());
            let worst = differences.fold(0.0, f32::max);
            assert!(worst < TOLERANCE * scale, "{name}, {:?}: {worst:e}", texts[i]);
        }
    }
}

#[test]
fn a_text_without_a_known_token_is_zero_alone_and_among_others() {
    let engine = Engine::start(&golden("plain"), &settings(), None).unwrap();
    for texts in [&["", "🦀"][..], &["a", "", "b"], &["🦀 🦀"]] {
        let vectors = embed(&engine, Lane::Interactive, texts, &run()).unwrap().vectors;
        for (text, vector) in texts.iter().zip(vectors.rows()) {
            let is_known = text.is_ascii() && !text.is_empty();
            assert_eq!(vector.iter().any(|value| *value != 0.0), is_known, "{text}");
        }
    }
    let options = EngineOptions { task: Task::TokenVectors, ..EngineOptions::default() };
    let engine = Engine::start_with(&golden("plain"), &settings(), None, options).unwrap();
    let request = EmbedRequest::bulk(&["a b", ""], PromptKind::None);
    let tokens = engine.token_vectors(request, &run()).unwrap().vectors;
    assert_eq!(tokens.iter().map(Matrix::n).collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn a_table_is_not_put_on_a_gpu() {
    let mut on_gpu = settings();
    on_gpu.engine.device = DeviceChoice::Cuda(0);
    let error = Engine::start(&golden("plain"), &on_gpu, None).err().unwrap().to_string();
    assert!(error.contains("plain, a static model") && error.contains("auto or cpu"), "{error}");
}

/// A copy of the folder `quantised` with `name` replaced in its weights.
fn with_tensor(name: &str, tensor: &Tensor) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(golden("quantised").path.join(file), folder.path().join(file)).unwrap();
    }
    let vocab = Tokenizer::open(folder.path(), 64).unwrap().vocabulary().len();
    let zeros =
        |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &candle_core::Device::Cpu).unwrap();
    let mut tensors = std::collections::HashMap::from([
        ("embeddings", zeros(&[4, 2], candle_core::DType::F32)),
        ("mapping", zeros(&[vocab], candle_core::DType::I64)),
        ("weights", zeros(&[vocab], candle_core::DType::F64)),
    ]);
    tensors.insert(name, tensor.clone());
    candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    folder
}

#[test]
fn a_damaged_table_is_named() {
    let device = candle_core::Device::Cpu;
    let numbers = |n: usize, value: f64| {
        Tensor::full(value, n, &device).unwrap().to_dtype(candle_core::DType::F32).unwrap()
    };
    let start = |folder: &tempfile::TempDir| {
        Engine::start(&ModelFolder::at(folder.path()), &settings(), None)
    };
    let table = |value: f64| numbers(8, value).reshape((4, 2)).unwrap();
    start(&with_tensor("embeddings", &table(1.0))).unwrap();
    let vocab = Tokenizer::open(&golden("quantised").path, 64).unwrap().vocabulary().len();
    let beyond = Tensor::full(4_i64, vocab, &device).unwrap();
    for (name, tensor, part) in [
        ("embeddings", table(f64::NAN), "NaN at index 0"),
        ("embeddings", numbers(8, 1.0), "expected [n, d]"),
        ("embeddings", table(1.0).to_dtype(candle_core::DType::U8).unwrap(), "has type U8"),
        ("mapping", beyond, "beyond the 4 there are"),
        ("mapping", numbers(vocab, 0.0), "tensor mapping has type F32"),
        ("weights", numbers(7, 1.0), "tensor weights is [7]"),
    ] {
        let error = start(&with_tensor(name, &tensor)).err().unwrap().to_string();
        assert!(error.contains(part) && error.contains("model.safetensors"), "{error}");
    }
    let bare = with_tensor("weights", &numbers(vocab, 1.0));
    std::fs::write(bare.path().join("config.json"), r#"{"model_type": "model2vec"}"#).unwrap();
    std::fs::remove_file(bare.path().join("model.safetensors")).unwrap();
    let error = start(&bare).err().unwrap().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
}
