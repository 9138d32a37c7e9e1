//! The engine as its callers see it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::VectorCache;
use super::call::{Call, Parts};
use super::identity::revision;
use super::lanes::Limits;
use super::models::ModelFolder;
use super::worker::{Compute, Worker};
use super::{EngineStats, Lane, ModelIdentity};
use crate::config::Settings;
use crate::device::{Device, ops};
use crate::error::{ErrorKind, Result};
use crate::nn::{Encoder, Pooler, Pooling, Prompts, SentenceConfig};
use crate::telemetry::labels::EmbedOutcome;
use crate::telemetry::{RunContext, Stage, StageSpan, attrs};
use crate::token::Tokenizer;
use crate::vector::Matrix;

/// What overrides the model's own configuration; part of the identity.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineOptions {
    pub pooling: Option<Pooling>,
    pub normalize: Option<bool>,
}

/// What texts are for: it decides which of the model's own prompts is put before each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// The texts as they are, also where the model has a default prompt.
    #[default]
    None,
    Query,
    Document,
}

impl Task {
    pub(super) fn prompt(self, prompts: &Prompts) -> &str {
        match self {
            Self::None => "",
            Self::Query => prompts.get("query"),
            Self::Document => prompts.get("document"),
        }
    }
}

/// Texts to embed.
#[derive(Debug, Clone, Copy)]
pub struct EmbedRequest<'a> {
    /// `[n]`; none is fine.
    pub texts: &'a [&'a str],
    pub lane: Lane,
    pub task: Task,
}

/// The answer to an [`EmbedRequest`].
#[derive(Debug, Clone)]
pub struct Embeddings {
    /// `[n, d]`, in the order of the texts.
    pub vectors: Matrix,
    /// Tokens of all texts, as the model read them; those of cached vectors included.
    pub tokens: usize,
    /// How many texts were longer than the model reads.
    pub truncated: usize,
    /// How many vectors came out of the cache.
    pub cache_hits: usize,
    /// How long the first batch waited for the device.
    pub queue: Duration,
}

impl Embeddings {
    /// Keeps the first `dimensions` values of each vector (Matryoshka representations, Kusupati et
    /// al., 2022). Where `identity` says that vectors have length 1, they have it again.
    pub fn cut(mut self, dimensions: usize, identity: &ModelIdentity) -> Self {
        let d = self.vectors.d();
        assert!((1..=d).contains(&dimensions), "{dimensions} of {d} values");
        if dimensions < d {
            let rows = self.vectors.rows().flat_map(|row| &row[..dimensions]);
            let mut values: Vec<f32> = rows.copied().collect();
            if identity.normalize {
                ops::normalize(&mut values, dimensions);
            }
            self.vectors = Matrix::new(values, dimensions).expect("each row was cut to its place");
        }
        self
    }
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
    worker: Worker,
}

impl Engine {
    /// Loads the model and starts the worker. Vectors are kept in `cache_folder`, if there is one.
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
        let device = Device::cpu(settings.threads)?.with_dtype(settings.dtype);
        let encoder = Encoder::load(&folder.path, &device)?;
        let mut sentence = SentenceConfig::read(&folder.path)?;
        sentence.pooling = options.pooling.unwrap_or(sentence.pooling);
        sentence.normalize = options.normalize.unwrap_or(sentence.normalize);
        let pooler = Pooler::load(&folder.path, &sentence, encoder.hidden_dim(), &device)?;
        let positions = encoder.max_positions();
        let identity = ModelIdentity {
            name: folder.name.clone(),
            revision: revision(&folder.path)?,
            pooling: sentence.pooling,
            normalize: sentence.normalize,
            dim: pooler.dim(),
            max_tokens: sentence.max_seq_length.unwrap_or(positions).min(positions),
            dtype: device.dtype(),
            document_prompt: Task::Document.prompt(&sentence.prompts).to_owned(),
        };
        let tokenizer = Tokenizer::open(&folder.path, identity.max_tokens)?;
        let name = device.name();
        let compute: Compute = Box::new(move |batch| {
            let hidden = encoder.forward(batch)?;
            Ok(pooler.pool(&hidden, &batch.cu_seqlens))
        });
        let prompts = sentence.prompts;
        Self::assemble(identity, prompts, name, tokenizer, settings, cache_folder, compute)
    }

    pub(super) fn assemble(
        identity: ModelIdentity,
        prompts: Prompts,
        device: String,
        tokenizer: Tokenizer,
        settings: &Settings,
        cache_folder: Option<&Path>,
        compute: Compute,
    ) -> Result<Self> {
        let limits = Limits {
            batch_tokens_max: settings.max_batch_tokens,
            batch_seqs_max: settings.max_batch_seqs,
            queue_tokens_max: settings.queue_tokens_max,
        };
        let bytes_max = settings.cache_bytes_max;
        let open = |folder| VectorCache::open(folder, &identity.key(), identity.dim, bytes_max);
        let cache = cache_folder.filter(|_| bytes_max > 0).map(open).transpose()?;
        let worker = Worker::start(limits, compute)?;
        let inner = Inner { identity, prompts, device, tokenizer, cache, worker };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Embeds texts; waits for the answer.
    ///
    /// Full lanes answer `overloaded` at once. A request larger than its lane is fed into it piece
    /// by piece. Ends early when the run is cancelled or its deadline has passed.
    pub fn embed(&self, request: EmbedRequest<'_>, cx: &RunContext) -> Result<Embeddings> {
        let stage = match request.lane {
            Lane::Interactive => Stage::EmbedQuery,
            Lane::Bulk => Stage::Embed,
        };
        let began = Instant::now();
        let result = cx.stage(stage, |span| {
            self.describe(request, span);
            let Inner { tokenizer, worker, cache, identity, .. } = &*self.inner;
            let (cache, d, prompt) = (cache.as_ref(), identity.dim, self.prompt(request.task));
            let parts = Parts { tokenizer, worker, cache, d, prompt };
            let answer = Call::new(parts, request.lane, &span.cx()).run(request.texts)?;
            span.set(attrs::VLLM_QUEUE_MS, answer.queue.as_secs_f64() * 1e3);
            span.set(attrs::GEN_AI_INPUT_TOKENS, answer.tokens);
            span.set(attrs::CACHE_HITS, answer.cache_hits);
            Ok(answer)
        });
        cx.instruments().embedded(outcome(&result), began.elapsed());
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

    /// What the model wants before a text that is for `task`; mostly nothing.
    pub fn prompt(&self, task: Task) -> &str {
        task.prompt(&self.inner.prompts)
    }

    /// What computes: `cpu avx512`.
    pub fn device_name(&self) -> &str {
        &self.inner.device
    }

    pub fn stats(&self) -> EngineStats {
        self.inner.worker.stats()
    }

    /// Stops the worker after its batch; what waits, and whoever asks later, gets an error.
    pub fn stop(&self) {
        self.inner.worker.stop();
    }

    /// What is known before the work begins.
    fn describe(&self, request: EmbedRequest<'_>, span: &mut StageSpan) {
        let identity = &self.inner.identity;
        span.set(attrs::GEN_AI_OPERATION, "embeddings");
        span.set(attrs::GEN_AI_PROVIDER, "codeintel");
        span.set(attrs::VLLM_MODE, "inproc");
        span.set(attrs::VLLM_MODEL, identity.name.clone());
        span.set(attrs::VLLM_DIM, identity.dim);
        span.set(attrs::VLLM_BATCH_SIZE, request.texts.len());
        span.set(attrs::VLLM_DEVICE, self.inner.device.clone());
        span.set(attrs::VLLM_DTYPE, identity.dtype.as_str());
    }
}

fn outcome(result: &Result<Embeddings>) -> EmbedOutcome {
    match result.as_ref().map_err(crate::error::Error::kind) {
        Ok(_) => EmbedOutcome::Ok,
        Err(ErrorKind::Overloaded) => EmbedOutcome::Overloaded,
        Err(ErrorKind::Timeout) => EmbedOutcome::Timeout,
        Err(ErrorKind::Cancelled) => EmbedOutcome::Cancelled,
        Err(_) => EmbedOutcome::Failed,
    }
}
