//! What do the tests of whole journeys share? A small repository, its index, and the binary.
//!
//! Everything lies in one temporary folder, the vector cache included. The model is a real BERT,
//! only tiny: what it finds is no good, but it always finds the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use codeintel::index::catalog::Catalog;

use codeintel::index::versions::DataFolder;

use codeintel::base::config::{SearchSettings, Settings};
use codeintel::base::error::Result;
use codeintel::base::telemetry::labels::Tool;
use codeintel::base::telemetry::{RunContext, Telemetry};
use codeintel::embedding::engine::Engine;
use codeintel::embedding::models;
use codeintel::index::versions::IndexVersion;
use codeintel::ingest::{Ingest, IngestReport};
use codeintel::search::{ChannelName, Query, Searcher};
use tempfile::TempDir;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_codeintel");

/// The folder of the tiny model.
pub fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bert")
}

pub fn cx() -> RunContext {
    RunContext::new(&Telemetry::detached(), Tool::Embed, &[])
}

/// A repository and its index, in a folder that goes away with it.
pub struct Place {
    pub temp: TempDir,
    pub repo: PathBuf,
    pub settings: Settings,
    engine: OnceLock<Engine>,
}

/// What a run of the binary came to.
#[derive(Debug)]
pub struct Ran {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// One result: path, first line, last line, text.
pub type Answer = (String, u32, u32, String);

impl Place {
    /// An empty repository. There is no vector cache: every vector is computed or taken over.
    pub fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let repo = temp.path().join("repo");
        fs::create_dir(&repo).unwrap();
        let mut settings = Settings::default();
        settings.data.dir = temp.path().join("data").display().to_string();
        settings.engine.cache_dir = temp.path().join("cache").display().to_string();
        settings.engine.cache_bytes_max = 0;
        settings.engine.threads = 1;
        settings.model.name = tiny_model().display().to_string();
        settings.source.history = false;
        Self { temp, repo, settings, engine: OnceLock::new() }
    }

    /// A repository with these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let place = Self::new();
        files.iter().for_each(|(path, text)| place.write(path, text));
        place
    }

    /// Another index of the same files, by the same engine and with the same settings.
    pub fn beside(&self) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let data_dir = temp.path().join("data").display().to_string();
        let mut settings = self.settings.clone();
        settings.data.dir = data_dir;
        Self { temp, repo: self.repo.clone(), settings, engine: OnceLock::from(self.engine()) }
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.repo.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.repo.join(path)).unwrap();
    }

    pub fn data(&self) -> DataFolder {
        DataFolder::new(&self.settings.data.dir)
    }

    pub fn version(&self) -> IndexVersion {
        self.data().current().unwrap()
    }

    pub fn catalog(&self) -> Catalog {
        Catalog::open(&self.version().folder.catalog()).unwrap()
    }

    pub fn engine(&self) -> Engine {
        let start = || {
            let folder = models::resolve(&self.settings.model.name, Path::new("")).unwrap();
            let cache = self.settings.engine.cache_folder(|_| None);
            Engine::start(&folder, &self.settings, cache.as_deref()).unwrap()
        };
        self.engine.get_or_init(start).clone()
    }

    pub fn try_index(&self, full: bool) -> Result<IngestReport> {
        let engine = self.engine();
        let ingest = Ingest::new(self.data(), self.settings.clone(), move || Ok(engine.clone()));
        ingest.run(std::slice::from_ref(&self.repo), full, &cx())
    }

    pub fn index(&self) -> IngestReport {
        self.try_index(false).unwrap()
    }

    pub fn searcher(&self) -> Searcher {
        Searcher::open(self.version(), Some(self.engine()), &self.settings).unwrap()
    }

    /// What the current version answers through these channels.
    pub fn ask(&self, text: &str, channels: &[ChannelName]) -> Vec<Answer> {
        ask(&self.searcher(), text, channels)
    }

    /// The binary, set up for this place; settings come by the environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .current_dir(self.temp.path())
            .env("CODEINTEL_DATA_DIR", &self.settings.data.dir)
            .env("CODEINTEL_ENGINE_CACHE_DIR", &self.settings.engine.cache_dir)
            .env("CODEINTEL_MODEL_NAME", &self.settings.model.name)
            .env("CODEINTEL_ENGINE_THREADS", "1")
            .env_remove("RUST_LOG")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// `codeintel index` of the repository, with more flags.
    pub fn run_index(&self, flags: &[&str]) -> Ran {
        let repo = self.repo.display().to_string();
        self.run(&[&["index", &repo], flags].concat())
    }

    /// The texts that `codeintel search` finds; it has to succeed.
    pub fn found(&self, query: &str, flags: &[&str]) -> Vec<String> {
        let ran = self.run(&[&["search", query, "--json"], flags].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.snippets()
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Asserts this exit code and one error that names all of `parts`.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.err.matches("error: ").count(), 1, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {self:?}");
        }
    }

    /// The texts of the findings of `search --json`.
    pub fn snippets(&self) -> Vec<String> {
        let answer: serde_json::Value = serde_json::from_str(&self.out).unwrap();
        let findings = answer["findings"].as_array().unwrap();
        findings.iter().map(|f| f["snippet"].as_str().unwrap().to_owned()).collect()
    }
}

/// As many answers as there may be, best first.
pub fn ask(searcher: &Searcher, text: &str, channels: &[ChannelName]) -> Vec<Answer> {
    let query = Query::new(text, 200, &SearchSettings::default()).unwrap();
    let query = query.with_channels(channels.to_vec()).unwrap();
    let answer = searcher.search(&query, &cx()).unwrap();
    let failed = |code: &str| code.starts_with("channel");
    let warnings = &answer.report.warnings;
    assert!(!warnings.iter().any(|warning| failed(warning.code)), "{warnings:?}");
    let rows = answer.findings.into_iter().map(|finding| finding.row);
    rows.map(|row| (row.path, row.start_line, row.end_line, row.text)).collect()
}

/// Whether some answer holds `text`.
pub fn holds(answers: &[Answer], text: &str) -> bool {
    answers.iter().any(|(.., found)| found.contains(text))
}

/// Waits until `done`, at most `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Numbers that look random and are the same in every run (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In 0..1.
    pub fn unit(&mut self) -> f64 {
        self.below(1 << 20) as f64 / (1 << 20) as f64
    }
}

const WORDS: [&str; 24] = [
    "parse", "token", "buffer", "socket", "cache", "vector", "index", "query", "merge", "commit",
    "branch", "thread", "mutex", "stream", "packet", "header", "cursor", "window", "layout",
    "render", "shader", "matrix", "kernel", "signal",
];

/// A Rust file of `functions` functions, each with its own name and words.
pub fn rust_file(seed: u64, functions: usize) -> String {
    let mut random = Random(seed);
    let mut word = || WORDS[random.below(WORDS.len())];
    let function = |i: usize| {
        let (a, b, c, d) = (word(), word(), word(), word());
        format!(
            "/// Takes the {a} to the {b}.\npub fn {c}_{d}_{seed}_{i}(input: &str) -> usize {{\n    \
             let {a} = input.len() + {i};\n    let {b} = {a} * {seed};\n    {a} + {b}\n}}\n\n"
        )
    };
    (0..functions).map(function).collect()
}
