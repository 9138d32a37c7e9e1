//! The metrics of a scrape, and the files that depend on their names.

use std::collections::BTreeSet;

use codeintel::base::telemetry::catalogue::{self, metrics};
use serde_json::json;

use crate::support::{Serving, many, reply, wait_for};

/// The samples of a scrape: the name and the labels of each, without its value.
fn series(scrape: &str) -> BTreeSet<&str> {
    let samples = scrape.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap().0).collect()
}

fn families(scrape: &str) -> Vec<&str> {
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap()).collect()
}

#[test]
fn a_scrape_holds_each_documented_name_once_and_nothing_else() {
    let server = Serving::ready(&many(), &[]);
    let reply = server.get("/metrics");
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let scrape = &reply.text;
    let found = families(scrape);
    let distinct: BTreeSet<_> = found.iter().copied().collect();
    assert_eq!(distinct.len(), found.len(), "a family occurs twice");
    let gpus = distinct.contains("hw_gpu_memory_usage_bytes");
    let declared = metrics().map(|metric| metric.scraped);
    let mut expected: BTreeSet<_> =
        declared.filter(|name| gpus || !name.starts_with("hw_gpu_")).collect();
    expected.insert("target_info");
    assert_eq!(distinct, expected);
    let targets = scrape.lines().filter(|line| line.starts_with("target_info{"));
    assert_eq!(targets.count(), 1);
    for wrong in ["_total_total", "rrf_k_ratio", "ambiguity_ratio", "ms_milliseconds", "otel_scope"]
    {
        assert!(!scrape.contains(wrong), "{wrong}");
    }
    let target = scrape.lines().find(|line| line.starts_with("target_info{")).unwrap();
    for part in
        ["service_name=\"codeintel-mcp\"", "service_namespace=\"kgfoundry\"", "service_version="]
    {
        assert!(target.contains(part), "{target}");
    }
    assert!(!target.contains("command"), "arguments may hold secrets: {target}");
}

#[test]
fn every_series_is_there_with_zeros_before_anything_happens() {
    let server = Serving::start(&many(), &[]);
    let scrape = server.get("/metrics").text;
    for sample in [
        "codeintel_mcp_runs_total{status=\"error\",tool=\"ingest\"} 0",
        "codeintel_faiss_search_ms_count{gpu=\"true\",index_kind=\"IVF-PQ\"} 0",
        "codeintel_stage_duration_seconds_sum{outcome=\"error\",stage=\"fuse\"} 0",
        "codeintel_request_latency_ms_count{route=\"/v1/search\",status=\"5xx\"} 0",
        "codeintel_embed_queue_depth{lane=\"bulk\"} 0",
        "codeintel_embed_requests_total{outcome=\"overloaded\"} 0",
    ] {
        assert!(scrape.lines().any(|line| line == sample), "{sample} is not in\n{scrape}");
    }
}

#[test]
fn searches_are_counted_and_their_texts_add_no_series() {
    let server = Serving::ready(&many(), &[]);
    let ask = |text: &str| server.post("/v1/search", &json!({ "query": text })).ok();
    ask("how is a header parsed");
    // A scrape is a request, too: the first one adds its own series.
    server.get("/metrics");
    let before = server.get("/metrics").text;
    (0..100).for_each(|i| {
        ask(&format!("what is number{i} of /some/path/{i}.rs"));
    });
    let after = server.get("/metrics").text;
    assert_eq!(series(&before), series(&after));
    let value = |scrape: &str, name: &str| -> f64 {
        let line = scrape.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}")).trim().parse().unwrap()
    };
    for (name, each) in [
        ("codeintel_mcp_runs_total{status=\"ok\",tool=\"search:semantic\"}", 1.0),
        ("codeintel_faiss_search_ms_count{gpu=\"false\",index_kind=\"Flat\"}", 1.0),
        ("codeintel_retrieval_query_ambiguity_count{tool=\"search:semantic\"}", 1.0),
        ("codeintel_stage_duration_seconds_count{outcome=\"run\",stage=\"hydrate\"}", 1.0),
        ("codeintel_request_latency_ms_count{route=\"/v1/search\",status=\"2xx\"}", 1.0),
        ("codeintel_embed_requests_total{outcome=\"ok\"}", 1.0),
        ("codeintel_embed_cache_misses_total{lane=\"interactive\"}", 1.0),
        ("gen_ai_client_embeddings_duration_seconds_count{mode=\"inproc\"}", 1.0),
        (
            "gen_ai_retrieval_duration_seconds_count{gen_ai_operation_name=\"retrieval\",gen_ai_provider_name=\"codeintel\",outcome=\"run\"}",
            1.0,
        ),
    ] {
        assert_eq!(value(&after, name) - value(&before, name), 100.0 * each, "{name}");
    }
    let tokens = "codeintel_embed_tokens_total{lane=\"interactive\"}";
    assert!(value(&after, tokens) > value(&before, tokens));
}

#[test]
fn the_rules_and_the_dashboard_name_only_what_a_scrape_holds() {
    let server = Serving::ready(&many(), &[]);
    let scrape = server.get("/metrics").text;
    let mut known: BTreeSet<String> =
        families(&scrape).iter().map(|name| name.to_string()).collect();
    known.extend(series(&scrape).iter().map(|sample| sample.split('{').next().unwrap().to_owned()));
    known.extend(metrics().map(|metric| metric.scraped.to_owned()));
    known.extend(metrics().flat_map(|metric| (metric.labels)()).map(str::to_owned));
    let prefixes: BTreeSet<&str> =
        metrics().map(|metric| metric.scraped.split('_').next().unwrap()).collect();
    for file in ["docker/grafana/dashboard.json", "docker/prometheus-rules.yaml"] {
        let text =
            std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        // A recorded name has colons; it is defined in the rules themselves.
        let names: BTreeSet<&str> = words
            .filter(|word| !word.contains(':') && word.matches('_').count() >= 2)
            .filter(|word| prefixes.contains(word.split('_').next().unwrap()))
            .collect();
        assert!(names.len() > 10, "{file} names metrics: {names:?}");
        let lacking: Vec<_> = names.iter().filter(|name| !known.contains(**name)).collect();
        assert!(lacking.is_empty(), "{file} uses the unknown {lacking:?}");
    }
}

#[test]
fn the_route_can_be_moved_to_another_listener() {
    let place = many();
    let args = ["serve", "--address", "127.0.0.1:0", "--set", "metrics.route=gone"];
    let mut command = place.command(&args);
    command.env("PROMETHEUS_PORT", "0");
    let server = Serving::spawn(command);
    let moved = server.get("/metrics");
    assert_eq!(moved.status, 410);
    assert!(moved.json()["detail"].as_str().unwrap().contains("PROMETHEUS_PORT"), "{}", moved.text);
    let mut address = String::new();
    wait_for("the second listener", || {
        let stderr = server.stderr_text.lock().unwrap();
        let line = stderr.lines().find_map(|line| line.split("metrics on ").nth(1));
        address = line.unwrap_or_default().to_owned();
        line.is_some()
    });
    let scrape = reply(server.agent.get(&address).call());
    assert_eq!(scrape.status, 200);
    assert!(scrape.text.contains("target_info{"));
}

#[test]
fn the_table_in_the_documentation_is_generated_from_the_code() {
    let page = format!("{}/docs/telemetry.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(page).unwrap();
    let block = page.split("<!-- catalogue:begin -->\n").nth(1).unwrap();
    let block = block.split("<!-- catalogue:end -->").next().unwrap();
    assert_eq!(
        block,
        catalogue::markdown(),
        "put what `codeintel config --telemetry` prints between the catalogue marks of docs/telemetry.md"
    );
}
