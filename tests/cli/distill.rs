//! `codeintel model distill`: a static model that every command takes.

use serde_json::Value;

use crate::support::{Place, golden};

#[test]
fn a_distilled_model_is_embedded_indexed_and_searched_with() {
    let source = "def retry_request(request):\n    return send(request)\n";
    let place = Place::new(&[("a.py", source), ("b.py", "LIMIT = 3\n")]);
    let ran = place.run(&["model", "distill", &golden("bert"), "--dim", "32", "-o", "small"]);
    let out = ran.ok();
    assert!(out.contains("Ready: ") && out.contains("32 dimensions"), "{out}");
    for file in ["config.json", "modules.json", "tokenizer.json", "model.safetensors"] {
        assert!(place.path().join("small").join(file).is_file(), "{file}");
    }
    place.run(&["model", "distill", &golden("bert"), "-o", "small"]).fails(2, &["not exist"]);
    place.run(&["model", "distill", &golden("bert"), "--name", "../x"]).fails(2, &["--name"]);

    std::fs::write(place.path().join("texts.txt"), "retry\n\n🦀\n").unwrap();
    let embedded = place.run(&["embed", "--model", "small", "texts.txt"]).ok();
    let lines: Vec<Value> = embedded.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let length = |line: &Value| {
        let values = line["embedding"].as_array().unwrap();
        assert_eq!(values.len(), 32);
        values.iter().map(|value| value.as_f64().unwrap().powi(2)).sum::<f64>().sqrt()
    };
    let lengths: Vec<f64> = lines.iter().map(length).collect();
    assert!((lengths[0] - 1.0).abs() < 1e-3, "{lengths:?}");
    assert_eq!(lengths[1..], [0.0, 0.0]);

    let repo = place.repo().to_str().unwrap();
    place.run(&["--model", "small", "index", repo]).ok();
    for query in ["retry_request", "🦀"] {
        let channels = ["--model", "small", "--channels", "dense"];
        let found = place.run(&[&["search", query], &channels[..]].concat());
        assert_eq!(found.code, Some(0), "{}", found.err);
    }
    let found = place.run(&["--model", "small", "search", "retry_request"]).ok();
    assert!(found.contains("a.py"), "{found}");
}
