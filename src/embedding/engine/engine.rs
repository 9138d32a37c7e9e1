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
use super::local_call::LocalCall;
use super::placement::Placement;
use super::request::{
    EmbedRequest, Embeddings, Expansions, PromptKind, Purpose, ScoreRequest, Scores, TokenVectors,
};
use super::submission::{Submission, Work};
use super::worker::{DeviceCompute, Search, WorkerLimits, Workers};
use super::{EngineStats, Lane};
use crate::base::config::{Settings, VllmMode};
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::{Mode, Tool};
use crate::base::telemetry::{RunContext, Stage, Telemetry};
use crate::device::Device;
use crate::embedding::models::{ModelFolder, ModelIdentity, Task};
use crate::embedding::nn::{Cuts, Encoder, Pooling, Prompts, SentenceConfig, TextConfig};
use crate::embedding::token::{PairTemplate, Tokenizer};

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

/// The device that computes, or the address of the endpoint, and why it is this one.
pub(super) struct DeviceLabel {
    pub name: String,
    pub reason: String,
}

impl DeviceLabel {
    pub fn new(name: &str, reason: &str) -> Self {
        Self { name: name.to_owned(), reason: reason.to_owned() }
    }
}

pub(super) struct Inner {
    pub identity: ModelIdentity,
    prompts: Prompts,
    pub device: DeviceLabel,
    pub tokenizer: Tokenizer,
    pub cache: Option<VectorCache>,
    pub placement: Placement,
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
        let Loaded { identity, device, reason, compute, busy_tokens } = loaded;
        let limits = WorkerLimits::new(&settings.engine, busy_tokens, device.is_gpu());
        let label = DeviceLabel::new(&device.name(), &reason);
        let device = DeviceCompute { limits, compute, device: Some(device) };
        let workers = Workers::start(settings.engine.queue_tokens_max, vec![device])?;
        let placement = Placement::new(workers, remote);
        Self::open(identity, label, folder, settings, cache_folder, placement)
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
        let why = reason.as_deref().unwrap_or("vllm.mode = http");
        let device = DeviceLabel::new(remote.base(), why);
        let placement = Placement::Remote { remote, reason };
        Self::open(identity, device, folder, settings, cache_folder, placement)
    }

    fn open(
        mut identity: ModelIdentity,
        device: DeviceLabel,
        folder: &ModelFolder,
        settings: &Settings,
        cache_folder: Option<&Path>,
        placement: Placement,
    ) -> Result<Self> {
        identity.cuts =
            if settings.model.allow_any_dimensions { Cuts::Any } else { Cuts::read(&folder.path)? };
        let TextConfig { folder: network, options, mut prompts, .. } =
            TextConfig::read(&folder.path)?;
        if identity.task == Task::Embed {
            prompts = SentenceConfig::read(&folder.path)?.prompts;
        }
        let mut tokenizer = Tokenizer::open_with(&network, identity.max_tokens, options)?;
        if identity.task == Task::Score
            && let Some(template) = PairTemplate::read(&folder.path)?
        {
            tokenizer = tokenizer.with_template(template)?;
        }
        if identity.mode == Mode::Inproc {
            tokenizer = tokenizer.fit(Encoder::tables(&folder.path)?)?;
        }
        Self::assemble(identity, prompts, device, tokenizer, settings, cache_folder, placement)
    }

    pub(super) fn assemble(
        identity: ModelIdentity,
        prompts: Prompts,
        device: DeviceLabel,
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

    /// Queues texts to embed and returns at once; [`Submission::wait`] waits for the response.
    ///
    /// If the lane is full, the request fails immediately with `overloaded`. A request larger than
    /// its lane is fed in piece by piece while it is waited for. The request ends early when the run
    /// is cancelled or its deadline has passed.
    ///
    /// search: an index that the device which computes the vectors also searches for each of them in
    /// the same pass; the response has only ids and scores. If the device fails and an endpoint
    /// embeds instead, the vectors are returned and no index is searched.
    pub fn submit<'a>(
        &'a self,
        request: EmbedRequest<'_, 'a>,
        search: Option<&Search>,
        cx: &RunContext,
    ) -> Submission<'a, Embeddings> {
        let work = self.work(Task::Embed, request);
        Submission::new(&self.inner, work, search, cx, Results::into_embeddings)
    }

    /// Embeds texts and waits for the response, as [`Engine::submit`] describes.
    pub fn embed(&self, request: EmbedRequest<'_, '_>, cx: &RunContext) -> Result<Embeddings> {
        self.submit(request, None, cx).wait()
    }

    /// Like [`Engine::embed`], with a search of the vectors on the device that computes them.
    pub fn nearest(
        &self,
        request: EmbedRequest<'_, '_>,
        search: &Search,
        cx: &RunContext,
    ) -> Result<Embeddings> {
        self.submit(request, Some(search), cx).wait()
    }

    /// Queues texts to expand into weights over the vocabulary; otherwise like [`Engine::submit`].
    /// Expansions are not cached.
    pub fn submit_expansion<'a>(
        &'a self,
        request: EmbedRequest<'_, 'a>,
        cx: &RunContext,
    ) -> Submission<'a, Expansions> {
        let work = self.work(Task::Expand, request);
        Submission::new(&self.inner, work, None, cx, Results::into_expansions)
    }

    /// Expands texts and waits for the response, as [`Engine::submit_expansion`] describes.
    pub fn expand(&self, request: EmbedRequest<'_, '_>, cx: &RunContext) -> Result<Expansions> {
        self.submit_expansion(request, cx).wait()
    }

    /// Returns the last hidden state of each token, which late interaction compares; otherwise like
    /// [`Engine::embed`]. Token vectors are not cached.
    pub fn token_vectors(
        &self,
        request: EmbedRequest<'_, '_>,
        cx: &RunContext,
    ) -> Result<TokenVectors> {
        let work = self.work(Task::TokenVectors, request);
        Submission::new(&self.inner, work, None, cx, Results::into_token_vectors).wait()
    }

    /// Scores pairs of texts; otherwise like [`Engine::embed`].
    pub fn score(&self, request: ScoreRequest<'_>, cx: &RunContext) -> Result<Scores> {
        let input = Input::Pairs(request.pairs);
        let work = Work { task: Task::Score, stage: Stage::Score, input, lane: request.lane };
        Submission::new(&self.inner, work, None, cx, Results::into_scores).wait()
    }

    fn work<'a>(&self, task: Task, request: EmbedRequest<'_, 'a>) -> Work<'a> {
        let stage = match request.purpose {
            Purpose::Query => Stage::EmbedQuery,
            Purpose::Document => Stage::Embed,
        };
        let input =
            Input::prompted(&self.inner.prompts, self.prompt(request.prompt), request.texts);
        Work { task, stage, input, lane: request.lane }
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
    pub fn prompt<'p>(&'p self, kind: PromptKind<'p>) -> &'p str {
        kind.prompt(&self.inner.prompts)
    }

    /// The model's prompt of this name. An unknown name is an error that lists the names.
    pub fn prompt_named(&self, name: &str) -> Result<&str> {
        self.inner.prompts.named(name)
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
        &self.inner.device.name
    }

    /// Why it is this device, in a few words.
    pub fn device_reason(&self) -> &str {
        &self.inner.device.reason
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
        let call = Call::new(
            parts,
            Input::prompted(&Prompts::default(), "", &texts),
            Lane::Bulk,
            None,
            &cx,
        );
        let waited = LocalCall::submit(call, workers, None)
            .and_then(|call| call.wait().map_err(|failed| failed.failure.error));
        let results = match waited {
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
}

impl Inner {
    /// Returns an error unless the model was loaded for `task`.
    pub fn check_task(&self, task: Task) -> Result<()> {
        let ModelIdentity { name, task: loaded, .. } = &self.identity;
        if *loaded == task {
            return Ok(());
        }
        Err(Error::ModelUnsupported {
            found: format!("the task {:?} of a model loaded for another, {name},", task.as_str()),
            supported: loaded.as_str().to_owned(),
        })
    }
}
