//! The HTTP interfaces: readiness, failures that keep their kind, and problem documents.

mod deadlines;
mod embeddings;
mod isolation;
mod process;
mod remote;
mod search;
mod tls;
mod versions;

use std::io::Read;

use serde_json::json;

use crate::support::{Place, Reply, Serving, is_hex, many, wait_for};

#[test]
fn a_server_is_alive_at_once_and_ready_when_there_is_the_index_that_is_required() {
    let files = [("a.py", "def first():\n    return 1\n")];
    let place = Place::new(&files);
    let server = Serving::start(&place, &["--set", "serve.index=required"]);
    assert_eq!(server.get("/healthz").ok(), json!({ "status": "ok" }));
    server.wait_for_engine();
    let waits_for_index = || {
        let why = server.probe("index")["why"].clone();
        why.as_str().is_some_and(|why| why.contains("codeintel index"))
    };
    wait_for("the reason for the missing index", waits_for_index);
    let not_yet = server.get("/readyz");
    assert_eq!(not_yet.status, 503);
    let not_yet = not_yet.json();
    assert_eq!(
        (&not_yet["ready"], &not_yet["probes"]["index"]["ready"]),
        (&json!(false), &json!(false))
    );
    let search = server.post("/v1/search", &json!({ "query": "first" }));
    assert_eq!(
        (search.status, search.json()["code"].as_str().unwrap()),
        (503, "search-index-missing")
    );
    assert!(search.json()["detail"].as_str().unwrap().contains("codeintel index"));

    place.run(&["index", "repo"]).ok();
    server.wait_until_ready();
    let ready = server.get("/readyz").ok();
    let index = &ready["probes"]["index"];
    assert_eq!((&index["ready"], &index["vectors_on_gpu"]), (&json!(true), &json!(false)));
    assert!(index["why_vectors_on_cpu"].is_string(), "{index}");
    let engine = &ready["probes"]["engine"];
    assert_eq!((&engine["ready"], &engine["out_of_memory"]), (&json!(true), &json!(0)));
    for warmed in ["batches", "tokens", "tokens_per_s", "batch_tokens_max"] {
        assert!(engine[warmed].as_u64().unwrap() > 0, "{engine}");
    }
    let found = server.post("/v1/search", &json!({ "query": "first" })).ok();
    assert_eq!(found["findings"][0]["location"]["path"], "a.py");
}

#[test]
fn a_server_that_only_embeds_is_ready_and_a_broken_index_is_a_reason_not_to_be() {
    let place = Place::new(&[("a.py", "def first():\n    return 1\n")]);
    let server = Serving::start(&place, &[]);
    wait_for("readiness without an index", || server.get("/readyz").status == 200);
    let ready = server.get("/readyz").ok();
    let index = &ready["probes"]["index"];
    assert_eq!(
        (&ready["ready"], &ready["probes"]["engine"]["ready"]),
        (&json!(true), &json!(true))
    );
    assert_eq!((&index["ready"], &index["required"]), (&json!(false), &json!(false)));
    assert!(index["why"].as_str().unwrap().contains("no index in"), "{index}");
    server.post("/v1/embeddings", &json!({ "input": "a" })).ok();
    // The first index makes it required.
    place.run(&["index", "repo"]).ok();
    server.wait_until_ready();
    assert_eq!(server.probe("index")["required"], true);
    drop(server);

    let data = place.data().path().to_owned();
    let broken = |what: &str, part: &str| {
        let server = Serving::start(&place, &[]);
        server.wait_for_engine();
        let why = || server.probe("index")["why"].as_str().unwrap_or_default().to_owned();
        wait_for("the reason", || why().contains(part));
        let reply = server.get("/readyz");
        assert_eq!((reply.status, &reply.json()["ready"]), (503, &json!(false)), "{what}");
        assert_eq!(reply.json()["probes"]["index"]["required"], true, "{what}");
    };
    std::fs::remove_file(data.join("CURRENT")).unwrap();
    broken("a version, and none of them current", "no index in");
    std::fs::write(data.join("CURRENT"), "000077\n").unwrap();
    broken("a version that is not there", "000077");
    std::fs::write(data.join("CURRENT"), "000001\n").unwrap();
    let catalog = data.join("versions/000001/catalog.duckdb");
    std::fs::write(&catalog, "damaged").unwrap();
    broken("a damaged part", "is damaged");
    std::fs::remove_file(&catalog).unwrap();
    broken("a missing part", "is damaged");
}

#[test]
fn a_failure_to_open_the_model_or_the_index_keeps_its_kind() {
    let place = Place::indexed(&[("a.py", "def first():\n    return 1\n")]);
    let query = json!({ "query": "first" });
    let refused = |reply: Reply, status: u16, code: &str, part: &str| {
        assert_eq!(reply.status, status, "{}", reply.text);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.json()["code"], code, "{}", reply.text);
        assert!(reply.json()["detail"].as_str().unwrap().contains(part), "{}", reply.text);
    };

    let missing = ["--model", "all-MiniLM-L6-v2", "--set", "model.dir=nowhere"];
    let server = Serving::start(&place, &missing);
    let reply = server.post("/v1/embeddings", &json!({ "input": "a" }));
    let error = &reply.json()["error"];
    assert_eq!((reply.status, &error["code"]), (503, &json!("model-missing")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("codeintel model pull"), "{error}");
    let found = server.post("/v1/search", &query).ok();
    assert_eq!(
        found["findings"][0]["location"]["path"], "a.py",
        "the lexical channel needs no model"
    );

    let server = Serving::start(&place, &["--model", &place.other_model()]);
    let reply = server.post("/v1/search", &query);
    refused(reply, 409, "search-index-mismatch", "codeintel index --full");

    let version = place.version();
    let symbols = version.manifest.parts.iter().find(|p| p.path.contains("symbols")).unwrap();
    std::fs::write(version.folder.path().join(&symbols.path), "not what it was").unwrap();
    let server = Serving::start(&place, &[]);
    let reply = server.post("/v1/search", &query);
    refused(reply, 500, "search-index-corrupt", "codeintel rollback");
}

#[test]
fn an_unknown_route_is_a_problem_document_with_ids() {
    let server = Serving::start(&Place::new(&[]), &[]);
    for (reply, status, code) in [
        (server.get("/v1/nowhere"), 404, "not-found"),
        (server.get("/v1/search"), 405, "method-not-allowed"),
        (server.post("/healthz", &json!({})), 405, "method-not-allowed"),
    ] {
        assert_eq!(reply.status, status, "{}", reply.text);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(
            (&reply.json()["code"], &reply.json()["status"]),
            (&json!(code), &json!(status))
        );
        assert!(reply.json()["detail"].as_str().unwrap().contains("POST /v1/search"));
        assert!(is_hex(reply.header("x-trace-id")) && is_hex(reply.header("x-run-id")));
    }
}

#[test]
fn an_invalid_search_is_a_problem_document() {
    let place = many();
    let server = Serving::ready(&place, &["--set", "serve.body_bytes_max=4096"]);
    let long = format!(r#"{{"query": "{}"}}"#, "x".repeat(8000));
    for (body, status, code, part) in [
        ("query=x", 400, "invalid-parameter", "body"),
        ("[]", 400, "invalid-parameter", "body"),
        (r#"{"limit": 3}"#, 400, "invalid-parameter", "query"),
        (r#"{"query": "x", "limits": 3}"#, 400, "invalid-parameter", "limits"),
        (r#"{"query": "x", "limit": 0}"#, 400, "invalid-parameter", "1 to 200"),
        (r#"{"query": "x", "limit": 201}"#, 400, "invalid-parameter", "201"),
        (r#"{"query": "x", "limit": -1}"#, 400, "invalid-parameter", "-1"),
        (r#"{"query": "x", "channels": ["vector"]}"#, 400, "invalid-parameter", "vector"),
        (r#"{"query": "x", "languages": ["cobol"]}"#, 400, "invalid-parameter", "cobol"),
        (r#"{"query": "x", "globs": ["[z-a]"]}"#, 400, "invalid-parameter", "[z-a]"),
        (r#"{"query": "  "}"#, 400, "search-query-invalid", "empty"),
        (&long, 413, "body-too-large", "4096"),
    ] {
        let reply = server.post_text("/v1/search", body);
        let shown: String = body.chars().take(60).collect();
        assert_eq!(reply.status, status, "{shown}: {}", reply.text);
        assert_eq!(reply.header("content-type"), "application/problem+json", "{shown}");
        let problem = reply.json();
        assert_eq!(problem["code"], code, "{shown}");
        assert_eq!(problem["status"], status, "{shown}");
        assert_eq!(problem["type"], format!("urn:codeintel:problem:{code}"));
        assert!(problem["title"].is_string());
        assert!(problem["detail"].as_str().unwrap().contains(part), "{shown}: {}", reply.text);
        assert!(is_hex(reply.header("x-trace-id")), "{shown}");
        assert!(is_hex(reply.header("x-run-id")), "{shown}");
    }
    let mut garbage = Vec::new();
    let request = server.agent.post(server.url("/v1/search"));
    let sent = request.header("content-type", "application/json").send(&[0xff, 0xfe, 0x00][..]);
    sent.unwrap().body_mut().as_reader().read_to_end(&mut garbage).unwrap();
    assert!(String::from_utf8(garbage).unwrap().contains("invalid-parameter"));
}
