//! A hub of models on this machine: its file API, and the storage of its large files beside it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use sha2::{Digest, Sha256};

/// The token that a gated repository accepts.
pub const TOKEN: &str = "hf_of_a_member";

/// One request that the hub or its storage received.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET /org/model/resolve/…`; those of the storage begin with `/storage/`.
    pub line: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

#[derive(Default)]
struct State {
    /// The files of each commit of each repository, by their paths.
    repositories: BTreeMap<String, BTreeMap<String, BTreeMap<String, Vec<u8>>>>,
    /// The commit of the branch main.
    main: BTreeMap<String, String>,
    gated: Vec<String>,
    /// How many connections for a large file break off half way.
    cuts: usize,
    /// The size that is announced for large files, if not their own.
    announced: Option<u64>,
    seen: Vec<Request>,
    storage: String,
}

pub struct Hub {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let url = listen(&state);
        // Another port is another origin, as the storage of a real hub is.
        let storage = listen(&state);
        state.lock().unwrap().storage = storage;
        Self { url, state }
    }

    /// Publishes the files in `folder` as `commit` of `repository`, on the branch main.
    pub fn publish(&self, repository: &str, commit: &str, folder: &Path) {
        let mut files = BTreeMap::new();
        read(folder, "", &mut files);
        let mut state = self.state.lock().unwrap();
        let commits = state.repositories.entry(repository.to_owned()).or_default();
        commits.insert(commit.to_owned(), files);
        state.main.insert(repository.to_owned(), commit.to_owned());
    }

    /// Replaces or adds one file of a commit.
    pub fn write(&self, repository: &str, commit: &str, path: &str, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        let commits = state.repositories.get_mut(repository).unwrap();
        commits.get_mut(commit).unwrap().insert(path.to_owned(), bytes.to_vec());
    }

    pub fn gate(&self, repository: &str) {
        self.state.lock().unwrap().gated.push(repository.to_owned());
    }

    pub fn cut(&self, connections: usize) {
        self.state.lock().unwrap().cuts = connections;
    }

    pub fn announce(&self, bytes: Option<u64>) {
        self.state.lock().unwrap().announced = bytes;
    }

    /// Takes the requests since the last call.
    pub fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }
}

/// The tag of a large file.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            read(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

fn listen(state: &Arc<Mutex<State>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let state = state.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let state = state.clone();
            std::thread::spawn(move || answer(&stream, &state));
        }
    });
    url
}

/// What is sent: a status, headers, and the body with the length that is announced.
struct Response {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body that are sent before the connection ends.
    sent: usize,
}

impl Response {
    fn new(status: &'static str, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), sent: body.len(), body }
    }

    fn failed(status: &'static str, code: &str) -> Self {
        Self::new(status, Vec::new()).with("X-Error-Code", code)
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

fn answer(stream: &TcpStream, state: &Mutex<State>) {
    let Some(request) = receive(stream) else { return };
    let mut state = state.lock().unwrap();
    state.seen.push(request.clone());
    let (method, path) = request.line.split_once(' ').unwrap();
    let response = state.respond(path, &request);
    drop(state);
    let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", response.status);
    let known = response.headers.iter().any(|(name, _)| *name == "Content-Length");
    if !known {
        head += &format!("Content-Length: {}\r\n", response.body.len());
    }
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let body = if method == "HEAD" { &[][..] } else { &response.body[..response.sent] };
    // A client that is gone does not matter.
    let _ = (&*stream).write_all(&[head.as_bytes(), body].concat());
}

fn receive(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let line = lines.next()?.strip_suffix(" HTTP/1.1")?.to_owned();
    let (mut range, mut authorization) = (None, None);
    for header in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = header.split_once(": ")?;
        match name.to_lowercase().as_str() {
            "range" => range = Some(value.to_owned()),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(Request { line, range, authorization })
}

impl State {
    fn respond(&mut self, path: &str, request: &Request) -> Response {
        if let Some(stored) = path.strip_prefix("/storage/") {
            return self.stored(stored, request);
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (org, model, revision, file) = match parts[..] {
            ["api", "models", org, model, "revision", revision] => (org, model, revision, None),
            [org, model, "resolve", revision, ref file @ ..] => {
                (org, model, revision, Some(file.join("/")))
            }
            _ => return Response::failed("404 Not Found", ""),
        };
        let name = format!("{org}/{model}");
        let Some(commits) = self.repositories.get(&name) else {
            // As the real hub answers a client without a token.
            return Response::failed("401 Unauthorized", "RepoNotFound");
        };
        let commit = if revision == "main" { self.main[&name].as_str() } else { revision };
        let Some(files) = commits.get(commit) else {
            return Response::failed("404 Not Found", "RevisionNotFound");
        };
        let Some(file) = file else {
            let siblings: Vec<_> = files.keys().map(|path| json!({ "rfilename": path })).collect();
            let info =
                json!({ "id": name, "sha": commit, "siblings": siblings, "tags": ["license:mit"] });
            return Response::new("200 OK", info.to_string().into_bytes());
        };
        if self.gated.contains(&name) {
            match request.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer ")) {
                Some(TOKEN) => {}
                Some(_) => return Response::failed("403 Forbidden", "GatedRepo"),
                None => return Response::failed("401 Unauthorized", "GatedRepo"),
            }
        }
        let Some(bytes) = files.get(&file) else {
            return Response::failed("404 Not Found", "EntryNotFound");
        };
        let tag = sha256(bytes);
        if file.ends_with(".safetensors") {
            let bytes = self.announced.unwrap_or(bytes.len() as u64);
            let to = format!("{}/storage/{name}/{commit}/{file}", self.storage);
            return Response::new("302 Found", Vec::new())
                .with("Location", to)
                .with("X-Repo-Commit", commit)
                .with("X-Linked-Etag", format!("\"{tag}\""))
                .with("X-Linked-Size", bytes);
        }
        Response::new("200 OK", bytes.clone())
            .with("ETag", format!("\"{}\"", &tag[..40]))
            .with("X-Repo-Commit", commit)
    }

    fn stored(&mut self, path: &str, request: &Request) -> Response {
        let mut parts = path.splitn(4, '/');
        let name = format!("{}/{}", parts.next().unwrap(), parts.next().unwrap());
        let bytes = &self.repositories[&name][parts.next().unwrap()][parts.next().unwrap()];
        let from = request.range.as_deref().map(|range| {
            let from = range.strip_prefix("bytes=").unwrap().trim_end_matches('-');
            from.parse::<usize>().unwrap()
        });
        let rest = bytes[from.unwrap_or(0)..].to_vec();
        let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
        let range = format!("bytes {}-{}/{}", from.unwrap_or(0), bytes.len() - 1, bytes.len());
        let mut response = Response::new(status, rest).with("Content-Range", range);
        if self.cuts > 0 {
            self.cuts -= 1;
            response.sent /= 2;
        }
        response
    }
}
