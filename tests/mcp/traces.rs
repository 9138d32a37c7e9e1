//! What one call leaves behind: a trace, a run report and two metrics.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::{Called, answer, call, calling, post, stateless};
use crate::support::{Reply, Serving, many};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Asks one question that is not in the vector cache.
fn ask(server: &Serving, meta: Value, headers: &[(&str, &str)]) -> Reply {
    let params =
        calling("semantic_search", json!({ "query": "how is a header parsed", "limit": 3 }));
    let reply = post(server, "tools/call", &stateless(params, meta), headers);
    Called::from(&answer(&reply)).ok();
    reply
}

fn spans(server: &Serving, trace_id: &str) -> Vec<Value> {
    server.get(&format!("/v1/traces/{trace_id}")).ok()["spans"].as_array().unwrap().clone()
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let mut found = spans.iter().filter(|span| span["name"] == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name}"));
    assert!(found.next().is_none(), "one span {name}");
    span
}

/// Each span with the name of its parent; a span whose parent is elsewhere has none.
fn parents(spans: &[Value]) -> BTreeMap<&str, &str> {
    let name = |id: &Value| {
        let parent = spans.iter().find(|span| span["span_id"] == *id);
        parent.map_or("", |span| span["name"].as_str().unwrap())
    };
    let pair = |span: &'_ Value| name(&span["parent_span_id"]);
    spans.iter().map(|span| (span["name"].as_str().unwrap(), pair(span))).collect()
}

const BELOW_THE_CALL: [(&str, &str); 11] = [
    ("bm25.search", "retrieval.gather_channels"),
    ("duckdb.hydrate", "retrieval.hydrate"),
    ("faiss.search", "retrieval.gather_channels"),
    ("retrieval.fuse", "retrieval.search"),
    ("retrieval.gather_channels", "retrieval.search"),
    ("retrieval.gating", "retrieval.search"),
    ("retrieval.hydrate", "retrieval.search"),
    ("retrieval.pool", "retrieval.search"),
    ("retrieval.search", "mcp.semantic_search"),
    ("symbol.search", "retrieval.gather_channels"),
    ("vllm.embed_batch", "retrieval.gather_channels"),
];

/// The smoke test of the service that codeintel replaces: one trace for each call, with the stage
/// spans and the client span of the embedding below the server span.
#[test]
fn one_call_is_one_trace_with_its_stages_below_the_server_span() {
    let server = Serving::ready(&many(), &[]);
    let reply = ask(&server, json!({}), &[("x-session-id", "session-9")]);
    let spans = spans(&server, reply.header("x-trace-id"));
    let mut expected = BTreeMap::from(BELOW_THE_CALL);
    expected.extend([("POST /mcp", ""), ("mcp.semantic_search", "POST /mcp")]);
    assert_eq!(parents(&spans), expected);
    assert_eq!(spans.len(), expected.len());
    let kind = |name: &str| named(&spans, name)["kind"].as_str().unwrap().to_owned();
    let kinds = ["POST /mcp", "mcp.semantic_search", "vllm.embed_batch", "retrieval.search"];
    assert_eq!(kinds.map(kind), ["server", "server", "client", "internal"]);
    let attributes = &named(&spans, "mcp.semantic_search")["attributes"];
    for (key, value) in [
        ("mcp.tool", json!("search:semantic")),
        ("gen_ai.tool.name", json!("semantic_search")),
        ("gen_ai.operation.name", json!("execute_tool")),
        ("mcp.method.name", json!("tools/call")),
        ("network.transport", json!("tcp")),
        ("jsonrpc.request.id", json!("7")),
        ("mcp.session_id", json!("session-9")),
        ("mcp.session.id", json!("session-9")),
        ("mcp.run_id", json!(reply.header("x-run-id"))),
        ("error.type", Value::Null),
    ] {
        assert_eq!(attributes[key], value, "{key}");
    }
}

#[test]
fn the_traceparent_of_a_call_is_its_parent_and_the_span_links_to_the_http_request() {
    let server = Serving::ready(&many(), &[]);
    let meta = json!({ "traceparent": PARENT, "baggage": "session.id=session-3,secret=s3same" });
    let reply = ask(&server, meta, &[]);
    let of_http = reply.header("x-trace-id");
    assert_ne!(of_http, TRACE);
    let spans_of_call = spans(&server, TRACE);
    let mut expected = BTreeMap::from(BELOW_THE_CALL);
    expected.insert("mcp.semantic_search", "");
    assert_eq!(parents(&spans_of_call), expected);
    let call = named(&spans_of_call, "mcp.semantic_search");
    assert_eq!(call["parent_span_id"], "b7ad6b7169203331");
    let http = spans(&server, of_http);
    assert_eq!(http.len(), 1, "{http:?}");
    let link = json!([{ "trace_id": of_http, "span_id": http[0]["span_id"] }]);
    assert_eq!(call["links"], link);
    for span in &spans_of_call {
        assert_eq!(span["attributes"]["session.id"], "session-3", "{span}");
        assert!(!span.to_string().contains("s3same"), "{span}");
    }
}

#[test]
fn the_report_of_a_call_is_found_by_its_run_its_session_and_as_the_latest() {
    let server = Serving::ready(&many(), &[]);
    let reply = ask(&server, json!({}), &[("x-session-id", "session-9")]);
    let structured = answer(&reply)["result"]["structuredContent"].clone();
    let run_id = structured["run_id"].as_str().unwrap();
    assert_eq!(run_id, reply.header("x-run-id"));
    assert_eq!(structured["trace_id"], reply.header("x-trace-id"));
    // A report is not the latest run, however often it is asked for.
    for arguments in [json!({}), json!({}), json!({ "run_id": run_id })] {
        let report = call(&server, "report.latest_run", arguments).ok();
        assert_eq!(report["run_id"], run_id);
    }
    let report = call(&server, "report.latest_run", json!({ "session_id": "session-9" })).ok();
    assert_eq!(report["run_id"], run_id);
    assert_eq!(report["tool"], "search:semantic");
    assert_eq!(report["stopped_because"], "completed");
    assert_eq!(report["decision"]["retrieval.fusion"], "convex", "{report}");
    let unknown = call(&server, "report.latest_run", json!({ "run_id": "none-such" }));
    unknown.fails("invalid-parameter", &["run_id = none-such"]);
}

/// The validation checklist of the service that codeintel replaces, in its order.
#[test]
fn the_checklist_of_the_former_service_holds() {
    let mut server =
        Serving::ready(&many(), &["--log", "json", "--set", "telemetry.capture_query=hash"]);
    let baggage = ("baggage", "run.id=run-7,session.id=session-9");
    let before = server.get("/metrics").text;
    let reply = ask(&server, json!({}), &[baggage]);
    call(&server, "open_file", json!({ "path": "../x" })).fails("invalid-parameter", &["path"]);
    let scrape = server.get("/metrics").text;

    // 1. The scrape has target_info once, and the instruments.
    assert_eq!(scrape.lines().filter(|line| line.starts_with("target_info{")).count(), 1);
    let value = |scrape: &str, name: &str| -> f64 {
        let line = scrape.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}")).trim().parse().unwrap()
    };
    for (name, by) in [
        ("codeintel_mcp_runs_total{status=\"ok\",tool=\"search:semantic\"}", 1.0),
        ("codeintel_mcp_runs_total{status=\"error\",tool=\"files:open\"}", 1.0),
        (
            "mcp_server_operation_duration_seconds_count{status=\"ok\",tool=\"search:semantic\"}",
            1.0,
        ),
        ("mcp_server_operation_duration_seconds_count{status=\"error\",tool=\"files:open\"}", 1.0),
        ("codeintel_retrieval_query_ambiguity_count{tool=\"search:semantic\"}", 1.0),
        ("codeintel_faiss_search_ms_count{gpu=\"false\",index_kind=\"Flat\"}", 1.0),
        ("gen_ai_client_embeddings_duration_seconds_count{mode=\"inproc\"}", 1.0),
    ] {
        assert_eq!(value(&scrape, name) - value(&before, name), by, "{name}");
    }

    // 2. The spans of gating, faiss and vllm are below the server span; the decision is an event.
    let trace_id = reply.header("x-trace-id");
    let spans = spans(&server, trace_id);
    let parents = parents(&spans);
    for name in ["retrieval.gating", "faiss.search", "vllm.embed_batch"] {
        let mut above = name;
        while !["mcp.semantic_search", ""].contains(&above) {
            above = parents[above];
        }
        assert_eq!(above, "mcp.semantic_search", "{name}");
    }
    let events = named(&spans, "retrieval.gating")["events"].to_string();
    assert!(events.contains("retrieval.gating.decision"), "{events}");

    // 4. Baggage is on every span.
    for span in &spans {
        assert_eq!(span["attributes"]["run.id"], "run-7", "{span}");
        assert_eq!(span["attributes"]["session.id"], "session-9", "{span}");
    }

    // 3. Log lines carry the ids of the trace.
    let failed = ask_outside(&server);
    server.signal("TERM");
    let log = server.whole_stderr();
    let line = log.lines().find(|line| line.contains(&failed));
    let line: Value =
        serde_json::from_str(line.unwrap_or_else(|| panic!("{failed}: {log}"))).unwrap();
    assert!(line["span_id"].is_string(), "{line}");
    // 5, stable dashboards: telemetry::metrics::the_rules_and_the_dashboard_name_only_what_a_scrape_holds.
}

/// Sends a request that is refused, and returns the id of its trace.
fn ask_outside(server: &Serving) -> String {
    let params = stateless(json!({}), json!({}));
    let refused = post(server, "tools/list", &params, &[("origin", "http://evil.example")]);
    assert_eq!(refused.status, 403);
    refused.header("x-trace-id").to_owned()
}

#[test]
fn the_report_of_a_call_says_what_it_returned_beside_the_files_that_it_points_to() {
    let place = many();
    let server = Serving::ready(&place, &[]);
    let answer = call(&server, "semantic_search", json!({ "query": "parse_header", "limit": 3 }));
    let files: std::collections::BTreeSet<&str> = answer.json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["location"]["path"].as_str().unwrap())
        .collect();
    let bytes = |path: &&str| std::fs::metadata(place.repo().join(path)).unwrap().len() as usize;
    let tokens_of_files = files.iter().map(bytes).sum::<usize>().div_ceil(4);
    let run = json!({ "run_id": answer.json["run_id"] });
    let report = call(&server, "report.latest_run", run);
    let savings = json!({
        "tokens_returned": answer.text.len().div_ceil(4),
        "tokens_of_files": tokens_of_files,
        "files": files.len(),
    });
    assert_eq!(report.json["savings"], savings, "{}", report.text);
    let line = format!("tokens in the {} files", files.len());
    assert!(report.text.contains("- savings: ") && report.text.contains(&line), "{}", report.text);
    let of_http = server.get(&format!("/v1/runs/{}", answer.json["run_id"].as_str().unwrap())).ok();
    assert_eq!(of_http["savings"], savings);
    let without_files = call(&server, "index_status", json!({}));
    assert_eq!(without_files.problem, None);
    let report = call(&server, "report.latest_run", json!({}));
    assert_eq!(report.json.get("savings"), None, "{}", report.json);
}
