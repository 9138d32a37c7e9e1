//! What happened lately? A ring of finished spans and one of finished runs, whatever is sampled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{Span as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Sampler, SamplingDecision, SamplingResult, ShouldSample, Span, SpanData,
    SpanProcessor,
};

use super::attrs;
use super::{FinishedSpan, RunReport};

/// Finished spans that are kept; a search has about 12, each of some 2 kB.
const SPANS_MAX: usize = 4096;
/// Finished runs that are kept.
const RUNS_MAX: usize = 256;

/// The flight recorder.
#[derive(Default)]
pub(super) struct Recorder {
    spans: Mutex<VecDeque<SpanData>>,
    runs: Mutex<VecDeque<Arc<RunReport>>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

/// A push is one operation: a panic elsewhere leaves the ring usable.
fn lock<T>(ring: &Mutex<T>) -> MutexGuard<'_, T> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The oldest goes when the ring is full; it is given back so that it is freed outside the lock.
fn push<T>(ring: &Mutex<VecDeque<T>>, item: T, most: usize) -> Option<T> {
    let mut ring = lock(ring);
    let oldest = if ring.len() == most { ring.pop_front() } else { None };
    ring.push_back(item);
    oldest
}

impl Recorder {
    pub fn keep_run(&self, report: Arc<RunReport>) {
        push(&self.runs, report, RUNS_MAX);
    }

    /// The newest run with this id; `latest` is the newest of all.
    pub fn run(&self, run_id: &str) -> Option<Arc<RunReport>> {
        let runs = lock(&self.runs);
        runs.iter().rev().find(|run| run_id == "latest" || run.run_id == run_id).cloned()
    }

    /// The spans of a trace, those that ended first before the others.
    pub fn spans(&self, trace_id: TraceId) -> Vec<FinishedSpan> {
        let spans = lock(&self.spans);
        let of_trace = spans.iter().filter(|s| s.span_context.trace_id() == trace_id);
        of_trace.map(FinishedSpan::from).collect()
    }
}

/// The only processor: with two, the SDK would clone every span for each of them.
#[derive(Debug)]
pub(super) struct Processor {
    pub recorder: Arc<Recorder>,
    pub export: Vec<BatchSpanProcessor>,
}

impl SpanProcessor for Processor {
    /// Copies the ids of the run and the session from the baggage; never other keys of it.
    fn on_start(&self, span: &mut Span, context: &Context) {
        for attr in [attrs::RUN, attrs::SESSION] {
            if let Some(value) = context.baggage().get(attr.key()) {
                span.set_attribute(KeyValue::new(attr.key(), value.clone()));
            }
        }
    }

    fn on_end(&self, span: SpanData) {
        // The batch processor does not look at the sampled flag itself.
        if span.span_context.is_sampled() {
            self.export.iter().for_each(|export| export.on_end(span.clone()));
        }
        push(&self.recorder.spans, span, SPANS_MAX);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.export.iter().try_for_each(SpanProcessor::force_flush)
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.export.iter().try_for_each(|export| export.shutdown_with_timeout(timeout))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.export.iter_mut().for_each(|export| export.set_resource(resource));
    }
}

/// Asks `0`, and records what it would drop: a report needs every span, the collector does not.
#[derive(Debug, Clone)]
pub(super) struct RecordAll(pub Sampler);

impl ShouldSample for RecordAll {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &opentelemetry::trace::SpanKind,
        attributes: &[KeyValue],
        links: &[opentelemetry::trace::Link],
    ) -> SamplingResult {
        let mut result = self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        if result.decision == SamplingDecision::Drop {
            result.decision = SamplingDecision::RecordOnly;
        }
        result
    }
}
