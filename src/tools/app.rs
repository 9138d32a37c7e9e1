//! The shared state of every interface: the engine and the current version of the index.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::runs::RunFolder;
use super::session_scopes::SessionScopes;
use crate::base::config::{Settings, VllmMode, process_env};
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{RunContext, Telemetry};
use crate::corpus::git::BlameCache;
use crate::corpus::source::Repo;
use crate::embedding::engine::{Engine, EngineOptions};
use crate::embedding::models;
use crate::index::versions::{DataFolder, IndexVersion};
use crate::ingest::{Ingest, watch};
use crate::search::Searcher;

/// How long an update waits for another one, and how often it looks.
const LOCK_WAIT: Duration = Duration::from_secs(60);
const LOCK_RETRY: Duration = Duration::from_millis(250);

/// The wait before a server asks an endpoint again that did not answer when it started. It doubles
/// with each failure up to the maximum.
const ENDPOINT_WAIT_MIN: Duration = Duration::from_millis(500);
const ENDPOINT_WAIT_MAX: Duration = Duration::from_secs(5);

/// The engine and the searcher, with what they were opened from. Cloning shares them.
///
/// A server loads them once with [`App::warm`] and follows new versions with [`App::refresh`]; a
/// command that runs one query opens them with [`App::open`].
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    settings: Settings,
    telemetry: Telemetry,
    data: DataFolder,
    runs: Arc<RunFolder>,
    engine: Slot<Engine>,
    searcher: Slot<Arc<Searcher>>,
    scopes: SessionScopes,
    blame_cache: BlameCache,
    /// Whether loading the engine has finished or failed. The lock is held while a version is
    /// opened, so that each version is opened once.
    warmed: Mutex<bool>,
}

/// An open value, or the error that explains why it is not open.
struct Slot<T>(RwLock<Result<T, Arc<Error>>>);

impl<T: Clone> Slot<T> {
    fn loading(what: &str) -> Self {
        let remedy = "it is still being loaded; try again".to_owned();
        Self(RwLock::new(Err(Error::Unavailable { what: what.to_owned(), remedy }.into())))
    }

    fn get(&self) -> Result<T, Arc<Error>> {
        self.0.read().clone()
    }

    fn set(&self, value: Result<T>) {
        *self.0.write() = value.map_err(Arc::new);
    }
}

impl App {
    /// Creates the state without opening anything.
    pub fn new(settings: Settings, telemetry: Telemetry, data: DataFolder) -> Self {
        Self(Arc::new(Shared {
            runs: Arc::new(RunFolder::new(&data, &settings.telemetry)),
            settings,
            telemetry,
            data,
            engine: Slot::loading("the embedding model"),
            searcher: Slot::loading("the index"),
            scopes: SessionScopes::default(),
            blame_cache: BlameCache::default(),
            warmed: Mutex::new(false),
        }))
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    pub fn data(&self) -> &DataFolder {
        &self.0.data
    }

    /// The reports of past runs.
    pub fn runs(&self) -> &Arc<RunFolder> {
        &self.0.runs
    }

    /// The engine that [`App::warm`] or [`App::open`] started.
    pub fn engine(&self) -> Result<Engine, Arc<Error>> {
        self.0.engine.get()
    }

    /// The searcher of the version that is open.
    pub fn searcher(&self) -> Result<Arc<Searcher>, Arc<Error>> {
        self.0.searcher.get()
    }
}

/// Methods for tools.
impl App {
    /// The scopes that sessions have set.
    pub(super) fn scopes(&self) -> &SessionScopes {
        &self.0.scopes
    }

    /// The commits of lines that were looked up before.
    pub(super) fn blame_cache(&self) -> &BlameCache {
        &self.0.blame_cache
    }

    /// The files on disk that the open version was made from.
    pub(super) fn repo(&self) -> Result<Repo, Arc<Error>> {
        let searcher = self.searcher()?;
        let roots = searcher.version().manifest.roots.iter().map(PathBuf::from);
        Ok(Repo::open(&roots.collect::<Vec<_>>(), self.settings())?)
    }

    /// The write pipeline, with the engine that is open or else one of its own.
    pub(super) fn ingest(&self) -> Ingest {
        let app = self.clone();
        Ingest::new(self.data().clone(), self.settings().clone(), move || match app.engine() {
            Ok(engine) => Ok(engine),
            Err(_) => app.start_warm_engine(),
        })
    }

    /// Keeps the index up to date with `roots`, or else with the roots of the index or the current
    /// folder, until watching fails. The first update begins at once.
    pub fn watch(&self, roots: Vec<PathBuf>) -> Result<()> {
        let roots = if roots.is_empty() { self.roots() } else { roots };
        let ingest = self.ingest();
        watch(&roots, self.data().path(), |_| {
            let update = || {
                let run = RunContext::new(self.telemetry(), Tool::Ingest, &Ingest::PLANNED);
                let result = ingest.run(&roots, false, &run);
                // Waiting for another update is no failure to keep a report of.
                if !matches!(result, Err(Error::IndexLocked { .. })) {
                    run.finish(result.as_ref().err());
                }
                result
            };
            match when_unlocked(update) {
                Ok(_) => self.refresh(),
                // The next change may resolve the error.
                Err(error) => tracing::error!(%error, "the index could not be updated"),
            }
            Ok(true)
        })
    }

    /// The roots of the index, or else the current folder.
    fn roots(&self) -> Vec<PathBuf> {
        match self.data().current() {
            Ok(version) => version.manifest.roots.iter().map(PathBuf::from).collect(),
            Err(_) => vec![PathBuf::from(".")],
        }
    }
}

/// Runs `write` again while another run writes the index, which may have read the files too early.
fn when_unlocked<T>(write: impl Fn() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        match write() {
            Err(Error::IndexLocked { .. }) if started.elapsed() < LOCK_WAIT => {
                std::thread::sleep(LOCK_RETRY);
            }
            result => return result,
        }
    }
}

/// Methods that start an engine.
impl App {
    /// Starts an engine with the model of the settings.
    pub fn start_engine(&self, options: EngineOptions) -> Result<Engine> {
        start_engine(self.settings(), &self.settings().model.name, options)
    }

    /// Starts an engine with the model of the settings and warms it up.
    pub fn start_warm_engine(&self) -> Result<Engine> {
        let engine = self.start_engine(EngineOptions::default())?;
        engine.warm_up()?;
        Ok(engine)
    }
}

/// `model` is a name or a folder.
fn start_engine(settings: &Settings, model: &str, options: EngineOptions) -> Result<Engine> {
    let folder = models::resolve(model, &settings.model.folder(process_env))?;
    let cache = settings.engine.cache_folder(process_env);
    Engine::start_with(&folder, settings, cache.as_deref(), options)
}

/// Methods that open the engine and the index.
impl App {
    /// Opens the current version and, with `with_engine`, starts an engine with its model. It is
    /// meant for a command that runs one query.
    pub fn open(&self, with_engine: bool) -> Result<()> {
        let version = self.data().current()?;
        let engine = if with_engine {
            let model = self.model_for(&version);
            Some(start_engine(self.settings(), model, EngineOptions::default())?)
        } else {
            None
        };
        let searcher = Searcher::open(version, engine.clone(), self.settings())?;
        if let Some(engine) = engine {
            self.0.engine.set(Ok(engine));
        }
        self.0.searcher.set(Ok(Arc::new(searcher)));
        Ok(())
    }

    /// The model of the settings if one is set, otherwise the model of the index.
    fn model_for<'a>(&'a self, version: &'a IndexVersion) -> &'a str {
        let set = &self.settings().model.name;
        if *set == Settings::default().model.name { &version.manifest.model.name } else { set }
    }

    /// Starts the engine with `start` and opens the current version; each becomes ready on its own.
    /// If the engine depends on an endpoint that does not answer yet, `start` is called again until
    /// it does. Meanwhile searches use the channels that need no vectors.
    pub fn warm(&self, start: impl Fn() -> Result<Engine>) {
        let mut wait = ENDPOINT_WAIT_MIN;
        let mut last = String::new();
        loop {
            let (engine, retries) = match start() {
                Ok(engine) => (Ok(engine), false),
                Err(error) => {
                    let (error, retries) = self.to_be_retried(error);
                    if error.to_string() != last {
                        tracing::error!(%error, "the embedding model could not be loaded");
                        last = error.to_string();
                    }
                    (Err(error), retries)
                }
            };
            let mut warmed = self.0.warmed.lock();
            if *warmed && let Ok(engine) = &engine {
                // A searcher without the engine is replaced before the engine counts as ready.
                self.open_current(&warmed, Some(engine.clone()), true);
            }
            self.0.engine.set(engine);
            *warmed = true;
            self.open_current(&warmed, self.engine().ok(), false);
            drop(warmed);
            if !retries {
                return;
            }
            std::thread::sleep(wait);
            wait = (2 * wait).min(ENDPOINT_WAIT_MAX);
        }
    }

    /// Whether starting the engine may succeed later by itself, with the error that says so.
    fn to_be_retried(&self, error: Error) -> (Error, bool) {
        match error {
            Error::Unavailable { what, remedy }
                if self.settings().vllm.mode != VllmMode::Inproc =>
            {
                let remedy = format!("{remedy}; it is asked again until it answers");
                (Error::Unavailable { what, remedy }, true)
            }
            error => (error, false),
        }
    }

    /// Opens the current version unless it is already open. Requests in progress keep the version
    /// that they started with.
    pub fn refresh(&self) {
        let warmed = self.0.warmed.lock();
        if *warmed {
            self.open_current(&warmed, self.engine().ok(), false);
        }
    }

    /// engine: what embeds queries. again: open the version even if it is already open. _opening:
    /// held, so that each version is opened once.
    fn open_current(&self, _opening: &MutexGuard<'_, bool>, engine: Option<Engine>, again: bool) {
        let open = self.searcher().ok().map(|searcher| searcher.version().manifest.version.clone());
        if let Ok(Some(current)) = self.data().current_name()
            && open.as_ref() == Some(&current)
            && !again
        {
            return;
        }
        let opened = self
            .data()
            .current()
            .and_then(|version| Searcher::open(version, engine, self.settings()).map(Arc::new));
        match &opened {
            Ok(searcher) => tracing::info!(version = searcher.version().manifest.version, "opened"),
            // A version that cannot be opened does not replace one that can.
            Err(error) if open.is_some() => {
                tracing::error!(%error, "the new version could not be opened; the old one stays");
                return;
            }
            Err(error) => tracing::debug!(%error, "no index is open"),
        }
        let searcher = opened.as_ref().ok().cloned();
        // The previous version is dropped first: the memory of a GPU may not hold both.
        self.0.searcher.set(opened);
        if let Some(searcher) = searcher {
            searcher.place();
        }
    }
}
