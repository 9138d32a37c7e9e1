//! A second server of ours as the endpoint: are its vectors those of this process?

use serde_json::{Value, json};

use crate::support::{Place, Serving, many};

const TEXTS: [&str; 5] = ["fn main() {}", "", "how is a header parsed", "größe", "x = [1, 2]"];

/// A server of the tiny model that has no index and keeps no vectors.
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
fn an_index_and_a_search_through_an_endpoint_are_those_of_this_process() {
    let (_other, server) = endpoint();
    let url = format!("endpoint.url={}", server.url(""));
    let http = ["--set", "vllm.mode=http", "--set", &url, "--set", "engine.cache_bytes_max=0"];
    let near = ["--set", "engine.cache_bytes_max=0"];
    let cli =
        |place: &Place, args: &[&str], flags: &[&str]| place.run(&[args, flags].concat()).ok();

    let (far, here) = (many(), many());
    for place in [&far, &here] {
        std::fs::write(place.path().join("texts.txt"), TEXTS.join("\n")).unwrap();
    }
    let (a, b) = (
        vectors(&cli(&far, &["embed", "texts.txt"], &http)),
        vectors(&cli(&here, &["embed", "texts.txt"], &near)),
    );
    assert_eq!((a.len(), b.len()), (TEXTS.len(), TEXTS.len()));
    for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
        assert!((a - b).abs() < 1e-6, "{a} and {b}");
    }

    let checks = cli(&far, &["doctor"], &http);
    assert!(checks.contains("model \"bert\", vectors of 64 values"), "{checks}");
    cli(&far, &["index", "repo", "--full"], &http);
    cli(&here, &["index", "repo", "--full"], &near);
    let search = |place: &Place, flags: &[&str]| {
        let args = ["search", "parse", "header", "--channels", "dense", "--json"];
        let found: Value = serde_json::from_str(&cli(place, &args, flags)).unwrap();
        let findings = found["findings"].as_array().unwrap().clone();
        findings.iter().map(|f| f["location"].clone()).collect::<Vec<_>>()
    };
    let found = search(&far, &http);
    assert!(!found.is_empty());
    assert_eq!(found, search(&here, &near));

    // Vectors of another origin are not mixed.
    let mixed = far.run(&[&["search", "parse", "--channels", "dense"][..], &near].concat());
    assert!(mixed.err.contains("http-bert-64"), "{}", mixed.err);

    // A server in front of a server.
    let front = Serving::ready(&far, &http);
    let one = front.post("/v1/embeddings", &json!({ "input": TEXTS[2] })).ok();
    let values = one["data"][0]["embedding"].as_array().unwrap();
    for (value, expected) in values.iter().zip(&b[2]) {
        assert!((value.as_f64().unwrap() - expected).abs() < 1e-6);
    }
    drop(server);
    let gone = front.post("/v1/embeddings", &json!({ "input": "something else" }));
    assert_eq!(gone.status, 503, "{}", gone.text);
    assert!(gone.text.contains("endpoint.url"), "{}", gone.text);
    // What needs no vector is still found.
    let lexical = json!({ "query": "parse_header", "channels": ["lexical"] });
    assert_eq!(front.post("/v1/search", &lexical).status, 200);
}

#[test]
fn an_endpoint_that_is_not_set_or_not_there_is_named() {
    let place = Place::new(&[("a.py", "def first():\n    return 1\n")]);
    let ran = place.run(&["index", "repo", "--set", "vllm.mode=http"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.contains("endpoint.url"), "{}", ran.err);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("endpoint.url=http://{}", socket.local_addr().unwrap());
    let ran = place.run(&["index", "repo", "--set", "vllm.mode=http", "--set", &url]);
    assert_eq!(ran.code, Some(16), "{}", ran.err);
    assert!(ran.err.contains(url.trim_start_matches("endpoint.url=")), "{}", ran.err);
    let ran = place.run(&["doctor", "--set", "vllm.mode=auto", "--set", &url]);
    assert!(ran.out.contains("endpoint") && ran.out.contains("refused"), "{}", ran.out);
    // In mode auto it is asked when it is needed, and here it is not.
    place.run(&["index", "repo", "--set", "vllm.mode=auto", "--set", &url]).ok();
}
