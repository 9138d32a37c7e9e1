//! Networks against the reference implementations, and what they refuse.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};

use super::*;
use crate::base::config::{DtypeChoice, Settings, process_env};
use crate::base::vector::Matrix;
use crate::device::cpu::ops;
use crate::device::{Cpu, Device};
use crate::embedding::token::{PairTemplate, Ragged, Tokenizer};

mod constants;
#[cfg(feature = "cuda")]
mod cuda;
mod damage;
mod dense;
mod families;
mod long;
mod oracle;

/// The largest difference of a value from the reference.
const TOLERANCE: f32 = 1e-4;

/// The path of a file or model in `tests/golden`.
pub fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name)
}

/// A copy of a tiny model, which a test can change or damage.
pub fn copy_of(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(golden(name).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

pub fn copy_of_bert() -> tempfile::TempDir {
    copy_of("bert")
}

/// Sets `key` of the JSON object in `path` to `value`, written as JSON.
pub fn edit_json(path: &Path, key: &str, value: &str) {
    let mut object: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    object[key] = serde_json::from_str(value).unwrap();
    std::fs::write(path, object.to_string()).unwrap();
}

fn texts(path: &str) -> Vec<String> {
    serde_json::from_slice(&std::fs::read(golden(path)).unwrap()).unwrap()
}

fn expected(folder: &str) -> HashMap<String, Tensor> {
    let file = golden(folder).join("expected.safetensors");
    candle_core::safetensors::load(file, &candle_core::Device::Cpu).unwrap()
}

/// hidden: `[tokens, d]`; cu_seqlens: `[n + 1]`; returns `[n, d]`.
pub fn pool(hidden: &Matrix, cu_seqlens: &[u32], pooling: Pooling, normalize: bool) -> Matrix {
    let d = hidden.d();
    let values = ops::pool(hidden.as_slice(), d, cu_seqlens, pooling, normalize);
    Matrix::new(values, d).unwrap()
}

fn whole_numbers(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec1::<i64>().unwrap().into_iter().map(|v| v as u32).collect()
}

fn matrix(tensor: &Tensor) -> Matrix {
    let d = tensor.dims()[1];
    Matrix::new(tensor.flatten_all().unwrap().to_vec1().unwrap(), d).unwrap()
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The numbers 0..n in several orders, the first of which is ascending.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let given: Vec<usize> = (0..n).collect();
    let backward = given.iter().rev().copied().collect();
    let mixed = (0..n).map(|i| (i * 7 + 3) % n).collect::<Vec<_>>();
    assert_eq!(mixed.iter().collect::<std::collections::HashSet<_>>().len(), n);
    vec![given, backward, mixed]
}

fn batch(all: &Ragged, order: &[usize]) -> Ragged {
    let mut batch = Ragged::default();
    for &i in order {
        batch.push_typed(all.seq(i), all.seq_types(i), all.truncated[i]);
    }
    batch
}

fn minilm() -> PathBuf {
    let folder = Settings::default().model.folder(process_env).join("all-MiniLM-L6-v2");
    let here = folder.join("model.safetensors").is_file();
    assert!(here, "the model is not in {}; get it with: make setup", folder.display());
    folder
}

#[test]
fn vectors_of_each_type_of_number_are_as_near_to_f32_as_promised() {
    let folder = minilm();
    let config = SentenceConfig::read(&folder).unwrap();
    let tokenizer = Tokenizer::open(&folder, 256).unwrap();
    let texts = texts("minilm/texts.json");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batch = tokenizer.encode_batch(&texts).unwrap();
    let want = matrix(&expected("minilm")["embeddings"]);
    for (choice, mean_min, least_min) in [
        (DtypeChoice::Auto, 0.999998, 0.99999),
        (DtypeChoice::Int16, 0.999998, 0.99999),
        (DtypeChoice::Bf16, 0.9999, 0.999),
        (DtypeChoice::Int8, 0.99, 0.98),
    ] {
        let device = Device::Cpu(Cpu::new(0).unwrap().with_dtype(choice).unwrap());
        let encoder = Encoder::load(&folder, &device).unwrap();
        let pooler = Pooler::load(&folder, &config, encoder.hidden_dim(), &device).unwrap();
        let got = pooler.embed(&encoder, &batch).unwrap();
        let cosine = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let cosines: Vec<f32> = got.rows().zip(want.rows()).map(cosine).collect();
        let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
        let least = cosines.iter().copied().fold(1.0, f32::min);
        eprintln!("MiniLM in {choice}: cosine {mean} on average, {least} at least");
        assert!(mean >= mean_min && least >= least_min, "{choice}: {mean} {least}");
    }
}

#[test]
fn minilm_equals_sentence_transformers_alone_and_in_any_batch() {
    let folder = minilm();
    let config = SentenceConfig::read(&folder).unwrap();
    let length = Some(256);
    let said = (config.pooling.single().unwrap(), config.normalize, config.max_seq_length);
    assert_eq!(said, (Pooling::Mean, true, length));
    let tokenizer = Tokenizer::open(&folder, 256).unwrap();
    let device = Device::cpu(0).unwrap();
    let encoder = Encoder::load(&folder, &device).unwrap();
    let pooler = Pooler::load(&folder, &config, encoder.hidden_dim(), &device).unwrap();
    let texts = texts("minilm/texts.json");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let all = tokenizer.encode_batch(&texts).unwrap();
    let want = matrix(&expected("minilm")["embeddings"]);
    let (mut error, mut cosine) = (0.0_f32, 1.0_f32);
    let mut lists = orders(texts.len()).split_off(1);
    lists.extend((0..texts.len()).map(|i| vec![i]));
    for order in lists {
        let batch = batch(&all, &order);
        let got = pooler.embed(&encoder, &batch).unwrap();
        for (got, &i) in got.rows().zip(&order) {
            error = error.max(worst(got, want.row(i)));
            cosine = cosine.min(got.iter().zip(want.row(i)).map(|(a, b)| a * b).sum());
        }
    }
    eprintln!("MiniLM: greatest difference {error:e}, least cosine {cosine}");
    assert!(error < TOLERANCE && cosine >= 0.99999, "difference {error:e}, cosine {cosine}");
}

/// Pseudo-random ids, in sequences of these lengths.
fn random_batch(lengths: &[usize]) -> Ragged {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut seq = |&n: &usize| (0..n).map(|_| rng.u32(0..600)).collect();
    let seqs: Vec<Vec<u32>> = lengths.iter().map(&mut seq).collect();
    Ragged::from_seqs(seqs.iter().map(Vec::as_slice))
}

#[test]
fn candle_computes_the_same_for_every_activation() {
    use candle_transformers::models::bert::{BertModel, Config, HiddenAct};
    let batch = random_batch(&[1, 2, 33, 200]);
    for (name, theirs) in [
        ("gelu", HiddenAct::Gelu),
        ("gelu_new", HiddenAct::GeluApproximate),
        ("gelu_pytorch_tanh", HiddenAct::GeluApproximate),
        ("relu", HiddenAct::Relu),
    ] {
        let folder = copy_of_bert();
        let path = folder.path().join("config.json");
        edit_json(&path, "hidden_act", "\"gelu\"");
        let mut config: Config = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config.hidden_act = theirs;
        let bytes = std::fs::read(folder.path().join("model.safetensors")).unwrap();
        let cpu = candle_core::Device::Cpu;
        let weights =
            candle_nn::VarBuilder::from_buffered_safetensors(bytes, DType::F32, &cpu).unwrap();
        let oracle = BertModel::load(weights, &config).unwrap();
        edit_json(&path, "hidden_act", &format!("{name:?}"));
        let encoder = Encoder::load(folder.path(), &Device::cpu(2).unwrap()).unwrap();
        let got = encoder.forward(&batch).unwrap();
        for i in 0..batch.n() {
            let ids = Tensor::new(batch.seq(i), &cpu).unwrap().unsqueeze(0).unwrap();
            let want = oracle.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap();
            let want: Vec<f32> = want.flatten_all().unwrap().to_vec1().unwrap();
            let rows = batch.cu_seqlens[i] as usize * 64..batch.cu_seqlens[i + 1] as usize * 64;
            let error = worst(&got.as_slice()[rows], &want);
            assert!(error < TOLERANCE, "{name}, sequence {i}: {error:e}");
        }
    }
}

#[test]
fn an_empty_batch_and_empty_sequences_are_computed() {
    let encoder = Encoder::load(&golden("bert"), &Device::cpu(1).unwrap()).unwrap();
    let none = encoder.forward(&Ragged::from_seqs([])).unwrap();
    assert_eq!((none.n(), none.d()), (0, 64));
    let batch = random_batch(&[0, 5, 0, 0, 3, 0]);
    let alone = random_batch(&[5, 3]);
    let (got, want) = (encoder.forward(&batch).unwrap(), encoder.forward(&alone).unwrap());
    assert!(worst(got.as_slice(), want.as_slice()) < 1e-5);
}

#[test]
fn a_batch_that_the_network_cannot_take_is_an_error() {
    let encoder = Encoder::load(&golden("bert"), &Device::cpu(1).unwrap()).unwrap();
    let long = encoder.forward(&random_batch(&[515])).unwrap_err().to_string();
    assert!(long.contains("515") && long.contains("514"), "{long}");
    let ids: &[u32] = &[3, 600];
    let outside = encoder.forward(&Ragged::from_seqs([ids])).unwrap_err().to_string();
    assert!(outside.contains("600"), "{outside}");
}
