//! The engine as its callers see it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::backend::Backend;
use super::cache::VectorCache;
use super::call::{Call, Parts};
use super::load::{Loaded, describe, load, refuse};
use super::request::{EmbedRequest, Embeddings, PromptKind, Purpose};
use super::worker::{DeviceCompute, Search, WorkerLimits, Workers};
use super::{EngineStats, Lane};
use crate::base::config::{Settings, VllmMode};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::telemetry::labels::{EmbedOutcome, Mode, Tool};
use crate::base::telemetry::{MemoryInfo, RunContext, Stage, StageSpan, Telemetry, attrs};
use crate::device::Device;
use crate::embedding::engine::endpoint::Remote;
use crate::embedding::models::ModelFolder;
use crate::embedding::models::ModelIdentity;
use crate::embedding::nn::{Pooling, Prompts, TextConfig};
use crate::embedding::token::Tokenizer;

/// Tokens of one text of the warm-up, about: that of a chunk.
const WARM_UP_TOKENS: usize = 256;

/// What overrides the model's own configuration; part of the identity.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineOptions {
    pub pooling: Option<Pooling>,
    pub normalize: Option<bool>,
}

/// Embeds texts. Cloning shares the engine; the last clone that is dropped stops it.
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
    backend: Backend,
}

impl Engine {
    /// Loads the model and starts the worker; or, if `vllm.mode` says so, asks an endpoint who it is:
    /// of `folder` only the tokenizer is needed then. Vectors are kept in `cache_folder`, if there is one.
    pub fn start(
        folder: &ModelFolder,
        settings: &Settings,
        cache_folder: Option<&Path>,
    ) -> Result<Self> {
        Self::start_with(folder, settings, cache_folder, EngineOptions::default())
    }

    /// As [`Engine::start`], with another pooling or length of vectors than the model says.
    pub fn start_with(
        folder: &ModelFolder,
        settings: &Settings,
        cache_folder: Option<&Path>,
        options: EngineOptions,
    ) -> Result<Self> {
        if settings.vllm.mode != VllmMode::Inproc {
            refuse(options)?;
        }
        let remote = || Remote::new(&settings.endpoint, &folder.name);
        let (remote, loaded) = match settings.vllm.mode {
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
        let backend = Backend::new(workers, remote);
        Self::open(identity, name, folder, settings, cache_folder, backend)
    }

    /// An engine in front of `remote`. failed: why the model could not be loaded here.
    fn remote(
        folder: &ModelFolder,
        settings: &Settings,
        cache_folder: Option<&Path>,
        remote: Remote,
        failed: Option<&Error>,
    ) -> Result<Self> {
        let identity = describe(folder, &settings.engine, &remote, failed)?;
        let instead = failed.map(|error| format!("the model could not be loaded here: {error}"));
        if let Some(why) = &instead {
            tracing::warn!(endpoint = remote.base(), why, "the endpoint embeds");
        }
        let device = remote.base().to_owned();
        let backend = Backend::Http { remote, instead };
        Self::open(identity, device, folder, settings, cache_folder, backend)
    }

    fn open(
        identity: ModelIdentity,
        device: String,
        folder: &ModelFolder,
        settings: &Settings,
        cache_folder: Option<&Path>,
        backend: Backend,
    ) -> Result<Self> {
        let tokenizer = Tokenizer::open(&folder.path, identity.max_tokens)?;
        let prompts = TextConfig::read(&folder.path)?.prompts;
        Self::assemble(identity, prompts, device, tokenizer, settings, cache_folder, backend)
    }

    pub(super) fn assemble(
        identity: ModelIdentity,
        prompts: Prompts,
        device: String,
        tokenizer: Tokenizer,
        settings: &Settings,
        cache_folder: Option<&Path>,
        backend: Backend,
    ) -> Result<Self> {
        let bytes_max = settings.engine.cache_bytes_max;
        let open = |folder| VectorCache::open(folder, &identity.key(), identity.dim, bytes_max);
        let cache = cache_folder.filter(|_| bytes_max > 0).map(open).transpose()?;
        let inner = Inner { identity, prompts, device, tokenizer, cache, backend };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Embeds texts; waits for the answer.
    ///
    /// Full lanes answer `overloaded` at once. A request larger than its lane is fed into it piece
    /// by piece. Ends early when the run is cancelled or its deadline has passed.
    pub fn embed(&self, request: EmbedRequest<'_>, cx: &RunContext) -> Result<Embeddings> {
        self.embed_then(request, None, cx)
    }

    /// As [`Engine::embed`], but the device that computes the vectors also searches `search.index` for
    /// each, in the same pass: only ids and scores come back. Where an endpoint embeds, since the
    /// device fails, the vectors come back and nothing is searched.
    pub fn nearest(
        &self,
        request: EmbedRequest<'_>,
        search: &Search,
        cx: &RunContext,
    ) -> Result<Embeddings> {
        self.embed_then(request, Some(search), cx)
    }

    fn embed_then(
        &self,
        request: EmbedRequest<'_>,
        search: Option<&Search>,
        cx: &RunContext,
    ) -> Result<Embeddings> {
        let stage = match request.purpose {
            Purpose::Query => Stage::EmbedQuery,
            Purpose::Document => Stage::Embed,
        };
        let began = Instant::now();
        let prompt = self.prompt(request.prompt);
        // The texts as cache, tokenizer and endpoint see them: behind the prompt.
        let prompted: Vec<String> = match prompt {
            "" => Vec::new(),
            prompt => request.texts.iter().map(|text| [prompt, text].concat()).collect(),
        };
        let prompted: Vec<&str> = prompted.iter().map(String::as_str).collect();
        let texts = if prompt.is_empty() { request.texts } else { &prompted };
        let request = EmbedRequest { texts, ..request };
        let mut mode = self.inner.identity.mode;
        let result = cx.stage(stage, |span| {
            self.describe(request, span);
            let Inner { tokenizer, cache, identity, backend, .. } = &*self.inner;
            let parts = Parts { tokenizer, cache: cache.as_ref(), d: identity.dim };
            let (by, answer) = backend.embed(parts, request, search, &span.cx());
            mode = by;
            self.describe_mode(by, span);
            let near = backend.worker().filter(|_| by == Mode::Inproc);
            let memory = near.and_then(Workers::device).and_then(Device::memory);
            for (key, bytes) in memory.into_iter().flat_map(MemoryInfo::attrs) {
                span.set(key, bytes);
            }
            let answer = answer?;
            span.set(attrs::VLLM_QUEUE_MS, answer.queue.as_secs_f64() * 1e3);
            span.set(attrs::GEN_AI_INPUT_TOKENS, answer.tokens);
            span.set(attrs::CACHE_HITS, answer.cache_hits);
            Ok(answer)
        });
        cx.instruments().embedded(mode, outcome(&result), began.elapsed());
        result
    }

    /// Which model this is.
    pub fn identity(&self) -> &ModelIdentity {
        &self.inner.identity
    }

    /// The model's own tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.inner.tokenizer
    }

    /// The model's prompt of that kind; empty for most models.
    pub fn prompt(&self, kind: PromptKind) -> &str {
        kind.prompt(&self.inner.prompts)
    }

    /// The device that searches for the vectors it computes; an error says why there is none.
    pub fn search_device(&self) -> std::result::Result<&Device, String> {
        let worker =
            self.inner.backend.worker().ok_or("queries are not embedded in this process")?;
        match worker.device() {
            Some(device) if worker.searches() => Ok(device),
            Some(device) if device.is_gpu() => {
                Err("the layers behind the model's pooling are on the CPU".to_owned())
            }
            _ => Err(format!("queries are embedded on {}", self.device_name())),
        }
    }

    /// The device of this process that embeds.
    pub fn device(&self) -> Option<&Device> {
        self.inner.backend.worker().and_then(Workers::device)
    }

    /// Whether a GPU of this process embeds.
    pub fn on_gpu(&self) -> bool {
        self.device().is_some_and(Device::is_gpu)
    }

    /// Why nothing can be embedded any more: the device is lost, and no endpoint is behind it.
    pub fn why_not(&self) -> Option<String> {
        self.inner.backend.why_not()
    }

    /// What computes: `cpu avx512`, or the endpoint's address.
    pub fn device_name(&self) -> &str {
        &self.inner.device
    }

    pub fn stats(&self) -> EngineStats {
        self.inner.backend.stats()
    }

    /// Has this process's device compute a batch that keeps it busy, so that memory that is not
    /// there shows before the first request, and the device's speed is known. An endpoint is asked
    /// nothing.
    pub fn warm_up(&self) -> Result<()> {
        let Inner { tokenizer, identity, backend, .. } = &*self.inner;
        let Some(worker) = backend.worker() else { return Ok(()) };
        let began = Instant::now();
        let tokens = WARM_UP_TOKENS.min(identity.max_tokens);
        let text = |i: usize| format!("{i} ").repeat(tokens);
        let texts: Vec<String> = (0..worker.busy_tokens().div_ceil(tokens)).map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let parts = Parts { tokenizer, cache: None, d: identity.dim };
        // Nobody's run: it is not measured as one.
        let cx = RunContext::new(&Telemetry::detached(), Tool::Embed, &[]);
        let computed = Call::new(parts, Lane::Bulk, &cx).run(&texts, worker);
        let answer = match computed.map_err(|failed| failed.error) {
            Err(error) if backend.remote().is_some() => {
                tracing::warn!(%error, "the device did not warm up; where it fails the endpoint embeds");
                return Ok(());
            }
            answer => answer?,
        };
        let (device, took_ms) = (self.device_name(), began.elapsed().as_millis() as u64);
        let tokens_per_s = worker.stats().tokens_per_s;
        tracing::info!(device, tokens = answer.tokens, took_ms, tokens_per_s, "warmed up");
        Ok(())
    }

    /// Stops the worker after its batch; what waits, and whoever asks later, gets an error.
    pub fn stop(&self) {
        self.inner.backend.stop();
    }

    /// What is known before the work begins.
    fn describe(&self, request: EmbedRequest<'_>, span: &mut StageSpan) {
        span.set(attrs::GEN_AI_OPERATION, "embeddings");
        span.set(attrs::GEN_AI_PROVIDER, "codeintel");
        span.set(attrs::VLLM_DIM, self.inner.identity.dim);
        span.set(attrs::VLLM_BATCH_SIZE, request.texts.len());
    }

    /// Who did it.
    fn describe_mode(&self, mode: Mode, span: &mut StageSpan) {
        let Inner { identity, device, backend, .. } = &*self.inner;
        span.set(attrs::VLLM_MODE, mode.as_str());
        match backend.remote().filter(|_| mode == Mode::Http) {
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

fn outcome(result: &Result<Embeddings>) -> EmbedOutcome {
    match result.as_ref().map_err(Error::kind) {
        Ok(_) => EmbedOutcome::Ok,
        Err(ErrorKind::Overloaded) => EmbedOutcome::Overloaded,
        Err(ErrorKind::Timeout) => EmbedOutcome::Timeout,
        Err(ErrorKind::Cancelled) => EmbedOutcome::Cancelled,
        Err(_) => EmbedOutcome::Failed,
    }
}
