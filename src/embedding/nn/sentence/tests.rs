//! Files of sentence-transformers: what they say, and what is refused.

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn modules(kinds: &[&str]) -> String {
    let entry = |kind: &&str| format!(r#"{{"path": "{kind}", "type": "a.b.{kind}"}}"#);
    format!("[{}]", kinds.iter().map(entry).collect::<Vec<_>>().join(","))
}

#[test]
fn a_folder_that_says_nothing_means_the_mean() {
    let config = SentenceConfig::read(folder(&[]).path()).unwrap();
    let expected = SentenceConfig {
        pooling: Pooling::Mean.into(),
        dense: Vec::new(),
        normalize: false,
        max_seq_length: None,
        truncate_dim: None,
        similarity: Similarity::default(),
        prompts: Prompts::default(),
    };
    assert_eq!(config, expected);
}

#[test]
fn modules_decide_dense_layers_length_and_normalisation() {
    for normalize in [false, true] {
        let kinds = ["Transformer", "Pooling", "Dropout", "Dense", "Normalize"];
        let list = modules(&kinds[..4 + usize::from(normalize)]);
        let folder = folder(&[
            ("modules.json", &list),
            ("Pooling/config.json", "{}"),
            ("Transformer/sentence_roberta_config.json", r#"{"max_seq_length": 128}"#),
            ("Transformer/tokenizer_config.json", r#"{"model_max_length": 512}"#),
        ]);
        let config = SentenceConfig::read(folder.path()).unwrap();
        assert_eq!((config.normalize, config.max_seq_length), (normalize, Some(128)));
        assert_eq!(config.dense, ["Dense"]);
    }
}

#[test]
fn what_the_tokenizer_is_loaded_with_wins() {
    for key in ["processor_kwargs", "tokenizer_args"] {
        let settings = format!(
            r#"{{"max_seq_length": 9, "{key}": {{"model_max_length": 7, "truncation_side": "left"}}}}"#
        );
        let folder = folder(&[
            ("sentence_bert_config.json", &settings),
            ("tokenizer_config.json", r#"{"truncation_side": "right"}"#),
        ]);
        let text = TextConfig::read(folder.path()).unwrap();
        assert_eq!((text.max_seq_length, text.options.side), (Some(7), Some(Side::Left)));
    }
    let odd = folder(&[("tokenizer_config.json", r#"{"truncation_side": "middle"}"#)]);
    let error = TextConfig::read(odd.path()).unwrap_err().to_string();
    assert!(error.contains("\"middle\""), "{error}");
}

#[test]
fn a_tokenizer_says_the_length_where_the_model_does_not() {
    for (text, length) in [("512", Some(512)), ("1e30", None), ("null", None)] {
        let text = format!(r#"{{"model_max_length": {text}}}"#);
        let config = SentenceConfig::read(folder(&[("tokenizer_config.json", &text)]).path());
        assert_eq!(config.unwrap().max_seq_length, length);
    }
}

#[test]
fn prompts_are_found_by_what_the_text_is_for() {
    let read = |text: &str| {
        SentenceConfig::read(folder(&[("config_sentence_transformers.json", text)]).path())
    };
    let named = r#"{"prompts": {"query": "query: ", "passage": "passage: "},
        "default_prompt_name": null, "__version__": {}}"#;
    let named = read(named).unwrap().prompts;
    assert_eq!((named.get("query"), named.get("document")), ("query: ", "passage: "));
    assert_eq!(named.get("clustering"), "");
    let default = r#"{"prompts": {"query": "q: ", "any": "text: ", "document": null},
        "default_prompt_name": "any"}"#;
    let default = read(default).unwrap().prompts;
    assert_eq!((default.get("query"), default.get("document")), ("q: ", ""));
    assert_eq!((default.named("any").unwrap(), default.named("query").unwrap()), ("text: ", "q: "));
    let error = default.named("clustering").unwrap_err().to_string();
    assert!(error.contains("clustering") && error.contains("any, document, query"), "{error}");
    assert_eq!(Prompts::default().named("document").unwrap(), "");
    let error = Prompts::default().named("any").unwrap_err().to_string();
    assert!(error.contains("query, document"), "{error}");
    for harmless in [r#"{"prompts": null}"#, r#"{"default_prompt_name": "query"}"#] {
        assert_eq!(read(harmless).unwrap().prompts, Prompts::default());
    }
    let error = read(r#"{"prompts": {}, "default_prompt_name": "gone"}"#).unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
}

#[test]
fn cosines_rank_as_dot_products_and_distances_do_for_vectors_of_length_1() {
    for (name, raw, unit) in [
        ("null", true, true),
        (r#""cosine""#, true, true),
        (r#""dot""#, false, true),
        (r#""euclidean""#, false, true),
        (r#""manhattan""#, false, false),
        (r#""hamming""#, false, false),
    ] {
        let text = format!(r#"{{"similarity_fn_name": {name}}}"#);
        let files = [("config_sentence_transformers.json", text.as_str())];
        let similarity = SentenceConfig::read(folder(&files).path()).unwrap().similarity;
        let ranks = [false, true].map(|normalize| similarity.ranks_as_cosine(normalize));
        assert_eq!(ranks, [raw, unit], "{name}");
    }
    let zero = [("config_sentence_transformers.json", r#"{"truncate_dim": 0}"#)];
    let error = SentenceConfig::read(folder(&zero).path()).unwrap_err().to_string();
    assert!(error.contains("truncate_dim is 0"), "{error}");
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let read = |kinds: &[&str], mode: &str| {
        let (list, mode) = (modules(kinds), mode.to_owned());
        let folder = folder(&[("modules.json", &list), ("Pooling/config.json", &mode)]);
        SentenceConfig::read(folder.path()).unwrap_err().to_string()
    };
    let mean = r#"{"pooling_mode_mean_tokens": true}"#;
    let router = read(&["Transformer", "Router"], mean);
    assert!(router.contains("a.b.Router"), "{router}");
    let late = read(&["Transformer", "Pooling", "Normalize", "Dense"], mean);
    assert!(late.contains("a.b.Dense") && late.contains("in this order"), "{late}");
    let before = read(&["Transformer", "Dense", "Pooling"], mean);
    assert!(before.contains("a.b.Dense"), "{before}");
    let none = read(&["Transformer", "Normalize"], mean);
    assert!(none.contains("a.b.Normalize"), "{none}");
    let bare = read(&["Transformer"], mean);
    assert!(bare.contains("without the module Pooling"), "{bare}");
    let median = read(&["Pooling"], r#"{"pooling_mode": ["mean", "median"]}"#);
    assert!(median.contains("\"median\"") && median.contains("lasttoken"), "{median}");
    let flag = read(&["Pooling"], r#"{"pooling_mode_median_tokens": true}"#);
    assert!(flag.contains("pooling_mode_median_tokens"), "{flag}");
    let text = read(&["Pooling"], r#"{"include_prompt": "no"}"#);
    assert!(text.contains("include_prompt is \"no\""), "{text}");
    let outside = r#"[{"path": "../other", "type": "a.Pooling"}]"#;
    let outside = SentenceConfig::read(folder(&[("modules.json", outside)]).path());
    let outside = outside.unwrap_err().to_string();
    assert!(outside.contains("\"../other\""), "{outside}");
}
