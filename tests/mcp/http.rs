//! The protocol over HTTP: who may call, how many at once, and callers that send garbage or leave.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

use super::client::{
    Called, HANDSHAKE, answer, ask, call, calling, hello, post, request, stateless,
};
use crate::support::{Endpoint, Serving, many, reply, wait_for};

#[test]
fn a_web_page_of_another_origin_and_another_host_name_are_refused() {
    let place = many();
    let set = [
        "--set",
        "serve.allowed_origins=https://app.example.com",
        "--set",
        "serve.allowed_hosts=code.example.com",
    ];
    let open = Serving::ready(&place, &set);
    let closed = Serving::ready(&place, &[]);
    let params = stateless(json!({}), json!({}));
    let status =
        |server, header: (&str, &str)| post(server, "tools/list", &params, &[header]).status;
    for header in [
        ("origin", "https://app.example.com"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("host", "code.example.com"),
        ("host", "evil.example"),
    ] {
        let allowed = ["https://app.example.com", "code.example.com"].contains(&header.1);
        assert_eq!(status(&closed, header), 403, "{header:?}");
        assert_eq!(status(&open, header), if allowed { 200 } else { 403 }, "{header:?}");
    }
    let own = format!("http://{}", closed.address);
    assert_eq!(status(&closed, ("origin", &own)), 200, "a page of the server itself");
    let other_port = format!("{own}1");
    assert_eq!(status(&closed, ("origin", &other_port)), 403);
    assert_eq!(post(&closed, "tools/list", &params, &[]).status, 200);
}

#[test]
fn garbage_and_a_body_over_the_limit_are_refused_and_the_server_goes_on() {
    let server = Serving::ready(&many(), &["--set", "serve.body_bytes_max=65536"]);
    let send = |body: &[u8]| {
        let request = server.agent.post(server.url("/mcp"));
        let request = request.header("accept", "application/json, text/event-stream");
        reply(request.header("content-type", "application/json").send(body))
    };
    let nested = "[".repeat(30_000);
    for body in [
        &b""[..],
        b"garbage",
        b"{",
        b"[]",
        b"null",
        b"{\"jsonrpc\":\"2.0\",\"id\":1}",
        b"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"tools/list\"}",
        &[0xff; 100],
        nested.as_bytes(),
    ] {
        let refused = send(body);
        assert!((400..500).contains(&refused.status), "{}: {}", refused.status, refused.text);
    }
    let long =
        request(1, "tools/call", &calling("open_file", json!({ "path": "x".repeat(70_000) })));
    assert_eq!(send(long.to_string().as_bytes()).status, 413);
    let params = stateless(json!({}), json!({}));
    assert_eq!(post(&server, "tools/nope", &params, &[]).status, 404);
    assert!(ask(&server, "tools/list", json!({}))["result"]["tools"].is_array());
}

#[test]
fn of_200_calls_at_once_each_is_answered_or_asked_to_try_again() {
    const CALLS: usize = 200;
    let server = Serving::ready(&many(), &[]);
    let expected = |i: usize| json!({ "query": format!("how is header {i} parsed"), "limit": 2 });
    let called: Vec<Called> = std::thread::scope(|scope| {
        let server = &server;
        let calls: Vec<_> = (0..CALLS)
            .map(|i| scope.spawn(move || call(server, "semantic_search", expected(i))))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let mut outcomes = BTreeMap::new();
    for call in &called {
        *outcomes.entry(call.problem.as_deref().unwrap_or("answered")).or_insert(0) += 1;
        let findings = call.json["findings"].as_array();
        assert_eq!(findings.map(Vec::len), call.problem.is_none().then_some(2), "{}", call.text);
    }
    assert!(outcomes.keys().all(|o| ["answered", "overloaded"].contains(o)), "{outcomes:?}");
    assert!(outcomes["answered"] >= 1, "{outcomes:?}");
    call(&server, "semantic_search", expected(0)).ok();
}

#[test]
fn a_client_that_goes_away_cancels_its_call() {
    let endpoint = Endpoint::start();
    let place = many();
    let flags = endpoint.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    place.run_index(&[&flags[..], &["--full"]].concat()).ok();
    let server = Serving::ready(&place, &flags);
    endpoint.hang();
    place.write("more.py", "def parse_more():\n    return 1\n");
    let meta = json!({ "baggage": "session.id=session-9" });
    let params = stateless(calling("reindex", json!({})), meta);
    let body = request(1, "tools/call", &params).to_string();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json, \
         text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: \
         reindex\r\ncontent-length: {}\r\n\r\n",
        server.address,
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    wait_for("the texts to be sent", || !endpoint.asked().is_empty());
    drop(stream);
    let session = json!({ "session_id": "session-9" });
    let mut report = Value::Null;
    wait_for("the report of the run", || {
        let called = call(&server, "report.latest_run", session.clone());
        report = called.json;
        called.problem.is_none()
    });
    assert_eq!(report["tool"], "index:reindex");
    assert!(report["stopped_because"].as_str().unwrap().ends_with(":cancelled"), "{report}");
    assert_eq!(
        call(&server, "index_status", json!({})).ok()["version"],
        place.version().manifest.version
    );
}

#[test]
fn sessions_end_when_their_client_says_so() {
    let server = Serving::ready(&many(), &[]);
    let accept = ("accept", "application/json, text/event-stream");
    let opened = server.post_with("/mcp", &[accept], &request(1, "initialize", &hello()));
    answer(&opened);
    let session = opened.header("mcp-session-id").to_owned();
    let url = server.url("/mcp");
    let delete = server.agent.delete(&url).header("mcp-session-id", &session);
    let deleted = reply(delete.header("mcp-protocol-version", HANDSHAKE).call());
    assert!((200..300).contains(&deleted.status), "{} {}", deleted.status, deleted.text);
    let headers = [accept, ("mcp-session-id", &session), ("mcp-protocol-version", HANDSHAKE)];
    let gone = server.post_with("/mcp", &headers, &request(2, "tools/list", &Value::Null));
    assert_eq!(gone.status, 404);
}
