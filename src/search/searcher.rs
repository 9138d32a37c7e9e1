//! What does a search hold open, and in which order does it work?

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::envelope::{self, Envelope};
use super::fuse::fuse;
use super::gather::{Gathered, gather};
use super::query::{Channel, Query};
use super::rank;
use crate::base::config::{CaptureQuery, Settings};
use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, ChunkSet, Hit};
use crate::base::telemetry::{RunContext, Stage, StageSpan, attrs};
use crate::embedding::engine::Engine;
use crate::index::catalog::{Catalog, ChunkRow};
use crate::index::versions::IndexVersion;
use crate::index::{DenseIndex, LexicalIndex, LexicalParams, SymbolIndex};
use crate::search::channels::dense::Dense;
use crate::search::plan::gate::{self, Plan};
use crate::search::plan::profile::Vocabulary;

/// Answers questions on exactly one published version. Any number of threads may ask at once.
pub struct Searcher {
    version: IndexVersion,
    channels: Channels,
    deadline: Duration,
    capture_query: CaptureQuery,
}

/// The parts of a version that the channels search; cloning shares them.
#[derive(Clone)]
pub(super) struct Channels(Arc<Parts>);

struct Parts {
    catalog: Catalog,
    dense: Dense,
    lexical: LexicalIndex,
    symbols: SymbolIndex,
    /// Rows that were not deleted; `None` when none was.
    live: Option<ChunkSet>,
    /// Channels run here, so that a slow one takes a thread of ours and not the caller's.
    pool: ThreadPool,
}

impl Searcher {
    /// The steps that a run of [`Searcher::search`] is expected to complete.
    pub const PLANNED: [Stage; 4] = [Stage::Gate, Stage::Gather, Stage::Fuse, Stage::Hydrate];

    /// Opens `version`. Without an engine the dense channel is left out of every answer.
    ///
    /// An engine with another model than the one that made the vectors is refused.
    pub fn open(
        version: IndexVersion,
        engine: Option<Engine>,
        settings: &Settings,
    ) -> Result<Self> {
        let manifest = &version.manifest;
        if let Some(engine) = &engine
            && engine.identity().index_key() != manifest.model.key
        {
            let index = manifest.model.to_string();
            let asked = engine.identity().to_string();
            return Err(Error::IndexModelMismatch { index, asked });
        }
        let folder = &version.folder;
        let threads = 2 * Channel::ALL.len();
        let catalog = Catalog::open(&folder.catalog())?;
        let live = catalog.live()?;
        let dense = DenseIndex::open(&folder.dense(), manifest.model.dim)?;
        let parts = Parts {
            live: (live.count() < live.universe()).then_some(live),
            catalog,
            dense: Dense::new(dense, engine, &settings.search),
            lexical: LexicalIndex::open(&folder.lexical())?,
            symbols: SymbolIndex::open(&folder.symbols())?,
            pool: ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|i| format!("channel-{i}"))
                .build()
                .map_err(Error::library("rayon", "start the channel threads"))?,
        };
        let rows = [parts.dense.index.n(), parts.catalog.universe()];
        if rows.iter().any(|rows| *rows != manifest.total_chunks) {
            let total = manifest.total_chunks;
            let detail =
                format!("vectors and catalog have {rows:?} rows, the manifest says {total}");
            return Err(Error::IndexCorrupt { path: folder.path().to_path_buf(), detail });
        }
        let deadline = Duration::from_millis(settings.search.deadline_ms);
        let (channels, capture_query) =
            (Channels(Arc::new(parts)), settings.telemetry.capture_query);
        Ok(Self { channels, version, deadline, capture_query })
    }

    /// Copies the vectors into the memory of the device that embeds queries, if it has any, so that
    /// they are searched there: worth it for who asks many questions. Where they do not fit they are
    /// searched on the CPU, as they are before this returns.
    pub fn place(&self) {
        self.channels.0.dense.place(self.channels.live());
    }

    /// Why the CPU searches vectors; `None` if a GPU does.
    pub fn why_on_cpu(&self) -> Option<&str> {
        self.channels.0.dense.why_on_cpu()
    }

    pub fn version(&self) -> &IndexVersion {
        &self.version
    }

    pub fn catalog(&self) -> &Catalog {
        &self.channels.0.catalog
    }

    /// Answers `query`. The read path, on one screen.
    pub fn search(&self, query: &Query, cx: &RunContext) -> Result<Envelope> {
        let (ranked, gathered, plan) = cx.stage(Stage::Search, |s| {
            if let Some(text) = captured(&query.text, self.capture_query) {
                s.set(attrs::QUERY_TEXT, text);
            }
            s.set(attrs::QUERY_LEN, query.text.chars().count());
            s.set(attrs::TOP_K, query.limit);
            let cx = s.cx();
            let plan = cx.stage(Stage::Gate, |s| gate::plan(query, &self.channels, s))?;
            let mut gathered = cx
                .stage(Stage::Gather, |s| gather(&self.channels, query, &plan, self.deadline, s))?;
            let mut fused = cx.stage(Stage::Fuse, |s| {
                let priors = self.channels.priors(&query.text)?;
                let fused = fuse(&gathered.rankings, plan.rrf_k, priors);
                s.set(attrs::FUSED_DOCS, fused.len());
                Ok(fused)
            })?;
            s.set(attrs::FUSED_DOCS, fused.len());
            fused.truncate(query.limit);
            let ids: Vec<ChunkId> = fused.iter().map(|f| f.id).collect();
            let rows = cx.stage(Stage::Hydrate, |s| self.rows(&ids, s))?;
            let used = gathered.rankings.iter().map(|(c, ..)| c.as_str().to_owned());
            s.set(attrs::CHANNELS_USED, used.collect::<Vec<_>>());
            s.set(attrs::CHANNEL_DEPTHS, plan.depths());
            s.set(attrs::RRF_K, plan.rrf_k);
            gathered.warnings.extend(plan.warnings.iter().cloned());
            if !gathered.warnings.is_empty() {
                let codes = gathered.warnings.iter().map(|w| w.code.to_owned());
                s.set(attrs::WARNINGS, codes.collect::<Vec<_>>());
                gathered.warnings.iter().for_each(|w| cx.warn(w.clone()));
            }
            let ranked: Vec<_> = fused.into_iter().zip(rows).collect();
            Ok((ranked, gathered, plan))
        })?;
        Ok(self.seal(query, &plan, &gathered, ranked, cx))
    }

    fn seal(
        &self,
        query: &Query,
        plan: &Plan,
        gathered: &Gathered,
        ranked: Vec<(super::fuse::Fused, ChunkRow)>,
        cx: &RunContext,
    ) -> Envelope {
        envelope::seal(query, plan, gathered, ranked, &self.version.manifest, cx.report())
    }

    fn rows(&self, ids: &[ChunkId], span: &mut StageSpan) -> Result<Vec<ChunkRow>> {
        span.set(attrs::HYDRATE_ASKED, ids.len());
        span.cx().stage(Stage::DuckdbHydrate, |s| {
            let hydrated = self.channels.0.catalog.rows(ids)?;
            s.set(attrs::DUCKDB_ROWS, hydrated.rows.len());
            s.set(attrs::DUCKDB_SQL_BYTES, hydrated.sql_bytes);
            s.set(attrs::DB_SYSTEM, "duckdb");
            s.set(attrs::DB_OPERATION, "SELECT");
            s.set(attrs::DB_SUMMARY, "SELECT chunks");
            Ok(hydrated.rows)
        })
    }
}

impl Channels {
    pub(super) fn pool(&self) -> &ThreadPool {
        &self.0.pool
    }

    pub(super) fn live(&self) -> Option<&ChunkSet> {
        self.0.live.as_ref()
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// What each chunk's path counts. A path that the query speaks of counts in full.
    fn priors(&self, query: &str) -> Result<impl Fn(ChunkId) -> f64> {
        let spans = self.0.catalog.file_spans()?;
        let spoken = words(query);
        Ok(move |id: ChunkId| {
            let after = spans.partition_point(|span| span.first_chunk <= id);
            after.checked_sub(1).map_or(1.0, |i| rank::path::weight(&spans[i].path, &spoken))
        })
    }

    /// Asks one channel for its best `depth` chunks within `scope`.
    pub(super) fn ask(
        &self,
        channel: Channel,
        text: &str,
        depth: usize,
        scope: Option<&ChunkSet>,
        cx: &RunContext,
    ) -> Result<Vec<Hit>> {
        let Parts { dense, lexical, symbols, .. } = &*self.0;
        let hits = |s: &mut StageSpan, hits: Vec<Hit>| {
            s.set(attrs::CHANNEL_HITS, hits.len());
            hits
        };
        match channel {
            Channel::Dense => dense.search(text, depth, scope, cx),
            Channel::Lexical => cx.stage(Stage::Lexical, |s| {
                let params = LexicalParams { filter: scope };
                Ok(hits(s, lexical.search(text, depth, &params)?))
            }),
            Channel::Symbol => cx.stage(Stage::Symbol, |s| {
                Ok(hits(s, symbols.search(text, depth, scope, rank::kind::penalty)?))
            }),
        }
    }
}

impl Vocabulary for Channels {
    fn is_symbol(&self, word: &str) -> bool {
        self.0.symbols.contains(word)
    }

    fn share(&self, word: &str) -> f64 {
        // A word whose frequency cannot be read counts as absent; the channel itself reports errors.
        self.0.lexical.doc_freq(word).unwrap_or(0) as f64 / self.0.lexical.n().max(1) as f64
    }
}

/// What of the query's text goes onto the span.
fn captured(text: &str, capture: CaptureQuery) -> Option<String> {
    match capture {
        CaptureQuery::Full => Some(text.to_owned()),
        CaptureQuery::Hash => {
            Some(format!("blake3:{}", &blake3::hash(text.as_bytes()).to_hex()[..16]))
        }
        CaptureQuery::None => None,
    }
}

/// The words of a query in lower case, also those inside of names: `TestParser` speaks of `test`.
fn words(query: &str) -> HashSet<String> {
    let mut words = HashSet::new();
    for name in query.split(|c: char| !c.is_alphanumeric()) {
        let mut word = String::new();
        let mut lower = false;
        for c in name.chars() {
            if lower && c.is_uppercase() {
                words.insert(std::mem::take(&mut word));
            }
            lower = c.is_lowercase();
            word.extend(c.to_lowercase());
        }
        words.insert(word);
    }
    words
}
