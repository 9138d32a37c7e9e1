//! `POST /v1/search`: the answer and its documented fields.

use serde_json::{Value, json};

use crate::support::{Serving, is_hex, many, reply};

/// The fields that docs/searching.md lists for an answer, as paths.
fn documented() -> Vec<&'static str> {
    vec![
        "answer",
        "query",
        "query_kind",
        "confidence",
        "findings[].rank",
        "findings[].type",
        "findings[].title",
        "findings[].location.path",
        "findings[].location.start_line",
        "findings[].location.end_line",
        "findings[].location.uri",
        "findings[].language",
        "findings[].snippet",
        "findings[].score",
        "findings[].chunk_id",
        "findings[].symbols",
        "findings[].why.text",
        "findings[].why.contributions[].channel",
        "findings[].why.contributions[].rank",
        "findings[].why.contributions[].raw_score",
        "findings[].why.contributions[].weight",
        "findings[].why.contributions[].score",
        "findings[].why.factors[].name",
        "findings[].why.factors[].value",
        "method.fusion",
        "method.channels[].name",
        "method.channels[].depth",
        "method.channels[].weight",
        "method.channels[].answered",
        "method.stages[].name",
        "method.stages[].status",
        "method.stages[].started_ms",
        "method.stages[].duration_ms",
        "method.stages[].attrs",
        "limits",
        "next_steps",
        "freshness.version",
        "freshness.indexed_at",
        "trace_id",
        "run_id",
        "session_id",
        "run_report.schema_version",
        "run_report.tool",
        "run_report.stopped_because",
        "run_report.last_completed_stage",
        "run_report.first_missing_stage",
        "run_report.warnings",
    ]
}

/// The documented fields that `answer` lacks.
pub fn lacking(answer: &Value) -> Vec<&'static str> {
    fn is_there(value: &Value, path: &str) -> bool {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        let below = |value: &Value| rest.is_empty() || is_there(value, rest);
        match head.strip_suffix("[]") {
            Some(name) => {
                value[name].as_array().is_some_and(|a| !a.is_empty() && a.iter().all(below))
            }
            None => value.get(head).is_some_and(below),
        }
    }
    documented().into_iter().filter(|path| !is_there(answer, path)).collect()
}

#[test]
fn the_answer_holds_every_documented_field() {
    let documents = include_str!("../../docs/searching.md");
    for path in documented() {
        for name in path.split('.').map(|part| part.trim_end_matches("[]")) {
            let field = [format!("`{name}`"), format!("`{name}[]`"), format!(".{name}`")];
            assert!(field.iter().any(|f| documents.contains(f)), "{name} is documented");
        }
    }
    let place = many();
    let server = Serving::ready(&place, &[]);
    let answer = server.post("/v1/search", &json!({ "query": "parse_header", "limit": 7 }));
    assert!(answer.header("content-type").starts_with("application/json"));
    let answer = answer.ok();
    assert_eq!(lacking(&answer), [""; 0]);
    let findings = answer["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 7);
    for (i, finding) in findings.iter().enumerate() {
        assert_eq!(finding["rank"], i + 1);
        let kind = finding["type"].as_str().unwrap();
        assert!(["definition", "usage", "doc"].contains(&kind), "{kind}");
        let why = &finding["why"];
        let sum: f64 = why["contributions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["score"].as_f64().unwrap())
            .sum();
        let factors = why["factors"].as_array().unwrap().iter();
        let product: f64 = factors.map(|factor| factor["value"].as_f64().unwrap()).product();
        let score = sum * product;
        assert_eq!(why.get("path_prior"), None);
        assert!((score - finding["score"].as_f64().unwrap()).abs() < 1e-12);
    }
    assert_eq!(answer["query_kind"], "identifier");
    let confidence = answer["confidence"].as_f64().unwrap();
    assert!(0.5 < confidence && confidence < 1.0, "{confidence}: an exact name");
    assert_eq!(answer["method"]["fusion"], "convex");
    assert_eq!(answer["run_report"]["stopped_because"], "completed");

    // `--json` prints the same answer; only times and ids may differ.
    let printed = place.run(&["search", "parse_header", "--limit", "7", "--json"]).json();
    assert_eq!(lacking(&printed), [""; 0]);
    for field in [
        "answer",
        "query",
        "query_kind",
        "confidence",
        "findings",
        "limits",
        "next_steps",
        "freshness",
    ] {
        assert_eq!(printed[field], answer[field], "{field}");
    }
    assert_eq!(printed["method"]["channels"], answer["method"]["channels"]);
}

#[test]
fn the_options_of_a_search_are_applied() {
    let server = Serving::ready(&many(), &[]);
    let body = json!({
        "query": "parse a token", "limit": 4, "channels": ["lexical", "dense"],
        "globs": ["!src/**"], "languages": ["python", "go"],
    });
    let answer = server.post("/v1/search", &body).ok();
    let findings = answer["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 4);
    assert!(findings.iter().all(|f| ["python", "go"].contains(&f["language"].as_str().unwrap())));
    let names = answer["method"]["channels"].as_array().unwrap();
    let names: Vec<&str> = names.iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["lexical", "dense"]);
    assert!(answer["limits"][0].as_str().unwrap().contains("the scope left"));
}

#[test]
fn an_option_that_is_null_is_not_set_and_a_wrong_one_is_named() {
    let server = Serving::ready(&many(), &[]);
    let paths = |body: &Value| {
        let answer = server.post("/v1/search", body).ok();
        let findings = answer["findings"].as_array().unwrap();
        findings.iter().map(|f| f["location"]["path"].clone()).collect::<Vec<_>>()
    };
    let plain = paths(&json!({ "query": "parse_header", "languages": ["rust"] }));
    let nulls = json!({
        "query": "parse_header", "limit": null, "channels": null, "globs": null, "languages": "rust",
    });
    assert!(!plain.is_empty());
    assert_eq!(paths(&nulls), plain);
    for (body, detail) in [
        (json!({ "query": 7 }), "query = 7 is not valid: expected a string"),
        (json!({ "query": null }), "query = nothing is not valid: expected a string"),
        (
            json!({ "query": "x", "limit": "3" }),
            "limit = \"3\" is not valid: expected a whole number",
        ),
        (
            json!({ "query": "x", "globs": 1 }),
            "globs = 1 is not valid: expected a string or a list",
        ),
        (
            json!({ "query": "x", "limits": 3 }),
            "the field \"limits\" is not valid: expected only query",
        ),
    ] {
        let reply = server.post("/v1/search", &body);
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert!(reply.json()["detail"].as_str().unwrap().contains(detail), "{}", reply.text);
    }
}

#[test]
fn ids_of_the_caller_are_returned_and_missing_ones_are_made() {
    let server = Serving::ready(&many(), &[]);
    let ask = |headers: &[(&str, &str)], body: &Value| {
        let mut request = server.agent.post(server.url("/v1/search"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(request.send_json(body))
    };
    let good = json!({ "query": "merge_body" });
    let bad = json!({ "query": "" });
    let brought = [("X-Run-ID", "run-of-mine"), ("x-session-id", "s-1")];
    let answer = ask(&brought, &good);
    assert_eq!(answer.header("x-run-id"), "run-of-mine");
    assert!(is_hex(answer.header("x-trace-id")));
    let trace = answer.header("x-trace-id").to_owned();
    let body = answer.ok();
    assert_eq!((&body["run_id"], &body["session_id"]), (&json!("run-of-mine"), &json!("s-1")));
    assert_eq!(body["trace_id"], trace);
    let refused = ask(&brought, &bad);
    assert_eq!((refused.status, refused.header("x-run-id")), (400, "run-of-mine"));
    assert!(is_hex(refused.header("x-trace-id")));

    let first = ask(&[], &good);
    let second = ask(&[], &good);
    assert!(is_hex(first.header("x-run-id")) && is_hex(second.header("x-run-id")));
    assert_ne!(first.header("x-run-id"), second.header("x-run-id"));
    assert_ne!(first.header("x-trace-id"), second.header("x-trace-id"));
    let long = "x".repeat(4000);
    assert!(is_hex(ask(&[("x-run-id", &long)], &good).header("x-run-id")), "too long to accept");
}
