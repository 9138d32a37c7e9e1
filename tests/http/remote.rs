//! Another `codeintel serve` as the endpoint: same vectors, same results.

use serde_json::{Value, json};

use crate::support::{Place, Serving, many, wait_for};

const TEXTS: [&str; 5] = ["fn main() {}", "", "how is a header parsed", "größe", "x = [1, 2]"];

/// A server of the tiny model, without an index and without a cache.
fn endpoint() -> (Place, Serving) {
    let place = Place::new(&[]);
    let server = Serving::start(&place, &["--set", "engine.cache_bytes_max=0"]);
    server.wait_for_engine();
    (place, server)
}

fn vectors(lines: &str) -> Vec<Vec<f64>> {
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let values = |line: Value| line["embedding"].as_array().unwrap().clone();
    let floats = |values: Vec<Value>| values.iter().map(|v| v.as_f64().unwrap()).collect();
    lines.lines().map(|text| floats(values(line(text)))).collect()
}

#[test]
fn an_endpoint_indexes_and_searches_as_this_process_does() {
    let (_other, server) = endpoint();
    let url = format!("endpoint.url={}", server.url(""));
    let http = ["--set", "vllm.mode=http", "--set", &url, "--set", "engine.cache_bytes_max=0"];
    let inproc = ["--set", "engine.cache_bytes_max=0"];
    let cli =
        |place: &Place, args: &[&str], flags: &[&str]| place.run(&[args, flags].concat()).ok();

    let remote = many();
    let local = many();
    for place in [&remote, &local] {
        std::fs::write(place.path().join("texts.txt"), TEXTS.join("\n")).unwrap();
    }
    let a = vectors(&cli(&remote, &["embed", "texts.txt"], &http));
    let b = vectors(&cli(&local, &["embed", "texts.txt"], &inproc));
    assert_eq!((a.len(), b.len()), (TEXTS.len(), TEXTS.len()));
    for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
        assert!((a - b).abs() < 1e-6, "{a} and {b}");
    }

    let checks = cli(&remote, &["doctor"], &http);
    assert!(checks.contains("model \"bert\", vectors of 64 values"), "{checks}");
    cli(&remote, &["index", "repo", "--full"], &http);
    cli(&local, &["index", "repo", "--full"], &inproc);
    let search = |place: &Place, flags: &[&str]| {
        let args = ["search", "parse", "header", "--channels", "dense", "--json"];
        let found: Value = serde_json::from_str(&cli(place, &args, flags)).unwrap();
        let findings = found["findings"].as_array().unwrap().clone();
        let place =
            |f: &Value| (f["location"]["path"].clone(), f["location"]["start_line"].clone());
        findings.iter().map(place).collect::<Vec<_>>()
    };
    let found = search(&remote, &http);
    assert!(!found.is_empty());
    assert_eq!(found, search(&local, &inproc));

    // Vectors of the endpoint and of this process are not mixed.
    let mixed = remote.run(&[&["search", "parse", "--channels", "dense"][..], &inproc].concat());
    assert!(mixed.err.contains("http-bert-64"), "{}", mixed.err);

    // A server that uses another server.
    let front = Serving::ready(&remote, &http);
    let one = front.post("/v1/embeddings", &json!({ "input": TEXTS[2] })).ok();
    let values = one["data"][0]["embedding"].as_array().unwrap();
    for (value, expected) in values.iter().zip(&b[2]) {
        assert!((value.as_f64().unwrap() - expected).abs() < 1e-6);
    }
    drop(server);
    let gone = front.post("/v1/embeddings", &json!({ "input": "something else" }));
    assert_eq!(gone.status, 503, "{}", gone.text);
    assert!(gone.text.contains("endpoint.url"), "{}", gone.text);
    // Channels that need no vector still work.
    let lexical = json!({ "query": "parse_header", "channels": ["lexical"] });
    assert_eq!(front.post("/v1/search", &lexical).status, 200);
}

#[test]
fn an_endpoint_that_is_not_set_or_cannot_be_reached_is_named() {
    let place = Place::new(&[("a.py", "def first():\n    return 1\n")]);
    place.run_index(&["--set", "vllm.mode=http"]).fails(3, &["endpoint.url"]);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("endpoint.url=http://{}", socket.local_addr().unwrap());
    let ran = place.run_index(&["--set", "vllm.mode=http", "--set", &url]);
    ran.fails(16, &[url.trim_start_matches("endpoint.url=")]);
    let ran = place.run(&["doctor", "--set", "vllm.mode=auto", "--set", &url]);
    assert!(ran.out.contains("endpoint") && ran.out.contains("refused"), "{}", ran.out);
    // Mode auto calls the endpoint only when it is needed, which it is not here.
    place.run_index(&["--set", "vllm.mode=auto", "--set", &url]).ok();
}

#[test]
fn a_server_that_starts_before_its_endpoint_becomes_ready_with_it() {
    let port = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let address = format!("127.0.0.1:{}", port());
    let other = Place::new(&[]);
    let start_endpoint = || {
        let server = Serving::spawn(other.command(&["serve", "--address", &address]));
        server.wait_for_engine();
        server
    };
    let place = many();
    let url = format!("endpoint.url=http://{address}");
    let http = ["--set", "vllm.mode=http", "--set", &url, "--set", "engine.cache_bytes_max=0"];
    let endpoint = start_endpoint();
    place.run(&[&["index", "repo", "--full"], &http[..]].concat()).ok();
    drop(endpoint);

    let server = Serving::start(&place, &http);
    let waits =
        || server.probe("engine")["why"].as_str().is_some_and(|why| why.contains("endpoint.url"));
    wait_for("the reason", waits);
    let engine = server.probe("engine");
    assert_eq!(engine["ready"], false);
    let why = engine["why"].as_str().unwrap();
    assert!(why.contains(&address) && why.contains("endpoint.url"), "{why}");
    assert_eq!(server.get("/readyz").status, 503);
    let search = |channel: &str| {
        server.post("/v1/search", &json!({ "query": "parse_header", "channels": [channel] }))
    };
    wait_for("the index", || search("lexical").status == 200);
    assert_eq!(search("dense").status, 503, "{}", search("dense").text);

    let _endpoint = start_endpoint();
    server.wait_until_ready();
    let found = search("dense").ok();
    assert!(!found["findings"].as_array().unwrap().is_empty(), "{found}");
    let one = server.post("/v1/embeddings", &json!({ "input": "fn main() {}" })).ok();
    assert_eq!(one["data"][0]["embedding"].as_array().unwrap().len(), 64);
}
