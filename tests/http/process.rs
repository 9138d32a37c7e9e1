//! The server as a process: signals, a port in use, and callers that disconnect.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use axum::routing::MethodRouter;
use codeintel::base::telemetry::Telemetry;
use codeintel::http::{listen, router, serve};
use codeintel::tools::App;
use opentelemetry_sdk::trace::InMemorySpanExporter;
use serde_json::json;

use crate::support::{PATIENCE, Place, Serving, agent, many, wait_for};

/// The head of a request whose body has `bytes` bytes.
fn head(route: &str, bytes: usize) -> String {
    format!(
        "POST {route} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
    )
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_request_in_flight_is_answered_before_the_process_ends() {
    let place = many();
    let mut server = Serving::ready(&place, &[]);
    let body = r#"{"query": "parse_header"}"#;
    let mut stream = connect(&server.address);
    let (first, rest) = body.split_at(9);
    write!(stream, "{}{first}", head("/v1/search", body.len())).unwrap();
    stream.flush().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    server.signal("TERM");
    wait_for("the end of listening", || TcpStream::connect(&server.address).is_err());
    assert!(server.is_running(), "it waits for the request");
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"findings\""));
    assert_eq!(server.ended(), Some(0));
    wait_for("the last message", || server.stderr_text.lock().unwrap().contains("stopping"));
}

#[test]
fn an_idle_server_ends_on_either_signal() {
    for name in ["TERM", "INT"] {
        let mut server = Serving::start(&Place::new(&[]), &[]);
        assert_eq!(server.get("/healthz").status, 200);
        server.signal(name);
        assert_eq!(server.ended(), Some(0), "SIG{name}");
    }
}

#[test]
fn a_second_server_on_the_same_port_fails_and_names_it() {
    let place = Place::new(&[]);
    let server = Serving::start(&place, &[]);
    let ran = place.run(&["serve", "--address", &server.address]);
    ran.fails(16, &[&server.address, "another program is already listening there"]);
    place.run(&["serve", "--address", "nonsense"]).fails(2, &["HOST:PORT"]);
}

/// Calls `work` with the address of a server in this process, for the index of `place`.
fn in_process(place: &Place, telemetry: Telemetry, work: impl FnOnce(&str)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = App::new(place.settings.clone(), telemetry, place.data());
    app.warm(|| Ok(place.engine()));
    let (listener, address) = runtime.block_on(listen("127.0.0.1:0")).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = runtime.spawn(serve(listener, router(app, MethodRouter::new()), async {
        let _ = stopped.await;
    }));
    work(&address.to_string());
    stop.send(()).unwrap();
    runtime.block_on(serving).unwrap().unwrap();
}

#[test]
fn a_caller_that_disconnects_cancels_its_run_and_nothing_else() {
    let place = many();
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::with_exporter(exporter.clone());
    in_process(&place, telemetry, |address| {
        let text = |i: usize| format!("text {i} {}", "with many words in it ".repeat(60));
        let body = json!({ "input": (0..1500).map(text).collect::<Vec<_>>() }).to_string();
        let mut stream = connect(address);
        write!(stream, "{}{body}", head("/v1/embeddings", body.len())).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        drop(stream);
        let cancelled = || {
            let spans = exporter.get_finished_spans().unwrap();
            spans.iter().any(|span| {
                let kind = span.attributes.iter().find(|kv| kv.key.as_str() == "error.type");
                span.name == "vllm.embed_batch"
                    && kind.is_some_and(|kv| kv.value.as_str() == "cancelled")
            })
        };
        wait_for("the cancelled run", cancelled);
        let agent = agent();
        let url = format!("http://{address}/v1/search");
        let mut answer = agent.post(url).send_json(json!({ "query": "parse_header" })).unwrap();
        assert_eq!(answer.status(), 200);
        let answer: serde_json::Value = answer.body_mut().read_json().unwrap();
        assert_eq!(answer["limits"], json!([]), "every channel answers");
    });
}

#[test]
fn half_a_request_and_garbage_do_not_harm_others() {
    let server = Serving::ready(&many(), &[]);
    for text in ["", "GET", "POST /v1/search HTTP/1.1\r\n", "\0\u{1}\u{2}", &head("/v1/search", 99)]
    {
        let mut stream = connect(&server.address);
        stream.write_all(text.as_bytes()).unwrap();
        drop(stream);
    }
    let answer = server.post("/v1/search", &json!({ "query": "parse_header" })).ok();
    assert!(!answer["findings"].as_array().unwrap().is_empty());
}
