//! The shared state of every interface: the engine and the current version of the index.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::changes::Changes;
use super::loading::{Loading, Slot};
use super::runs::RunFolder;
use super::session_scopes::SessionScopes;
use crate::base::config::{Settings, VllmMode, process_env};
use crate::base::error::{Error, Result};
use crate::base::signal::Signal;
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{RunContext, Telemetry};
use crate::batch::Ranges;
use crate::corpus::git::BlameCache;
use crate::corpus::source::Repo;
use crate::embedding::engine::{Engine, EngineOptions};
use crate::embedding::models;
use crate::index::versions::{DataFolder, IndexVersion};
use crate::ingest::{Expanders, Ingest, Progress, Watched, watch};
use crate::search::{ChannelName, Engines, RerankChoice, RerankEngines, Searcher, model_for};

/// How long an update waits for another run that writes the index.
const LOCK_WAIT: Duration = Duration::from_secs(60);

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
    expanders: Arc<Expanders>,
    rerank: Arc<RerankEngines>,
    loading: Loading,
    changes: Changes,
    /// Of the run of this process that writes the index.
    progress: Arc<Progress>,
    scopes: SessionScopes,
    blame_cache: BlameCache,
    /// Those of `model.calibration`, once they were read.
    ranges: Mutex<Option<Arc<Ranges>>>,
    /// Whether loading the engine has finished or failed. The lock is held while a version is
    /// opened, so that each version is opened once.
    warmed: Mutex<bool>,
}

impl App {
    /// Creates the state without opening anything.
    pub fn new(settings: Settings, telemetry: Telemetry, data: DataFolder) -> Self {
        Self(Arc::new(Shared {
            runs: Arc::new(RunFolder::new(&data, &settings.telemetry)),
            expanders: Expanders::new(settings.clone()),
            rerank: RerankEngines::new(settings.clone()),
            settings,
            telemetry,
            data,
            engine: Slot::loading("the embedding model"),
            searcher: Slot::loading("the index"),
            loading: Loading::default(),
            changes: Changes::default(),
            progress: Arc::default(),
            scopes: SessionScopes::default(),
            blame_cache: BlameCache::default(),
            ranges: Mutex::default(),
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

    /// The ranges for 8-bit vectors, if the settings name a file of them.
    pub fn ranges(&self) -> Result<Option<Arc<Ranges>>> {
        let path = &self.settings().model.calibration;
        if path.is_empty() {
            return Ok(None);
        }
        let mut ranges = self.0.ranges.lock();
        if ranges.is_none() {
            *ranges = Some(Arc::new(Ranges::read(path.as_ref())?));
        }
        Ok(ranges.clone())
    }

    /// The engine, once starting it has ended; [`Loading::wait`] says how long that is waited for.
    pub(super) fn engine_when_started(&self, cx: &RunContext) -> Result<Engine, Arc<Error>> {
        self.0.loading.wait(&self.0.engine, || false, cx.cancelled(), cx.deadline())
    }

    /// The searcher, once an index is open, or else the reason why none is. A first index that this
    /// process builds is waited for, too.
    pub(super) fn searcher_when_open(&self, cx: &RunContext) -> Result<Arc<Searcher>, Arc<Error>> {
        self.wait_for_searcher(cx.cancelled(), cx.deadline())
    }

    /// As [`App::searcher_when_open`], for a call that is no run.
    pub(super) fn index_when_open(&self) -> Result<Arc<Searcher>, Arc<Error>> {
        self.wait_for_searcher(&Signal::default(), None)
    }

    fn wait_for_searcher(
        &self,
        cancelled: &Signal,
        deadline: Option<Instant>,
    ) -> Result<Arc<Searcher>, Arc<Error>> {
        let Shared { engine, searcher, loading, progress, .. } = &*self.0;
        // Without an engine there is nothing to build with.
        let builds = || loading.is_building() && engine.get().is_ok();
        let opened = loading.wait(searcher, builds, cancelled, deadline);
        opened.map_err(|error| match *error {
            Error::IndexMissing { .. } => match engine.get() {
                Err(why) if loading.is_building() => why,
                _ => loading.why_missing(progress).unwrap_or(error),
            },
            _ => error,
        })
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

    pub(super) fn changes(&self) -> &Changes {
        &self.0.changes
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
        .with_expanders(self.0.expanders.clone())
        .with_progress(self.0.progress.clone())
        .waiting_for_others(LOCK_WAIT)
    }

    /// How far the run of this process that writes the index is.
    pub(super) fn progress(&self) -> Arc<Progress> {
        self.0.progress.clone()
    }

    /// Announces [`App::watch`], so that calls wait for the first index instead of failing without one.
    pub fn expect_index(&self) {
        self.0.loading.expect_index();
    }

    /// Keeps the index up to date with `roots`, or else with the roots of the index or the current
    /// folder, until watching fails. The first update begins at once.
    pub fn watch(&self, roots: Vec<PathBuf>) -> Result<()> {
        let roots = if roots.is_empty() { self.roots() } else { roots };
        let ingest = self.ingest();
        let roots = ingest.roots_instead(&roots)?.unwrap_or(roots);
        let watched = Arc::new(Watched::default());
        self.0.changes.follow(Some(watched.clone()));
        let (data, settings) = (self.data().path(), self.settings());
        let warn = |message: &str| tracing::warn!("{message}");
        let result = watch(&roots, data, settings, watched.clone(), warn, |_| {
            let seen = watched.seen();
            let run = RunContext::new(self.telemetry(), Tool::Ingest, &Ingest::PLANNED);
            let result = ingest.run(&roots, false, &run);
            run.finish(result.as_ref().err());
            match &result {
                Ok(_) => {
                    self.refresh();
                    watched.updated(seen);
                }
                // The next change may resolve the error.
                Err(error) => tracing::error!(%error, "the index could not be updated"),
            }
            self.0.loading.built(result.err());
            Ok(true)
        });
        self.0.changes.follow(None);
        result.inspect_err(|_| self.0.loading.built(None))
    }

    /// The roots of the index, or else the current folder.
    fn roots(&self) -> Vec<PathBuf> {
        match self.data().current() {
            Ok(version) => version.manifest.roots.iter().map(PathBuf::from).collect(),
            Err(_) => vec![PathBuf::from(".")],
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
    let folder = models::resolve(model, &settings.model.places(process_env))?;
    let cache = settings.engine.cache_folder(process_env);
    Engine::start_with(&folder, settings, cache.as_deref(), options)
}

/// Methods that open the engine and the index.
impl App {
    /// Opens the current version and, with `with_engines`, starts an engine for each of its models. It
    /// is meant for a command that runs one query.
    pub fn open(&self, with_engines: bool) -> Result<()> {
        self.open_for(if with_engines { &ChannelName::ALL } else { &[] })
    }

    /// As [`App::open`], with the engines that a search of `channels` needs.
    pub fn open_for(&self, channels: &[ChannelName]) -> Result<()> {
        let version = self.data().current()?;
        let engine = if channels.contains(&ChannelName::Dense) {
            let model = model_for(self.settings(), &version.manifest);
            Some(start_engine(self.settings(), model, EngineOptions::default())?)
        } else {
            None
        };
        let sparse = channels.contains(&ChannelName::Sparse);
        let sparse = if sparse { self.expander(&version)? } else { None };
        let engines =
            Engines { dense: engine.clone(), sparse, rerank: Some(self.0.rerank.clone()) };
        let searcher = Searcher::open_with(version, engines, self.settings())?;
        if let Some(engine) = engine {
            self.0.loading.set(&self.0.engine, Ok(engine));
        }
        self.0.loading.set(&self.0.searcher, Ok(Arc::new(searcher)));
        Ok(())
    }

    /// The engine that expands queries for `version`; `None` if it needs none, or if none can be loaded:
    /// then the log says why and the channel is left out of the answers.
    ///
    /// Returns an error if the settings name another model than that of the version.
    fn expander(&self, version: &IndexVersion) -> Result<Option<Engine>> {
        let Some(record) = &version.manifest.sparse else { return Ok(None) };
        match self.0.expanders.for_queries(record) {
            Ok(expander) => Ok(Some(expander.engine)),
            Err(error @ Error::IndexModelMismatch { .. }) => Err(error),
            Err(error) => {
                tracing::error!(%error, "the sparse model could not be loaded");
                Ok(None)
            }
        }
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
            self.0.loading.set(&self.0.engine, engine);
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
        let opened = self.data().current().and_then(|version| {
            let rerank = Some(self.0.rerank.clone());
            let engines = Engines { dense: engine, sparse: self.expander(&version)?, rerank };
            Searcher::open_with(version, engines, self.settings()).map(Arc::new)
        });
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
        self.0.loading.set(&self.0.searcher, opened);
        if let Some(searcher) = searcher {
            searcher.place();
            searcher.prepare_rerank(RerankChoice::default());
        }
    }
}
