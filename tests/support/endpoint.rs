//! An OpenAI-compatible endpoint that can be made to accept requests and never answer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Values of a vector of the tiny model.
const D: usize = 64;
/// The text with which a client asks for the length of the vectors. It is always answered.
const PROBE: &str = "codeintel";

/// One request that it received.
#[derive(Clone)]
pub struct Asked {
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub texts: Vec<String>,
}

#[derive(Default)]
struct Seen {
    hangs: AtomicBool,
    asked: Mutex<Vec<Asked>>,
    /// Requests without an answer whose client has closed the connection.
    given_up: AtomicUsize,
}

pub struct Endpoint {
    pub url: String,
    seen: Arc<Seen>,
}

impl Endpoint {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Seen>::default();
        let shared = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = shared.clone();
                std::thread::spawn(move || answer_all(stream, &seen));
            }
        });
        Self { url, seen }
    }

    /// From now on it never answers.
    pub fn hang(&self) {
        self.seen.hangs.store(true, Ordering::SeqCst);
    }

    /// The requests that it did not answer.
    pub fn asked(&self) -> Vec<Asked> {
        self.seen.asked.lock().unwrap().clone()
    }

    /// The number of unanswered requests whose client gave up.
    pub fn given_up(&self) -> usize {
        self.seen.given_up.load(Ordering::SeqCst)
    }

    /// The flags with which `codeintel` embeds here, without a cache.
    pub fn flags(&self) -> Vec<String> {
        let url = format!("endpoint.url={}", self.url);
        let settings =
            ["vllm.mode=http", &url, "endpoint.timeout_ms=600000", "engine.cache_bytes_max=0"];
        settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]).collect()
    }
}

fn answer_all(stream: TcpStream, seen: &Seen) {
    let mut reader = BufReader::new(&stream);
    while let Some(asked) = read(&mut reader) {
        if seen.hangs.load(Ordering::SeqCst) && asked.texts != [PROBE] {
            seen.asked.lock().unwrap().push(asked);
            // Returns once the client has closed the connection.
            let _ = reader.read(&mut [0]);
            seen.given_up.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let item = |(i, text): (usize, &String)| json!({ "index": i, "embedding": vector(text) });
        let data: Vec<Value> = asked.texts.iter().enumerate().map(item).collect();
        let body = json!({ "data": data, "usage": { "prompt_tokens": 1 } }).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        // A client that is gone does not matter.
        let _ = (&stream).write_all((head + &body).as_bytes());
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let (mut line, mut headers) = (String::new(), BTreeMap::new());
    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = match &body["input"] {
        Value::Array(texts) => texts.iter().map(text).collect(),
        one => vec![text(one)],
    };
    Some(Asked { headers, texts })
}

/// A vector that depends on the text alone.
fn vector(text: &str) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(text.bytes().map(u64::from).sum());
    (0..D).map(|_| random.f32() - 0.5).collect()
}
