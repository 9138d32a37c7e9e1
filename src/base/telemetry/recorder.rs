//! The flight recorder: rings of the latest finished spans and runs, independent of sampling.

use std::collections::VecDeque;
use std::sync::Arc;

use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{Span as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Sampler, SamplingDecision, SamplingResult, ShouldSample, Span, SpanData,
    SpanProcessor,
};
use parking_lot::Mutex;

use super::finished_span::FinishedSpan;
use super::labels::Tool;
use super::report::RunReport;
use super::run_log::RunLog;
use super::{attrs, batch_span};

/// Maximum finished spans of runs kept. A search has about 12 spans of about 2 kB each.
const SPANS_MAX: usize = 3584;
/// Maximum finished spans of batches kept. They have a place of their own, so that bulk work does
/// not displace the spans of requests; 4,096 spans in all.
const BATCHES_MAX: usize = 512;
/// Maximum finished runs kept.
const RUNS_MAX: usize = 256;
/// Maximum reports kept of requests that were refused before a tool ran. They have a place of their
/// own, so that a client without a right request does not displace the runs of others.
const REFUSED_MAX: usize = 64;

/// The flight recorder.
#[derive(Default)]
pub(super) struct Recorder {
    spans: Mutex<VecDeque<SpanData>>,
    batches: Mutex<VecDeque<SpanData>>,
    runs: Mutex<VecDeque<Arc<RunLog>>>,
    refused: Mutex<VecDeque<Arc<RunReport>>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

/// Adds to the ring. When it is full, the oldest entry is returned, to be freed outside the lock.
fn push<T>(ring: &Mutex<VecDeque<T>>, item: T, most: usize) -> Option<T> {
    let mut ring = ring.lock();
    let oldest = if ring.len() == most { ring.pop_front() } else { None };
    ring.push_back(item);
    oldest
}

impl Recorder {
    pub fn keep_run(&self, log: Arc<RunLog>) {
        push(&self.runs, log, RUNS_MAX);
    }

    pub fn keep_refused(&self, report: Arc<RunReport>) {
        push(&self.refused, report, REFUSED_MAX);
    }

    /// The latest run with this id, or else the latest refused request; the id `latest` selects the
    /// latest run of all, except those that read reports.
    pub fn run(&self, run_id: &str) -> Option<RunReport> {
        let runs = self.runs.lock();
        // Who reads reports asks for those of other tools.
        let is = |run: &&Arc<RunLog>| match run_id {
            "latest" => run.tool != Tool::LatestRun,
            id => run.run_id == id,
        };
        let run = runs.iter().rev().find(is).cloned();
        drop(runs);
        let refused = || {
            let refused = self.refused.lock();
            refused.iter().rev().find(|report| report.run_id == run_id).map(|r| (**r).clone())
        };
        run.map(|log| log.report(None)).or_else(refused)
    }

    /// The latest run of a session.
    pub fn run_of_session(&self, session_id: &str) -> Option<RunReport> {
        let runs = self.runs.lock();
        let is = |run: &&Arc<RunLog>| {
            run.session_id.as_deref() == Some(session_id) && run.tool != Tool::LatestRun
        };
        let run = runs.iter().rev().find(is).cloned();
        drop(runs);
        run.map(|log| log.report(None))
    }

    #[cfg(test)]
    pub fn batch_spans(&self) -> usize {
        self.batches.lock().len()
    }

    /// The spans of a trace, in the order in which they began.
    pub fn spans(&self, trace_id: TraceId) -> Vec<FinishedSpan> {
        let mut spans = Vec::new();
        for ring in [&self.spans, &self.batches] {
            let ring = ring.lock();
            let of_trace = ring.iter().filter(|s| s.span_context.trace_id() == trace_id);
            spans.extend(of_trace.map(FinishedSpan::from));
        }
        spans.sort_by_key(|span| span.started);
        spans
    }
}

/// The only span processor: with several, the SDK would clone every span for each.
#[derive(Debug)]
pub(super) struct Processor {
    pub recorder: Arc<Recorder>,
    pub export: Vec<BatchSpanProcessor>,
}

impl SpanProcessor for Processor {
    /// Copies the ids of the run and the session from the baggage, and no other key.
    fn on_start(&self, span: &mut Span, context: &Context) {
        for attr in [attrs::RUN, attrs::SESSION] {
            if let Some(value) = context.baggage().get(attr.key()) {
                span.set_attribute(KeyValue::new(attr.key(), value.clone()));
            }
        }
    }

    fn on_end(&self, span: SpanData) {
        // The batch processor ignores the sampled flag.
        if span.span_context.is_sampled() {
            self.export.iter().for_each(|export| export.on_end(span.clone()));
        }
        let recorder = &self.recorder;
        if span.name == batch_span::SPAN_NAME {
            push(&recorder.batches, span, BATCHES_MAX);
        } else {
            push(&recorder.spans, span, SPANS_MAX);
        }
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

/// Wraps a sampler and records the spans it drops: reports need every span, collectors do not.
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

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};

    /// Ends one span under `sampler`; returns how many were exported and how many recorded.
    fn one_span(sampler: Sampler, parent: &Context) -> (usize, usize) {
        let (recorder, exporter) = (Arc::new(Recorder::default()), InMemorySpanExporter::default());
        let export = vec![BatchSpanProcessor::builder(exporter.clone()).build()];
        let provider = SdkTracerProvider::builder()
            .with_sampler(RecordAll(sampler))
            .with_span_processor(Processor { recorder: recorder.clone(), export })
            .build();
        let mut span = provider.tracer("test").start_with_context("one", parent);
        let trace_id = span.span_context().trace_id();
        span.end();
        provider.force_flush().unwrap();
        (exporter.get_finished_spans().unwrap().len(), recorder.spans(trace_id).len())
    }

    #[test]
    fn what_is_not_sampled_is_recorded_and_not_exported() {
        let nobody = Context::new();
        let by_parent = || Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
        assert_eq!(one_span(Sampler::AlwaysOn, &nobody), (1, 1));
        assert_eq!(one_span(Sampler::AlwaysOff, &nobody), (0, 1));
        assert_eq!(one_span(Sampler::TraceIdRatioBased(0.0), &nobody), (0, 1));
        assert_eq!(one_span(by_parent(), &nobody), (1, 1));
        let unsampled = nobody.with_remote_span_context(opentelemetry::trace::SpanContext::new(
            TraceId::from(7),
            opentelemetry::trace::SpanId::from(7),
            opentelemetry::trace::TraceFlags::default(),
            true,
            opentelemetry::trace::TraceState::NONE,
        ));
        assert_eq!(one_span(by_parent(), &unsampled), (0, 1));
    }

    #[test]
    fn a_full_ring_forgets_the_oldest() {
        let ring = Mutex::new(VecDeque::new());
        let gone: Vec<_> = (0..5).map(|i| push(&ring, i, 3)).collect();
        assert_eq!(gone, [None, None, None, Some(0), Some(1)]);
        assert_eq!(Vec::from(ring.into_inner()), [2, 3, 4]);
    }
}
