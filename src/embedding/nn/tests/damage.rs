//! Damaged checkpoints are refused, and the error names what is wrong.

use super::*;
use crate::base::error::{Error, Result};

type Tensors = HashMap<String, Tensor>;

/// A copy of the tiny model whose tensors `change` has edited.
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
            "is missing",
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

/// The error when the model is loaded for the job that `name` ends with.
fn error_of(name: &str, folder: &Path) -> Option<Error> {
    let device = Device::cpu(1).unwrap();
    match name.rsplit('_').next() {
        Some("rerank") => Classifier::load(folder, &device).err(),
        Some("splade") => Splade::load(folder, &device).err(),
        _ => Encoder::load(folder, &device).err(),
    }
}

#[test]
fn every_tensor_of_every_family_is_asked_for_and_checked() {
    for name in [
        "bert_rerank",
        "bert_splade",
        "distilbert_splade",
        "gemma3_text",
        "gte",
        "modernbert_rerank",
        "mpnet",
        "nomic_bert",
        "qwen2",
        "qwen3",
        "xlm_roberta_rerank",
    ] {
        let folder = copy_of(name);
        let file = folder.path().join("model.safetensors");
        let tensors = candle_core::safetensors::load(&file, &candle_core::Device::Cpu).unwrap();
        // Some checkpoints have a pooler that the embedding does not use.
        let unused = |tensor: &&String| tensor.starts_with("pooler.");
        for tensor in tensors.keys().filter(|tensor| !unused(tensor)) {
            let mut without = tensors.clone();
            let whole = without.remove(tensor).unwrap();
            let mut wrong = without.clone();
            wrong.insert(tensor.clone(), (whole / 0.0).unwrap());
            for (tensors, part) in [(without, "is missing"), (wrong, "at index")] {
                candle_core::safetensors::save(&tensors, &file).unwrap();
                let error = error_of(name, folder.path());
                let message = error.map(|error| error.to_string()).unwrap_or_default();
                // A tensor with several possible prefixes is reported without one.
                let word = tensor.trim_start_matches("bert.").trim_start_matches("roberta.");
                let word = word.trim_start_matches("distilbert.").trim_start_matches("model.");
                assert!(message.contains(word) && message.contains(part), "{tensor}: {message}");
            }
        }
    }
}
