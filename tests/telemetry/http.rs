//! The spans and the run of a request over HTTP.

use serde_json::{Value, json};

use crate::support::{Serving, is_hex, many, reply};

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
    assert_eq!(spans.len(), 11, "one of the request and ten of the search");
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
    ] {
        assert_eq!(request["attributes"][key], value, "{key}");
    }
    let search = named(&spans, "retrieval.search");
    assert_eq!(search["parent_span_id"], request["span_id"]);
    assert_eq!(search["attributes"]["mcp.tool"], "search:semantic");
    assert_eq!(search["attributes"]["gen_ai.tool.name"], "search:semantic");
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
fn harmful_ids_of_a_caller_are_replaced() {
    let server = Serving::ready(&many(), &[]);
    for bad in ["../../etc/passwd", "a b", "x/y", "..", &"x".repeat(200)] {
        let request = server.agent.get(server.url("/healthz")).header("X-Run-ID", bad);
        let reply = reply(request.call());
        assert!(is_hex(reply.header("x-run-id")), "{bad}: {}", reply.header("x-run-id"));
    }
}
