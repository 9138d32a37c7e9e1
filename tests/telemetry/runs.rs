//! Reports of runs: from a running server, from the folder of runs, and in the log.

use std::path::Path;

use codeintel::tools::RunFolder;
use serde_json::{Value, json};

use crate::cli::piped;
use crate::support::{Place, Serving, golden, is_hex, many, reply};

fn text(place: &Place, args: &[&str]) -> String {
    place.run(args).ok()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let days = std::fs::read_dir(folder.join("runs")).into_iter().flatten().flatten();
    days.flat_map(|day| std::fs::read_dir(day.path()).unwrap().flatten())
        .map(|f| f.path())
        .collect()
}

#[test]
fn a_report_is_served_as_json_markdown_and_a_gantt_chart() {
    let place = many();
    let server = Serving::ready(&place, &[]);
    let request = server.agent.post(server.url("/v1/search")).header("x-run-id", "run-7");
    request.send_json(json!({ "query": "how is a header parsed" })).unwrap();
    let run = server.get("/v1/runs/run-7").ok();
    assert_eq!(run, server.get("/v1/runs/latest.json").ok());
    for (key, value) in [
        ("tool", json!("search:semantic")),
        ("schema_version", json!(2)),
        ("stopped_because", json!("completed")),
        ("stopped_after_stage", json!("hydrate")),
        ("last_completed_stage", json!("hydrate")),
        ("first_missing_stage", json!(null)),
        ("session_id", json!(null)),
        ("warnings", json!([])),
        ("hints", json!([])),
    ] {
        assert_eq!(run[key], value, "{key}");
    }
    assert_eq!(run["budgets"]["deadline_ms"], 5000);
    assert_eq!(run["decision"]["retrieval.query_class"], "natural_language");
    assert_eq!(
        run["decision"]["retrieval.channel_depths"],
        r#"{"dense":200,"lexical":200,"symbol":100}"#
    );
    let names: Vec<_> =
        run["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 14, "{names:?}");

    let markdown = server.get("/v1/runs/run-7.md");
    assert_eq!(markdown.header("content-type"), "text/markdown; charset=utf-8");
    names.iter().for_each(|name| assert!(markdown.text.contains(name), "{}", markdown.text));
    let asked = server.agent.get(server.url("/v1/runs/run-7")).header("accept", "text/markdown");
    assert_eq!(reply(asked.call()).text, markdown.text);
    let gantt = server.get("/v1/runs/run-7.mmd").text;
    assert!(markdown.text.contains(&gantt));
    let mut lines = gantt.lines();
    assert_eq!(lines.next(), Some("gantt"));
    let tasks: Vec<_> = lines.filter_map(|line| line.split_once(" ms :")).collect();
    assert_eq!(tasks.len(), names.len());
    for (name, times) in tasks {
        assert!(!name.contains([':', ';', '#', ',']), "{name}");
        // A stage that was skipped counts as done.
        let (from, to) = times.trim_start_matches("done, ").split_once(", ").unwrap();
        assert!(from.parse::<u64>().unwrap() < to.parse::<u64>().unwrap(), "{times}");
    }
}

#[test]
fn a_server_keeps_failed_runs_and_they_outlive_it() {
    let place = many();
    let failed = {
        let server = Serving::ready(&place, &[]);
        server.post("/v1/search", &json!({ "query": "fine" })).ok();
        let refused = server.post("/v1/search", &json!({ "query": "" }));
        refused.header("x-run-id").to_owned()
    };
    let folder = Path::new(&place.settings.data.dir);
    let kept = files(folder);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].ends_with(format!("{failed}.json")), "{kept:?}");
    let report: Value = serde_json::from_slice(&std::fs::read(&kept[0]).unwrap()).unwrap();
    assert_eq!(report["stopped_because"], "request:search-query-invalid");
    let drawn = text(&place, &["trace", &failed]);
    let stopped = "stopped: request:search-query-invalid";
    assert!(drawn.contains(stopped) && drawn.contains(&failed), "{drawn}");
    let server = Serving::start(&place, &[]);
    assert_eq!(server.get(&format!("/v1/runs/{failed}")).ok()["run_id"], failed.as_str());
}

#[test]
fn a_command_keeps_its_run_which_trace_draws() {
    let place = many();
    let answer = place.run(&["search", "parse_header", "--json"]).json();
    let id = answer["run_id"].as_str().unwrap();
    for args in [vec!["trace", id], vec!["trace"]] {
        let drawn = text(&place, &args);
        for part in ["search:semantic  completed in", "embed_query", "duckdb", "━", id] {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
    }
    let report = place.run(&["trace", id, "--format", "json"]).json();
    assert_eq!(report["trace_id"], answer["trace_id"]);
    assert_eq!(report["run_id"], id);
    let spans = report["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 11, "the report has the spans of the trace");
    assert!(text(&place, &["trace", id, "--format", "mermaid"]).starts_with("gantt\n"));
    assert!(text(&place, &["trace", id, "--format", "markdown"]).contains("```mermaid"));

    let server = Serving::ready(&place, &[]);
    server.post("/v1/search", &json!({ "query": "parse_header" })).ok();
    let url = format!("http://{}", server.address);
    assert!(text(&place, &["trace", "--url", &url]).contains("hydrate"));
    for args in [vec!["trace", "none-such"], vec!["trace", "none-such", "--url", &url]] {
        place.run(&args).fails(16, &["none-such", "--url"]);
    }
}

#[test]
fn a_command_that_computes_many_texts_is_one_trace() {
    let embed = (Place::new(&[]), "embed", "vllm.embed_batch", 1300);
    let rerank =
        (Place::with_model(&[], &golden("bert_rerank")), "rerank", "vllm.score_batch", 700);
    for (place, command, call, lines) in [embed, rerank] {
        let line = |i| match command {
            "embed" => format!("text {i}\n"),
            _ => format!("{}\n", json!({ "query": "what", "text": format!("text {i}") })),
        };
        let input: String = (0..lines).map(line).collect();
        // Runs are kept in a data folder that exists.
        std::fs::create_dir_all(&place.settings.data.dir).unwrap();
        let written = piped(&place, &[command], input.as_bytes()).ok();
        assert_eq!(written.lines().count(), lines);
        let run = place.run(&["trace", "--format", "json"]).json();
        assert_eq!(run["stopped_because"], "completed");
        let (first, rest) = run["spans"].as_array().unwrap().split_first().unwrap();
        let (name, parent) = (&first["name"], &first["parent_span_id"]);
        assert_eq!((name, parent), (&json!("batch.run"), &Value::Null), "{command}");
        assert!(rest.len() > 1, "the calls are in the trace of the run: {run}");
        for span in rest {
            assert_eq!((&span["name"], &span["parent_span_id"]), (&json!(call), &first["span_id"]));
        }
        assert_eq!(run["stages"][0]["name"], "batch");
    }
}

#[test]
fn reports_have_a_bound_and_can_be_switched_off() {
    let place = many();
    let search =
        |more: &[&str]| text(&place, &[&["search", "x", "--channels", "lexical"], more].concat());
    search(&["--set", "telemetry.runs_bytes_max=0"]);
    let folder = Path::new(&place.settings.data.dir);
    assert_eq!(files(folder), [""; 0].map(std::path::PathBuf::from));
    search(&[]);
    let one = std::fs::metadata(&files(folder)[0]).unwrap().len();
    let bound = format!("telemetry.runs_bytes_max={}", one * 3);
    for _ in 0..6 {
        search(&["--set", &bound]);
    }
    let kept = files(folder);
    let bytes: u64 = kept.iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    assert!(
        (1..=3).contains(&kept.len()) && bytes <= one * 3,
        "{} files, {bytes} bytes",
        kept.len()
    );
    // The newest runs are kept.
    let last =
        RunFolder::new(&place.data(), &place.settings.telemetry).read("latest").unwrap().unwrap();
    assert!(kept.iter().any(|path| path.ends_with(format!("{}.json", last.run_id))));
}

#[test]
fn a_log_line_carries_the_ids_of_the_span_it_was_written_in() {
    let place = Place::new(&[]);
    let lines = |form: &str| {
        let repo = place.repo();
        let args = ["index", repo.to_str().unwrap(), "--log", form];
        let out = place.command(&args).env("RUST_LOG", "codeintel=debug").output().unwrap();
        assert_eq!(out.status.code(), Some(5));
        String::from_utf8(out.stderr).unwrap()
    };
    let json = lines("json");
    let line = json.lines().find(|line| line.contains("stage failed")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["level"], &line["stage"]), (&json!("DEBUG"), &json!("walk")));
    assert_eq!(line["error.kind"], "nothing-to-index");
    assert!(is_hex(line["trace_id"].as_str().unwrap()), "{line}");
    assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
    let human = lines("human");
    let line = human.lines().find(|line| line.contains("stage failed")).unwrap();
    assert!(line.contains(" DEBUG stage failed") && line.contains(" trace_id="), "{line}");
    // Standard error is not a terminal here.
    assert!(lines("auto").lines().any(|line| line.starts_with("{\"")));
}

#[test]
fn the_report_flag_prints_the_run_on_standard_error_only() {
    let place = many();
    let ran = place.run(&["search", "parse_header", "--report", "--json"]);
    let report = ran.err.clone();
    let answer = ran.json();
    assert!(report.starts_with("search:semantic  completed in"), "{report}");
    assert!(report.contains(answer["run_id"].as_str().unwrap()), "{report}");
    let report = place.run(&["search", "parse_header", "--report", "--channels", "symbol"]).err;
    assert!(report.contains("hint: the lexical channel (BM25) was not used"), "{report}");
    let skipped = report.lines().filter(|line| line.ends_with("skipped")).count();
    assert_eq!(skipped, 5, "dense, lexical, path, splade and rerank are skipped: {report}");
}
