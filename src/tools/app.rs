//! What do all requests share?

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::base::config::Settings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::Telemetry;
use crate::embedding::engine::Engine;
use crate::index::versions::DataFolder;
use crate::search::Searcher;

/// The engine, the current version of the index, and whether they are ready. Cloning shares them.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    settings: Settings,
    telemetry: Telemetry,
    data: DataFolder,
    engine: Slot<Engine>,
    searcher: Slot<Arc<Searcher>>,
    /// Held while a new version is opened, so that it is opened once; false until the engine is
    /// there or is known not to come.
    warmed: Mutex<bool>,
}

/// Something that is there, or the sentence that says why not.
struct Slot<T>(RwLock<std::result::Result<T, String>>);

impl<T: Clone> Slot<T> {
    fn warming() -> Self {
        Self(RwLock::new(Err("it is still being loaded".to_owned())))
    }

    fn get(&self) -> std::result::Result<T, String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, value: Result<T>) {
        let value = value.map_err(|error| error.to_string());
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

/// One probe of `/readyz`.
pub struct Probe {
    pub name: &'static str,
    /// `None` when it is ready.
    pub why_not: Option<String>,
}

impl Server {
    pub fn new(settings: Settings, telemetry: Telemetry, data: DataFolder) -> Self {
        Self(Arc::new(Shared {
            settings,
            telemetry,
            data,
            engine: Slot::warming(),
            searcher: Slot::warming(),
            warmed: Mutex::new(false),
        }))
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    pub(crate) fn data(&self) -> &DataFolder {
        &self.0.data
    }

    /// Loads the model and opens the index; each becomes ready on its own.
    pub fn warm(&self, load: impl FnOnce() -> Result<Engine>) {
        let engine = load();
        if let Err(error) = &engine {
            tracing::error!(%error, "the embedding model could not be loaded");
        }
        self.0.engine.set(engine);
        *self.warmed() = true;
        self.refresh();
    }

    fn warmed(&self) -> MutexGuard<'_, bool> {
        self.0.warmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the current version if another one is open. Requests that run keep theirs.
    pub fn refresh(&self) {
        let warmed = self.warmed();
        if !*warmed {
            return;
        }
        let open = self.0.searcher.get().ok().map(|s| s.version().manifest.version.clone());
        match self.0.data.current_name() {
            Ok(Some(current)) if open.as_ref() == Some(&current) => return,
            _ => {}
        }
        let opened = self.open();
        match &opened {
            Ok(searcher) => tracing::info!(version = searcher.version().manifest.version, "opened"),
            // A version that cannot be opened does not take the place of one that can.
            Err(error) if open.is_some() => {
                tracing::error!(%error, "the new version could not be opened; the old one stays");
                return;
            }
            Err(error) => tracing::debug!(%error, "no index yet"),
        }
        let searcher = opened.as_ref().ok().cloned();
        // The version before goes first: both do not always fit the memory of a GPU.
        self.0.searcher.set(opened);
        if let Some(searcher) = searcher {
            searcher.place();
        }
    }

    fn open(&self) -> Result<Arc<Searcher>> {
        let version = self.0.data.current()?;
        let engine = self.0.engine.get().ok();
        Searcher::open(version, engine, &self.0.settings).map(Arc::new)
    }

    pub fn engine(&self) -> Result<Engine> {
        self.0.engine.get().map_err(missing("the embedding model"))
    }

    pub fn searcher(&self) -> Result<Arc<Searcher>> {
        self.0.searcher.get().map_err(missing("the index"))
    }

    pub fn probes(&self) -> [Probe; 2] {
        [
            Probe {
                name: "engine",
                why_not: self.0.engine.get().map_or_else(Some, |e| e.why_not()),
            },
            Probe { name: "index", why_not: self.0.searcher.get().err() },
        ]
    }
}

fn missing(what: &str) -> impl FnOnce(String) -> Error {
    move |remedy| Error::Unavailable { what: what.to_owned(), remedy }
}
