//! In which order is an index made?

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::diff::{Difference, diff};
use super::progress::{Phase, Progress};
use super::write::{Job, Shape, model_name};
use crate::base::config::Settings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::{RunContext, Stage, attrs};
use crate::corpus::chunk::HEADER_VERSION;
use crate::corpus::source::{Repo, Skipped};
use crate::embedding::engine::Engine;
use crate::index::catalog::Catalog;
use crate::index::versions::{DataFolder, IndexVersion, WriteLock};

/// A version is compacted only when at least this many of its rows are delta or deleted.
const COMPACT_ROWS_MIN: usize = 256;

type Loader = Box<dyn Fn() -> Result<Engine> + Send + Sync>;

/// Makes and refreshes the index in one data folder.
pub struct Ingest {
    data: DataFolder,
    settings: Settings,
    load: Loader,
    engine: Mutex<Option<Engine>>,
    progress: Arc<Progress>,
}

/// What a run of [`Ingest::run`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every file was read.
    Built,
    /// Only what changed was read.
    Updated,
    /// Nothing had changed; the version before stays current.
    Unchanged,
}

/// What a run of [`Ingest::run`] did.
#[derive(Debug)]
pub struct IngestReport {
    pub outcome: Outcome,
    pub version: String,
    pub files: usize,
    pub files_changed: usize,
    pub files_removed: usize,
    pub skipped: Skipped,
    pub chunks: usize,
    pub chunks_written: usize,
    pub chunks_embedded: usize,
    pub chunks_truncated: usize,
    pub tokens: usize,
    pub bytes_on_disk: u64,
    pub elapsed: Duration,
}

impl Ingest {
    /// The steps that a run that finds changes is expected to complete.
    pub const PLANNED: [Stage; 6] =
        [Stage::Walk, Stage::Diff, Stage::Build, Stage::Index, Stage::Catalog, Stage::Publish];

    /// `load` starts the engine; it is called once, and only when there is something to embed.
    pub fn new(
        data: DataFolder,
        settings: Settings,
        load: impl Fn() -> Result<Engine> + Send + Sync + 'static,
    ) -> Self {
        let engine = Mutex::default();
        Self { data, settings, load: Box::new(load), engine, progress: Arc::default() }
    }

    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Brings the index up to date with `roots`. With `full` every file is read and indexed anew.
    pub fn run(&self, roots: &[PathBuf], full: bool, cx: &RunContext) -> Result<IngestReport> {
        let started = Instant::now();
        cx.stage(Stage::Ingest, |s| {
            let lock = self.data.lock()?;
            let cx = s.cx();
            let repo = Repo::open(roots, &self.settings)?;
            let parent = self.parent(full)?;
            if let Some(parent) = parent.as_ref().filter(|_| !full) {
                self.check_model(parent)?;
            }
            let whole = full || !parent.as_ref().is_some_and(|v| self.same_chunks(v));
            let difference = self.compare(&repo, parent.as_ref().filter(|_| !whole), &cx)?;
            let report = match &parent {
                Some(parent) if difference.is_empty() && !whole => unchanged(parent, difference),
                _ => self.write(&repo, parent, difference, (full, whole), &lock, &cx)?,
            };
            s.set(attrs::VERSION, report.version.clone());
            s.set(attrs::FILES, report.files);
            s.set(attrs::CHUNKS, report.chunks);
            Ok(IngestReport { elapsed: started.elapsed(), ..report })
        })
    }

    /// The version to build upon; none when there is none, or when it is damaged and not wanted.
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
                Some(version) => Catalog::open(&version.folder.catalog())?.files()?,
                None => Vec::new(),
            };
            let difference = diff(repo, listing, &known)?;
            s.set(attrs::FILES_CHANGED, difference.changed.len());
            s.set(attrs::FILES_SKIPPED, difference.skipped.total());
            Ok(difference)
        })
    }

    /// Whether files that did not change would be cut into the same chunks again.
    fn same_chunks(&self, version: &IndexVersion) -> bool {
        let manifest = &version.manifest;
        (manifest.chunk_tokens_max, manifest.header_version)
            == (self.settings.chunk.tokens_max, HEADER_VERSION)
    }

    /// Refuses a model that did not make the vectors of `parent`. By its name alone when that is the
    /// same, so that a run that finds nothing to do loads no weights.
    fn check_model(&self, parent: &IndexVersion) -> Result<()> {
        let record = &parent.manifest.model;
        if model_name(&self.settings, &self.settings.model.name) == record.name {
            return Ok(());
        }
        let engine = self.engine()?;
        if engine.identity().index_key() == record.key {
            return Ok(());
        }
        let (index, asked) = (record.to_string(), engine.identity().to_string());
        Err(Error::IndexModelMismatch { index, asked })
    }

    /// The engine, started at the first call and kept.
    fn engine(&self) -> Result<Engine> {
        let mut slot = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some((self.load)()?);
        }
        Ok(slot.clone().expect("it was just put there"))
    }

    fn write(
        &self,
        repo: &Repo,
        parent: Option<IndexVersion>,
        mut difference: Difference,
        (full, whole): (bool, bool),
        lock: &WriteLock,
        cx: &RunContext,
    ) -> Result<IngestReport> {
        let engine = self.engine()?;
        let key = engine.identity().index_key();
        let same_vectors = |version: &&IndexVersion| version.manifest.model.key == key;
        if let Some(parent) = &parent
            && !full
            && !same_vectors(&parent)
        {
            let index = parent.manifest.model.to_string();
            let asked = engine.identity().to_string();
            return Err(Error::IndexModelMismatch { index, asked });
        }
        let usable = parent.as_ref().filter(same_vectors);
        let shape = match usable {
            Some(version) if !whole && !self.outgrown(version, &difference) => {
                Shape::Delta(version)
            }
            Some(version) if !whole => {
                tracing::info!("the delta has outgrown the base: writing a whole version");
                // Every file is read once more, and judged then.
                let listing = repo.walk()?;
                (difference.changed, difference.skipped) = (listing.entries, listing.skipped);
                Shape::Whole(Some(version))
            }
            usable => Shape::Whole(usable),
        };
        let job = Job {
            repo,
            engine: &engine,
            settings: &self.settings,
            progress: &self.progress,
            difference: &difference,
            shape,
        };
        let (built, version) = job.write(self.data.stage(lock)?, cx)?;
        self.data.gc(lock, self.settings.data.versions_kept)?;
        let mut skipped = difference.skipped;
        // A file is judged once: left out while comparing, it is not among those that are built.
        skipped.merge(&built.skipped);
        let outcome = if whole { Outcome::Built } else { Outcome::Updated };
        Ok(IngestReport {
            files_changed: built.files,
            files_removed: difference.removed,
            chunks_written: built.chunks,
            chunks_embedded: built.embedded,
            chunks_truncated: built.truncated,
            tokens: built.tokens,
            ..report(outcome, &version, skipped)
        })
    }

    /// Whether so many rows are delta or deleted that a whole new version searches better.
    fn outgrown(&self, version: &IndexVersion, difference: &Difference) -> bool {
        let manifest = &version.manifest;
        let loose = 2 * manifest.total_chunks - manifest.base_chunks - manifest.live_chunks;
        let per_file = manifest.live_chunks / manifest.files.max(1) + 1;
        let coming = per_file * (difference.changed.len() + difference.outdated.len());
        let most = (self.settings.index.delta_ratio_max * manifest.total_chunks as f32) as usize;
        loose + coming > most.max(COMPACT_ROWS_MIN)
    }
}

fn unchanged(version: &IndexVersion, difference: Difference) -> IngestReport {
    report(Outcome::Unchanged, version, difference.skipped)
}

/// What can be read off the version itself.
fn report(outcome: Outcome, version: &IndexVersion, skipped: Skipped) -> IngestReport {
    let manifest = &version.manifest;
    IngestReport {
        outcome,
        version: manifest.version.clone(),
        files: manifest.files,
        files_changed: 0,
        files_removed: 0,
        skipped,
        chunks: manifest.live_chunks,
        chunks_written: 0,
        chunks_embedded: 0,
        chunks_truncated: 0,
        tokens: 0,
        bytes_on_disk: version.bytes(),
        elapsed: Duration::ZERO,
    }
}
