//! A scripted endpoint for the tests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::D;

/// What the endpoint does with one request.
#[derive(Clone)]
pub enum Does {
    /// Responds with vectors of this many values, as base64.
    Answers(usize),
    AnswersFloats,
    /// Responds with this status to more than this many texts, otherwise with vectors.
    Takes(usize, u16),
    /// Responds with a status, additional headers and a body.
    Says(u16, &'static str, &'static str),
    /// Responds with numbers that are not finite for texts that contain this word, as base64 or as
    /// JSON.
    NotFiniteFor(&'static str, bool),
    /// Responds with status 500 to requests with a text that contains this word.
    FailsOn(&'static str),
    /// Sends half of the announced response.
    BreaksOff,
    /// Never responds.
    Hangs,
    /// Closes the connection.
    HangsUp,
}

#[derive(Default)]
pub struct Seen {
    pub requests: Mutex<Vec<(BTreeMap<String, String>, Value)>>,
    under_way: AtomicUsize,
    pub most: AtomicUsize,
}

/// A server that follows its script and then repeats the last step.
pub struct Endpoint {
    pub url: String,
    pub seen: Arc<Seen>,
}

impl Endpoint {
    pub fn start(script: &[Does]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Seen>::default();
        let (script, shared) = (script.to_vec(), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(|stream| stream.ok()) {
                let (script, seen) = (script.clone(), shared.clone());
                std::thread::spawn(move || serve(stream, &script, &seen));
            }
        });
        Self { url, seen }
    }

    pub fn count(&self) -> usize {
        self.seen.requests.lock().unwrap().len()
    }

    pub fn wait_for(&self, requests: usize) {
        let began = Instant::now();
        while self.count() < requests {
            assert!(began.elapsed() < Duration::from_secs(120), "no request came");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn serve(stream: TcpStream, script: &[Does], seen: &Seen) {
    let Some((headers, body)) = request(&stream) else { return };
    let now = seen.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(now, Ordering::SeqCst);
    let number = {
        let mut requests = seen.requests.lock().unwrap();
        requests.push((headers, body.clone()));
        requests.len() - 1
    };
    let does = &script[number.min(script.len() - 1)];
    if matches!(does, Does::Answers(_)) {
        // The delay makes parallel requests overlap.
        std::thread::sleep(Duration::from_millis(2));
    }
    seen.under_way.fetch_sub(1, Ordering::SeqCst);
    let (status, headers, body, announced) = match does {
        Does::Hangs => loop {
            std::thread::park();
        },
        Does::HangsUp => return,
        Does::Answers(d) => (200, "", answer(&body, *d, true), None),
        Does::AnswersFloats => (200, "", answer(&body, D, false), None),
        Does::Takes(most, status) => {
            if body["input"].as_array().unwrap().len() > *most {
                (*status, "", "too many".to_owned(), None)
            } else {
                (200, "", answer(&body, D, true), None)
            }
        }
        Does::NotFiniteFor(word, base64) => {
            let value = |text: &str| if text.contains(word) { f32::NAN } else { 1.0 };
            (200, "", answer_with(&body, D, *base64, value), None)
        }
        Does::FailsOn(word) if body["input"].to_string().contains(word) => {
            (500, "", "no memory".to_owned(), None)
        }
        Does::FailsOn(_) => (200, "", answer(&body, D, true), None),
        Does::Says(status, headers, text) => (*status, *headers, (*text).to_owned(), None),
        Does::BreaksOff => (200, "", "{\"data\": [".to_owned(), Some(4096)),
    };
    let bytes = announced.unwrap_or(body.len());
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {bytes}\r\n{headers}\r\n"
    );
    // A caller that closed the connection does not matter.
    let _ = (&stream).write_all((head + &body).as_bytes());
}

fn request(stream: &TcpStream) -> Option<(BTreeMap<String, String>, Value)> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut headers) = (String::new(), BTreeMap::new());
    reader.read_line(&mut line).ok()?;
    headers.insert("route".to_owned(), line.trim().to_owned());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((headers, serde_json::from_slice(&body).ok()?))
}

/// A vector that depends on the text alone.
pub fn vector(text: &str, d: usize) -> Vec<f32> {
    let sum: u32 = text.bytes().map(u32::from).sum();
    (0..d).map(|i| if i == 0 { text.len() as f32 } else { sum as f32 / i as f32 }).collect()
}

fn answer(body: &Value, d: usize, base64: bool) -> String {
    answer_with(body, d, base64, |_| 1.0)
}

/// factor: what the vector of a text is multiplied with.
fn answer_with(body: &Value, d: usize, base64: bool, factor: impl Fn(&str) -> f32) -> String {
    let item = |(i, text): (usize, &Value)| {
        let text = text.as_str().unwrap();
        let mut values = vector(text, d);
        values.iter_mut().for_each(|value| *value *= factor(text));
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        json!({ "index": i, "embedding": if base64 { json!(text) } else { json!(values) } })
    };
    let mut data: Vec<_> = body["input"].as_array().unwrap().iter().enumerate().map(item).collect();
    data.reverse();
    json!({ "data": data, "usage": { "prompt_tokens": 5 } }).to_string()
}
