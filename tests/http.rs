//! What do the HTTP interfaces promise?

mod embeddings;
mod process;
mod remote;
mod search;
mod versions;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::readside::{Place, bert, many};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server process of ours; it is killed when dropped.
pub struct Serving {
    child: Child,
    pub address: String,
    /// What it has written to standard error so far.
    pub stderr_text: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
    pub agent: ureq::Agent,
}

pub struct Reply {
    pub status: u16,
    headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }
}

pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.timeout_global(Some(PATIENCE)).build().into()
}

pub fn reply(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Reply {
    let mut response = response.unwrap();
    Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.body_mut().read_to_string().unwrap(),
    }
}

impl Serving {
    /// Starts `codeintel serve` in `place` and waits until it listens.
    pub fn start(place: &Place, flags: &[&str]) -> Self {
        let mut args = vec!["serve", "--address", "127.0.0.1:0"];
        args.extend(flags);
        Self::of(place.command(&args))
    }

    /// Starts the server that `command` is, and waits until it listens.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let mut before = String::new();
        let address = loop {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "no address in {before:?}");
            before.push_str(&line);
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.split(',').next().unwrap().to_owned();
            }
        };
        let stderr_text = Arc::new(Mutex::new(before));
        let write = stderr_text.clone();
        let listener = std::thread::spawn(move || {
            let mut rest = String::new();
            while stderr.read_line(&mut rest).is_ok_and(|n| n > 0) {
                write.lock().unwrap().push_str(&std::mem::take(&mut rest));
            }
        });
        Self { child, address, stderr_text, listener: Some(listener), agent: agent() }
    }

    /// As [`Serving::start`], over an index, and ready.
    pub fn ready(place: &Place, flags: &[&str]) -> Self {
        let server = Self::start(place, flags);
        server.wait_until_ready();
        server
    }

    pub fn wait_until_ready(&self) {
        wait_for("readiness", || self.get("/readyz").status == 200);
    }

    pub fn url(&self, route: &str) -> String {
        format!("http://{}{route}", self.address)
    }

    pub fn get(&self, route: &str) -> Reply {
        reply(self.agent.get(self.url(route)).call())
    }

    pub fn post(&self, route: &str, body: &Value) -> Reply {
        reply(self.agent.post(self.url(route)).send_json(body))
    }

    pub fn post_text(&self, route: &str, body: &str) -> Reply {
        let request = self.agent.post(self.url(route));
        reply(request.header("content-type", "application/json").send(body))
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// All that it wrote to standard error, when it has ended.
    pub fn last_words(&mut self) -> String {
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
        self.stderr_text.lock().unwrap().clone()
    }

    /// How the process ended, if it did.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the process to end by itself.
    pub fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        wait_for("the end of the process", || {
            status = self.has_ended();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("standard error of the server:\n{}", self.stderr_text.lock().unwrap());
        }
    }
}

#[track_caller]
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn is_hex(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[test]
fn it_is_alive_at_once_and_ready_when_there_is_an_index() {
    let files = [("a.py", "def first():\n    return 1\n")];
    let place = Place::new(&files);
    let server = Serving::start(&place, &[]);
    assert_eq!(server.get("/healthz").ok(), json!({ "status": "ok" }));
    wait_for("the engine", || server.get("/readyz").json()["probes"]["engine"]["ready"] == true);
    let waits_for_index = || {
        let why = server.get("/readyz").json()["probes"]["index"]["why"].clone();
        why.as_str().is_some_and(|why| why.contains("codeintel index"))
    };
    wait_for("the index that is missing", waits_for_index);
    let not_yet = server.get("/readyz");
    assert_eq!(not_yet.status, 503);
    let not_yet = not_yet.json();
    assert_eq!(
        (&not_yet["ready"], &not_yet["probes"]["index"]["ready"]),
        (&json!(false), &json!(false))
    );
    let search = server.post("/v1/search", &json!({ "query": "first" }));
    assert_eq!(
        (search.status, search.json()["code"].as_str().unwrap()),
        (503, "search-index-missing")
    );
    assert!(search.json()["detail"].as_str().unwrap().contains("codeintel index"));

    place.cli(&["index", "repo"]).ok();
    server.wait_until_ready();
    let ready = server.get("/readyz").ok();
    let index = &ready["probes"]["index"];
    assert_eq!((&index["ready"], &index["vectors_on_gpu"]), (&json!(true), &json!(false)));
    assert!(index["why_vectors_on_cpu"].is_string(), "{index}");
    let engine = &ready["probes"]["engine"];
    assert_eq!((&engine["ready"], &engine["out_of_memory"]), (&json!(true), &json!(0)));
    for warmed in ["batches", "tokens", "tokens_per_s", "batch_tokens_max"] {
        assert!(engine[warmed].as_u64().unwrap() > 0, "{engine}");
    }
    let found = server.post("/v1/search", &json!({ "query": "first" })).ok();
    assert_eq!(found["findings"][0]["location"]["path"], "a.py");
}

/// The answer to `body` once the server has loaded what it can.
fn after_loading(server: &Serving, route: &str, body: &Value) -> Reply {
    let is_loading = |reply: &Reply| reply.text.contains("still being loaded");
    wait_for("the end of loading", || !is_loading(&server.post(route, body)));
    server.post(route, body)
}

#[test]
fn a_failure_to_open_the_model_or_the_index_keeps_its_kind() {
    let place = Place::indexed(&[("a.py", "def first():\n    return 1\n")]);
    let query = json!({ "query": "first" });
    let refused = |reply: Reply, status: u16, code: &str, part: &str| {
        assert_eq!(reply.status, status, "{}", reply.text);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.json()["code"], code, "{}", reply.text);
        assert!(reply.json()["detail"].as_str().unwrap().contains(part), "{}", reply.text);
    };

    let missing = ["--model", "all-MiniLM-L6-v2", "--set", "model.dir=nowhere"];
    let server = Serving::start(&place, &missing);
    let reply = after_loading(&server, "/v1/embeddings", &json!({ "input": "a" }));
    let error = &reply.json()["error"];
    assert_eq!((reply.status, &error["code"]), (503, &json!("model-missing")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("codeintel model pull"), "{error}");
    let found = after_loading(&server, "/v1/search", &query).ok();
    assert_eq!(found["findings"][0]["location"]["path"], "a.py", "words need no model");

    let other = place.path().join("other");
    std::fs::create_dir(&other).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(format!("{}/{file}", bert()), other.join(file)).unwrap();
    }
    let config = std::fs::read_to_string(other.join("config.json")).unwrap();
    std::fs::write(other.join("config.json"), format!("{config}\n")).unwrap();
    let server = Serving::start(&place, &["--model", "other"]);
    let reply = after_loading(&server, "/v1/search", &query);
    refused(reply, 409, "search-index-mismatch", "codeintel index --full");

    let version = place.data().current().unwrap();
    let symbols = version.manifest.parts.iter().find(|p| p.path.contains("symbols")).unwrap();
    std::fs::write(version.folder.path().join(&symbols.path), "not what it was").unwrap();
    let server = Serving::start(&place, &[]);
    let reply = after_loading(&server, "/v1/search", &query);
    refused(reply, 500, "search-index-corrupt", "codeintel rollback");
}

#[test]
fn what_is_no_route_is_a_problem_document_with_ids() {
    let server = Serving::start(&Place::new(&[]), &[]);
    for (reply, status, code) in [
        (server.get("/v1/nowhere"), 404, "not-found"),
        (server.get("/v1/search"), 405, "method-not-allowed"),
        (server.post("/healthz", &json!({})), 405, "method-not-allowed"),
    ] {
        assert_eq!(reply.status, status, "{}", reply.text);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(
            (&reply.json()["code"], &reply.json()["status"]),
            (&json!(code), &json!(status))
        );
        assert!(reply.json()["detail"].as_str().unwrap().contains("POST /v1/search"));
        assert!(is_hex(reply.header("x-trace-id")) && is_hex(reply.header("x-run-id")));
    }
}

#[test]
fn a_search_that_is_not_json_or_not_right_is_a_problem_document() {
    let place = many();
    let server = Serving::ready(&place, &["--set", "serve.body_bytes_max=4096"]);
    let long = format!(r#"{{"query": "{}"}}"#, "x".repeat(8000));
    for (body, status, code, part) in [
        ("query=x", 400, "invalid-parameter", "body"),
        ("[]", 400, "invalid-parameter", "body"),
        (r#"{"limit": 3}"#, 400, "invalid-parameter", "query"),
        (r#"{"query": "x", "limits": 3}"#, 400, "invalid-parameter", "limits"),
        (r#"{"query": "x", "limit": 0}"#, 400, "invalid-parameter", "1 to 200"),
        (r#"{"query": "x", "limit": 201}"#, 400, "invalid-parameter", "201"),
        (r#"{"query": "x", "limit": -1}"#, 400, "invalid-parameter", "-1"),
        (r#"{"query": "x", "channels": ["vector"]}"#, 400, "invalid-parameter", "vector"),
        (r#"{"query": "x", "languages": ["cobol"]}"#, 400, "invalid-parameter", "cobol"),
        (r#"{"query": "x", "globs": ["[z-a]"]}"#, 400, "invalid-parameter", "[z-a]"),
        (r#"{"query": "  "}"#, 400, "search-query-invalid", "empty"),
        (&long, 413, "body-too-large", "4096"),
    ] {
        let reply = server.post_text("/v1/search", body);
        let shown: String = body.chars().take(60).collect();
        assert_eq!(reply.status, status, "{shown}: {}", reply.text);
        assert_eq!(reply.header("content-type"), "application/problem+json", "{shown}");
        let problem = reply.json();
        assert_eq!(problem["code"], code, "{shown}");
        assert_eq!(problem["status"], status, "{shown}");
        assert_eq!(problem["type"], format!("urn:codeintel:problem:{code}"));
        assert!(problem["title"].is_string());
        assert!(problem["detail"].as_str().unwrap().contains(part), "{shown}: {}", reply.text);
        assert!(is_hex(reply.header("x-trace-id")), "{shown}");
        assert!(is_hex(reply.header("x-run-id")), "{shown}");
    }
    let mut garbage = Vec::new();
    let request = server.agent.post(server.url("/v1/search"));
    let sent = request.header("content-type", "application/json").send(&[0xff, 0xfe, 0x00][..]);
    sent.unwrap().body_mut().as_reader().read_to_end(&mut garbage).unwrap();
    assert!(String::from_utf8(garbage).unwrap().contains("invalid-parameter"));
}
