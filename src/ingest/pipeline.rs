//! Ingest: the order of the steps that make or refresh an index.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use parking_lot::Mutex;

use super::diff::{Difference, diff};
use super::progress::{Phase, Progress};
use super::sparse_model::{self, Expanders};
use super::staleness;
use super::version_job::{Parent, VersionJob, recorded_name};
use crate::base::config::Settings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::{RunContext, Stage, attrs};
use crate::corpus::source::{Repo, Skipped};
use crate::embedding::engine::Engine;
use crate::index::catalog::Catalog;
use crate::index::versions::{DataFolder, IndexVersion, WriteLock};

/// A version is compacted only when at least this many of its rows are delta or deleted.
const COMPACT_ROWS_MIN: usize = 256;

/// How often a run that waits for another one looks whether that has ended.
const LOCK_RETRY: Duration = Duration::from_millis(100);

/// Which files a run indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All files, whatever model made the previous version.
    Full,
    /// All files, because there is no previous version or it is stale.
    AllFiles,
    /// Files that changed.
    Changes,
}

type Loader = Box<dyn Fn() -> Result<Engine> + Send + Sync>;

/// Builds and refreshes the index in one data folder.
pub struct Ingest {
    data: DataFolder,
    settings: Settings,
    load: Loader,
    engine: Mutex<Option<Loaded>>,
    expanders: Arc<Expanders>,
    progress: Arc<Progress>,
    lock_wait: Duration,
}

/// The engine, and the state of its model when it was started.
#[derive(Clone)]
struct Loaded {
    engine: Engine,
    model_state: String,
}

/// The outcome of [`Ingest::run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestOutcome {
    /// Every file was read.
    Built,
    /// Only what changed was read.
    Updated,
    /// Nothing had changed; the previous version stays current.
    Unchanged,
}

/// The report of [`Ingest::run`].
#[derive(Debug)]
pub struct IngestReport {
    pub outcome: IngestOutcome,
    /// Why every file was indexed again, one sentence each; empty for a usual run.
    pub reasons: Vec<String>,
    pub version: String,
    pub files: usize,
    pub files_changed: usize,
    pub files_removed: usize,
    pub skipped: Skipped,
    pub chunks: usize,
    pub chunks_written: usize,
    pub chunks_embedded: usize,
    /// Chunks that were expanded for the sparse index.
    pub chunks_expanded: usize,
    pub chunks_truncated: usize,
    pub tokens: usize,
    pub bytes_on_disk: u64,
    pub elapsed: Duration,
}

impl Ingest {
    /// The stages of a run that finds changes.
    pub const PLANNED: [Stage; 7] = [
        Stage::Walk,
        Stage::Diff,
        Stage::Build,
        Stage::Facts,
        Stage::Index,
        Stage::Catalog,
        Stage::Publish,
    ];

    /// `load` starts the engine. It is called when there is something to embed, and again when the model
    /// has changed.
    pub fn new(
        data: DataFolder,
        settings: Settings,
        load: impl Fn() -> Result<Engine> + Send + Sync + 'static,
    ) -> Self {
        let engine = Mutex::default();
        let (progress, lock_wait) = (Arc::default(), Duration::ZERO);
        let expanders = Expanders::new(settings.clone());
        Self { data, settings, load: Box::new(load), engine, expanders, progress, lock_wait }
    }

    /// The same, sharing the engine of the sparse model with others.
    pub fn with_expanders(self, expanders: Arc<Expanders>) -> Self {
        Self { expanders, ..self }
    }

    /// The same with counters of the caller. They may serve several pipelines over one data folder, since
    /// one of them writes at a time.
    pub fn with_progress(self, progress: Arc<Progress>) -> Self {
        Self { progress, ..self }
    }

    /// The same, but a run waits this long for another one that writes the index. Without it, it fails.
    pub fn waiting_for_others(self, lock_wait: Duration) -> Self {
        Self { lock_wait, ..self }
    }

    pub(super) fn data(&self) -> &DataFolder {
        &self.data
    }

    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Brings the index up to date with `roots`. With `full` every file is read and indexed again.
    pub fn run(&self, roots: &[PathBuf], full: bool, cx: &RunContext) -> Result<IngestReport> {
        let started = Instant::now();
        cx.stage(Stage::Ingest, |s| {
            let cx = s.cx();
            let lock = self.lock(&cx)?;
            let _running = self.progress.begin_run();
            let repo = Repo::open(roots, &self.settings)?;
            let parent = self.parent(full)?;
            let reasons = match parent.as_ref().filter(|_| !full) {
                Some(parent) => self.stale(parent, &repo)?,
                None => Vec::new(),
            };
            reasons.iter().for_each(|reason| tracing::info!(reason, "indexing every file again"));
            let extent = if full {
                Extent::Full
            } else if parent.is_some() && reasons.is_empty() {
                Extent::Changes
            } else {
                Extent::AllFiles
            };
            let compared = parent.as_ref().filter(|_| extent == Extent::Changes);
            let difference = self.compare(&repo, compared, &cx)?;
            let report = match compared {
                Some(parent) if difference.is_empty() => unchanged(parent, difference),
                _ => self.write(&repo, parent.as_ref(), difference, extent, &lock, &cx)?,
            };
            s.set(attrs::VERSION, report.version.clone());
            s.set(attrs::FILES, report.files);
            s.set(attrs::CHUNKS, report.chunks);
            Ok(IngestReport { elapsed: started.elapsed(), reasons, ..report })
        })
    }

    /// Takes the write lock, or waits for it as long as this pipeline does.
    fn lock(&self, cx: &RunContext) -> Result<WriteLock> {
        let started = Instant::now();
        let cancelled = cx.cancelled().receiver();
        loop {
            match self.data.lock() {
                Err(Error::IndexLocked { .. }) if started.elapsed() < self.lock_wait => {}
                result => return result,
            }
            // The holder may be another process, which does not say when it is done.
            if cancelled.recv_timeout(LOCK_RETRY) == Err(RecvTimeoutError::Disconnected) {
                return Err(Error::Cancelled);
            }
        }
    }

    /// The previous version; `None` if there is none, or if it is damaged and not needed.
    fn parent(&self, full: bool) -> Result<Option<IndexVersion>> {
        match self.data.current() {
            Ok(version) => Ok(Some(version)),
            Err(Error::IndexMissing { .. }) => Ok(None),
            Err(error) if full => {
                tracing::warn!(%error, "the current version cannot be read; building a new one");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn compare(
        &self,
        repo: &Repo,
        parent: Option<&IndexVersion>,
        cx: &RunContext,
    ) -> Result<Difference> {
        self.progress.enter(Phase::Walking);
        let listing = cx.stage(Stage::Walk, |s| {
            let listing = repo.walk()?;
            s.set(attrs::FILES, listing.entries.len());
            if listing.entries.is_empty() {
                return Err(repo.nothing_to_index(&listing.skipped));
            }
            Ok(listing)
        })?;
        self.progress.enter(Phase::Comparing);
        cx.stage(Stage::Diff, |s| {
            let known = match parent {
                Some(version) => Catalog::open(&version.folder.catalog())?.file_states()?,
                None => Vec::new(),
            };
            let difference = diff(repo, listing, &known)?;
            s.set(attrs::FILES_CHANGED, difference.changed.len());
            s.set(attrs::FILES_SKIPPED, difference.skipped.total());
            Ok(difference)
        })
    }

    /// Why the files of `parent` have to be indexed again although none of them changed.
    ///
    /// A model of another name is refused, because it is more likely a mistake than an order to embed
    /// everything again. The model is loaded only if its files or the settings changed.
    fn stale(&self, parent: &IndexVersion, repo: &Repo) -> Result<Vec<String>> {
        let manifest = &parent.manifest;
        let mut reasons = staleness::of_chunks(manifest, &self.settings, repo);
        reasons.extend(self.expanders.stale(manifest)?);
        let record = &manifest.model;
        let set = &self.settings.model.name;
        if recorded_name(set, set) != record.name {
            let engine = self.engine()?.engine;
            if engine.identity().index_key() != record.key {
                return Err(staleness::mismatch(record, engine.identity()));
            }
            return Ok(reasons);
        }
        // Without the model, nothing can be embedded again; it is missed when it is needed.
        let state = staleness::model_state(&self.settings);
        if state.is_ok_and(|state| state != manifest.model_state) {
            reasons.extend(staleness::of_model(record, self.engine()?.engine.identity())?);
        }
        Ok(reasons)
    }

    /// The engine, which is started by the first call and after a change of its model.
    fn engine(&self) -> Result<Loaded> {
        // A folder that cannot be read makes the engine fail, which says why.
        let model_state = staleness::model_state(&self.settings).unwrap_or_default();
        let mut slot = self.engine.lock();
        match slot.as_ref().filter(|loaded| loaded.model_state == model_state) {
            Some(loaded) => Ok(loaded.clone()),
            None => Ok(slot.insert(Loaded { engine: (self.load)()?, model_state }).clone()),
        }
    }

    fn write(
        &self,
        repo: &Repo,
        parent: Option<&IndexVersion>,
        mut difference: Difference,
        extent: Extent,
        lock: &WriteLock,
        cx: &RunContext,
    ) -> Result<IngestReport> {
        let Loaded { engine, model_state } = self.engine()?;
        engine.identity().check_similarity().into_iter().for_each(|warning| cx.warn(warning));
        let key = engine.identity().index_key();
        let has_same_model = |version: &&IndexVersion| version.manifest.model.key == key;
        if let Some(parent) = parent
            && extent == Extent::Changes
            && !has_same_model(&parent)
        {
            return Err(staleness::mismatch(&parent.manifest.model, engine.identity()));
        }
        let full = extent == Extent::Full;
        let wanted = self.expanders.wanted(parent.map(|parent| &parent.manifest), full);
        let expander = wanted.map(|name| self.expanders.get(&name)).transpose()?;
        if let Some(parent) = parent
            && extent == Extent::Changes
            && let (Some(record), Some(expander)) = (&parent.manifest.sparse, &expander)
            && record.key != expander.record.key
        {
            return Err(sparse_model::mismatch(record, expander));
        }
        let usable = parent.filter(has_same_model);
        let parent = match usable {
            Some(version) if extent == Extent::Changes => {
                if self.needs_compaction(version, &difference) {
                    tracing::info!("the delta is too large for its base: writing a new base");
                    // Every file is read again, so the skipped ones are counted again, too.
                    let listing = repo.walk()?;
                    difference.changed = listing.entries;
                    difference.skipped = listing.skipped;
                    Parent::Vectors(Some(version))
                } else {
                    Parent::Rows(version)
                }
            }
            usable => Parent::Vectors(usable),
        };
        let job = VersionJob {
            repo,
            engine: &engine,
            model_state,
            expander: expander.as_ref(),
            settings: &self.settings,
            progress: &self.progress,
            difference: &difference,
            parent,
        };
        let (built, version) = job.run(self.data.stage(lock)?, cx)?;
        self.data.gc(lock, self.settings.data.versions_kept)?;
        let mut skipped = difference.skipped;
        // A file is counted once: one that the comparison skipped is not built.
        skipped.merge(&built.skipped);
        let outcome = match extent {
            Extent::Full | Extent::AllFiles => IngestOutcome::Built,
            Extent::Changes => IngestOutcome::Updated,
        };
        Ok(IngestReport {
            files_changed: built.files,
            files_removed: difference.removed,
            chunks_written: built.chunks,
            chunks_embedded: built.embedded,
            chunks_expanded: built.expanded,
            chunks_truncated: built.truncated,
            tokens: built.tokens,
            ..report(outcome, &version, skipped)
        })
    }

    /// Whether so many rows would be in the delta or deleted that a new base is faster to search.
    fn needs_compaction(&self, version: &IndexVersion, difference: &Difference) -> bool {
        let manifest = &version.manifest;
        let loose = 2 * manifest.total_chunks - manifest.base_chunks - manifest.live_chunks;
        let per_file = manifest.live_chunks / manifest.files.max(1) + 1;
        let coming = per_file * (difference.changed.len() + difference.outdated.len());
        let most = (self.settings.index.delta_ratio_max * manifest.total_chunks as f32) as usize;
        loose + coming > most.max(COMPACT_ROWS_MIN)
    }
}

fn unchanged(version: &IndexVersion, difference: Difference) -> IngestReport {
    report(IngestOutcome::Unchanged, version, difference.skipped)
}

/// The part of the report that the version itself provides.
fn report(outcome: IngestOutcome, version: &IndexVersion, skipped: Skipped) -> IngestReport {
    let manifest = &version.manifest;
    IngestReport {
        outcome,
        reasons: Vec::new(),
        version: manifest.version.clone(),
        files: manifest.files,
        files_changed: 0,
        files_removed: 0,
        skipped,
        chunks: manifest.live_chunks,
        chunks_written: 0,
        chunks_embedded: 0,
        chunks_expanded: 0,
        chunks_truncated: 0,
        tokens: 0,
        bytes_on_disk: version.bytes(),
        elapsed: Duration::ZERO,
    }
}
