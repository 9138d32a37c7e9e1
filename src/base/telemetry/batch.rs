//! What is told of one batch of the engine?
//!
//! It serves many requests, so it is a child of none: its span links to each.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{Span as _, SpanKind};
use opentelemetry_sdk::trace::Span;

use super::attrs::{self, Attr, AttrValue};
use super::labels::{Label, Lane, Mode};
use super::{RunContext, Telemetry, span};
use crate::base::error::{Error, Result};

/// The most links of one span, as the specification's default has it.
const LINKS_MAX: usize = 128;

/// The name of the span.
pub const SPAN_NAME: &str = "engine.batch";

/// What a batch was.
#[derive(Debug, Clone, Copy)]
pub struct BatchFacts {
    /// Distinct sequences.
    pub sequences: usize,
    pub tokens: usize,
    /// The tokens that it might have had.
    pub tokens_max: usize,
    /// How long the oldest sequence waited.
    pub queued: Duration,
    /// How long the device computed.
    pub computed: Duration,
    /// Of a device that has its own.
    pub memory: Option<MemoryInfo>,
}

/// The memory of a GPU, all programs that use it together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryInfo {
    pub used_bytes: u64,
    pub total_bytes: u64,
    /// The most that was used whenever somebody looked.
    pub peak_bytes: u64,
}

impl MemoryInfo {
    /// What spans say of it.
    pub fn attrs(self) -> [(Attr, u64); 3] {
        [
            (attrs::VLLM_GPU_MEMORY_USED, self.used_bytes),
            (attrs::VLLM_GPU_MEMORY_TOTAL, self.total_bytes),
            (attrs::VLLM_GPU_MEMORY_PEAK, self.peak_bytes),
        ]
    }
}

impl BatchFacts {
    /// 0 to 1; a sequence that is longer than a batch counts as a full one.
    pub fn fill_ratio(&self) -> f64 {
        (self.tokens as f64 / self.tokens_max.max(1) as f64).min(1.0)
    }
}

/// A batch that is being computed.
pub struct BatchSpan {
    telemetry: Telemetry,
    span: Option<Span>,
    lane: Lane,
}

impl BatchSpan {
    /// The event on the span of a batch that is computed again in two halves.
    pub const HALVED: &'static str = "engine.batch.halved";

    /// The attributes that the span can carry.
    pub const ATTRS: &'static [Attr] = &[
        attrs::VLLM_MODE,
        attrs::VLLM_BATCH_SIZE,
        attrs::VLLM_BATCH_TOKENS,
        attrs::VLLM_FILL_RATIO,
        attrs::VLLM_DEVICE_MS,
        attrs::VLLM_QUEUE_MS,
        attrs::VLLM_GPU_MEMORY_USED,
        attrs::VLLM_GPU_MEMORY_TOTAL,
        attrs::VLLM_GPU_MEMORY_PEAK,
    ];

    /// Begins a batch that serves `requests`; the first one's telemetry tells it. lane: the one
    /// that its first sequence waited in.
    pub fn open<'a>(lane: Lane, requests: impl Iterator<Item = &'a RunContext>) -> Option<Self> {
        let mut requests = requests.peekable();
        let telemetry = requests.peek()?.telemetry().clone();
        let links = requests.filter_map(RunContext::link).take(LINKS_MAX).collect();
        let (span, _) = telemetry.start(SPAN_NAME, SpanKind::Internal, links, &Context::new());
        Some(Self { telemetry, span, lane })
    }

    /// Ends it: one span, one measurement of each of the batch's metrics.
    pub fn close<T>(self, facts: &BatchFacts, result: &Result<T>) {
        self.telemetry.instruments().batched(self.lane, facts);
        self.end(facts, result.as_ref().err());
    }

    /// Ends a batch that did not fit the memory: its halves are batches of their own, and measured.
    pub fn halved(mut self, facts: &BatchFacts, error: &Error) {
        if let Some(span) = &mut self.span {
            span.add_event(Self::HALVED, Vec::new());
        }
        self.end(facts, Some(error));
    }

    fn end(mut self, facts: &BatchFacts, error: Option<&Error>) {
        let Some(mut span) = self.span.take() else { return };
        let spelling = self.telemetry.spelling();
        let mut set = |key: Attr, value: AttrValue| {
            spelling.spell(key, &value, |kv| span.set_attribute(kv));
        };
        set(attrs::VLLM_MODE, Mode::Inproc.value().into());
        set(attrs::VLLM_BATCH_SIZE, facts.sequences.into());
        set(attrs::VLLM_BATCH_TOKENS, facts.tokens.into());
        set(attrs::VLLM_FILL_RATIO, facts.fill_ratio().into());
        set(attrs::VLLM_DEVICE_MS, (facts.computed.as_secs_f64() * 1e3).into());
        set(attrs::VLLM_QUEUE_MS, (facts.queued.as_secs_f64() * 1e3).into());
        for (key, bytes) in facts.memory.into_iter().flat_map(MemoryInfo::attrs) {
            set(key, bytes.into());
        }
        if let Some(error) = error {
            set(attrs::ERROR_TYPE, error.kind().code().into());
            span::record(&mut span, error);
        }
        span.end();
    }
}
