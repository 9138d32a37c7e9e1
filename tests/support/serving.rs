//! A running `codeintel serve`, and its replies.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use super::{PATIENCE, Place, signal, wait_for};

/// A server process, which is killed when this is dropped.
pub struct Serving {
    child: Child,
    pub address: String,
    /// What the server has written to standard error so far.
    pub stderr_text: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
    pub agent: ureq::Agent,
}

/// The reply to one request, with its body.
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
        Self::spawn(place.command(&args))
    }

    /// Runs `command`, which starts a server, and waits until it listens.
    pub fn spawn(mut command: Command) -> Self {
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

    /// As [`Serving::start`], for a place with an index; waits until the server is ready.
    pub fn ready(place: &Place, flags: &[&str]) -> Self {
        let server = Self::start(place, flags);
        server.wait_until_ready();
        server
    }

    /// Waits for the engine and for an index.
    pub fn wait_until_ready(&self) {
        let is_ready = |name| self.probe(name)["ready"] == true;
        wait_for("readiness", || is_ready("engine") && is_ready("index"));
    }

    pub fn wait_for_engine(&self) {
        wait_for("the engine", || self.probe("engine")["ready"] == true);
    }

    /// One probe of `/readyz`: `engine` or `index`.
    pub fn probe(&self, name: &str) -> Value {
        self.get("/readyz").json()["probes"][name].clone()
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

    pub fn post_with(&self, route: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let request = self.agent.post(self.url(route));
        let with = |request: ureq::RequestBuilder<_>, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        reply(headers.iter().fold(request, with).send_json(body))
    }

    pub fn post_text(&self, route: &str, body: &str) -> Reply {
        let request = self.agent.post(self.url(route));
        reply(request.header("content-type", "application/json").send(body))
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// All that it wrote to standard error, once it has ended.
    pub fn whole_stderr(&mut self) -> String {
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
        self.stderr_text.lock().unwrap().clone()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the process to end by itself, and returns its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        wait_for("the end of the process", || !self.is_running());
        self.child.wait().unwrap().code()
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

pub fn is_hex(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
