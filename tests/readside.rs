//! What do the tests of the read journey and of the doors stand on?
//!
//! Small repositories in temporary folders, and every component real: the tiny BERT of
//! `tests/golden/bert` where only the machinery counts, MiniLM where the quality does.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use codeintel::base::config::{Settings, process_env};
use codeintel::base::telemetry::labels::Tool;
use codeintel::base::telemetry::{RunContext, Telemetry};
use codeintel::embedding::engine::Engine;
use codeintel::embedding::models;
use codeintel::index::versions::DataFolder;
use codeintel::ingest::{Ingest, IngestReport};
use codeintel::search::{Answer, ChannelName, Query, Searcher};
use tempfile::TempDir;

/// A repository with room for its index and its vector cache.
pub struct Place {
    folder: TempDir,
    pub settings: Settings,
}

/// The folder of the tiny BERT.
pub fn bert() -> String {
    format!("{}/tests/golden/bert", env!("CARGO_MANIFEST_DIR"))
}

impl Place {
    /// Over the tiny BERT.
    pub fn new(files: &[(&str, &str)]) -> Self {
        Self::with_model(files, &bert())
    }

    pub fn with_model(files: &[(&str, &str)], model: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let mut settings = Settings::default();
        settings.model.name = model.to_owned();
        settings.data.dir = inside("data");
        settings.engine.cache_dir = inside("cache");
        let place = Self { folder, settings };
        std::fs::create_dir(place.repo()).unwrap();
        files.iter().for_each(|(path, text)| place.write(path, text));
        place
    }

    pub fn indexed(files: &[(&str, &str)]) -> Self {
        let place = Self::new(files);
        place.index();
        place
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    pub fn data(&self) -> DataFolder {
        DataFolder::new(&self.settings.data.dir)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.repo().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn engine(&self) -> Engine {
        engine(&self.settings)
    }

    /// The write journey, which the binary's `index` command takes too.
    pub fn ingest(&self) -> Ingest {
        let settings = self.settings.clone();
        Ingest::new(self.data(), self.settings.clone(), move || Ok(engine(&settings)))
    }

    pub fn index(&self) -> IngestReport {
        self.ingest().run(&[self.repo()], false, &run()).unwrap()
    }

    pub fn searcher(&self) -> Searcher {
        self.searcher_with(Some(self.engine()))
    }

    pub fn searcher_with(&self, engine: Option<Engine>) -> Searcher {
        Searcher::open(self.data().current().unwrap(), engine, &self.settings).unwrap()
    }

    pub fn query(&self, text: &str, limit: usize) -> Query {
        Query::new(text, limit, &self.settings.search).unwrap()
    }

    /// The binary, in this place and with its settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codeintel"));
        let foreign = |name: &str| {
            ["CODEINTEL_", "CLICOLOR", "OTEL_", "PROMETHEUS_"].iter().any(|p| name.starts_with(p))
                || ["NO_COLOR", "RUST_LOG"].contains(&name)
        };
        for (name, _) in std::env::vars().filter(|(name, _)| foreign(name)) {
            command.env_remove(name);
        }
        command.current_dir(self.path()).args(args);
        command.env("CODEINTEL_DATA_DIR", &self.settings.data.dir);
        command.env("CODEINTEL_ENGINE_CACHE_DIR", &self.settings.engine.cache_dir);
        command.env("CODEINTEL_MODEL_NAME", &self.settings.model.name);
        command
    }

    pub fn cli(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }
}

/// What a finished process left.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

pub fn engine(settings: &Settings) -> Engine {
    let folder = models::resolve(&settings.model.name, &settings.model.folder(process_env));
    let cache = settings.engine.cache_folder(process_env);
    Engine::start(&folder.unwrap(), settings, cache.as_deref()).unwrap()
}

pub fn run() -> RunContext {
    RunContext::new(&Telemetry::detached(), Tool::Search, &Searcher::PLANNED)
}

#[track_caller]
pub fn ask(searcher: &Searcher, query: &Query) -> Answer {
    searcher.search(query, &run()).unwrap()
}

/// The paths of an answer, best first.
pub fn paths(answer: &Answer) -> Vec<&str> {
    answer.findings.iter().map(|f| f.row.path.as_str()).collect()
}

pub fn only(query: Query, channels: &[ChannelName]) -> Query {
    query.with_channels(channels.to_vec()).unwrap()
}

/// Every field of an answer's findings that is promised to be the same again.
pub fn fingerprint(answer: &Answer) -> String {
    let line = |f: &codeintel::search::Finding| {
        format!("{} {} {:?} {:?}", f.row.id.0, f.row.path, f.score, f.why)
    };
    answer.findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Some forty files in three languages with near-duplicate names, and a document.
pub fn many_files() -> Vec<(String, String)> {
    let nouns = ["header", "body", "footer", "packet", "frame", "token", "stream", "segment"];
    let verbs = ["parse", "write", "check", "merge", "split"];
    let mut files = Vec::new();
    for (n, noun) in nouns.iter().enumerate() {
        for (v, verb) in verbs.iter().enumerate() {
            let (path, text) = match (n + v) % 3 {
                0 => (
                    format!("src/{noun}/{verb}.rs"),
                    format!(
                        "//! How is a {noun} handled?\n\n/// {verb} one {noun}.\n\
                         pub fn {verb}_{noun}(input: &[u8]) -> usize {{\n    \
                         let mut n = {n};\n    for byte in input {{\n        \
                         n += usize::from(*byte) * {v};\n    }}\n    n\n}}\n\n\
                         /// The state while a {noun} is {verb}d.\n\
                         pub struct {noun}_{verb}_state {{\n    pub offset: usize,\n}}\n"
                    ),
                ),
                1 => (
                    format!("lib/{noun}_{verb}.py"),
                    format!(
                        "\"\"\"{verb} a {noun}.\"\"\"\n\n\ndef {verb}_{noun}(data, limit={n}):\n    \
                         \"\"\"Give the {noun} that data holds.\"\"\"\n    \
                         return [item for item in data if item > limit * {v}]\n"
                    ),
                ),
                _ => (
                    format!("cmd/{verb}{noun}/main.go"),
                    format!(
                        "package main\n\n// {verb}_{noun} works on one {noun}.\n\
                         func {verb}_{noun}(input []byte) int {{\n\ttotal := {n}\n\t\
                         for _, b := range input {{\n\t\ttotal += int(b) * {v}\n\t}}\n\t\
                         return total\n}}\n"
                    ),
                ),
            };
            files.push((path, text));
        }
    }
    let text = "# Packets\n\nA packet has a header, a body and a footer.\n\n\
        ## Limits\n\nA body has at most 4096 bytes.\n";
    files.push(("docs/format.md".to_owned(), text.to_owned()));
    files
}

pub fn many() -> Place {
    let files = many_files();
    let files: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    Place::indexed(&files)
}
