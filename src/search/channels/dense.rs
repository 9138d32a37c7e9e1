//! The dense channel: the chunks whose vectors are nearest to that of the query.
//!
//! By default the CPU searches the index as built. A server also copies the vectors into the memory
//! of the GPU that embeds its queries. Embedding and search are then one pass on the GPU, and only
//! ids and scores are copied back.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{Channel, ChannelName, ChannelSearch, Encoded, Encoding};
use crate::base::config::{DenseDevice, SearchSettings};
use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, ChunkSet, Hit};
use crate::base::telemetry::attrs::{self, Attr};
use crate::base::telemetry::labels::IndexKind;
use crate::base::telemetry::{RunContext, Stage, StageSpan};
use crate::embedding::engine::{EmbedRequest, Engine, PromptKind, Search};
use crate::index::{DenseIndex, DenseParams, Resident};

/// The vectors of one version, and the engine that embeds queries for them.
pub struct DenseChannel {
    pub index: DenseIndex,
    engine: Option<Engine>,
    nprobe: usize,
    ef_search: usize,
    k_factor: usize,
    device: DenseDevice,
    /// The vectors on the device that embeds queries, or the reason why they are not there; empty
    /// before [`DenseChannel::place`].
    resident: OnceLock<std::result::Result<Resident, String>>,
    /// The chunks that are not deleted and have a vector; empty while all that are not deleted have one.
    with_vectors: OnceLock<ChunkSet>,
}

impl DenseChannel {
    pub fn new(index: DenseIndex, engine: Option<Engine>, settings: &SearchSettings) -> Self {
        Self {
            index,
            engine,
            nprobe: settings.nprobe,
            ef_search: settings.ef_search,
            k_factor: settings.k_factor,
            device: settings.dense_device,
            resident: OnceLock::new(),
            with_vectors: OnceLock::new(),
        }
    }

    /// Leaves out the chunks that have no vector, because they are found by their words only.
    pub fn limit_to(&self, with_vectors: ChunkSet) {
        // A version is opened once.
        let _ = self.with_vectors.set(with_vectors);
    }

    /// The chunks of `scope` that have a vector.
    fn within<'a>(&'a self, scope: Option<&'a ChunkSet>) -> Option<Cow<'a, ChunkSet>> {
        match (self.with_vectors.get(), scope) {
            (None, scope) => scope.map(Cow::Borrowed),
            (Some(all), None) => Some(Cow::Borrowed(all)),
            (Some(all), Some(scope)) => {
                let mut both = scope.clone();
                both.intersect(all);
                Some(Cow::Owned(both))
            }
        }
    }

    /// Copies the vectors of `live` chunks, or of all chunks, to the device that embeds queries.
    pub fn place(&self, live: Option<&ChunkSet>) {
        let live = self.within(live);
        match self.resident.get_or_init(|| self.copy(live.as_deref())) {
            Ok(resident) => tracing::info!(vectors = resident.n(), "the GPU searches vectors"),
            Err(why) => tracing::info!(why, "the CPU searches vectors"),
        }
    }

    fn copy(&self, live: Option<&ChunkSet>) -> std::result::Result<Resident, String> {
        if self.device == DenseDevice::Cpu {
            return Err("search.dense_device = cpu".to_owned());
        }
        let engine = self.engine.as_ref().ok_or("no model was loaded")?;
        let device = engine.search_device()?;
        if !engine.identity().normalize {
            return Err("the CPU normalises the vectors of this model".to_owned());
        }
        let placed = self.index.place(device, live).map_err(|error| error.to_string())?;
        placed.ok_or_else(|| format!("{} has no memory of its own", device.name()))
    }

    /// The chunks of `scope` whose vectors are nearest to that of `id`, best first, and `id` itself
    /// among them; `None` if it has no vector.
    pub fn related(
        &self,
        id: ChunkId,
        depth: usize,
        scope: Option<&ChunkSet>,
        cx: &RunContext,
    ) -> Result<Option<Vec<Hit>>> {
        cx.stage(self.stage(), |s| {
            let vector = self.index.vector(id)?;
            if vector.iter().all(|value| *value == 0.0) {
                return Ok(None);
            }
            self.describe(self.index.kind_label(), depth, false, s);
            let scope = self.within(scope);
            let (hits, took) = self.on_cpu(&vector, depth, scope.as_deref(), s)?;
            s.set(attrs::FAISS_SEARCH_MS, took.as_secs_f64() * 1e3);
            s.set(attrs::CHANNEL_HITS, hits.len());
            Ok(Some(hits))
        })
    }

    /// The inner products of the query with the stored vectors of `ids`, `[n]`, in full precision.
    pub fn exact(&self, query: &str, ids: &[ChunkId], cx: &RunContext) -> Result<Vec<f32>> {
        let engine = self.engine.as_ref().ok_or_else(|| Error::Unavailable {
            what: "exact".to_owned(),
            remedy: "no embedding model is loaded".to_owned(),
        })?;
        let embedded = engine.embed(EmbedRequest::query(&[query], PromptKind::Query), cx)?;
        self.index.scores(embedded.unit(engine.identity()).vectors.row(0), ids)
    }

    fn describe(&self, kind: IndexKind, depth: usize, on_gpu: bool, span: &mut StageSpan) {
        span.set(attrs::FAISS_INDEX_KIND, kind.as_str());
        span.set(attrs::FAISS_METRIC, "IP");
        span.set(attrs::FAISS_DIM, self.index.d());
        span.set(attrs::FAISS_K, depth);
        span.set(attrs::FAISS_GPU, on_gpu);
    }

    fn on_cpu(
        &self,
        vector: &[f32],
        depth: usize,
        scope: Option<&ChunkSet>,
        span: &mut StageSpan,
    ) -> Result<(Vec<Hit>, Duration)> {
        span.set(attrs::FAISS_NPROBE, self.nprobe);
        let Self { nprobe, ef_search, k_factor, .. } = *self;
        let params = DenseParams { nprobe, ef_search, k_factor, filter: scope };
        let began = Instant::now();
        let hits = self.index.search(vector, depth, &params)?;
        Ok((hits, began.elapsed()))
    }

    /// Why the CPU searches; `None` if the GPU does.
    pub fn why_on_cpu(&self) -> Option<&str> {
        match self.resident.get() {
            None => Some("the vectors have not been copied to a GPU"),
            Some(placed) => placed.as_ref().err().map(String::as_str),
        }
    }

    /// Returns the vectors on the device and the number of candidates to request, if the device can
    /// find the best `depth` chunks of `scope`. FAISS on a GPU cannot restrict a search to some
    /// vectors.
    fn on_device(&self, depth: usize, scope: Option<&ChunkSet>) -> Option<(&Resident, usize)> {
        let resident = self.resident.get()?.as_ref().ok()?;
        let all = scope.is_none_or(|scope| scope.count() == resident.n());
        Some((resident, resident.candidates(depth)?)).filter(|_| all)
    }
}

impl Channel for DenseChannel {
    fn name(&self) -> ChannelName {
        ChannelName::Dense
    }

    fn stage(&self) -> Stage {
        Stage::Dense
    }

    fn hits_attribute(&self) -> Attr {
        attrs::DENSE
    }

    fn submit<'a>(&'a self, asked: &'a ChannelSearch) -> Option<Encoding<'a>> {
        let engine = self.engine.as_ref()?;
        let scope = self.within(asked.scope.as_deref());
        let on_device = self.on_device(asked.depth, scope.as_deref());
        let search = on_device.map(|(vectors, k)| Search { index: vectors.index(), k });
        let texts = [asked.query.raw.as_str()];
        let request = EmbedRequest::query(&texts, PromptKind::Query);
        Some(Encoding::Embedding(engine.submit(request, search.as_ref(), &asked.cx)))
    }

    fn search(&self, asked: &ChannelSearch, encoded: Option<Encoded>) -> Result<Vec<Hit>> {
        let ChannelSearch { depth, scope, cx, .. } = asked;
        let scope = self.within(scope.as_deref());
        let (depth, scope) = (*depth, scope.as_deref());
        let Some(Encoded::Embedding(mut embedded)) = encoded else {
            // Fail inside a stage, so that the span and the report show it like any other failure.
            return cx.stage(Stage::EmbedQuery, |_| {
                let what = "the dense channel".to_owned();
                let remedy = "no embedding model is loaded; search the other channels, or load one";
                Err(Error::Unavailable { what, remedy: remedy.to_owned() })
            });
        };
        if let Some(engine) = &self.engine {
            embedded = embedded.unit(engine.identity());
        }
        let on_device = self.on_device(depth, scope);
        let found = on_device.and_then(|(vectors, _)| Some((vectors, embedded.nearest.pop()?)));
        let kind = if found.is_some() { IndexKind::Flat } else { self.index.kind_label() };
        cx.stage(self.stage(), |s| {
            self.describe(kind, depth, found.is_some(), s);
            let (hits, took) = match &found {
                Some((vectors, found)) => (vectors.hits(found, depth), embedded.searched),
                None => self.on_cpu(embedded.vectors.row(0), depth, scope, s)?,
            };
            s.set(attrs::FAISS_SEARCH_MS, took.as_secs_f64() * 1e3);
            s.set(attrs::CHANNEL_HITS, hits.len());
            cx.instruments().searched(kind, found.is_some(), took);
            Ok(hits)
        })
    }
}
