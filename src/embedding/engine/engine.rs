//! The public interface of one loaded model.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::cache::VectorCache;
use super::call::{Call, Parts};
use super::collector::Results;
use super::endpoint::Remote;
use super::input::Input;
use super::load::{Loaded, describe, load, refuse};
use super::placement::Placement;
use super::request::{
    EmbedRequest, Embeddings, Expansions, PromptKind, Purpose, ScoreRequest, Scores, TokenVectors,
};
use super::worker::{DeviceCompute, Search, WorkerLimits, Workers};
use super::{EngineStats, Lane};
use crate::base::config::{Settings, VllmMode};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::telemetry::labels::{EmbedOutcome, Mode, Tool};
use crate::base::telemetry::{MemoryInfo, RunContext, Stage, StageSpan, Telemetry, attrs};
use crate::device::Device;
use crate::embedding::models::{ModelFolder, ModelIdentity, Task};
use crate::embedding::nn::{Pooling, Prompts, TextConfig};
use crate::embedding::token::Tokenizer;

/// Approximate tokens of one warm-up text: the length of a chunk.
const WARM_UP_TOKENS: usize = 256;

/// Options that override the model's own configuration. They are part of the identity.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineOptions {
    pub pooling: Option<Pooling>,
    pub normalize: Option<bool>,
    /// The task that the model is loaded for.
    pub task: Task,
}

/// Embeds texts, expands them or scores pairs. Clones share the engine. Dropping the last clone
/// stops it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    identity: ModelIdentity,
    prompts: Prompts,
    device: String,
    tokenizer: Tokenizer,
    cache: Option<VectorCache>,
    placement: Placement,
}

impl Engine {
    /// Loads the model and starts the workers. If `vllm.mode` selects an endpoint, the engine only
    /// queries that endpoint for its model, and `folder` needs to hold only the tokenizer. Vectors
    /// are cached in `cache_folder`, if it is given.
    pub fn start(
        folder: &ModelFolder,
        settings: &Settings,
        cache_folder: Option<&Path>,
    ) -> Result<Self> {
        Self::start_with(folder, settings, cache_folder, EngineOptions::default())
    }

    /// Like [`Engine::start`], with options that override the model's pooling or normalisation.
    pub fn start_with(
        folder: &ModelFolder,
        settings: &Settings,
        cache_folder: Option<&Path>,
        options: EngineOptions,
    ) -> Result<Self> {
        // An endpoint supports only embedding.
        let mode = if options.task == Task::Embed { settings.vllm.mode } else { VllmMode::Inproc };
        if mode != VllmMode::Inproc {
            refuse(options)?;
        }
        let remote = || Remote::new(&settings.endpoint, &folder.name);
        let (remote, loaded) = match mode {
            VllmMode::Inproc => (None, load(folder, &settings.engine, options)?),
            VllmMode::Http => {
                return Self::remote(folder, settings, cache_folder, remote()?, None);
            }
            VllmMode::Auto => {
                let remote = remote()?;
                match load(folder, &settings.engine, options) {
                    Ok(loaded) => (Some(remote), loaded),
                    Err(e) => {
                        return Self::remote(folder, settings, cache_folder, remote, Some(&e));
                    }
                }
            }
        };
        let Loaded { identity, device, compute, busy_tokens } = loaded;
        let limits = WorkerLimits::new(&settings.engine, busy_tokens, device.is_gpu());
        let name = device.name();
        let device = DeviceCompute { limits, compute, device: Some(device) };
        let workers = Workers::start(settings.engine.queue_tokens_max, vec![device])?;
        let placement = Placement::new(workers, remote);
        Self::open(identity, name, folder, settings, cache_folder, placement)
    }

    /// An engine that sends requests to `remote`. failed: why the model could not be loaded in this
    /// process.
    fn remote(
        folder: &ModelFolder,
        settings: &Settings,
        cache_folder: Option<&Path>,
        remote: Remote,
        failed: Option<&Error>,
    ) -> Result<Self> {
        let identity = describe(folder, &settings.engine, &remote, failed)?;
        let reason = failed.map(|error| format!("the model could not be loaded here: {error}"));
        if let Some(why) = &reason {
            tracing::warn!(endpoint = remote.base(), why, "the endpoint embeds");
        }
        let device = remote.base().to_owned();
        let placement = Placement::Remote { remote, reason };
        Self::open(identity, device, folder, settings, cache_folder, placement)
    }

    fn open(
        identity: ModelIdentity,
        device: String,
        folder: &ModelFolder,
        settings: &Settings,
        cache_folder: Option<&Path>,
        placement: Placement,
    ) -> Result<Self> {
        let tokenizer = Tokenizer::open(&folder.path, identity.max_tokens)?;
        let prompts = TextConfig::read(&folder.path)?.prompts;
        Self::assemble(identity, prompts, device, tokenizer, settings, cache_folder, placement)
    }

    pub(super) fn assemble(
        identity: ModelIdentity,
        prompts: Prompts,
        device: String,
        tokenizer: Tokenizer,
        settings: &Settings,
        cache_folder: Option<&Path>,
        placement: Placement,
    ) -> Result<Self> {
        let bytes_max = settings.engine.cache_bytes_max;
        let open = |folder| VectorCache::open(folder, &identity.key(), identity.dim, bytes_max);
        // The cache holds vectors of one length. Expansions and token vectors vary in length.
        let is_cached = bytes_max > 0 && matches!(identity.task, Task::Embed | Task::Score);
        let cache = cache_folder.filter(|_| is_cached).map(open).transpose()?;
        let inner = Inner { identity, prompts, device, tokenizer, cache, placement };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Embeds texts and waits for the response.
    ///
    /// If the lane is full, the call fails immediately with `overloaded`. A request larger than its
    /// lane is fed in piece by piece. The call ends early when the run is cancelled or its deadline
    /// has passed.
    pub fn embed(&self, request: EmbedRequest<'_>, cx: &RunContext) -> Result<Embeddings> {
        self.compute_texts(Task::Embed, request, None, cx)?.into_embeddings()
    }

    /// Like [`Engine::embed`], but the device that computes the vectors also searches
    /// `search.index` for each of them in the same pass and returns only ids and scores. If the
    /// device fails and an endpoint embeds instead, the vectors are returned and no index is
    /// searched.
    pub fn nearest(
        &self,
        request: EmbedRequest<'_>,
        search: &Search,
        cx: &RunContext,
    ) -> Result<Embeddings> {
        self.compute_texts(Task::Embed, request, Some(search), cx)?.into_embeddings()
    }

    /// Expands texts into weights over the vocabulary; otherwise like [`Engine::embed`]. Expansions
    /// are not cached.
    pub fn expand(&self, request: EmbedRequest<'_>, cx: &RunContext) -> Result<Expansions> {
        self.compute_texts(Task::Expand, request, None, cx).map(Results::into_expansions)
    }

    /// Returns the last hidden state of each token, which late interaction compares; otherwise like
    /// [`Engine::embed`]. Token vectors are not cached.
    pub fn token_vectors(
        &self,
        request: EmbedRequest<'_>,
        cx: &RunContext,
    ) -> Result<TokenVectors> {
        self.compute_texts(Task::TokenVectors, request, None, cx).map(Results::into_token_vectors)
    }

    /// Scores pairs of texts; otherwise like [`Engine::embed`].
    pub fn score(&self, request: ScoreRequest<'_>, cx: &RunContext) -> Result<Scores> {
        let input = Input::Pairs(request.pairs);
        self.compute(Task::Score, Stage::Score, input, request.lane, None, cx)?.into_scores()
    }

    fn compute_texts(
        &self,
        task: Task,
        request: EmbedRequest<'_>,
        search: Option<&Search>,
        cx: &RunContext,
    ) -> Result<Results> {
        let stage = match request.purpose {
            Purpose::Query => Stage::EmbedQuery,
            Purpose::Document => Stage::Embed,
        };
        let prompt = self.prompt(request.prompt);
        // The cache, the tokenizer and the endpoint see each text with the prompt prepended.
        let prompted: Vec<String> = if prompt.is_empty() {
            Vec::new()
        } else {
            request.texts.iter().map(|text| [prompt, text].concat()).collect()
        };
        let prompted: Vec<&str> = prompted.iter().map(String::as_str).collect();
        let texts = if prompt.is_empty() { request.texts } else { &prompted };
        self.compute(task, stage, Input::Texts(texts), request.lane, search, cx)
    }

    fn compute(
        &self,
        task: Task,
        stage: Stage,
        input: Input<'_>,
        lane: Lane,
        search: Option<&Search>,
        cx: &RunContext,
    ) -> Result<Results> {
        let began = Instant::now();
        let Inner { tokenizer, cache, identity, placement, .. } = &*self.inner;
        let mut mode = identity.mode;
        let result = cx.stage(stage, |span| {
            self.check_task(task)?;
            self.describe(input, span);
            let parts = Parts { identity, tokenizer, cache: cache.as_ref() };
            let (by, results) = placement.compute(parts, input, lane, search, &span.cx());
            mode = by;
            self.describe_mode(by, span);
            let local = placement.workers().filter(|_| by == Mode::Inproc);
            let memory = local.and_then(Workers::device).and_then(Device::memory);
            for (key, bytes) in memory.into_iter().flat_map(MemoryInfo::attrs) {
                span.set(key, bytes);
            }
            let results = results?;
            span.set(attrs::VLLM_QUEUE_MS, results.queue_time.as_secs_f64() * 1e3);
            span.set(attrs::GEN_AI_INPUT_TOKENS, results.tokens);
            span.set(attrs::CACHE_HITS, results.cache_hits);
            Ok(results)
        });
        cx.instruments().embedded(mode, outcome(&result), began.elapsed());
        result
    }

    /// Returns an error unless the model was loaded for `task`.
    fn check_task(&self, task: Task) -> Result<()> {
        let ModelIdentity { name, task: loaded, .. } = &self.inner.identity;
        if *loaded == task {
            return Ok(());
        }
        Err(Error::ModelUnsupported {
            found: format!("the task {:?} of a model loaded for another, {name},", task.as_str()),
            supported: loaded.as_str().to_owned(),
        })
    }

    /// The identity of the model.
    pub fn identity(&self) -> &ModelIdentity {
        &self.inner.identity
    }

    /// The model's own tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.inner.tokenizer
    }

    /// The model's prompt of this kind. It is empty for most models.
    pub fn prompt(&self, kind: PromptKind) -> &str {
        kind.prompt(&self.inner.prompts)
    }

    /// The device that can search an index for the vectors it computes, or the reason why none can.
    pub fn search_device(&self) -> std::result::Result<&Device, String> {
        let workers =
            self.inner.placement.workers().ok_or("queries are not embedded in this process")?;
        match workers.device() {
            Some(device) if workers.searches() => Ok(device),
            Some(device) if device.is_gpu() => {
                Err("the layers behind the model's pooling are on the CPU".to_owned())
            }
            _ => Err(format!("queries are embedded on {}", self.device_name())),
        }
    }

    /// The device of this process that embeds, if there is one.
    pub fn device(&self) -> Option<&Device> {
        self.inner.placement.workers().and_then(Workers::device)
    }

    /// Whether a GPU of this process embeds.
    pub fn on_gpu(&self) -> bool {
        self.device().is_some_and(Device::is_gpu)
    }

    /// Why the engine can no longer compute: the device is lost and no endpoint is configured.
    pub fn why_not(&self) -> Option<String> {
        self.inner.placement.why_not()
    }

    /// The name of the device, such as `cpu avx512`, or the endpoint's address.
    pub fn device_name(&self) -> &str {
        &self.inner.device
    }

    pub fn stats(&self) -> EngineStats {
        self.inner.placement.stats()
    }

    /// Computes enough tokens to keep the devices of this process busy, so that a lack of memory is
    /// detected before the first request and the speed of the device is known. An endpoint receives
    /// no request.
    pub fn warm_up(&self) -> Result<()> {
        let Inner { tokenizer, identity, placement, .. } = &*self.inner;
        let Some(workers) = placement.workers() else { return Ok(()) };
        let began = Instant::now();
        let tokens = WARM_UP_TOKENS.min(identity.max_tokens);
        let text = |i: usize| format!("{i} ").repeat(tokens);
        let texts: Vec<String> = (0..workers.busy_tokens().div_ceil(tokens)).map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let parts = Parts { identity, tokenizer, cache: None };
        // The warm-up belongs to no run and is not measured as one.
        let cx = RunContext::new(&Telemetry::detached(), Tool::Embed, &[]);
        let call = Call::new(parts, Input::Texts(&texts), Lane::Bulk, None, &cx);
        let results = match call.run(workers, None).map_err(|failed| failed.error) {
            Err(error) if placement.remote().is_some() => {
                tracing::warn!(%error, "the device did not warm up; where it fails the endpoint embeds");
                return Ok(());
            }
            results => results?,
        };
        let (device, took_ms) = (self.device_name(), began.elapsed().as_millis() as u64);
        let tokens_per_s = workers.stats().tokens_per_s;
        tracing::info!(device, tokens = results.tokens, took_ms, tokens_per_s, "warmed up");
        Ok(())
    }

    /// Stops the workers after their current batches. Waiting and later requests fail.
    pub fn stop(&self) {
        self.inner.placement.stop();
    }

    /// Sets the attributes that are known before the work begins.
    fn describe(&self, input: Input<'_>, span: &mut StageSpan) {
        span.set(attrs::GEN_AI_OPERATION, "embeddings");
        span.set(attrs::GEN_AI_PROVIDER, "codeintel");
        span.set(attrs::VLLM_DIM, self.inner.identity.dim);
        span.set(attrs::VLLM_BATCH_SIZE, input.len());
    }

    /// Sets the attributes that say where the request was computed.
    fn describe_mode(&self, mode: Mode, span: &mut StageSpan) {
        let Inner { identity, device, placement, .. } = &*self.inner;
        span.set(attrs::VLLM_MODE, mode.as_str());
        match placement.remote().filter(|_| mode == Mode::Http) {
            Some(remote) => {
                span.set(attrs::VLLM_MODEL, remote.model().to_owned());
                span.set(attrs::VLLM_DEVICE, remote.base().to_owned());
            }
            None => {
                span.set(attrs::VLLM_MODEL, identity.name.clone());
                span.set(attrs::VLLM_DEVICE, device.clone());
                span.set(attrs::VLLM_DTYPE, identity.dtype.as_str());
            }
        }
    }
}

fn outcome(result: &Result<Results>) -> EmbedOutcome {
    match result.as_ref().map_err(Error::kind) {
        Ok(_) => EmbedOutcome::Ok,
        Err(ErrorKind::Overloaded) => EmbedOutcome::Overloaded,
        Err(ErrorKind::Timeout) => EmbedOutcome::Timeout,
        Err(ErrorKind::Cancelled) => EmbedOutcome::Cancelled,
        Err(_) => EmbedOutcome::Failed,
    }
}
