//! Embedding and search on a GPU, and failures of the GPU.
//!
//! `make cuda-test` runs these with an emulated driver. Environment variables that only this
//! driver reads inject the failures.

use serde_json::{Value, json};

use crate::cli::piped;
use crate::support::{Place, Ran, Serving, many_files, wait_for};

const TEXTS: &str = "fn main() {}\nhow is a header parsed\nx\n";
/// On the GPU, without a cache. The batches are small, because an emulated warm-up is slow.
const FLAGS: [&str; 6] = [
    "--device",
    "cuda:0",
    "--set",
    "engine.cache_bytes_max=0",
    "--set",
    "engine.max_batch_tokens=48",
];

fn place() -> Place {
    let place = Place::new(&[]);
    let found = place.run(&["doctor", "--device", "cuda:0"]).out;
    assert!(found.contains("emulated on the CPU in bf16"), "no emulated CUDA device: {found}");
    place
}

fn embed(place: &Place, flags: &[&str]) -> Ran {
    piped(place, &[&["embed"], flags].concat(), TEXTS.as_bytes())
}

fn vectors(ran: Ran) -> Vec<Vec<f64>> {
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["embedding"].clone();
    let floats = |values: Value| -> Vec<f64> { serde_json::from_value(values).unwrap() };
    ran.ok().lines().map(|text| floats(line(text))).collect()
}

fn assert_near(a: &[Vec<f64>], b: &[Vec<f64>], least: f64) {
    assert_eq!((a.len(), b.len()), (3, 3));
    for (a, b) in a.iter().zip(b) {
        let cosine: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        assert!(cosine >= least, "cosine {cosine}");
    }
}

#[test]
#[ignore = "needs the emulated CUDA driver of `make cuda-test`"]
fn cuda_embeds_as_the_cpu_does_and_auto_takes_it() {
    let place = place();
    let cpu = vectors(embed(&place, &["--device", "cpu", "--dtype", "f32"]));
    for flags in [&FLAGS[..], &FLAGS[2..], &[&FLAGS[..], &["--dtype", "f16"]].concat()] {
        assert_near(&vectors(embed(&place, flags)), &cpu, 0.9999);
    }
    let log = embed(&place, &[&FLAGS[2..], &["--report", "-v"]].concat()).err;
    assert!(log.contains("cuda:0 emulated on the CPU"), "{log}");
    let other = embed(&place, &["--device", "cuda:7"]);
    other.fails(16, &["the last is cuda:0"]);
    let exact = embed(&place, &["--device", "cuda", "--dtype", "int8"]);
    exact.fails(2, &["auto, bf16 or f16 on a GPU"]);
}

/// A server with this environment variable for its emulated device, once its engine is ready.
fn serve(place: &Place, variable: (&str, &str), flags: &[&str]) -> Serving {
    let args = [&["serve", "--address", "127.0.0.1:0"], &FLAGS[..], flags].concat();
    let mut command = place.command(&args);
    command.env(variable.0, variable.1);
    let server = Serving::spawn(command);
    server.wait_for_engine();
    server
}

/// The attributes of the dense channel, and the chunk id and dense score of each finding.
fn found(answer: &Value) -> (Value, Vec<(u64, f64)>) {
    let stages = answer["method"]["stages"].as_array().unwrap();
    let dense = stages.iter().find(|stage| stage["name"] == "dense").unwrap();
    let finding = |finding: &Value| {
        let score = finding["why"]["contributions"][0]["raw_score"].as_f64().unwrap();
        (finding["chunk_id"].as_u64().unwrap(), score)
    };
    (dense["attrs"].clone(), answer["findings"].as_array().unwrap().iter().map(finding).collect())
}

#[test]
#[ignore = "needs the emulated CUDA driver of `make cuda-test`"]
fn cuda_that_is_lost_makes_a_server_not_ready_with_the_reason() {
    let place = place();
    let server = serve(&place, ("EMULATED_CUDA_FAIL_AFTER", "300"), &[]);
    let body = json!({ "input": ["fn main() {}"], "model": "bert" });
    let mut answers = (0..100).map(|_| server.post("/v1/embeddings", &body));
    let failed = answers.find(|answer| answer.status != 200).expect("300 launches");
    assert_eq!((failed.status, &failed.json()["error"]["code"]), (503, &json!("device-lost")));
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503);
    let engine = &ready.json()["probes"]["engine"];
    assert_eq!(engine["ready"], false);
    let why = engine["why"].as_str().unwrap();
    assert!(
        why.contains("unspecified launch failure") && why.contains("restart the program"),
        "{why}"
    );
}

#[test]
#[ignore = "needs the emulated CUDA driver of `make cuda-test`"]
fn cuda_batches_are_counted_as_such_and_spans_carry_the_memory() {
    let place = place();
    let memory: u64 = 4 << 30;
    let server = serve(&place, ("EMULATED_CUDA_MEMORY", &memory.to_string()), &[]);
    let reply = server.post("/v1/embeddings", &json!({ "input": ["fn main() {}"] }));
    let trace = format!("/v1/traces/{}", reply.header("x-trace-id"));
    let trace = server.get(&trace).ok();
    let spans = trace["spans"].as_array().unwrap();
    let embed = spans.iter().find(|span| span["name"] == "vllm.embed_batch").unwrap();
    let bytes = |name: &str| embed["attributes"][format!("vllm.gpu.memory_{name}_bytes")].as_u64();
    let [used, peak, total] = ["used", "peak", "total"].map(|name| bytes(name).unwrap());
    assert!(0 < used && used <= peak && peak <= total && total == memory, "{embed}");
    let scrape = server.get("/metrics").text;
    let series = |device: &str| {
        let labels = format!("{{device=\"{device}\",lane=\"interactive\",mode=\"inproc\"}} ");
        let line = format!("codeintel_embed_batch_size_count{labels}");
        scrape.lines().find_map(|found| found.strip_prefix(&line)).unwrap().to_owned()
    };
    assert_eq!((series("cuda"), series("cpu")), ("1".to_owned(), "0".to_owned()));
}

#[test]
#[ignore = "needs the emulated CUDA driver of `make cuda-test`"]
fn cuda_that_is_lost_is_replaced_by_an_endpoint() {
    let place = place();
    let endpoint = Serving::start(&Place::new(&[]), &["--device", "cpu"]);
    endpoint.wait_for_engine();
    let url = format!("endpoint.url={}", endpoint.url(""));
    std::fs::write(place.path().join("texts.txt"), TEXTS).unwrap();
    let run = |fail_after: &str, flags: &[&str]| {
        let args = [&["embed", "texts.txt", "--report"], &FLAGS[..], flags].concat();
        let mut command = place.command(&args);
        Ran::from(command.env("EMULATED_CUDA_FAIL_AFTER", fail_after).output().unwrap())
    };
    let whole = run("1000000", &[]);
    // 12 launches are enough to load the model, which computes one token, but not for the texts.
    let alone = run("12", &[]);
    assert_eq!(alone.code, Some(19), "{}", alone.err);
    let helped = run("12", &["--set", "vllm.mode=auto", "--set", &url]);
    assert!(helped.err.contains("the endpoint"), "{}", helped.err);
    assert_near(&vectors(helped), &vectors(whole), 0.9999);
}

#[test]
#[ignore = "needs the emulated CUDA driver of `make cuda-test`"]
fn cuda_without_the_memory_for_a_batch_computes_its_halves() {
    let place = place();
    // cuBLASLt uses 32 MiB and the uploads 256 KiB. Beside the weights, 512 tokens fit and 1024
    // do not.
    let memory = ("EMULATED_CUDA_MEMORY", "35061760");
    let flags = ["engine.max_batch_tokens=1024", "engine.gpu_memory_utilization=1"];
    let server = serve(&place, memory, &["--set", flags[0], "--set", flags[1]]);
    let engine = server.probe("engine");
    assert!(engine["out_of_memory"].as_u64().unwrap() > 0, "{engine}");
    let [used, total, peak] =
        ["used", "total", "peak"].map(|key| engine["gpu_memory_bytes"][key].as_u64().unwrap());
    assert!(0 < used && used <= peak && peak <= total && total == 35_061_760, "{engine}");
    let body = json!({ "input": ["fn main() {}"], "model": "bert" });
    assert_eq!(server.post("/v1/embeddings", &body).status, 200);
}

#[test]
#[ignore = "needs the emulated CUDA driver of `make cuda-test`"]
fn cuda_needs_one_upload_one_graph_and_one_download_for_a_query() {
    let place = place();
    let log = place.path().join("calls");
    let server = serve(&place, ("EMULATED_CUDA_LOG", log.to_str().unwrap()), &[]);
    let calls = || std::fs::read_to_string(&log).unwrap();
    let ask = || {
        let before = calls().len();
        let body = json!({ "input": ["fn main() {}"], "model": "bert" });
        assert_eq!(server.post("/v1/embeddings", &body).status, 200);
        calls().split_off(before)
    };
    // Each of the two slots launches its operations once and then records its graph.
    (0..4).for_each(|_| drop(ask()));
    let names = [
        "cuMemcpyHtoDAsync_v2",
        "cuGraphLaunch",
        "cuLaunchKernel",
        "cuMemcpyDtoHAsync_v2",
        "cuEventRecord",
        "cuEventSynchronize",
    ];
    for _ in 0..3 {
        assert_eq!(ask().lines().collect::<Vec<_>>(), names);
    }
}

#[test]
#[ignore = "needs the emulated CUDA driver of `make cuda-test`"]
fn cuda_searches_vectors_on_the_device_and_finds_what_the_cpu_finds() {
    let place = place();
    let doctor = place.run(&["doctor", "--device", "cuda:0"]).out;
    assert!(doctor.contains("FAISS searches, also on the GPU"), "{doctor}");
    let files = many_files();
    files.iter().for_each(|(path, text)| place.write(path, text));
    place.index();
    // Rows in the delta, and deleted rows.
    place.write(&files[1].0, "def another(): return 1\n");
    place.remove(&files[5].0);
    place.index();
    let log = place.path().join("calls");
    let on_gpu = serve(&place, ("EMULATED_CUDA_LOG", log.to_str().unwrap()), &[]);
    wait_for("the vectors", || on_gpu.probe("index")["vectors_on_gpu"] == true);
    let flags = ["--set", "search.dense_device=cpu"];
    let on_cpu = serve(&place, ("EMULATED_CUDA_LOG", "/dev/null"), &flags);
    wait_for("the index", || {
        on_cpu.probe("index")["why_vectors_on_cpu"] == "search.dense_device = cpu"
    });
    let ask = |server: &Serving, query: &str, globs: &[&str]| {
        let body = json!({ "query": query, "limit": 9, "channels": ["dense"], "globs": globs });
        found(&server.post("/v1/search", &body).ok())
    };
    let calls = || std::fs::read_to_string(&log).unwrap();
    for query in ["parse a header", "the state while a token is merged", "x", "def another()"] {
        let before = calls().len();
        let ((gpu, hits), (cpu, expected)) = (ask(&on_gpu, query, &[]), ask(&on_cpu, query, &[]));
        assert_eq!((&gpu["faiss.gpu"], &gpu["faiss.index_kind"]), (&json!(true), &json!("Flat")));
        assert_eq!(cpu["faiss.gpu"], false);
        // Scores and ids are copied to the host, vectors are not.
        assert_eq!(calls().split_off(before).matches("cuMemcpyDtoH").count(), 2, "{query}");
        assert_eq!(hits.len(), 9);
        for (hit, right) in hits.iter().zip(&expected) {
            assert_eq!(hit.0, right.0, "{hits:?} {expected:?}");
            assert!((hit.1 - right.1).abs() < 1e-5, "{hits:?} {expected:?}");
        }
    }
    let (attrs, hits) = ask(&on_gpu, "parse a header", &["lib/**"]);
    assert_eq!((&attrs["faiss.gpu"], hits.len()), (&json!(false), 9), "the CPU searches a scope");
}

#[test]
#[ignore = "needs the emulated CUDA driver of `make cuda-test`"]
fn cuda_without_the_memory_for_the_vectors_leaves_them_to_the_cpu() {
    let place = place();
    place.write("a.py", "def parse(): pass\n");
    place.index();
    let server = serve(&place, ("EMULATED_CUDA_MEMORY", "62914560"), &[]);
    let reason =
        || server.probe("index")["why_vectors_on_cpu"].as_str().unwrap_or_default().to_owned();
    wait_for("the reason", || reason().contains("gpu_memory_utilization"));
    let body = json!({ "query": "parse", "channels": ["dense"] });
    let (attrs, hits) = found(&server.post("/v1/search", &body).ok());
    assert_eq!((&attrs["faiss.gpu"], hits.len()), (&json!(false), 1));
}
