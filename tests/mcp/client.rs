//! Clients of the protocol: of a child process over its pipes, and of a server over HTTP.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use serde_json::{Map, Value, json};

use crate::support::{PATIENCE, Place, Reply, Serving};

/// The last revision that begins with a handshake, and the first without one.
pub const HANDSHAKE: &str = "2025-11-25";
pub const STATELESS: &str = "2026-07-28";

/// The parameters of `initialize`.
pub fn hello() -> Value {
    let client = json!({ "name": "test", "version": "1" });
    json!({ "protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": client })
}

/// `params` with the `_meta` that a request without a session needs, and with `meta`.
pub fn stateless(params: Value, meta: Value) -> Value {
    let mut own = json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    own.as_object_mut().unwrap().extend(object(meta));
    let mut params = object(params);
    params.insert("_meta".to_owned(), own);
    Value::Object(params)
}

pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null => Map::new(),
        other => panic!("not an object: {other}"),
    }
}

pub fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

pub fn calling(tool: &str, arguments: Value) -> Value {
    json!({ "name": tool, "arguments": arguments })
}

/// The result of a call: its text, its structured content, and the code of its problem.
#[derive(Debug)]
pub struct Called {
    pub text: String,
    pub json: Value,
    /// None if the call succeeded.
    pub problem: Option<String>,
    pub links: Vec<String>,
}

impl Called {
    #[track_caller]
    pub fn from(response: &Value) -> Self {
        let result = &response["result"];
        let content = result["content"].as_array().unwrap_or_else(|| panic!("{response}"));
        let code = &result["_meta"]["codeintel/problem"]["code"];
        let links = content.iter().filter(|block| block["type"] == "resource_link");
        let is_error = result["isError"] == true;
        assert_eq!(is_error, code.is_string(), "{response}");
        Self {
            text: content[0]["text"].as_str().unwrap().to_owned(),
            json: result["structuredContent"].clone(),
            problem: code.as_str().map(str::to_owned),
            links: links.map(|link| link["uri"].as_str().unwrap().to_owned()).collect(),
        }
    }

    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.problem, None, "{}", self.text);
        self.json
    }

    /// Asserts that the call failed with this code and a text that contains `parts`.
    #[track_caller]
    pub fn fails(&self, code: &str, parts: &[&str]) {
        assert_eq!(self.problem.as_deref(), Some(code), "{}", self.text);
        assert!(self.text.len() < 2000, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "{part:?} is missing from {}", self.text);
        }
    }
}

/// `codeintel mcp` and its pipes. The process is killed when this is dropped.
pub struct Pipes {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    next_id: u64,
    /// What the server sent without being asked, in order.
    pub notifications: Vec<Value>,
}

impl Pipes {
    /// Starts the server in `place` with more flags and variables.
    pub fn start(place: &Place, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = place.command(&[&["mcp"], flags].concat());
        command.envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        let reader = std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let input = child.stdin.take();
        Self { child, input, lines, reader: Some(reader), next_id: 1, notifications: Vec::new() }
    }

    /// As [`Pipes::start`], after the handshake and once there is an index.
    pub fn ready(place: &Place, flags: &[&str]) -> Self {
        let mut pipes = Self::start(place, flags, &[]);
        pipes.shake_hands();
        pipes.wait_for_index();
        pipes
    }

    pub fn shake_hands(&mut self) -> Value {
        let answer = self.ask("initialize", &hello());
        self.notify("notifications/initialized", &json!({}));
        answer
    }

    pub fn wait_for_index(&mut self) {
        let started = std::time::Instant::now();
        while self.call("index_status", json!({})).problem.is_some() {
            assert!(started.elapsed() < PATIENCE, "the index is not open");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    pub fn write(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line.as_bytes()).unwrap();
        input.write_all(b"\n").unwrap();
        input.flush().unwrap();
    }

    pub fn notify(&mut self, method: &str, params: &Value) {
        self.write(&json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    /// Sends a request and returns its id.
    pub fn send(&mut self, method: &str, params: &Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.write(&request(id, method, params).to_string());
        id
    }

    /// The next message. Every line must be one.
    pub fn message(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a message");
        let message: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("not of the protocol: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        message
    }

    /// Waits for the response to a request.
    pub fn response(&mut self, id: u64) -> Value {
        loop {
            let message = self.message();
            if message["id"] == id {
                return message;
            }
            assert!(message["method"].is_string(), "an unexpected response: {message}");
            self.notifications.push(message);
        }
    }

    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send(method, params);
        self.response(id)
    }

    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: Value) -> Called {
        Called::from(&self.ask("tools/call", &calling(tool, arguments)))
    }

    /// Closes standard input, and returns the exit code and the lines that were not read.
    pub fn close(mut self) -> (Option<i32>, Vec<String>) {
        drop(self.input.take());
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        (code, self.lines.try_iter().collect())
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The headers of a request without a session.
fn headers<'a>(method: &'a str, params: &'a Value) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", STATELESS),
        ("mcp-method", method),
    ];
    let name = params["name"].as_str().or(params["uri"].as_str());
    headers.extend(name.map(|name| ("mcp-name", name)));
    headers
}

/// The messages of a response, which is JSON or a stream of events.
pub fn messages(reply: &Reply) -> Vec<Value> {
    if reply.header("content-type").starts_with("application/json") {
        return vec![reply.json()];
    }
    let data = reply.text.lines().filter_map(|line| line.strip_prefix("data:"));
    let data = data.map(str::trim).filter(|data| !data.is_empty());
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// The last message of a response.
#[track_caller]
pub fn answer(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text);
    messages(reply).pop().unwrap_or_else(|| panic!("no message in {:?}", reply.text))
}

/// Posts one request without a session; `more` are further headers.
pub fn post(server: &Serving, method: &str, params: &Value, more: &[(&str, &str)]) -> Reply {
    let all = [headers(method, params), more.to_vec()].concat();
    server.post_with("/mcp", &all, &request(7, method, params))
}

pub fn ask(server: &Serving, method: &str, params: Value) -> Value {
    answer(&post(server, method, &stateless(params, json!({})), &[]))
}

#[track_caller]
pub fn call(server: &Serving, tool: &str, arguments: Value) -> Called {
    Called::from(&ask(server, "tools/call", calling(tool, arguments)))
}
