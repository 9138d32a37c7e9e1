//! The span of one batch of the engine.
//!
//! A batch serves many requests, so its span is a child of none of them and links to each.

use opentelemetry::Context;
use opentelemetry::trace::{Span as _, SpanKind};
use opentelemetry_sdk::trace::Span;

use super::attrs::{self, Attr, AttrValue};
use super::batch_facts::{BatchFacts, MemoryInfo};
use super::context::RunContext;
use super::labels::{Label, Lane, Mode};
use super::stage_span;
use super::telemetry::Telemetry;
use crate::base::error::{Error, Result};

/// Maximum links of one span: the default of the OpenTelemetry specification.
const LINKS_MAX: usize = 128;

/// The name of the span.
pub const SPAN_NAME: &str = "engine.batch";

/// The open span of a batch that is being computed.
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

    /// Begins the span of a batch that serves `requests`, in the telemetry of the first one. lane:
    /// the lane of its first sequence.
    pub fn open<'a>(lane: Lane, requests: impl Iterator<Item = &'a RunContext>) -> Option<Self> {
        let mut requests = requests.peekable();
        let telemetry = requests.peek()?.telemetry().clone();
        let links = requests.filter_map(RunContext::link).take(LINKS_MAX).collect();
        let (span, _) = telemetry.start(SPAN_NAME, SpanKind::Internal, links, &Context::new());
        Some(Self { telemetry, span, lane })
    }

    /// Ends the span and measures each metric of the batch.
    pub fn close<T>(self, facts: &BatchFacts, result: &Result<T>) {
        self.telemetry.instruments().batched(self.lane, facts);
        self.end(facts, result.as_ref().err());
    }

    /// Ends the span of a batch that did not fit into memory. Its halves are batches of their own,
    /// and only they are measured.
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
            stage_span::record(&mut span, error);
        }
        span.end();
    }
}
