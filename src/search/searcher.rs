//! The read pipeline on one published version: its open files and the order of its stages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{Answer, AnswerParts};
use super::channels::{ChannelName, Channels, Engines};
use super::confidence::Evidence;
use super::fuse::{Fused, Fusion, Ranking, fuse};
use super::gather::{Gathered, gather};
use super::hydrate::hydrate;
use super::mix;
use super::phrase;
use super::plan::{Plan, QueryProfile, plan};
use super::pool::pool;
use super::query::Query;
use super::rank::{self, Candidate};
use super::rerank::{RerankChoice, RerankEngines, Reranked, Reranker, Sources};
use crate::base::config::{CaptureQuery, RerankMethod, SearchSettings, Settings};
use crate::base::error::{Error, Result, Warning};
use crate::base::hit::{ChunkId, ChunkSet, Hit};
use crate::base::telemetry::labels::Outcome;
use crate::base::telemetry::{RunContext, Stage, StageSpan, attrs};
use crate::corpus::source::IndexedRoots;
use crate::embedding::engine::Engine;
use crate::index::catalog::{Catalog, ScopeSpec};
use crate::index::versions::{IndexVersion, VersionManifest};

/// Answers queries on exactly one published version. Any number of threads may search concurrently.
pub struct Searcher {
    version: IndexVersion,
    roots: IndexedRoots,
    catalog: Arc<Catalog>,
    channels: Channels,
    path_rules: rank::path::FileRules,
    reranker: Reranker,
    /// The chunks that are not deleted; `None` if no chunk is deleted.
    live: Option<Arc<ChunkSet>>,
    settings: SearchSettings,
    capture_query: CaptureQuery,
}

impl Searcher {
    /// The stages that a run of [`Searcher::search`] is expected to complete.
    pub const PLANNED: [Stage; 5] =
        [Stage::Gate, Stage::Gather, Stage::Pool, Stage::Fuse, Stage::Hydrate];

    /// Opens `version`. Without an engine, every answer lacks the dense channel.
    ///
    /// Returns an error if the engine's model is not the one that computed the vectors.
    pub fn open(
        version: IndexVersion,
        engine: Option<Engine>,
        settings: &Settings,
    ) -> Result<Self> {
        Self::open_with(version, Engines { dense: engine, ..Engines::default() }, settings)
    }

    /// As [`Searcher::open`], also with an engine that expands queries. Without that one, an answer
    /// lacks the sparse channel if the version has a sparse index.
    pub fn open_with(version: IndexVersion, engines: Engines, settings: &Settings) -> Result<Self> {
        let manifest = &version.manifest;
        let Engines { dense, sparse, rerank } = &engines;
        let mismatch = |index: String, engine: &Engine| {
            let asked = engine.identity().to_string();
            Err(Error::IndexModelMismatch { index, asked })
        };
        if let Some(engine) = dense
            && engine.identity().index_key() != manifest.model.key
        {
            return mismatch(manifest.model.to_string(), engine);
        }
        if let (Some(engine), Some(record)) = (sparse, &manifest.sparse)
            && engine.identity().index_key() != record.key
        {
            return mismatch(format!("sparse model {record}"), engine);
        }
        let rerank = rerank.clone().unwrap_or_else(|| RerankEngines::new(settings.clone()));
        let model = model_for(settings, manifest).to_owned();
        let reranker = Reranker::new(rerank, model, settings);
        rank::path::compile();
        let (opened, channels) = rayon::join(
            || open_catalog(&version),
            || Channels::open(&version, engines, &settings.search),
        );
        let ((catalog, live), mut channels) = (opened?, channels?);
        let catalog = Arc::new(catalog);
        channels.add_catalog(catalog.clone())?;
        let vectors = channels.dense.index.n();
        let rows = catalog.universe();
        let total = manifest.total_chunks;
        if vectors != total || rows != total {
            let detail = format!(
                "the manifest says {total} chunks, but there are {vectors} vectors and the catalog \
                 has {rows} rows"
            );
            return Err(Error::IndexCorrupt { path: version.folder.path().to_path_buf(), detail });
        }
        let with_vectors = catalog.with_vectors()?;
        if with_vectors.count() < live.count() {
            channels.dense.limit_to(with_vectors);
        }
        Ok(Self {
            live: (live.count() < live.universe()).then(|| Arc::new(live)),
            reranker,
            roots: IndexedRoots::new(&version.manifest.roots),
            path_rules: rank::path::FileRules::new(catalog.file_spans()?.len()),
            catalog,
            channels,
            version,
            settings: settings.search.clone(),
            capture_query: settings.telemetry.capture_query,
        })
    }

    /// Copies the vectors into the memory of the device that embeds queries, if it has its own
    /// memory, so that the device also searches them. The copy pays off only over many queries.
    /// Until the copy is complete, or if the vectors do not fit, the CPU searches them.
    pub fn place(&self) {
        self.channels.dense.place(self.live.as_deref());
    }

    /// Why the CPU searches vectors; `None` if a GPU does.
    pub fn why_on_cpu(&self) -> Option<&str> {
        self.channels.dense.why_on_cpu()
    }

    /// Starts what reranks by `choice`, which a search would else wait for.
    pub fn prepare_rerank(&self, choice: RerankChoice) {
        self.reranker.prepare(choice);
    }

    pub fn version(&self) -> &IndexVersion {
        &self.version
    }

    /// Finds the files of the version on this machine.
    pub fn roots(&self) -> &IndexedRoots {
        &self.roots
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Answers `query` within the deadline of the run, or within `search.deadline_ms` if the run has
    /// none.
    pub fn search(&self, query: &Query, cx: &RunContext) -> Result<Answer> {
        let cx = &cx.or_deadline(Duration::from_millis(self.settings.deadline_ms));
        let began = Instant::now();
        let parts = cx.stage(Stage::Search, |s| {
            let parts = self.stages(query, s);
            // Also of a search that fails.
            let codes = cx.warning_codes();
            if !codes.is_empty() {
                s.set(attrs::WARNINGS, codes);
            }
            parts
        });
        let outcome = if parts.is_ok() { Outcome::Run } else { Outcome::Error };
        cx.instruments().retrieved(outcome, began.elapsed());
        Ok(Answer::build(query, parts?, &self.version.manifest, cx.report()))
    }

    /// The chunks whose vectors are nearest to that of `id`, best first, without `id` itself; `None` if
    /// it has no vector. Their scores are inner products of unit vectors, at most 1.
    pub fn related(
        &self,
        id: ChunkId,
        limit: usize,
        scope: &ScopeSpec,
        cx: &RunContext,
    ) -> Result<Option<Vec<Hit>>> {
        let scope = self.scope(scope)?;
        let found = self.channels.dense.related(id, limit + 1, scope.as_deref(), cx)?;
        Ok(found.map(|mut hits| {
            hits.retain(|hit| hit.id != id);
            hits.truncate(limit);
            hits
        }))
    }

    fn candidates_of(
        &self,
        fused: Vec<Fused>,
        query: &Query,
        profile: &QueryProfile,
    ) -> Result<Vec<Candidate>> {
        let subject = rank::Subject::new(&query.text, profile.class, profile.oov_ratio == 0.0);
        let facts = rank::Facts {
            files: self.catalog.file_spans()?,
            rules: &self.path_rules,
            symbols: self.channels.vocabulary.symbols(),
        };
        Ok(rank::candidates(fused, &subject, &facts))
    }

    /// What the ranking knows about the chunks of `rankings`.
    pub fn candidates(
        &self,
        query: &Query,
        plan: &Plan,
        rankings: &[Ranking],
    ) -> Result<Vec<Candidate>> {
        self.candidates_of(fuse(rankings, plan.fusion), query, &plan.profile)
    }

    /// The share of the query's words, by how rare they are, that the best chunk of the lexical channel
    /// has.
    pub fn lexical_support(&self, plan: &Plan, rankings: &[Ranking]) -> f64 {
        mix::lexical_support(rankings, plan)
    }

    /// The plan of a query and the hits of each channel, at least as deep as its limit, before they are
    /// fused.
    pub fn rankings(&self, query: &Query, cx: &RunContext) -> Result<(Plan, Vec<Ranking>)> {
        let cx = &cx.or_deadline(Duration::from_millis(self.settings.deadline_ms));
        cx.stage(Stage::Search, |s| {
            let cx = s.cx();
            let (query, _) = &self.over_open_channels(query)?;
            let plan = cx.stage(Stage::Gate, |s| self.plan(query, s))?;
            let scope = self.scope(&query.scope)?;
            let gather = |s: &mut StageSpan| gather(&self.channels, &query.text, &plan, &scope, s);
            let rankings = cx.stage(Stage::Gather, gather)?.rankings;
            Ok((plan, rankings))
        })
    }

    /// Whether the version has this channel.
    pub fn has(&self, channel: ChannelName) -> bool {
        self.channels.has(channel)
    }

    /// The query over those of its channels that the version has. A missing one that the caller named
    /// is a warning, or an error if no other is left.
    fn over_open_channels(&self, query: &Query) -> Result<(Query, Option<Warning>)> {
        let (channels, missing): (Vec<_>, Vec<_>) =
            query.channels.iter().partition(|channel| self.has(**channel));
        let why =
            "the index has no sparse vectors; set index.sparse_model and run `codeintel index`";
        if channels.is_empty() {
            let always = ChannelName::ALWAYS.map(ChannelName::as_str).join(", ");
            let (value, expected) = ("sparse".to_owned(), format!("one of {always}, as {why}"));
            return Err(Error::Argument { name: "channels", value, expected });
        }
        let warning = (query.names_channels && !missing.is_empty()).then(|| {
            Warning::new("channel-off", format!("the sparse channel was left out: {why}"))
        });
        Ok((Query { channels, ..query.clone() }, warning))
    }

    fn plan(&self, query: &Query, s: &mut StageSpan) -> Result<Plan> {
        plan(query, &self.channels.vocabulary, &self.settings, s)
    }

    /// Runs the stages of the read pipeline.
    fn stages(&self, query: &Query, s: &mut StageSpan) -> Result<AnswerParts> {
        s.set(attrs::GEN_AI_OPERATION, "retrieval");
        s.set(attrs::GEN_AI_PROVIDER, "codeintel");
        if let Some(text) = captured(&query.text.raw, self.capture_query) {
            s.set(attrs::QUERY_TEXT, text);
        }
        s.set(attrs::QUERY_LEN, query.text.raw.chars().count());
        s.set(attrs::TOP_K, query.limit);
        let cx = s.cx();
        let (query, off) = &self.over_open_channels(query)?;
        off.iter().for_each(|warning| cx.warn(warning.clone()));
        let plan = cx.stage(Stage::Gate, |s| self.plan(query, s))?;
        let (mut gathered, scope) = cx.stage(Stage::Gather, |s| {
            let scope = self.scope(&query.scope)?;
            let channels = &self.channels;
            let gathered = gather(channels, &query.text, &plan, &scope, s)?;
            Ok((gathered, scope))
        })?;
        cx.stage(Stage::Pool, |s| {
            pool(&mut gathered.rankings, self.settings.pool_max, s);
            Ok(())
        })?;
        let class = plan.profile.class;
        let recency = rank::Recency::of(&query.text, class, query.recency, &self.settings);
        s.set(attrs::RECENCY_BOOSTED, recency.is_some());
        let mut fused = cx.stage(Stage::Fuse, |s| {
            mix::weigh(&mut gathered.rankings, &plan);
            let fused = fuse(&gathered.rankings, plan.fusion);
            s.set(attrs::FUSION, plan.fusion.as_str());
            s.set(attrs::FUSED_DOCS, fused.len());
            let candidates = self.candidates_of(fused, query, &plan.profile)?;
            let mut ranked = rank::rank(candidates, plan.policy, recency);
            let support = mix::lexical_support(&gathered.rankings, &plan);
            let run_min = phrase::run_min(&plan.profile, support);
            if phrase::raise(&mut ranked, &query.text, run_min, &self.catalog)? {
                let message =
                    "none of the chunks found has the quoted text as it is; these have its words";
                let warning = Warning::new("quote-not-found", message);
                s.cx().warn(warning.clone());
                gathered.warnings.push(warning);
            }
            Ok(ranked)
        })?;
        s.set(attrs::FUSED_DOCS, fused.len());
        let total = fused.len();
        let reranked = self.rerank(query, &plan, &mut fused, &mut gathered, &cx)?;
        let files = self.catalog.file_spans()?;
        let file = |chunk: &Fused| rank::file_of(chunk.id, files);
        // The model was learnt from scores of the default fusion of all channels.
        let is_calibrated = matches!(plan.fusion, Fusion::Convex { .. })
            && reranked.is_none()
            && !query.names_channels;
        let evidence =
            Evidence::of(&fused, &gathered.rankings, &plan, file).filter(|_| is_calibrated);
        if let Some(evidence) = &evidence {
            s.set(attrs::CONFIDENCE, evidence.confidence(class));
        }
        let findings =
            cx.stage(Stage::Hydrate, |s| hydrate(&self.catalog, &self.roots, query, fused, s))?;
        let used = gathered.rankings.iter().map(|ranking| ranking.channel.as_str().to_owned());
        s.set(attrs::CHANNELS_USED, used.collect::<Vec<_>>());
        s.set(attrs::CHANNEL_DEPTHS, plan.depths());
        plan.fusion.rrf_k().into_iter().for_each(|k| s.set(attrs::RRF_K, k));
        gathered.warnings.extend(off.iter().chain(&plan.warnings).cloned());
        let restricted = scope.filter(|_| !query.scope.is_empty());
        let scope_chunks = restricted.map(|scope| scope.count());
        Ok(AnswerParts { plan, gathered, evidence, scope_chunks, reranked, findings, total })
    }

    /// Ranks the best of `ranked` once more. A method that fails is left out, with a warning.
    fn rerank(
        &self,
        query: &Query,
        plan: &Plan,
        ranked: &mut [Fused],
        gathered: &mut Gathered,
        cx: &RunContext,
    ) -> Result<Option<Reranked>> {
        let method = self.reranker.method(query.rerank);
        if method == RerankMethod::Off || ranked.is_empty() {
            cx.skip(Stage::Rerank, if ranked.is_empty() { "nothing-found" } else { "off" });
            return Ok(None);
        }
        let sources = Sources {
            query: &query.text.raw,
            catalog: &self.catalog,
            dense: &self.channels.dense,
            rankings: &gathered.rankings,
            fusion: plan.fusion,
        };
        let rerank = |s: &mut StageSpan| self.reranker.rerank(query.rerank, ranked, &sources, s);
        let (reranked, warning) = match cx.stage(Stage::Rerank, rerank) {
            Ok((reranked, warning)) => (Some(reranked), warning),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => {
                let message = format!("reranking by {method} was left out: {error}");
                (None, Some(Warning::new("rerank-failed", message)))
            }
        };
        if let Some(warning) = warning {
            cx.warn(warning.clone());
            gathered.warnings.push(warning);
        }
        Ok(reranked)
    }

    /// The chunks that a search may return; `None` for all chunks.
    fn scope(&self, spec: &ScopeSpec) -> Result<Option<Arc<ChunkSet>>> {
        if spec.is_empty() {
            return Ok(self.live.clone());
        }
        // The catalog's files list no deleted chunk.
        Ok(Some(Arc::new(self.catalog.scope(spec)?)))
    }
}

/// The embedding model for a version: that of the settings if one is set, else its own.
pub fn model_for<'a>(settings: &'a Settings, manifest: &'a VersionManifest) -> &'a str {
    let set = &settings.model.name;
    if *set == Settings::default().model.name { &manifest.model.name } else { set }
}

/// Opens the catalog of `version`, ready to answer, and the set of its chunks that are not deleted.
fn open_catalog(version: &IndexVersion) -> Result<(Catalog, ChunkSet)> {
    let catalog = Catalog::open(&version.folder.catalog())?;
    let live = catalog.live()?;
    catalog.warm()?;
    Ok((catalog, live))
}

/// The part of the query's text that the span records.
fn captured(text: &str, capture: CaptureQuery) -> Option<String> {
    match capture {
        CaptureQuery::Full => Some(text.to_owned()),
        CaptureQuery::Hash => {
            Some(format!("blake3:{}", &blake3::hash(text.as_bytes()).to_hex()[..16]))
        }
        CaptureQuery::None => None,
    }
}
