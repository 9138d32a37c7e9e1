//! A request that was submitted to the engine, and the wait for its response.

use std::time::Instant;

use super::call::{Call, Parts};
use super::collector::Results;
use super::engine::Inner;
use super::input::Input;
use super::placement::{Origin, Placed};
use super::worker::compute::DEVICE;
use super::worker::{Search, Workers};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::panic::guarded;
use crate::base::telemetry::labels::{EmbedOutcome, Lane, Mode};
use crate::base::telemetry::{MemoryInfo, RunContext, Stage, StageSpan, attrs};
use crate::device::Device;
use crate::embedding::models::Task;

/// A submitted request. It holds no thread until [`Submission::wait`]. Dropping it withdraws the
/// request.
#[must_use]
pub struct Submission<'a, T> {
    engine: &'a Inner,
    cx: RunContext,
    began: Instant,
    /// `None` once it has ended.
    step: Option<Step<'a>>,
    convert: fn(Results) -> Result<T>,
}

/// The open stage of a request.
struct Step<'a> {
    span: StageSpan,
    placed: Result<Placed<'a>>,
}

/// What a request asks for.
pub(super) struct Work<'a> {
    pub task: Task,
    pub stage: Stage,
    pub input: Input<'a>,
    pub lane: Lane,
}

impl<'a, T> Submission<'a, T> {
    /// Queues a request. A refusal is the result of [`Submission::wait`]. search: an index that the
    /// device searches for each vector.
    pub(super) fn new(
        engine: &'a Inner,
        work: Work<'a>,
        search: Option<&Search>,
        cx: &RunContext,
        convert: fn(Results) -> Result<T>,
    ) -> Self {
        let began = Instant::now();
        let Work { task, stage, input, lane } = work;
        let mut span = StageSpan::open(cx, stage);
        let placed = span.within(|span| {
            guarded(DEVICE, || {
                engine.check_task(task)?;
                describe(engine, &input, span);
                let Inner { identity, tokenizer, cache, .. } = engine;
                let parts = Parts { identity, tokenizer, cache: cache.as_ref() };
                let call = Call::new(parts, input, lane, search, &span.cx());
                Ok(engine.placement.submit(call, search))
            })
        });
        Self { engine, cx: cx.clone(), began, step: Some(Step { span, placed }), convert }
    }

    /// Waits for the response until the run is cancelled or its deadline has passed.
    pub fn wait(mut self) -> Result<T> {
        let Step { mut span, placed } = self.step.take().expect("a submission is waited for once");
        let mut mode = self.engine.identity.mode;
        let result = span.within(|span| {
            let (origin, results) = guarded(DEVICE, || Ok::<_, Error>(placed?.wait()))?;
            mode = origin.mode;
            describe_origin(self.engine, origin, span);
            let results = results?;
            span.set(attrs::VLLM_QUEUE_MS, results.queue_time.as_secs_f64() * 1e3);
            span.set(attrs::GEN_AI_INPUT_TOKENS, results.tokens);
            span.set(attrs::CACHE_HITS, results.cache_hits);
            Ok(results)
        });
        self.end(span, mode, result).and_then(self.convert)
    }
}

impl<T> Submission<'_, T> {
    fn end(&self, span: StageSpan, mode: Mode, result: Result<Results>) -> Result<Results> {
        self.cx.instruments().embedded(mode, outcome(&result), self.began.elapsed());
        span.finish(result)
    }
}

impl<T> Drop for Submission<'_, T> {
    fn drop(&mut self) {
        if let Some(Step { span, .. }) = self.step.take() {
            let _ = self.end(span, self.engine.identity.mode, Err(Error::Cancelled));
        }
    }
}

/// Sets the attributes that are known before the work begins.
fn describe(engine: &Inner, input: &Input<'_>, span: &mut StageSpan) {
    span.set(attrs::GEN_AI_OPERATION, "embeddings");
    span.set(attrs::GEN_AI_PROVIDER, "codeintel");
    span.set(attrs::VLLM_DIM, engine.identity.dim);
    span.set(attrs::VLLM_BATCH_SIZE, input.len());
}

/// Sets the attributes that say where the request was computed.
fn describe_origin(engine: &Inner, origin: Origin, span: &mut StageSpan) {
    let Inner { identity, device, placement, .. } = engine;
    let Origin { mode, fallback } = origin;
    span.set(attrs::VLLM_MODE, mode.as_str());
    if let Some(reason) = fallback {
        span.set(attrs::VLLM_FALLBACK, reason.as_str());
    }
    match placement.remote().filter(|_| mode == Mode::Http) {
        Some(remote) => {
            span.set(attrs::VLLM_MODEL, remote.model().to_owned());
            span.set(attrs::VLLM_DEVICE, remote.base().to_owned());
        }
        None => {
            span.set(attrs::VLLM_MODEL, identity.name.clone());
            span.set(attrs::VLLM_DEVICE, device.name.clone());
            span.set(attrs::VLLM_DTYPE, identity.dtype.as_str());
        }
    }
    let local = placement.workers().filter(|_| mode == Mode::Inproc);
    let memory = local.and_then(Workers::device).and_then(Device::memory);
    for (key, bytes) in memory.into_iter().flat_map(MemoryInfo::attrs) {
        span.set(key, bytes);
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
