//! Does the encoder give what the reference implementations give, and refuse what is damaged?

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};

use super::*;
use crate::config::{Settings, process_env};
use crate::device::{Device, InstructionSet};
use crate::error::{Error, Result};
use crate::token::{Ragged, Tokenizer};
use crate::vector::Matrix;

/// What the reference wrote, and what may differ from it in each value.
const TOLERANCE: f32 = 1e-4;

/// Test data, by its name under `tests/golden`.
pub fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name)
}

/// The tiny model in a folder of its own, to be damaged.
pub fn copy_of_bert() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(golden("bert").join(file), folder.path().join(file)).unwrap();
    }
    folder
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

/// The numbers 0 to n in several orders, the given one first.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let given: Vec<usize> = (0..n).collect();
    let backward = given.iter().rev().copied().collect();
    let mixed = (0..n).map(|i| (i * 5 + 3) % n).collect::<Vec<_>>();
    assert_eq!(mixed.iter().collect::<std::collections::HashSet<_>>().len(), n);
    vec![given, backward, mixed]
}

fn batch(all: &Ragged, order: &[usize]) -> Ragged {
    Ragged::from_seqs(order.iter().map(|&i| all.seq(i)))
}

#[test]
fn the_tiny_bert_equals_the_reference_alone_and_in_any_batch() {
    let expected = expected("bert");
    let texts = texts("texts.json");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let tokenizer = Tokenizer::open(&golden("bert"), 514).unwrap();
    let all = tokenizer.encode_batch(&texts).unwrap();
    assert_eq!(all.ids, whole_numbers(&expected["input_ids"]));
    assert_eq!(all.cu_seqlens, whole_numbers(&expected["cu_seqlens"]));
    let hidden = matrix(&expected["last_hidden"]);
    for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        let device = Device::cpu_with(2, set).unwrap();
        let encoder = Encoder::load(&golden("bert"), &device).unwrap();
        assert_eq!((encoder.hidden_dim(), encoder.max_positions()), (64, 514));
        let mut lists = orders(texts.len());
        lists.extend((0..texts.len()).map(|i| vec![i]));
        for order in lists {
            let batch = batch(&all, &order);
            let got = encoder.forward(&batch).unwrap();
            let rows = order.iter().flat_map(|&i| all.cu_seqlens[i]..all.cu_seqlens[i + 1]);
            let want: Vec<f32> = rows.flat_map(|row| hidden.row(row as usize).to_vec()).collect();
            let error = worst(got.as_slice(), &want);
            assert!(error < TOLERANCE, "{set:?} {order:?}: {error:e}");
            for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Last] {
                let got = pool(&got, &batch.cu_seqlens, pooling, true);
                let want = matrix(&expected[pooling.as_str()]);
                for (got, &i) in got.rows().zip(&order) {
                    let error = worst(got, want.row(i));
                    assert!(error < TOLERANCE, "{set:?} {pooling:?} {order:?}: {error:e}");
                }
            }
        }
    }
}

#[test]
fn minilm_equals_sentence_transformers_alone_and_in_any_batch() {
    let folder = Settings::default().models_folder(process_env).join("all-MiniLM-L6-v2");
    let here = folder.join("model.safetensors").is_file();
    assert!(here, "the model is not in {}; get it with: make setup", folder.display());
    let config = SentenceConfig::read(&folder).unwrap();
    let length = Some(256);
    let mean = SentenceConfig { pooling: Pooling::Mean, normalize: true, max_seq_length: length };
    assert_eq!(config, mean);
    let tokenizer = Tokenizer::open(&folder, 256).unwrap();
    let encoder = Encoder::load(&folder, &Device::cpu(0).unwrap()).unwrap();
    let texts = texts("minilm/texts.json");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let all = tokenizer.encode_batch(&texts).unwrap();
    let want = matrix(&expected("minilm")["embeddings"]);
    let (mut error, mut cosine) = (0.0_f32, 1.0_f32);
    let mut lists = orders(texts.len()).split_off(1);
    lists.extend((0..texts.len()).map(|i| vec![i]));
    for order in lists {
        let batch = batch(&all, &order);
        let hidden = encoder.forward(&batch).unwrap();
        let got = pool(&hidden, &batch.cu_seqlens, config.pooling, config.normalize);
        for (got, &i) in got.rows().zip(&order) {
            error = error.max(worst(got, want.row(i)));
            cosine = cosine.min(got.iter().zip(want.row(i)).map(|(a, b)| a * b).sum());
        }
    }
    eprintln!("MiniLM: greatest difference {error:e}, least cosine {cosine}");
    assert!(error < TOLERANCE && cosine >= 0.99999, "difference {error:e}, cosine {cosine}");
}

/// Ids that look random, in sequences of these lengths.
fn random_batch(lengths: &[usize]) -> Ragged {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u32 % 600
    };
    let seqs: Vec<Vec<u32>> = lengths.iter().map(|&n| (0..n).map(|_| next()).collect()).collect();
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

type Tensors = HashMap<String, Tensor>;

/// The tiny model's tensors, as `change` leaves them, in a folder of its own.
fn rewritten(change: impl FnOnce(Tensors) -> Tensors) -> tempfile::TempDir {
    let folder = copy_of_bert();
    let file = folder.path().join("model.safetensors");
    let tensors = candle_core::safetensors::load(&file, &candle_core::Device::Cpu).unwrap();
    candle_core::safetensors::save(&change(tensors), &file).unwrap();
    folder
}

fn load(folder: &Path) -> Result<Encoder> {
    Encoder::load(folder, &Device::cpu(1).unwrap())
}

fn hidden(folder: &Path) -> Matrix {
    load(folder).unwrap().forward(&random_batch(&[4, 9])).unwrap()
}

fn mapped(tensors: Tensors, f: impl Fn(String, Tensor) -> (String, Tensor)) -> Tensors {
    tensors.into_iter().map(|(name, tensor)| f(name, tensor)).collect()
}

#[test]
fn prefixed_and_old_names_and_several_files_give_the_same() {
    let want = hidden(&golden("bert"));
    let prefixed = rewritten(|t| mapped(t, |name, tensor| (format!("bert.{name}"), tensor)));
    assert_eq!(hidden(prefixed.path()), want);
    let old = rewritten(|t| {
        mapped(t, |name, tensor| {
            let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
            (name.replace("LayerNorm.bias", "LayerNorm.beta"), tensor)
        })
    });
    assert_eq!(hidden(old.path()), want);
    let sharded = sharded();
    assert_eq!(hidden(sharded.path()), want);
}

fn sharded() -> tempfile::TempDir {
    let folder = copy_of_bert();
    let file = folder.path().join("model.safetensors");
    let tensors = candle_core::safetensors::load(&file, &candle_core::Device::Cpu).unwrap();
    let (first, second): (Tensors, Tensors) =
        tensors.into_iter().partition(|(name, _)| name.contains("layer.0"));
    let mut places = serde_json::Map::new();
    for (name, part) in [("a.safetensors", first), ("b.safetensors", second)] {
        candle_core::safetensors::save(&part, folder.path().join(name)).unwrap();
        places.extend(part.into_keys().map(|tensor| (tensor, name.into())));
    }
    let index = serde_json::json!({ "weight_map": places });
    std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    std::fs::remove_file(file).unwrap();
    folder
}

#[test]
fn half_precision_weights_are_the_same_numbers_as_f32() {
    for dtype in [DType::F16, DType::BF16] {
        let stored = move |_: &str, t: &Tensor| t.to_dtype(dtype).unwrap();
        let half = rewritten(|t| mapped(t, |name, t| (name.clone(), stored(&name, &t))));
        let full = rewritten(|t| {
            mapped(t, |name, t| (name.clone(), stored(&name, &t).to_dtype(DType::F32).unwrap()))
        });
        assert_eq!(hidden(half.path()), hidden(full.path()));
    }
}

const TENSOR: &str = "encoder.layer.1.output.dense.weight";

#[test]
fn a_tensor_that_does_not_fit_is_named() {
    let with = |tensor: Tensor| {
        rewritten(|mut t| {
            t.insert(TENSOR.to_owned(), tensor);
            t
        })
    };
    let cpu = candle_core::Device::Cpu;
    let ones = Tensor::ones((64, 160), DType::F32, &cpu).unwrap();
    let infinite = (ones.clone() / 0.0).unwrap();
    for (folder, part) in [
        (
            rewritten(|mut t| {
                t.remove(TENSOR);
                t
            }),
            "is not there",
        ),
        (with(ones.t().unwrap().contiguous().unwrap()), "[160, 64]"),
        (with(ones.to_dtype(DType::I64).unwrap()), "I64"),
        (with(infinite), "inf"),
    ] {
        let error = load(folder.path()).err().unwrap();
        assert!(matches!(error, Error::ModelBroken { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(TENSOR) && message.contains(part), "{message}");
        assert!(message.contains("model.safetensors"), "{message}");
    }
}

#[test]
fn a_file_that_is_cut_short_is_damaged_wherever_it_is_cut() {
    let bytes = std::fs::read(golden("bert").join("model.safetensors")).unwrap();
    for kept in [0, 4, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        let folder = copy_of_bert();
        std::fs::write(folder.path().join("model.safetensors"), &bytes[..kept]).unwrap();
        let error = load(folder.path()).err().unwrap();
        assert!(matches!(error, Error::ModelBroken { .. }), "{kept}: {error}");
        assert!(error.to_string().contains(&format!("{kept} bytes")), "{error}");
    }
    let folder = copy_of_bert();
    std::fs::write(folder.path().join("model.safetensors"), vec![0x7b; 5000]).unwrap();
    assert!(matches!(load(folder.path()), Err(Error::ModelBroken { .. })));
}

#[test]
fn a_file_that_is_not_there_is_missing_by_name() {
    let folder = copy_of_bert();
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let sharded = sharded();
    std::fs::remove_file(sharded.path().join("b.safetensors")).unwrap();
    for (folder, name) in [(folder, "model.safetensors"), (sharded, "b.safetensors")] {
        let error = load(folder.path()).err().unwrap();
        assert!(matches!(error, Error::ModelMissing { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let climbing = copy_of_bert();
    std::fs::remove_file(climbing.path().join("model.safetensors")).unwrap();
    let index = r#"{"weight_map": {"a": "../other/model.safetensors"}}"#;
    std::fs::write(climbing.path().join("model.safetensors.index.json"), index).unwrap();
    let error = load(climbing.path()).err().unwrap();
    assert!(matches!(error, Error::ModelBroken { .. }), "{error}");
}
