//! Export to a collector over OTLP: everything arrives, and no collector holds up the program.
//!
//! The program is a separate process, set up by the environment variables of OpenTelemetry alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};

use super::receiver::{
    Got, Hanging, Protocol, Receiver, Signal, logs, measured, refusing, resources, spans, texts,
};
use crate::support::{Place, Ran, Reply, Serving, is_hex, wait_for};

const SECRET: &str = "s3cret-of-the-collector";

const FILES: [(&str, &str); 3] = [
    ("a.py", "def parse_header(data):\n    return data[:4]\n"),
    ("b.rs", "/// Writes one body.\nfn write_body(n: usize) -> usize {\n    n + 1\n}\n"),
    ("c.md", "# Packets\n\nA packet has a header and a body.\n"),
];

/// The spans of one search, without that of its interface.
const SEARCH: [&str; 11] = [
    "bm25.search",
    "duckdb.hydrate",
    "faiss.search",
    "retrieval.fuse",
    "retrieval.gather_channels",
    "retrieval.gating",
    "retrieval.hydrate",
    "retrieval.pool",
    "retrieval.search",
    "symbol.search",
    "vllm.embed_batch",
];

/// Stages of its report that have no span, because they are not asked for: the channels of paths and of
/// sparse vectors, and reranking.
const SKIPPED: usize = 3;

/// `args` in `place`, with everything exported to `endpoint` at short intervals.
fn exporting(place: &Place, args: &[&str], protocol: Protocol, endpoint: &str) -> Command {
    let mut command = place.command(args);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name())
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{SECRET}"))
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    command
}

const SERVE: [&str; 3] = ["serve", "--address", "127.0.0.1:0"];

fn ran(command: &mut Command) -> Ran {
    Ran::from(command.output().unwrap())
}

fn search(server: &Serving) -> Reply {
    server.post("/v1/search", &json!({ "query": "parse_header", "limit": 5 }))
}

/// Stops the server as an operator does, and waits for its end.
#[track_caller]
fn stop(server: &mut Serving) {
    server.signal("TERM");
    ends(server);
}

#[track_caller]
fn ends(server: &mut Serving) {
    assert_eq!(server.ended(), Some(0), "{}", server.whole_stderr());
}

/// The names of the spans of one trace.
fn names<'a>(got: &'a [Got], trace_id: &str) -> BTreeSet<&'a str> {
    let of_trace = |span: &&_| trace_of(span) == trace_id;
    spans(got).into_iter().filter(of_trace).map(|span| span.name.as_str()).collect()
}

fn trace_of(span: &opentelemetry_proto::tonic::trace::v1::Span) -> String {
    hex(&span.trace_id)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holds_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

/// Asserts that each request has the secret, the right encoding and this protocol.
fn check_requests(got: &[Got], protocol: Protocol) {
    for got in got {
        assert_eq!(got.protocol, protocol);
        let header = |name: &str| got.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
        match protocol {
            Protocol::Grpc => assert_eq!(header("grpc-encoding"), Some("gzip")),
            Protocol::Http => assert_eq!(header("content-type"), Some("application/x-protobuf")),
        }
    }
}

/// Indexes, searches, and serves without a model, so that a stage fails and is logged.
fn a_collector_gets_everything(protocol: Protocol) {
    let place = Place::new(&FILES);
    let receiver = Receiver::start();
    let endpoint = receiver.endpoint(protocol);
    let command = |args: &[&str]| {
        let mut command = exporting(&place, args, protocol, &endpoint);
        // The most verbose log, in which the secret must not occur.
        command.env("RUST_LOG", "trace");
        if protocol == Protocol::Grpc {
            command.env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
        }
        command
    };
    let mut printed: Vec<String> = Vec::new();

    let indexed = ran(&mut command(&["index", "repo"]));
    assert_eq!(indexed.code, Some(0), "{}", indexed.err);
    printed.extend([indexed.out, indexed.err]);
    let got = receiver.take();
    check_requests(&got, protocol);
    let all: BTreeSet<&str> = spans(&got).iter().map(|span| span.name.as_str()).collect();
    for name in ["ingest.run", "ingest.walk", "ingest.publish", "vllm.embed_batch", "engine.batch"]
    {
        assert!(all.contains(name), "{name} is not in {all:?}");
    }

    let mut named = command(&["search", "parse_header", "--json"]);
    named.env("OTEL_SERVICE_NAME", "seeker");
    named.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other");
    let searched = ran(&mut named);
    assert_eq!(searched.code, Some(0), "{}", searched.err);
    let answer: Value = serde_json::from_str(&searched.out).unwrap();
    printed.extend([searched.out, searched.err]);
    let got = receiver.take();
    check_requests(&got, protocol);
    let trace_id = answer["trace_id"].as_str().unwrap();
    assert_eq!(names(&got, trace_id), BTreeSet::from(SEARCH));
    assert!(measured(&got, "codeintel.stage.duration") >= 10);
    for resource in resources(&got) {
        assert_eq!(resource["service.name"], "seeker");
        assert_eq!(resource["service.namespace"], "kgfoundry");
        assert_eq!(resource["deployment.environment.name"], "test");
    }

    let mut without_model = command(&SERVE);
    without_model.env("CODEINTEL_MODEL_NAME", place.path().join("no-model"));
    without_model.stdout(File::create(place.path().join("stdout")).unwrap());
    let mut server = Serving::spawn(without_model);
    wait_for("the index", || server.probe("index")["ready"] == true);
    let reply = search(&server);
    let trace_id = reply.header("x-trace-id").to_owned();
    let answer = reply.ok();
    assert!(answer["limits"][0].as_str().unwrap().contains("dense"), "{answer}");
    for route in ["/metrics", "/v1/runs/latest", &format!("/v1/traces/{trace_id}")] {
        let reply = server.get(route);
        assert_eq!(reply.status, 200, "{route}");
        printed.push(reply.text);
    }
    stop(&mut server);
    let got = receiver.take();
    check_requests(&got, protocol);
    for has_come in [
        |signal: &Signal| matches!(signal, Signal::Traces(_)),
        |signal: &Signal| matches!(signal, Signal::Metrics(_)),
        |signal: &Signal| matches!(signal, Signal::Logs(_)),
    ] {
        assert!(got.iter().any(|got| has_come(&got.signal)), "every signal came");
    }
    let mut tree = BTreeSet::from(SEARCH);
    tree.remove("faiss.search");
    tree.insert("POST /v1/search");
    assert_eq!(names(&got, &trace_id), tree);
    for name in ["codeintel.stage.duration", "codeintel.mcp.runs", "http.server.request.duration"] {
        assert!(measured(&got, name) > 0, "{name} has points");
    }
    let mut failed =
        spans(&got).into_iter().filter(|s| trace_of(s) == trace_id && s.name == "vllm.embed_batch");
    let failed = failed.next().unwrap();
    assert_eq!(failed.status.as_ref().unwrap().code(), StatusCode::Error);
    assert_eq!(texts(&failed.attributes)["error.type"], "resource-unavailable");
    let of_trace: Vec<_> =
        logs(&got).into_iter().filter(|log| hex(&log.trace_id) == trace_id).collect();
    let [log] = of_trace[..] else { panic!("one record of the trace, not {of_trace:?}") };
    assert_eq!(hex(&log.span_id), hex(&failed.span_id), "it belongs to the stage that failed");
    assert_eq!(log.severity_text, "WARN");
    let body = log.body.as_ref().and_then(|body| body.value.as_ref());
    assert_eq!(body, Some(&any_value::Value::StringValue("stage failed".to_owned())));
    for resource in resources(&got) {
        assert_eq!(resource["service.name"], "codeintel-mcp");
        assert_eq!(resource["service.namespace"], "kgfoundry");
    }

    printed.push(server.whole_stderr());
    for args in [&["config"][..], &["config", "--telemetry"], &["doctor"], &["doctor", "--json"]] {
        let ran = ran(&mut command(args));
        printed.extend([ran.out, ran.err]);
    }
    for text in printed {
        let line = text.lines().find(|line| holds_secret(line.as_bytes()));
        assert_eq!(line, None, "the secret of the collector was printed");
    }
    assert_eq!(
        files(&place.path().join("data/runs")).len(),
        2,
        "the runs of both commands are kept"
    );
    for file in files(place.path()) {
        assert!(!holds_secret(&std::fs::read(&file).unwrap()), "{} holds it", file.display());
    }
}

#[test]
fn everything_arrives_over_grpc_with_gzip() {
    a_collector_gets_everything(Protocol::Grpc);
}

#[test]
fn everything_arrives_over_http() {
    a_collector_gets_everything(Protocol::Http);
}

#[test]
fn a_collector_that_hangs_or_refuses_delays_no_request() {
    let place = Place::indexed(&FILES);
    let expected = place.run(&["search", "parse_header", "--limit", "5", "--json"]).json();
    let hanging = [Hanging::start(), Hanging::start()];
    let (_socket, refused) = refusing();
    let start = |protocol, address| {
        let mut command = exporting(&place, &SERVE, protocol, &format!("http://{address}"));
        // A queue so short that spans are dropped long before the last search.
        command.env("OTEL_BSP_MAX_QUEUE_SIZE", "8").env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4");
        if protocol == Protocol::Grpc {
            command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC");
        }
        Serving::spawn(command)
    };
    let starts = Protocol::BOTH.into_iter().zip(&hanging).flat_map(|(protocol, hanging)| {
        [start(protocol, hanging.address), start(protocol, refused)]
    });
    let mut servers: Vec<Serving> = starts.collect();
    wait_for("connections that hang", || hanging.iter().all(|h| h.connections() > 0));
    for server in &servers {
        server.wait_until_ready();
        for _ in 0..10 {
            let answer = search(server).ok();
            assert_eq!(answer["findings"], expected["findings"]);
            assert_eq!(answer["limits"], json!([]), "every channel answers");
        }
    }
    servers.iter().for_each(|server| server.signal("TERM"));
    servers.iter_mut().for_each(ends);
}

#[test]
fn a_system_without_certificates_sends_to_a_collector_without_tls() {
    let place = Place::indexed(&FILES);
    let receiver = Receiver::start();
    for protocol in Protocol::BOTH {
        let args = ["search", "parse_header"];
        let mut command = exporting(&place, &args, protocol, &receiver.endpoint(protocol));
        command.env("SSL_CERT_FILE", "/absent").env("SSL_CERT_DIR", "/absent");
        let searched = ran(&mut command);
        assert_eq!(searched.code, Some(0), "{}", searched.err);
        assert!(!spans(&receiver.take()).is_empty());
    }
}

#[test]
fn runs_that_are_not_sampled_are_still_recorded() {
    let place = Place::indexed(&FILES);
    let receiver = Receiver::start();
    for protocol in Protocol::BOTH {
        let mut command = exporting(&place, &SERVE, protocol, &receiver.endpoint(protocol));
        command.env("OTEL_TRACES_SAMPLER", "always_off");
        let mut server = Serving::spawn(command);
        server.wait_until_ready();
        let reply = search(&server);
        assert_eq!(reply.status, 200, "{}", reply.text);
        let trace = server.get(&format!("/v1/traces/{}", reply.header("x-trace-id"))).ok();
        let run = server.get(&format!("/v1/runs/{}", reply.header("x-run-id"))).ok();
        stop(&mut server);

        let recorded = trace["spans"].as_array().unwrap();
        let recorded: BTreeSet<_> = recorded.iter().map(|s| s["name"].as_str().unwrap()).collect();
        let mut tree = BTreeSet::from(SEARCH);
        tree.insert("POST /v1/search");
        assert_eq!(recorded, tree);
        assert_eq!(run["stages"].as_array().unwrap().len(), SEARCH.len() + SKIPPED);
        assert_eq!(run["stopped_because"], "completed");

        let got = receiver.take();
        assert_eq!(spans(&got), Vec::<&_>::new());
        assert!(measured(&got, "codeintel.stage.duration") >= 10, "metrics are not sampled");
    }
}

/// `value` without the fields that differ between runs. Stages are sorted by name, because channels
/// run in parallel.
fn timeless(value: &Value) -> Value {
    const OWN: [&str; 8] = [
        "trace_id",
        "run_id",
        "mcp.run_id",
        "started_ms",
        "duration_ms",
        "elapsed_ms",
        "vllm.queue_ms",
        "faiss.search_ms",
    ];
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| !OWN.contains(&key.as_str()));
            let mut map: serde_json::Map<_, _> =
                kept.map(|(key, value)| (key.clone(), timeless(value))).collect();
            if let Some(Value::Array(stages)) = map.get_mut("stages") {
                stages.sort_by_key(|stage| stage["name"].to_string());
            }
            map.into()
        }
        Value::Array(list) => list.iter().map(timeless).collect(),
        value => value.clone(),
    }
}

#[test]
fn a_disabled_sdk_changes_no_answer() {
    let place = Place::indexed(&FILES);
    let receiver = Receiver::start();
    // From now on the cache has the vector of the query.
    place.run(&["search", "parse_header"]).ok();
    let serve = |disabled: &str| {
        let endpoint = receiver.endpoint(Protocol::Http);
        let mut command = exporting(&place, &SERVE, Protocol::Http, &endpoint);
        command.env("OTEL_SDK_DISABLED", disabled);
        let mut server = Serving::spawn(command);
        server.wait_until_ready();
        let reply = search(&server);
        assert!(is_hex(reply.header("x-trace-id")) && is_hex(reply.header("x-run-id")));
        let run = server.get(&format!("/v1/runs/{}", reply.header("x-run-id"))).ok();
        assert_eq!(run["trace_id"], reply.header("x-trace-id"));
        let answer = reply.ok();
        stop(&mut server);
        (timeless(&answer), timeless(&run), receiver.take())
    };
    let (answer, run, got) = serve("false");
    assert!(!got.is_empty());
    assert_eq!(run["stages"].as_array().unwrap().len(), SEARCH.len() + SKIPPED);
    let (answer_disabled, run_disabled, got) = serve("True");
    assert!(got.is_empty(), "nothing is exported");
    assert_eq!(answer_disabled, answer);
    assert_eq!(run_disabled, run);
}

#[test]
fn the_console_is_standard_error_and_unknown_exporters_are_refused() {
    let place = Place::indexed(&FILES);
    let mut command = place.command(&["search", "parse_header", "--json"]);
    command.env("OTEL_TRACES_EXPORTER", "console").env("OTEL_METRICS_EXPORTER", "console");
    let shown = ran(&mut command);
    let err = shown.err.clone();
    let answer = shown.json();
    assert!(!answer["findings"].as_array().unwrap().is_empty());
    let trace = format!(" trace={} ", answer["trace_id"].as_str().unwrap());
    for name in SEARCH {
        let line =
            |line: &&str| line.starts_with(&format!("span {name} ")) && line.contains(&trace);
        assert!(err.lines().any(|l| line(&l)), "{name} is not in {err}");
    }
    assert!(err.contains("metric codeintel.stage.duration"), "{err}");

    let refused = ran(place.command(&["status"]).env("OTEL_TRACES_EXPORTER", "zipkin"));
    refused.fails(3, &["OTEL_TRACES_EXPORTER", "zipkin", "otlp, console, none"]);
}
