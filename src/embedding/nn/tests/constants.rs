//! Every constant of config.json is read, and unsupported values are refused by name.

use serde_json::{Value, json};

use super::*;
use crate::base::error::{Error, Result};

/// A copy of a golden model with other values in config.json. `null` removes a key, and a key with
/// slashes is a path into nested objects.
fn changed(name: &str, edits: &Value) -> tempfile::TempDir {
    let folder = copy_of(name);
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (key, value) in edits.as_object().unwrap() {
        let (parents, last) = key.rsplit_once('/').unwrap_or(("", key));
        let parents = if parents.is_empty() { String::new() } else { format!("/{parents}") };
        config.pointer_mut(&parents).unwrap()[last] = value.clone();
    }
    std::fs::write(path, config.to_string()).unwrap();
    folder
}

fn load(folder: &Path) -> Result<Encoder> {
    Encoder::load(folder, &Device::cpu(1).unwrap())
}

fn hidden(folder: &Path) -> Matrix {
    load(folder).unwrap().forward(&random_batch(&[40, 3])).unwrap()
}

#[test]
fn every_constant_that_the_config_sets_changes_the_result() {
    let rope = |theta: f64| json!({ "rope_theta": theta, "rope_type": "default" });
    let decoder = json!([
        { "rms_norm_eps": 0.5 }, { "hidden_act": "gelu" }, { "rope_parameters": rope(99.0) },
        { "rope_parameters": { "rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0 } },
        { "is_causal": false }, { "use_bidirectional_attention": true },
        { "rope_parameters/partial_rotary_factor": 0.5 }, { "partial_rotary_factor": 0.5 },
    ]);
    let bert = json!([
        { "layer_norm_eps": 0.5 }, { "hidden_act": "relu" }, { "hidden_act": "gelu_new" },
        { "num_attention_heads": 2 }, { "num_hidden_layers": 1 },
    ]);
    let windows = json!({ "use_sliding_window": true, "sliding_window": 3, "max_window_layers": 1,
        "layer_types": null });
    let typed = json!({ "sliding_window": 3, "use_sliding_window": true,
        "layer_types": ["sliding_attention", "full_attention"] });
    let fewer = json!({ "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32 });
    let cases = [
        ("bert", bert.clone()),
        ("roberta", bert.clone()),
        ("roberta", json!([{ "pad_token_id": 5 }])),
        ("xlm_roberta", json!([{ "pad_token_id": 5 }, { "layer_norm_eps": 0.5 }])),
        ("distilbert", json!([{ "activation": "relu" }, { "n_heads": 2 }, { "n_layers": 1 }])),
        ("mpnet", json!([{ "layer_norm_eps": 0.5 }, { "hidden_act": "relu" }])),
        (
            "nomic_bert",
            json!([
                { "layer_norm_eps": 0.5 }, { "hidden_act": "gelu" }, { "num_hidden_layers": 1 },
                { "rope_parameters": rope(99.0) }, { "rotary_emb_base": 99.0 },
                { "rotary_emb_base": 1000.0, "rotary_emb_fraction": 0.5 },
                { "num_attention_heads": 2, "head_dim": 32 },
            ]),
        ),
        ("gte", bert),
        (
            "gte",
            json!([
                { "rope_parameters": rope(99.0) },
                { "rope_parameters": null, "rope_theta": 99.0 },
                { "rope_parameters": null, "rope_theta": 160000.0,
                  "rope_scaling": { "type": "ntk", "factor": 4.0 } },
            ]),
        ),
        (
            "modernbert",
            json!([
                { "norm_eps": 0.5 }, { "hidden_activation": "silu" }, { "num_attention_heads": 2 },
                { "local_attention": 4 }, { "rope_parameters/full_attention": rope(99.0) },
                { "rope_parameters/sliding_attention": rope(99.0) },
                { "layer_types": ["full_attention", "full_attention", "sliding_attention",
                                  "full_attention"] },
                { "layer_types": null, "global_attn_every_n_layers": 2 },
                { "rope_parameters": null, "global_rope_theta": 99.0 },
                { "rope_parameters": null, "global_rope_theta": 160000.0, "local_rope_theta": 99.0 },
            ]),
        ),
        ("qwen2", decoder.clone()),
        ("qwen2", json!([windows, typed, fewer])),
        ("qwen3", decoder.clone()),
        ("llama", decoder.clone()),
        ("llama", json!([fewer])),
        ("mistral", decoder),
        ("mistral", json!([{ "sliding_window": 3 }, fewer])),
        (
            "gemma3_text",
            json!([
                { "rms_norm_eps": 0.5 }, { "hidden_activation": "silu" }, { "sliding_window": 4 },
                { "query_pre_attn_scalar": 64 }, { "use_bidirectional_attention": false },
                { "layer_types": ["full_attention", "full_attention"] },
                { "layer_types": null, "_sliding_window_pattern": 1 },
                { "rope_parameters/full_attention": rope(99.0) },
                { "rope_parameters/sliding_attention": rope(99.0) },
                { "rope_parameters": null, "rope_theta": 99.0 },
                { "rope_parameters": null, "rope_local_base_freq": 99.0 },
            ]),
        ),
    ];
    for (name, edits) in cases {
        let before = hidden(&golden(name));
        for edit in edits.as_array().unwrap() {
            let after = hidden(changed(name, edit).path());
            let difference = worst(before.as_slice(), after.as_slice());
            assert!(difference > 1e-5, "{name} {edit}: {difference:e}");
        }
    }
}

#[test]
fn what_older_files_say_in_other_words_is_the_same() {
    let cases = [
        ("gte", json!({ "rope_parameters": null, "rope_theta": 160000.0, "model_type": "new" })),
        (
            "modernbert",
            json!({ "rope_parameters": null, "layer_types": null,
            "global_rope_theta": 160000.0, "local_rope_theta": 10000.0 }),
        ),
        (
            "gemma3_text",
            json!({ "rope_parameters": null, "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0 }),
        ),
        ("llama", json!({ "rope_parameters": null, "rope_theta": 10000.0, "rope_scaling": null })),
        ("qwen2", json!({ "layer_types": null, "num_key_value_heads": 2, "head_dim": 16 })),
        (
            "nomic_bert",
            json!({ "hidden_size": null, "n_embd": 64, "num_attention_heads": null,
            "n_head": 4, "head_dim": null, "num_hidden_layers": null, "n_layer": 2,
            "intermediate_size": null, "n_inner": 160, "max_position_embeddings": null,
            "n_positions": 514, "layer_norm_eps": null, "layer_norm_epsilon": 1e-12,
            "rope_parameters": null, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
            "hidden_act": null, "activation_function": "swiglu" }),
        ),
    ];
    for (name, edit) in cases {
        assert_eq!(hidden(changed(name, &edit).path()), hidden(&golden(name)), "{name}");
    }
}

#[test]
fn an_architecture_that_is_not_computed_is_refused_by_name_with_the_list_of_those_that_are() {
    for model_type in ["albert", "gpt2", "qwen3_moe", ""] {
        let folder = changed("bert", &json!({ "model_type": model_type }));
        let error = load(folder.path()).err().unwrap();
        assert!(matches!(error, Error::ModelUnsupported { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(model_type), "{message}");
        for known in [
            "bert",
            "roberta",
            "xlm-roberta",
            "distilbert",
            "mpnet",
            "modernbert",
            "nomic_bert",
            "gte",
            "new",
            "qwen2",
            "qwen3",
            "llama",
            "mistral",
            "gemma3_text",
            "t5",
            "deberta-v2",
            "nvembed",
        ] {
            assert!(message.contains(known), "{known}: {message}");
        }
    }
}

#[test]
fn a_feature_that_is_not_computed_is_refused_by_name() {
    for (name, edit) in [
        ("bert", json!({ "hidden_act": "mish" })),
        ("bert", json!({ "position_embedding_type": "relative_key" })),
        ("xlm_roberta", json!({ "is_decoder": true })),
        (
            "modernbert",
            json!({ "layer_types": ["full_attention", "full_attention",
            "linear_attention", "full_attention"] }),
        ),
        ("nomic_bert", json!({ "moe_every_n_layers": 2 })),
        ("nomic_bert", json!({ "prenorm": true })),
        ("nomic_bert", json!({ "activation_function": "gelu_fast" })),
        ("gte", json!({ "layer_norm_type": "rms_norm" })),
        ("llama", json!({ "rope_parameters/rope_type": "su" })),
        ("gemma3_text", json!({ "attn_logit_softcapping": 50.0 })),
    ] {
        let error = load(changed(name, &edit).path()).err().unwrap();
        assert!(matches!(error, Error::ModelUnsupported { .. }), "{name} {edit}: {error}");
        let (key, value) = edit.as_object().unwrap().iter().next().unwrap();
        let key = key.rsplit('/').next().unwrap().trim_end_matches("_types");
        let message = error.to_string();
        assert!(message.contains(&key.replace('_', " ")) || message.contains(key), "{message}");
        if let Some(value) = value.as_str() {
            assert!(message.contains(value), "{message}");
        }
    }
}

#[test]
fn a_config_that_cannot_be_true_says_which_key() {
    for (name, edit, part) in [
        ("bert", json!({ "num_attention_heads": 5 }), "not a multiple of 5"),
        ("bert", json!({ "hidden_size": 0 }), "hidden_size is 0"),
        ("bert", json!({ "hidden_size": null }), "hidden_size is missing"),
        ("bert", json!({ "vocab_size": "many" }), "vocab_size is \"many\""),
        ("bert", json!({ "layer_norm_eps": -1 }), "layer_norm_eps is -1"),
        ("bert", json!({ "num_hidden_layers": 100_000 }), "num_hidden_layers is 100000"),
        ("bert", json!({ "is_decoder": "no" }), "is_decoder"),
        ("roberta", json!({ "pad_token_id": 514 }), "pad_token_id 514"),
        ("mpnet", json!({ "relative_attention_num_buckets": 3 }), "num_buckets is 3"),
        ("modernbert", json!({ "layer_types": ["full_attention"] }), "1 entries for 4 layers"),
        ("qwen2", json!({ "num_key_value_heads": 3 }), "4 heads do not share 3"),
        ("llama", json!({ "rope_parameters/rope_theta": 0 }), "rope_theta is 0"),
        ("llama", json!({ "partial_rotary_factor": 1.5 }), "1.5 of heads of 16"),
    ] {
        let error = load(changed(name, &edit).path()).err().unwrap().to_string();
        assert!(error.contains(part), "{name} {edit}: {error}");
    }
    let folder = copy_of_bert();
    std::fs::write(folder.path().join("config.json"), "{").unwrap();
    let error = load(folder.path()).err().unwrap();
    assert!(matches!(error, Error::ModelBroken { .. }), "{error}");
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    let error = load(folder.path()).err().unwrap();
    assert!(matches!(error, Error::ModelMissing { .. }), "{error}");
    assert!(error.to_string().contains("config.json"), "{error}");
}

#[test]
fn a_checkpoint_without_the_head_that_is_asked_for_is_refused() {
    let device = Device::cpu(1).unwrap();
    let classifier = |name| Classifier::load(&golden(name), &device).err().unwrap().to_string();
    let splade = |name| Splade::load(&golden(name), &device).err().unwrap().to_string();
    for (error, found) in [
        (classifier("bert"), "BertModel"),
        (classifier("gemma3_text"), "Gemma3TextModel"),
        (classifier("bert_splade"), "BertForMaskedLM"),
        (splade("bert_rerank"), "BertForSequenceClassification"),
        (splade("qwen3"), "Qwen3Model"),
    ] {
        assert!(error.contains(found) && error.contains("distilbert"), "{error}");
    }
}

#[test]
fn a_classifier_has_a_logit_for_each_label_and_its_pooling_is_read() {
    let device = Device::cpu(1).unwrap();
    let labels = json!({ "id2label": { "0": "a", "1": "b", "2": "c" } });
    let folder = changed("bert_rerank", &labels);
    let error = Classifier::load(folder.path(), &device).err().unwrap().to_string();
    assert!(error.contains("classifier.weight") && error.contains("[3, 64]"), "{error}");
    let batch = random_batch(&[20, 9]);
    let logits = |folder: &Path| Classifier::load(folder, &device).unwrap().logits(&batch).unwrap();
    let cls = changed("modernbert_rerank", &json!({ "classifier_pooling": "cls" }));
    let relu = changed("modernbert_rerank", &json!({ "classifier_activation": "relu" }));
    let mean = logits(&golden("modernbert_rerank"));
    for other in [logits(cls.path()), logits(relu.path())] {
        assert!(worst(mean.as_slice(), other.as_slice()) > 1e-4);
    }
}
