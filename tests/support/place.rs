//! A small repository with its index, its vector cache and its engine, in a temporary folder.
//!
//! Every component is real. The model is the tiny BERT, unless a test is about quality.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use codeintel::base::config::{Settings, process_env};
use codeintel::base::error::Result;
use codeintel::base::telemetry::labels::Tool;
use codeintel::base::telemetry::{RunContext, Telemetry};
use codeintel::embedding::engine::Engine;
use codeintel::embedding::models;
use codeintel::index::catalog::Catalog;
use codeintel::index::versions::{DataFolder, IndexVersion};
use codeintel::ingest::{Expanders, Ingest, IngestReport};
use codeintel::search::{Answer, ChannelName, Engines, Finding, Query, Searcher};
use tempfile::TempDir;

use super::{BINARY, Ran, tiny_model};

pub struct Place {
    folder: TempDir,
    repo: PathBuf,
    pub settings: Settings,
    /// Started when it is first needed.
    engine: OnceLock<Engine>,
}

impl Place {
    /// A repository with these files, and the tiny model.
    pub fn new(files: &[(&str, &str)]) -> Self {
        Self::with_model(files, &tiny_model())
    }

    pub fn with_model(files: &[(&str, &str)], model: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let mut settings = Settings::default();
        settings.model.name = model.to_owned();
        settings.data.dir = inside("data");
        settings.engine.cache_dir = inside("cache");
        let repo = folder.path().join("repo");
        fs::create_dir(&repo).unwrap();
        let place = Self { folder, repo, settings, engine: OnceLock::new() };
        files.iter().for_each(|(path, text)| place.write(path, text));
        place
    }

    /// As [`Place::new`], but without a vector cache, so that every vector is computed or taken
    /// from the version before, and with one thread.
    pub fn uncached(files: &[(&str, &str)]) -> Self {
        let mut place = Self::new(files);
        place.settings.engine.cache_bytes_max = 0;
        place.settings.engine.threads = 1;
        place
    }

    pub fn indexed(files: &[(&str, &str)]) -> Self {
        let place = Self::new(files);
        place.index();
        place
    }

    /// A place for another index of the same files, with the same engine and the same settings.
    pub fn beside(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = self.settings.clone();
        settings.data.dir = folder.path().join("data").display().to_string();
        Self { folder, repo: self.repo.clone(), settings, engine: self.engine().into() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn repo(&self) -> &Path {
        &self.repo
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.repo.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.repo.join(path)).unwrap();
    }
}

/// The index, through the library.
impl Place {
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
        self.engine.get_or_init(|| engine(&self.settings)).clone()
    }

    /// The write pipeline, as the command `index` uses it.
    pub fn ingest(&self) -> Ingest {
        let engine = self.engine();
        Ingest::new(self.data(), self.settings.clone(), move || Ok(engine.clone()))
    }

    pub fn try_index(&self, full: bool) -> Result<IngestReport> {
        self.ingest().run(std::slice::from_ref(&self.repo), full, &cx())
    }

    pub fn index(&self) -> IngestReport {
        self.try_index(false).unwrap()
    }

    pub fn searcher(&self) -> Searcher {
        self.searcher_with(Some(self.engine()))
    }

    pub fn searcher_with(&self, engine: Option<Engine>) -> Searcher {
        let version = self.version();
        let expanders = Expanders::new(self.settings.clone());
        let sparse = version.manifest.sparse.as_ref();
        let sparse = sparse.map(|record| expanders.for_queries(record).unwrap().engine);
        let engines = Engines { dense: engine, sparse, rerank: None };
        Searcher::open_with(version, engines, &self.settings).unwrap()
    }

    pub fn query(&self, text: &str, limit: usize) -> Query {
        Query::new(text, limit, &self.settings.search).unwrap()
    }
}

/// The index, through the binary.
impl Place {
    /// The binary in this place, set up by environment variables alone.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        let foreign = |name: &str| {
            ["CODEINTEL_", "CLICOLOR", "OTEL_", "PROMETHEUS_"].iter().any(|p| name.starts_with(p))
                || ["NO_COLOR", "RUST_LOG"].contains(&name)
        };
        for (name, _) in std::env::vars().filter(|(name, _)| foreign(name)) {
            command.env_remove(name);
        }
        command
            .current_dir(self.path())
            .env("CODEINTEL_DATA_DIR", &self.settings.data.dir)
            .env("CODEINTEL_ENGINE_CACHE_DIR", &self.settings.engine.cache_dir)
            .env("CODEINTEL_ENGINE_THREADS", self.settings.engine.threads.to_string())
            .env("CODEINTEL_MODEL_NAME", &self.settings.model.name)
            .args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// `codeintel index` of the repository, with more flags.
    pub fn run_index(&self, flags: &[&str]) -> Ran {
        self.run(&[&["index", "repo"], flags].concat())
    }

    /// The snippets that `codeintel search` finds.
    #[track_caller]
    pub fn found(&self, query: &str, flags: &[&str]) -> Vec<String> {
        self.run(&[&["search", query, "--json"], flags].concat()).snippets()
    }
}

pub fn engine(settings: &Settings) -> Engine {
    let folder = models::resolve(&settings.model.name, &settings.model.places(process_env));
    let cache = settings.engine.cache_folder(process_env);
    Engine::start(&folder.unwrap(), settings, cache.as_deref()).unwrap()
}

pub fn cx() -> RunContext {
    RunContext::new(&Telemetry::detached(), Tool::Search, &Searcher::PLANNED)
}

#[track_caller]
pub fn ask(searcher: &Searcher, query: &Query) -> Answer {
    searcher.search(query, &cx()).unwrap()
}

/// The channels that are asked if a query names no file, in an index without a sparse model.
pub const CONTENT_CHANNELS: [ChannelName; 3] =
    [ChannelName::Dense, ChannelName::Lexical, ChannelName::Symbol];

/// `query` for these channels alone.
pub fn only(query: Query, channels: &[ChannelName]) -> Query {
    query.with_channels(channels.to_vec()).unwrap()
}

/// The paths of an answer, best first.
pub fn paths(answer: &Answer) -> Vec<&str> {
    answer.findings.iter().map(|f| f.row.path.as_str()).collect()
}

/// Every field of the findings that must be the same when the query is repeated.
pub fn fingerprint(answer: &Answer) -> String {
    let line = |f: &Finding| format!("{} {} {:?} {:?}", f.row.id.0, f.row.path, f.score, f.why);
    answer.findings.iter().map(line).collect::<Vec<_>>().join("\n")
}
