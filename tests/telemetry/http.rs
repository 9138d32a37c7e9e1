//! The spans and the run of a request over HTTP.

use serde_json::{Value, json};

use crate::support::{Serving, is_hex, many, reply, wait_for};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn spans(server: &Serving, trace_id: &str) -> Vec<Value> {
    let trace = server.get(&format!("/v1/traces/{trace_id}")).ok();
    assert_eq!(trace["trace_id"], trace_id);
    trace["spans"].as_array().unwrap().clone()
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no span {name}"))
}

#[test]
fn parent_and_known_baggage_reach_every_span_and_other_keys_none() {
    let server = Serving::ready(&many(), &[]);
    let request = server.agent.post(server.url("/v1/search"));
    let answer = reply(
        request
            .header("Traceparent", PARENT)
            .header("BAGGAGE", "run.id=run-7,secret=s3same,session.id=session-9")
            .send_json(json!({ "query": "how is a header parsed" })),
    );
    assert_eq!((answer.header("x-run-id"), answer.header("x-trace-id")), ("run-7", TRACE));
    let spans = spans(&server, TRACE);
    assert_eq!(spans.len(), 12, "one of the request and eleven of the search");
    for span in &spans {
        assert_eq!(span["attributes"]["run.id"], "run-7", "{span}");
        assert_eq!(span["attributes"]["session.id"], "session-9", "{span}");
        assert!(!span.to_string().contains("s3same"), "{span}");
    }
    let request = named(&spans, "POST /v1/search");
    assert_eq!(
        (&request["kind"], &request["parent_span_id"]),
        (&json!("server"), &json!("b7ad6b7169203331"))
    );
    for (key, value) in [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/v1/search")),
        ("http.response.status_code", json!(200)),
        ("mcp.run_id", json!("run-7")),
        ("mcp.session_id", json!("session-9")),
        ("mcp.session.id", json!("session-9")),
        ("mcp.tool", json!("search:semantic")),
        ("error.type", json!(null)),
    ] {
        assert_eq!(request["attributes"][key], value, "{key}");
    }
    let search = named(&spans, "retrieval.search");
    assert_eq!(search["parent_span_id"], request["span_id"]);
    assert_eq!(search["attributes"]["mcp.tool"], "search:semantic");
    let id = |span: &Value| span["span_id"].clone();
    let links = |span: &Value| -> Vec<Value> {
        span["links"].as_array().unwrap().iter().map(|link| link["span_id"].clone()).collect()
    };
    let channels = ["faiss.search", "bm25.search", "symbol.search"].map(|name| named(&spans, name));
    channels.iter().for_each(|channel| assert_eq!(links(channel), [id(search)]));
    let mut fused = links(named(&spans, "retrieval.fuse"));
    let mut expected = channels.map(id).to_vec();
    fused.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(fused, expected);
}

#[test]
fn every_reply_has_its_ids_and_a_refusal_is_a_run_too() {
    let server = Serving::ready(&many(), &[]);
    for reply in [
        server.get("/healthz"),
        server.get("/readyz"),
        server.get("/metrics"),
        server.get("/nowhere"),
        server.get("/v1/search"),
        server.get("/v1/runs/none-such"),
        server.get("/v1/traces/00000000000000000000000000000001"),
        server.post_text("/v1/search", "{"),
        server.post("/v1/search", &json!({ "query": "" })),
        server.post("/v1/embeddings", &json!({ "input": [] })),
    ] {
        assert!(is_hex(reply.header("x-trace-id")), "{}", reply.text);
        assert!(is_hex(reply.header("x-run-id")), "{}", reply.text);
    }
    let refused = server.post("/v1/search", &json!({ "query": "" }));
    let run = server.get(&format!("/v1/runs/{}", refused.header("x-run-id"))).ok();
    assert_eq!(run["stopped_because"], "request:search-query-invalid");
    assert_eq!(run["trace_id"], refused.header("x-trace-id"));
    assert_eq!(
        (&run["first_missing_stage"], &run["stopped_after_stage"]),
        (&json!("gate"), &json!(null))
    );
}

#[test]
fn a_refused_request_leaves_its_reason_on_its_span_in_its_report_and_in_the_log() {
    let server = Serving::ready(&many(), &["--set", "serve.body_bytes_max=4096"]);
    let post = |route: &str, media_type: &str, body: &str| {
        let request = server.agent.post(server.url(route)).header("content-type", media_type);
        reply(request.send(body))
    };
    let long = format!(r#"{{"query": "{}"}}"#, "x".repeat(5000));
    let (json_type, other) = ("application/json", r#"{"input": "x", "model": "other"}"#);
    for (reply, status, tool) in [
        (server.get("/nowhere"), 404, "http"),
        (server.get("/v1/search"), 405, "http"),
        (server.get("/v1/runs/none-such"), 404, "http"),
        (server.get("/v1/traces/00000000000000000000000000000001"), 404, "http"),
        (post("/v1/search", json_type, "{"), 400, "search:semantic"),
        (post("/v1/search", json_type, r#"{"question": "x"}"#), 400, "search:semantic"),
        (post("/v1/search", "text/plain", r#"{"query": "x"}"#), 400, "search:semantic"),
        (post("/v1/search", json_type, &long), 413, "search:semantic"),
        (post("/v1/search", json_type, r#"{"query": ""}"#), 400, "search:semantic"),
        (post("/v1/embeddings", json_type, r#"{"input": []}"#), 400, "embeddings"),
        (post("/v1/embeddings", json_type, other), 404, "embeddings"),
    ] {
        assert_eq!(reply.status, status, "{}", reply.text);
        let run_id = reply.header("x-run-id");
        let report = server.get(&format!("/v1/runs/{run_id}")).ok();
        assert_eq!(report["tool"], tool, "{report}");
        let (code, message) = (&report["error"]["code"], &report["error"]["message"]);
        let code = code.as_str().unwrap_or_else(|| panic!("no error in {report}"));
        assert_eq!(report["stopped_because"], format!("request:{code}"), "{report}");
        let body = reply.json();
        let said = [&body["detail"], &body["error"]["message"]];
        assert!(said.contains(&message), "{message} is not in {body}");
        let markdown = server.get(&format!("/v1/runs/{run_id}.md")).text;
        assert!(markdown.contains(message.as_str().unwrap()), "{markdown}");

        let spans = spans(&server, reply.header("x-trace-id"));
        let span = spans.iter().find(|span| span["kind"] == "server").unwrap();
        assert_eq!(span["attributes"]["error.type"], code, "{span}");
        assert_eq!(&span["attributes"]["error.message"], message, "{span}");
        let ran = if tool == "http" { Value::Null } else { tool.into() };
        assert_eq!(span["attributes"]["mcp.tool"], ran, "{span}");
        // By the conventions, a mistake of the caller is no error of the server.
        assert_eq!(span["error"], Value::Null, "{span}");

        let mut line = String::new();
        wait_for("the log line", || {
            let log = server.stderr_text.lock().unwrap();
            let mut lines = log.lines().filter(|line| line.contains(run_id));
            line = lines.next_back().unwrap_or_default().to_owned();
            !line.is_empty()
        });
        let line: Value = serde_json::from_str(&line).unwrap();
        let found = (&line["level"], &line["message"], &line["error.kind"], &line["error"]);
        assert_eq!(found, (&json!("INFO"), &json!("request refused"), &json!(code), message));
        assert_eq!(line["trace_id"], reply.header("x-trace-id"));
    }
    // The latest run is one of a tool, and a client without a right request does not displace it.
    server.post("/v1/search", &json!({ "query": "parse_header" })).ok();
    (0..300).for_each(|_| assert_eq!(server.get("/nowhere").status, 404));
    assert_eq!(server.get("/v1/runs/latest").ok()["stopped_because"], "completed");
}

#[test]
fn probes_and_scrapes_are_traced_only_if_a_setting_asks_for_it() {
    let place = many();
    for (flags, traced) in [(&[][..], 404), (&["--set", "telemetry.trace_probes=true"][..], 200)] {
        let server = Serving::ready(&place, flags);
        for route in ["/healthz", "/readyz", "/metrics"] {
            let reply = server.get(route);
            assert!(is_hex(reply.header("x-run-id")), "{route}");
            let trace = format!("/v1/traces/{}", reply.header("x-trace-id"));
            assert_eq!(server.get(&trace).status, traced, "{route} {flags:?}");
        }
        let scrape = server.get("/metrics").text;
        let sample = r#"codeintel_request_latency_ms_count{route="/healthz",status="2xx"} 1"#;
        assert!(scrape.contains(sample), "it is measured in any case");
    }
}

#[test]
fn harmful_ids_of_a_caller_are_replaced() {
    let server = Serving::ready(&many(), &[]);
    for bad in ["../../etc/passwd", "a b", "x/y", "..", &"x".repeat(200)] {
        let request = server.agent.get(server.url("/healthz")).header("X-Run-ID", bad);
        let reply = reply(request.call());
        assert!(is_hex(reply.header("x-run-id")), "{bad}: {}", reply.header("x-run-id"));
    }
}
