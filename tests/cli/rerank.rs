//! `codeintel rerank`: the scores of the reference, and refusals.

use serde_json::{Value, json};

use super::{expected, lines, piped};
use crate::support::{Place, golden, golden_json, many};

/// The pairs of the reference as lines of JSON.
fn pairs() -> String {
    let pairs: Vec<(String, String)> = golden_json("pairs.json");
    let line = |(i, (query, text)): (usize, &(String, String))| {
        format!("{}\n", json!({ "text": text, "query": query, "id": i, "label": [1, 2] }))
    };
    pairs.iter().enumerate().map(line).collect()
}

fn scores(out: &str) -> Vec<f32> {
    lines(out).iter().map(|line| line["score"].as_f64().unwrap() as f32).collect()
}

#[test]
fn every_reranker_computes_the_scores_of_the_reference_in_any_batch() {
    for name in ["bert_rerank", "xlm_roberta_rerank", "modernbert_rerank"] {
        let place = Place::with_model(&[], &golden(name));
        let (_, want) = expected(name, "logits");
        let near = |got: &[f32], want: &[f32]| {
            assert_eq!(got.len(), want.len(), "{name}");
            let difference = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 1e-4, "{name}: {got:?} {want:?}");
        };
        let f32s = ["rerank", "--set", "engine.dtype=f32"];
        let raw = piped(&place, &[&f32s[..], &["--raw"]].concat(), pairs().as_bytes()).ok();
        near(&scores(&raw), &want);
        let sigmoid: Vec<f32> = want.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect();
        for batch in ["16", "200", "4096"] {
            let batch = format!("engine.max_batch_tokens={batch}");
            let args = [&f32s[..], &["--set", &batch, "-"]].concat();
            near(&scores(&piped(&place, &args, pairs().as_bytes()).ok()), &sigmoid);
        }
        let ids: Vec<Value> = lines(&raw).iter().map(|line| line["id"].clone()).collect();
        assert_eq!(ids, (0..want.len()).map(|i| json!(i)).collect::<Vec<_>>());
        std::fs::write(place.path().join("pairs.jsonl"), pairs()).unwrap();
        let args = [&f32s[..], &["pairs.jsonl", "-o", "scores.jsonl"]].concat();
        assert_eq!(place.run(&args).ok(), "");
        let written = std::fs::read_to_string(place.path().join("scores.jsonl")).unwrap();
        near(&scores(&written), &sigmoid);
    }
}

#[test]
fn several_labels_make_a_list_of_scores_by_the_activation_that_the_model_names() {
    let place = Place::new(&[]);
    place.edited_model("bert_rerank", "classes", |folder| {
        let path = folder.join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config["id2label"] = json!({ "0": "no", "1": "maybe", "2": "yes" });
        config["sentence_transformers"] =
            json!({ "activation_fn": "torch.nn.modules.activation.Softmax" });
        std::fs::write(&path, config.to_string()).unwrap();
        // The head three times, so that all labels are equally likely.
        let path = folder.join("model.safetensors");
        let cpu = candle_core::Device::Cpu;
        let mut tensors = candle_core::safetensors::load(&path, &cpu).unwrap();
        for (name, tensor) in &mut tensors {
            if name.starts_with("classifier.") {
                *tensor = candle_core::Tensor::cat(&[&*tensor, &*tensor, &*tensor], 0).unwrap();
            }
        }
        candle_core::safetensors::save(&tensors, &path).unwrap();
    });
    let args = ["rerank", "--model", "classes"];
    let out = lines(&piped(&place, &args, pairs().as_bytes()).ok());
    assert_eq!(out.len(), 5);
    for line in out {
        assert_eq!(line.get("score"), None);
        let scores = line["scores"].as_array().unwrap();
        assert_eq!(scores.len(), 3);
        assert!(scores.iter().all(|p| (p.as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-6), "{line}");
    }
}

#[test]
fn a_bad_line_is_named_and_a_model_without_the_head_is_refused() {
    let place = Place::with_model(&[], &golden("bert_rerank"));
    let good = r#"{"query": "a", "text": "b"}"#;
    for (bad, cause) in [
        (r#"{"query": "a"}"#, "no field \"text\""),
        (r#"{"query": 1, "text": "b"}"#, "\"query\" is 1; expected a string"),
        (r#"["a", "b"]"#, r#"expected an object {"query": "...", "text": "..."}"#),
        ("not json", "not valid JSON"),
    ] {
        let input = format!("{good}\n\n{bad}\n{good}\n");
        let ran = piped(&place, &["rerank"], input.as_bytes());
        assert_eq!(ran.code, Some(20), "{ran:?}");
        assert!(ran.err.contains("line 3") && ran.err.contains(cause), "{}", ran.err);
        let out = lines(&ran.out);
        assert_eq!((out.len(), out[0]["score"].is_number()), (3, true));
        assert!(out[1]["error"]["message"].as_str().unwrap().contains(cause), "{}", out[1]);
        assert_eq!(out[0], out[2], "the row stays in its place");
    }
    assert_eq!(piped(&place, &["rerank"], b"").ok(), "");
    let long = json!({ "query": "a", "text": "word ".repeat(3000) }).to_string();
    let ran = piped(&place, &["rerank"], long.as_bytes());
    assert!(ran.err.contains("1 pair exceeded 514 tokens and was truncated"), "{}", ran.err);
    assert_eq!(scores(&ran.ok()).len(), 1);
    let ran = piped(&Place::new(&[]), &["rerank"], good.as_bytes());
    assert_ne!(ran.code, Some(0));
    assert!(ran.err.contains("ForSequenceClassification"), "{}", ran.err);
}

#[test]
fn a_search_and_an_evaluation_are_reranked_by_the_method_that_is_named() {
    let place = many();
    let args = ["search", "how is a header parsed", "--rerank", "maxsim"];
    let budget = ["--set", "search.rerank_budget_ms=600000"];
    let answer = place.run(&[&args[..], &budget, &["--json"]].concat()).json();
    let used = &answer["method"]["rerank"];
    assert_eq!((&used["method"], &used["scored"]), (&json!("maxsim"), &json!(20)));
    assert_eq!(used["candidates"].as_array().unwrap().len(), 20);
    let best = &answer["findings"][0];
    assert!(used["candidates"].as_array().unwrap().contains(&best["chunk_id"]));
    let factors = best["why"]["factors"].as_array().unwrap();
    assert!(factors.iter().any(|factor| factor["name"] == "rerank"), "{factors:?}");
    let shown = place.run(&[&args[..], &budget, &["--explain"]].concat()).ok();
    assert!(shown.contains("20 of 20 chunks reranked by maxsim"), "{shown}");
    let plain = place.run(&["search", "how is a header parsed", "--json"]).json();
    assert!(plain["method"].get("rerank").is_none(), "{plain}");
    place.run(&["search", "a", "--rerank", "best"]).fails(2, &["rerank.method", "cross_encoder"]);

    let options = json!({ "query": "header", "options": {
        "rm3": true, "rerank": { "method": "exact", "top_k": 7 } } });
    let tool = |options: &str| place.run(&["tool", "semantic_search_pro", "--json", options]);
    let called = tool(&options.to_string()).json();
    let used = &called["method"]["rerank"];
    assert_eq!((&used["method"], &used["scored"]), (&json!("exact"), &json!(7)), "{called}");
    let wrong = json!({ "query": "header", "options": { "rerank": { "top_k": 0 } } }).to_string();
    let ran = tool(&wrong);
    assert!(ran.err.contains("top_k"), "{ran:?}");

    let set = place.path().join("set.jsonl");
    let question =
        json!({ "query": "how is a header parsed", "relevant": ["src/header/parse.rs"] });
    std::fs::write(&set, format!("{question}\n")).unwrap();
    let set = set.to_str().unwrap();
    let figures = place.run(&["eval", "run", set, "--rerank", "exact", "--json", "-"]).json();
    let systems = figures["systems"].as_array().unwrap();
    let mean = |name: &str| {
        let system = systems.iter().find(|system| system["system"] == name).unwrap();
        system["categories"][0]["ndcg_10"].clone()
    };
    assert_eq!(mean("reranked"), mean("full"), "a flat index is exact");
    assert!(
        figures["search_ms"]["reranked"].is_number() && figures["search_ms"]["full"].is_number()
    );
    let without = place.run(&["eval", "run", set, "--json", "-"]).json();
    assert!(without["search_ms"].get("reranked").is_none());
}
