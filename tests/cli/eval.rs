//! `codeintel eval`: a set made from a repository, asked of its index, and two runs compared.

use std::fs;

use crate::support::{Place, many};

#[test]
fn a_set_is_made_asked_and_compared() {
    let sources = many();
    let output = sources.path().join("set");
    let (output, repo) = (output.to_str().unwrap(), sources.repo().to_str().unwrap());
    let out = sources.run(&["eval", "make", repo, "-o", output, "--questions", "20"]).ok();
    assert!(out.contains("questions from"), "{out}");
    let set = format!("{output}/questions.jsonl");
    let corpus = format!("{output}/corpus");
    let text = fs::read_to_string(format!("{corpus}/src/header/parse.rs")).unwrap();
    assert!(!text.contains("///"), "{text}");
    assert!(!sources.path().join("set.partial").exists());
    sources.run(&["eval", "make", repo, "-o", output]).fails(2, &["output = ", "not exist"]);

    sources.run(&["index", &corpus, "--replace"]).ok();
    let run = |file: &str| {
        let file = format!("{output}/{file}");
        let out = sources.run(&["eval", "run", &set, "--json", &file]).ok();
        assert!(out.contains("identifier_exact") && out.contains("oracle"), "{out}");
        file
    };
    let (before, after) = (run("before.json"), run("after.json"));
    let figures: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&before).unwrap()).unwrap();
    let system = |name: &str| {
        let systems = figures["systems"].as_array().unwrap();
        systems.iter().find(|system| system["system"] == name).unwrap().clone()
    };
    let exact = |name: &str| {
        let categories = system(name)["categories"].as_array().unwrap().clone();
        let exact = categories.iter().find(|c| c["category"] == "identifier_exact").unwrap();
        exact["mrr_10"].as_f64().unwrap()
    };
    assert_eq!(exact("symbol"), 1.0, "a name is found by the channel of names");
    assert_eq!(exact("oracle"), 1.0, "the best channel is chosen for each question");
    let compared = sources.run(&["eval", "compare", &before, &after, "--json"]).json();
    let full = compared["systems"].as_array().unwrap();
    let full = full.iter().find(|system| system["system"] == "full").unwrap();
    assert_eq!(full["before"], full["after"], "{compared}");
    assert_eq!((&full["better"], &full["worse"]), (&0.into(), &0.into()));
}

#[test]
fn what_is_no_set_or_no_run_is_named() {
    let place = Place::indexed(&[("a.rs", "fn a() {}\n")]);
    let set = place.path().join("set.jsonl");
    fs::write(&set, "{\"query\": \"a\", \"relevant\": [\"a.rs\"]}\n{\"query\": 1}\n").unwrap();
    let set = set.to_str().unwrap();
    place.run(&["eval", "run", set]).fails(2, &["line 2", "\"relevant\""]);
    place.run(&["eval", "compare", set, set]).fails(2, &["what `eval run --json` wrote"]);
    let folder = place.path().join("out");
    let (repo, folder) = (place.repo().to_str().unwrap(), folder.to_str().unwrap());
    place.run(&["eval", "make", repo, "-o", folder]).fails(2, &["documented in sentences"]);
}
