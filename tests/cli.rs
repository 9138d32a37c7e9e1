//! The command line: JSON output, exit codes, and the flags of a search.

mod bench;
mod clone;
mod embed;
mod eval;
mod facts;
mod files_and_history;
mod hub;
mod impact_and_related;
mod install;
mod models;
mod output;
mod outputs;
mod rerank;
mod roots;
mod rows;
mod settings;

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Place, Ran, golden, many};

/// Runs the binary with `input` on standard input.
pub fn piped(place: &Place, args: &[&str], input: &[u8]) -> Ran {
    let mut command = place.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its flags does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    Ran::from(child.wait_with_output().unwrap())
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The reference output for a model: the width of a row, and all rows.
fn expected(model: &str, tensor: &str) -> (usize, Vec<f32>) {
    let file = golden(&format!("{model}/expected.safetensors"));
    let tensors = candle_core::safetensors::load(file, &candle_core::Device::Cpu).unwrap();
    let tensor = &tensors[tensor];
    (tensor.dims()[1], tensor.flatten_all().unwrap().to_vec1().unwrap())
}

/// Asserts that `object` has all of `fields`.
#[track_caller]
fn assert_fields(object: &Value, fields: &[&str]) {
    let lacking: Vec<_> = fields.iter().filter(|field| object.get(**field).is_none()).collect();
    assert!(lacking.is_empty(), "{object} lacks {lacking:?}");
}

#[test]
fn index_status_and_versions_print_their_json() {
    let place = Place::new(&[("a.py", "def a():\n    return 1\n"), ("b.rs", "fn b() {}\n")]);
    let report = place.run(&["index", "repo", "--json"]).json();
    assert_fields(
        &report,
        &[
            "outcome",
            "version",
            "files",
            "files_changed",
            "files_removed",
            "files_skipped",
            "chunks",
            "chunks_written",
            "chunks_embedded",
            "chunks_truncated",
            "tokens",
            "bytes_on_disk",
            "elapsed_ms",
            "stages",
        ],
    );
    assert_eq!((&report["outcome"], &report["files"]), (&json!("built"), &json!(2)));
    let stages = report["stages"].as_array().unwrap();
    stages.iter().for_each(|s| assert_fields(s, &["name", "status", "started_ms", "duration_ms"]));
    let again = place.run(&["index", "repo", "--json"]).json();
    assert_eq!((&again["outcome"], &again["version"]), (&json!("unchanged"), &json!("000001")));
    place.write("c.go", "package c\n\nfunc C() {}\n");
    let updated = place.run(&["index", "repo", "--json"]).json();
    assert_eq!((&updated["outcome"], &updated["files_changed"]), (&json!("updated"), &json!(1)));

    let status = place.run(&["status", "--json", "--verify"]).json();
    assert_fields(
        &status,
        &[
            "data",
            "version",
            "indexed_at",
            "roots",
            "model",
            "dim",
            "dense_kind",
            "dense_factory",
            "files",
            "chunks",
            "symbols",
            "base_chunks",
            "total_chunks",
            "bytes_on_disk",
            "languages",
        ],
    );
    assert_eq!((&status["version"], &status["files"]), (&json!("000002"), &json!(3)));
    assert_eq!((&status["dim"], &status["symbols"]), (&json!(64), &json!(3)));
    let languages = status["languages"].as_array().unwrap();
    languages.iter().for_each(|l| assert_fields(l, &["name", "files", "chunks"]));
    assert_eq!(languages.len(), 3);

    let versions = place.run(&["versions", "--json"]).json();
    let versions = versions.as_array().unwrap();
    let fields = ["version", "current", "created_at", "files", "chunks", "dense_kind", "model"];
    versions.iter().for_each(|v| assert_fields(v, &fields));
    let current =
        |name: &str| versions.iter().find(|v| v["version"] == name).unwrap()["current"] == true;
    assert!(current("000002") && !current("000001"));
    assert!(place.run(&["rollback"]).ok().contains("000001"));
    assert_eq!(place.run(&["status", "--json"]).json()["files"], 2);
    assert!(place.run(&["gc", "--keep", "2"]).ok().contains("Nothing to remove"));
}

#[test]
fn models_and_the_doctor_print_their_json() {
    let place = Place::indexed(&[("a.py", "def a():\n    return 1\n")]);
    let models = place.run(&["model", "list", "--json"]).json();
    let models = models.as_array().unwrap();
    let fields = ["name", "dimension", "max_tokens", "pooling", "licence", "folder"];
    models.iter().for_each(|m| assert_fields(m, &fields));
    let minilm = models.iter().find(|m| m["name"] == "all-MiniLM-L6-v2").unwrap();
    assert_eq!((&minilm["dimension"], &minilm["pooling"]), (&json!(384), &json!("mean")));

    let checks = place.run(&["doctor", "--json"]).json();
    let checks = checks.as_array().unwrap();
    checks.iter().for_each(|c| assert_fields(c, &["name", "state", "found", "remedy"]));
    let names: Vec<&str> = checks.iter().map(|c| c["name"].as_str().unwrap()).collect();
    for name in ["program", "processor", "device", "libraries", "model", "index"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let bad: Vec<_> = checks.iter().filter(|c| c["state"] == "fail").collect();
    assert!(bad.is_empty(), "{bad:?}");
    let text = place.run(&["doctor"]).ok();
    assert!(names.iter().all(|name| text.contains(name)), "{text}");
}

#[test]
fn the_doctor_says_each_failure_once() {
    let place = Place::new(&[]);
    let ran = place.run(&["doctor", "--device", "cuda:9"]);
    let named = |text: &str| text.matches("cuda:9").count();
    assert_eq!(ran.code, Some(16), "{ran:?}");
    assert_eq!((named(&ran.out), named(&ran.err)), (1, 0), "{ran:?}");
    assert_eq!(ran.out.matches("fail").count(), 1, "{}", ran.out);
    assert!(!ran.out.contains("memory of the model"), "{}", ran.out);
    assert!(ran.err.contains("device") && ran.err.contains("see the checks above"), "{ran:?}");

    // So is a model that is not installed, which is no failure.
    let models = place.path().join("no models").display().to_string();
    let flags = ["--set", "model.name=all-MiniLM-L6-v2", "--set", &format!("model.dir={models}")];
    let text = place.run(&[&["doctor"], &flags[..]].concat()).ok();
    assert_eq!(text.matches("model pull all-MiniLM-L6-v2").count(), 1, "{text}");
    assert!(!text.contains("memory of the model"), "{text}");
}

#[test]
fn every_failure_has_its_exit_code_and_names_the_cause() {
    let place = Place::new(&[]);
    std::fs::write(place.path().join("image.bin"), [0u8; 64]).unwrap();
    std::fs::write(place.path().join("bad.toml"), "[engine\n").unwrap();
    let missing = "--set=model.dir=nowhere";
    for (args, code, part) in [
        (&["search", "x"][..], 8, "codeintel index"),
        (&["status"], 8, "no index in"),
        (&["versions"], 8, "no index in"),
        (&["rollback"], 8, "no index in"),
        (&["search", " "], 2, "empty"),
        (&["search", "x", "--limit", "0"], 2, "1 to 200"),
        (&["search", "x", "--channels", "vector"], 2, "dense, lexical, symbol"),
        (&["search"], 2, "QUERY"),
        (&["serch"], 2, "search"),
        (&["index"], 2, "PATH"),
        (&["index", "absent"], 4, "absent"),
        (&["index", "image.bin"], 5, "image.bin"),
        (&["embed", "absent.txt"], 4, "absent.txt"),
        (
            &["embed", "image.bin", "--model", "all-MiniLM-L6-v2", missing],
            6,
            "codeintel model pull",
        ),
        (&["embed", "image.bin", "--model", "unheard-of"], 2, "unheard-of"),
        (&["--set", "engine.thread=4", "status"], 3, "engine.threads"),
        (&["--set", "search.limit=many", "status"], 3, "a whole number"),
        (&["--set", "nonsense", "status"], 2, "NAME=VALUE"),
        (&["--config", "bad.toml", "status"], 3, "bad.toml"),
        (&["--config", "absent.toml", "status"], 4, "absent.toml"),
    ] {
        place.run(args).fails(code, &[part]);
    }
    place.run(&["--help"]).ok();
    assert_eq!(
        place.run(&["--version"]).ok().trim(),
        concat!("codeintel ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_locked_damaged_or_mismatched_index_has_its_exit_code() {
    let place = Place::indexed(&[("a.py", "def a():\n    return 1\n")]);
    let lock = place.data().lock().unwrap();
    place.write("a.py", "def a():\n    return 2\n");
    // The message names the process that holds the lock. Readers need no lock.
    place.run_index(&[]).fails(11, &[&format!("process {}", std::process::id())]);
    place.run(&["search", "a"]).ok();
    drop(lock);

    place.run_index(&["--model", &place.other_model()]).fails(10, &["--full"]);

    let version = place.version();
    let symbols = version.manifest.parts.iter().find(|p| p.path.contains("symbols")).unwrap();
    std::fs::write(version.folder.path().join(&symbols.path), "not what it was").unwrap();
    for args in [&["search", "a"][..], &["status"]] {
        place.run(args).fails(9, &["codeintel rollback"]);
    }
}

#[test]
fn the_flags_of_a_search_are_applied() {
    let place = many();
    let find = |flags: &[&str]| {
        let args = [&["search", "parse_header", "--json"], flags].concat();
        let answer = place.run(&args).json();
        let findings = answer["findings"].as_array().unwrap().clone();
        (answer, findings)
    };
    let (_, rust) = find(&["--lang", "rust,go", "--glob", "src/**", "--glob", "!**/write.rs"]);
    let path = |f: &Value| f["location"]["path"].as_str().unwrap().to_owned();
    assert!(rust.len() > 3);
    assert!(rust.iter().map(path).all(|p| p.starts_with("src/") && !p.ends_with("/write.rs")));
    let (answer, _) = find(&["--channels", "lexical,symbol", "-l", "3"]);
    assert_eq!(answer["method"]["channels"].as_array().unwrap().len(), 2);
    // A query of several words needs no quotes.
    let joined = place.run(&["search", "how", "is", "it", "parsed", "--json"]).json();
    assert_eq!(joined["query"], "how is it parsed");

    let plain = place.run(&["search", "parse_header", "-l", "2", "--explain"]).ok();
    for part in
        ["1. ", "2. ", "why: ", "identifier query", "convex fusion", "gather", "duckdb", "trace "]
    {
        assert!(plain.contains(part), "{part} in {plain}");
    }
    assert!(!plain.contains("3. "));
    let nothing = place.run(&["search", "zzqqxxv", "--channels", "lexical"]).ok();
    assert!(nothing.contains("Nothing found in") && nothing.contains("Try: "), "{nothing}");
    let nothing = place.run(&["search", "parse_header", "--glob", "nowhere/**"]).ok();
    for part in ["none matches the globs nowhere/**", "without the scope", "Try: search again"] {
        assert!(nothing.contains(part), "{part}: {nothing}");
    }
}
