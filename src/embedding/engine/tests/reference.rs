//! Model folders as people have them, against sentence-transformers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::*;
use crate::base::config::DtypeChoice;

/// The reference values have 6 digits behind the point, and are up to about 10.
const TOLERANCE: f32 = 5e-5;

/// `tests/golden/sentence/cases.json`, which `make.py` beside it wrote.
#[derive(Deserialize)]
struct Reference {
    texts: Vec<String>,
    cases: Vec<Case>,
}

/// A folder of `tests/golden` with changes, and the vectors of the reference.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Case {
    name: String,
    base: String,
    /// Where the base is put inside the folder.
    into: String,
    config: Map<String, Value>,
    drop: Vec<String>,
    files: BTreeMap<String, Value>,
    truncation: Option<String>,
    dense: Option<String>,
    prompt: Option<String>,
    /// `[n][dim]`
    expected: Vec<Vec<f32>>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn edit(path: &Path, change: impl FnOnce(&mut Map<String, Value>)) {
    let mut json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(json.as_object_mut().unwrap());
    std::fs::write(path, json.to_string()).unwrap();
}

impl Case {
    fn build(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let network = folder.path().join(&self.into);
        std::fs::create_dir_all(&network).unwrap();
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            std::fs::copy(golden(&self.base).join(name), network.join(name)).unwrap();
        }
        edit(&network.join("config.json"), |config| {
            config.retain(|key, _| !self.drop.contains(key));
            config.extend(self.config.clone());
        });
        if let Some(direction) = &self.truncation {
            edit(&network.join("tokenizer.json"), |tokenizer| {
                let truncation = serde_json::json!({ "direction": direction, "max_length": 6,
                    "strategy": "LongestFirst", "stride": 0 });
                tokenizer.insert("truncation".to_owned(), truncation);
            });
        }
        for (name, value) in &self.files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, value.to_string()).unwrap();
        }
        if let Some(dense) = &self.dense {
            let to = folder.path().join(dense).join("pytorch_model.bin");
            std::fs::copy(golden("sentence/dense.bin"), to).unwrap();
        }
        folder
    }
}

fn exact() -> Settings {
    let mut settings = settings();
    settings.engine.dtype = DtypeChoice::F32;
    settings
}

fn reference() -> Reference {
    serde_json::from_slice(&std::fs::read(golden("sentence/cases.json")).unwrap()).unwrap()
}

fn case(name: &str) -> Case {
    reference().cases.into_iter().find(|case| case.name == name).unwrap()
}

fn vectors(folder: &Path, prompt: Option<&str>, cache: Option<&Path>) -> Result<Matrix> {
    let texts = reference().texts;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let engine = Engine::start(&ModelFolder::at(folder), &exact(), cache)?;
    let prompt = match prompt {
        Some("query") => PromptKind::Query,
        Some("document") => PromptKind::Document,
        Some(name) => PromptKind::Text(engine.prompt_named(name)?),
        None => PromptKind::None,
    };
    Ok(engine.embed(EmbedRequest::bulk(&texts, prompt), &run())?.vectors)
}

fn worst(got: &Matrix, want: &[Vec<f32>]) -> f32 {
    if got.d() != want[0].len() {
        return f32::INFINITY;
    }
    let pairs = got.as_slice().iter().zip(want.iter().flatten());
    pairs.map(|(got, want)| (got - want).abs()).fold(0.0, f32::max)
}

#[test]
fn every_folder_gives_the_vectors_of_sentence_transformers() {
    let Reference { cases, .. } = reference();
    assert!(cases.len() > 50);
    let mut wrong = Vec::new();
    for case in cases {
        let folder = case.build();
        match vectors(folder.path(), case.prompt.as_deref(), None) {
            Err(error) => wrong.push(format!("{}: {error}", case.name)),
            Ok(got) => {
                let worst = worst(&got, &case.expected);
                if worst > TOLERANCE {
                    wrong.push(format!("{}: {worst:e}", case.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_prompt_that_is_not_pooled_and_the_same_text_without_one_are_cached_apart() {
    let case = case("include_prompt false, mean");
    let (folder, cache) = (case.build(), tempfile::tempdir().unwrap());
    let engine =
        Engine::start(&ModelFolder::at(folder.path()), &exact(), Some(cache.path())).unwrap();
    let embed = |text: &str, prompt| {
        let got = engine.embed(EmbedRequest::bulk(&[text], prompt), &run()).unwrap();
        (got.vectors.as_slice().to_vec(), got.cache_hits)
    };
    let (whole, _) = embed("find the code: X", PromptKind::None);
    let (apart, hits) = embed("X", PromptKind::Query);
    assert_eq!(hits, 0);
    assert!(worst(&Matrix::new(apart.clone(), 64).unwrap(), &case.expected[1..2]) < TOLERANCE);
    assert_ne!(whole, apart);
    assert_eq!(embed("X", PromptKind::Query), (apart, 1));
    assert_eq!(embed("find the code: X", PromptKind::None), (whole, 1));
}

#[test]
fn weights_that_torch_saved_in_parts_are_read() {
    let case = case("no modules.json");
    let folder = case.build();
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    for name in ["a.bin", "b.bin", "pytorch_model.bin.index.json"] {
        let from = golden("sentence").join(format!("bert-{name}"));
        std::fs::copy(from, folder.path().join(name)).unwrap();
    }
    let worst = worst(&vectors(folder.path(), None, None).unwrap(), &case.expected);
    assert!(worst < TOLERANCE, "{worst:e}");
    std::fs::remove_file(folder.path().join("b.bin")).unwrap();
    let error = vectors(folder.path(), None, None).unwrap_err().to_string();
    assert!(error.contains("b.bin"), "{error}");
}

#[test]
fn weights_that_cannot_be_read_say_what_to_convert_them_with() {
    let case = case("no modules.json");
    for (name, bytes, named) in [
        ("pytorch_model.bin", &b"\x80\x02}q\x00."[..], "pytorch_model.bin"),
        ("tf_model.h5", &b"x"[..], "tf_model.h5"),
        ("flax_model.msgpack", &b"x"[..], "flax_model.msgpack"),
    ] {
        let folder = case.build();
        std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let error = vectors(folder.path(), None, None).unwrap_err().to_string();
        assert!(error.contains(named) && error.contains("save_pretrained"), "{error}");
        assert!(!error.contains("model pull"), "{error}");
    }
}

#[test]
fn a_folder_whose_config_says_no_model_type_is_named() {
    let case = case("no modules.json");
    let folder = case.build();
    edit(&folder.path().join("config.json"), |config| {
        config.remove("model_type");
    });
    let error = vectors(folder.path(), None, None).unwrap_err().to_string();
    assert!(
        error.contains("config.json without a model_type") && error.contains("bert"),
        "{error}"
    );
}

#[test]
fn a_stretch_of_rotary_embeddings_that_is_not_computed_is_refused_by_name() {
    let case = case("linear");
    for (key, value, expected) in [
        ("rope_scaling", serde_json::json!({ "type": "su", "factor": 2.0 }), "rope_type su"),
        ("rope_scaling", serde_json::json!({ "type": "linear" }), "no factor"),
        (
            "rope_parameters",
            serde_json::json!({ "rope_type": "longrope", "original_max_position_embeddings": 64,
                "short_factor": (vec![1.0; 8]), "long_factor": (vec![1.0; 8]) }),
            "longrope for 514 positions",
        ),
        (
            "rope_parameters",
            serde_json::json!({ "rope_type": "longrope", "short_factor": (vec![1.0; 7]) }),
            "short_factor is not a list of 8 positive numbers",
        ),
    ] {
        let folder = case.build();
        edit(&folder.path().join("config.json"), |config| {
            config.remove("rope_scaling");
            config.insert(key.to_owned(), value);
        });
        let error = vectors(folder.path(), None, None).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let layered = self::case("one kind of layer stretched");
    let folder = layered.build();
    edit(&folder.path().join("config.json"), |config| {
        let flat = serde_json::json!({ "rope_type": "linear", "factor": 8.0 });
        config.insert("rope_parameters".to_owned(), flat);
    });
    let error = vectors(folder.path(), None, None).unwrap_err().to_string();
    assert!(error.contains("full_attention and sliding_attention"), "{error}");
}

#[test]
fn a_text_with_a_token_that_the_table_has_no_row_for_is_refused_by_name_and_others_are_not() {
    let case = case("no modules.json");
    let folder = case.build();
    edit(&folder.path().join("tokenizer.json"), |tokenizer| {
        let token = serde_json::json!({ "id": 7000, "content": "[NEW]", "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false, "special": false });
        tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
    });
    let engine = Engine::start(&ModelFolder::at(folder.path()), &exact(), None).unwrap();
    let embed = |text: &str| engine.embed(EmbedRequest::bulk(&[text], PromptKind::None), &run());
    let error = embed("a [NEW] b").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidParameter);
    let id = engine.tokenizer().encode_batch(&["x"]).unwrap().ids[1];
    assert!(id < 600);
    let error = error.to_string();
    assert!(error.contains("[NEW]") && error.contains("below 600"), "{error}");
    let got = embed(&reference().texts[0]).unwrap().vectors;
    assert!(worst(&got, &case.expected[..1]) < TOLERANCE);

    // A special token without a row makes every text wrong.
    edit(&folder.path().join("config.json"), |config| {
        config.insert("vocab_size".to_owned(), 3.into());
    });
    let tensors = candle_core::safetensors::load(
        folder.path().join("model.safetensors"),
        &candle_core::Device::Cpu,
    );
    let mut tensors = tensors.unwrap();
    let table = Tensor::zeros((3, 64), DType::F32, &candle_core::Device::Cpu).unwrap();
    tensors.insert("embeddings.word_embeddings.weight".to_owned(), table);
    candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    let error = Engine::start(&ModelFolder::at(folder.path()), &exact(), None).err().unwrap();
    let error = error.to_string();
    assert!(error.contains("[SEP]") && error.contains("3 rows"), "{error}");
}

#[test]
fn scores_follow_the_activation_that_the_files_name() {
    use crate::embedding::nn::ScoreActivation::{Identity, Sigmoid, Silu, Softmax, Tanh};
    let start = |files: &[(&str, Value)], labels: usize| {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            std::fs::copy(golden("bert_rerank").join(name), folder.path().join(name)).unwrap();
        }
        widen(folder.path(), labels);
        for (name, value) in files {
            if *name == "config.json" {
                edit(&folder.path().join(name), |config| {
                    config.extend(value.as_object().unwrap().clone());
                });
            } else {
                std::fs::write(folder.path().join(name), value.to_string()).unwrap();
            }
        }
        let options = EngineOptions { task: Task::Score, ..EngineOptions::default() };
        let engine = Engine::start_with(&ModelFolder::at(folder.path()), &exact(), None, options);
        engine.map(|engine| engine.identity().activation)
    };
    let torch = |name: &str| format!("torch.nn.modules.{name}");
    let new = |path: String| {
        ("config.json", serde_json::json!({ "sentence_transformers": { "activation_fn": path } }))
    };
    let old = |path: String| {
        ("config.json", serde_json::json!({ "sbert_ce_default_activation_function": path }))
    };
    let null = (
        "config.json",
        serde_json::json!({ "sentence_transformers": { "activation_fn": null },
        "sbert_ce_default_activation_function": torch("linear.Identity") }),
    );
    let own = (
        "config_sentence_transformers.json",
        serde_json::json!({ "activation_fn": torch("activation.Tanh") }),
    );
    for (files, labels, expected) in [
        (vec![], 1, Sigmoid),
        (vec![], 2, Identity),
        (vec![new(torch("linear.Identity"))], 1, Identity),
        (vec![old(torch("linear.Identity"))], 1, Identity),
        (vec![new(torch("activation.Sigmoid")), old(torch("linear.Identity"))], 2, Sigmoid),
        (vec![null], 1, Sigmoid),
        (vec![new(torch("activation.Softmax"))], 2, Softmax),
        (vec![old(torch("activation.SiLU"))], 1, Silu),
        (vec![own, new(torch("linear.Identity"))], 1, Tanh),
    ] {
        assert_eq!(start(&files, labels).unwrap(), expected, "{files:?}");
    }
    for unknown in ["torch.nn.modules.activation.Hardtanh", "my.package.Identity"] {
        let error = start(&[new(unknown.to_owned())], 1).unwrap_err().to_string();
        assert!(error.contains(unknown) && error.contains("Sigmoid"), "{error}");
    }
}

/// Repeats the label of the reranker in `folder`.
fn widen(folder: &Path, labels: usize) {
    let path = folder.join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    for name in ["classifier.weight", "classifier.bias"] {
        let one = tensors[name].clone();
        tensors.insert(name.to_owned(), Tensor::cat(&vec![one; labels], 0).unwrap());
    }
    candle_core::safetensors::save(&tensors, &path).unwrap();
    edit(&folder.join("config.json"), |config| {
        config.remove("id2label");
        config.insert("num_labels".to_owned(), labels.into());
    });
}

#[test]
fn vectors_are_cut_only_to_lengths_that_the_model_was_trained_for() {
    let case = case("no modules.json");
    let engine = |config: Value, any: bool| {
        let folder = case.build();
        edit(&folder.path().join("config.json"), |own| {
            own.extend(config.as_object().unwrap().clone());
        });
        let mut settings = exact();
        settings.model.allow_any_dimensions = any;
        Engine::start(&ModelFolder::at(folder.path()), &settings, None).unwrap()
    };
    let check = |config: Value, any, good: &[usize], bad: &[(usize, &str)]| {
        let engine = engine(config, any);
        let identity = engine.identity();
        for &n in good {
            assert_eq!(identity.dimensions(Some(n)).unwrap(), n);
        }
        for (n, expected) in bad {
            let error = identity.dimensions(Some(*n)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidParameter);
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert_eq!(identity.dimensions(None).unwrap(), 64);
    };
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let all = "1 to 64, the dimension";
    check(json("{}"), false, &[64], &[(16, "model.allow_any_dimensions"), (65, "expected 64")]);
    check(json("{}"), true, &[1, 16, 64], &[(0, all), (65, all)]);
    check(json(r#"{"is_matryoshka": true}"#), false, &[1, 64], &[(0, all), (65, all)]);
    let off = json(r#"{"is_matryoshka": false}"#);
    check(off, false, &[64], &[(32, "is_matryoshka")]);
    let listed = json(r#"{"is_matryoshka": true, "matryoshka_dimensions": [16, 32, 128]}"#);
    check(
        listed.clone(),
        false,
        &[16, 32, 64],
        &[(8, ": 16, 32, 128;"), (128, "matryoshka_dimensions")],
    );
    check(listed, true, &[8, 16], &[(128, all)]);
}
