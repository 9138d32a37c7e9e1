//! The span of one batch of the engine.
//!
//! A batch serves many requests, so its span is a child of none of them and links to each. Bulk work
//! computes thousands of batches that are all alike: of those, a sample has a span.

use std::time::SystemTime;

use opentelemetry::Context;
use opentelemetry::trace::{Link, Span as _, SpanKind, Tracer};

use super::attrs::{self, Attr, AttrValue};
use super::batch_facts::{BatchFacts, MemoryInfo};
use super::context::RunContext;
use super::labels::{Label, Lane, Mode};
use super::stage_span;
use super::telemetry::Telemetry;
use crate::base::error::{Error, Result};

/// Maximum links of one span: the default of the OpenTelemetry specification.
const LINKS_MAX: usize = 128;
/// Of the bulk batches that were neither slow nor failed, the first one of this many has a span.
pub(super) const BULK_SAMPLE: u64 = 16;

/// The name of the span.
pub const SPAN_NAME: &str = "engine.batch";

/// A batch that is being computed. Its span is created when it ends, because only then it is known
/// whether it was slow or failed.
pub struct BatchSpan {
    telemetry: Telemetry,
    links: Vec<Link>,
    lane: Lane,
    began: SystemTime,
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

    /// Begins a batch that serves `requests`, in the telemetry of the first one. lane: interactive
    /// if any of its sequences is.
    pub fn open<'a>(lane: Lane, requests: impl Iterator<Item = &'a RunContext>) -> Option<Self> {
        let mut requests = requests.peekable();
        let telemetry = requests.peek()?.telemetry().clone();
        let links = requests.filter_map(RunContext::link).take(LINKS_MAX).collect();
        Some(Self { telemetry, links, lane, began: SystemTime::now() })
    }

    /// Measures each metric of the batch and records its span.
    pub fn close<T>(self, facts: &BatchFacts, result: &Result<T>) {
        self.telemetry.instruments().batched(self.lane, facts);
        let error = result.as_ref().err();
        if error.is_some() || facts.is_slow() || self.is_sampled() {
            self.end(facts, error, false);
        }
    }

    /// Records the span of a batch that did not fit into memory. Its halves are batches of their
    /// own, and only they are measured.
    pub fn halved(self, facts: &BatchFacts, error: &Error) {
        self.end(facts, Some(error), true);
    }

    /// Whether an ordinary batch has a span.
    fn is_sampled(&self) -> bool {
        self.lane == Lane::Interactive
            || self.telemetry.count_bulk_batch().is_multiple_of(BULK_SAMPLE)
    }

    fn end(self, facts: &BatchFacts, error: Option<&Error>, halved: bool) {
        let Some(tracer) = self.telemetry.tracer() else { return };
        let builder = tracer.span_builder(SPAN_NAME).with_kind(SpanKind::Internal);
        let builder = builder.with_links(self.links).with_start_time(self.began);
        let mut span = tracer.build_with_context(builder, &Context::new());
        if halved {
            span.add_event(Self::HALVED, Vec::new());
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_sdk::trace::InMemorySpanExporter;

    use super::*;
    use crate::base::telemetry::labels::{DeviceKind, Tool};

    /// Facts of a batch that took as long as expected.
    const FACTS: BatchFacts = BatchFacts {
        device: DeviceKind::Cpu,
        sequences: 1,
        tokens: 100,
        tokens_max: 512,
        queued: Duration::ZERO,
        computed: Duration::from_millis(10),
        expected: Duration::from_millis(10),
        memory: None,
    };

    /// Batches of a run with telemetry, and the spans of batches and of the run that are kept.
    fn kept(batches: impl FnOnce(&RunContext)) -> (usize, usize) {
        let telemetry = Telemetry::detached();
        let cx = RunContext::new(&telemetry, Tool::Ingest, &[]);
        let found = cx.stage(crate::base::telemetry::Stage::Ingest, |s| {
            batches(&s.cx());
            Ok(())
        });
        found.unwrap();
        (telemetry.batch_spans(), telemetry.spans(&cx.trace_id()).len())
    }

    fn close(cx: &RunContext, lane: Lane, facts: &BatchFacts, result: &Result<()>) {
        BatchSpan::open(lane, [cx].into_iter()).unwrap().close(facts, result);
    }

    #[test]
    fn bulk_batches_are_sampled_and_slow_failed_and_interactive_ones_are_all_kept() {
        let bulk = |cx: &RunContext| (0..960).for_each(|_| close(cx, Lane::Bulk, &FACTS, &Ok(())));
        assert_eq!(kept(bulk), (60, 1));
        let slow = BatchFacts { computed: Duration::from_millis(21), ..FACTS };
        let unknown = BatchFacts { expected: Duration::ZERO, ..slow };
        let failed = || Err(Error::DeviceLost { detail: "gone".to_owned() });
        let others = |cx: &RunContext| {
            close(cx, Lane::Bulk, &FACTS, &Ok(()));
            (0..10).for_each(|_| close(cx, Lane::Bulk, &unknown, &Ok(())));
            (0..10).for_each(|_| close(cx, Lane::Bulk, &slow, &Ok(())));
            (0..10).for_each(|_| close(cx, Lane::Bulk, &FACTS, &failed()));
            (0..10).for_each(|_| close(cx, Lane::Interactive, &FACTS, &Ok(())));
        };
        assert_eq!(kept(others), (31, 1));
    }

    #[test]
    fn the_span_of_a_batch_carries_its_figures_and_the_memory_of_the_gpu() {
        let exporter = InMemorySpanExporter::default();
        let telemetry = Telemetry::with_exporter(exporter.clone());
        let cx = RunContext::new(&telemetry, Tool::Search, &[]);
        let memory = MemoryInfo { used_bytes: 5, total_bytes: 9, peak_bytes: 7 };
        let facts = BatchFacts { device: DeviceKind::Cuda, memory: Some(memory), ..FACTS };
        close(&cx, Lane::Interactive, &facts, &Ok(()));
        let spans = exporter.get_finished_spans().unwrap();
        let value = |key: &str| {
            let found = spans[0].attributes.iter().find(|kv| kv.key.as_str() == key);
            found.map(|kv| kv.value.to_string()).unwrap_or_default()
        };
        let keys = ["used", "total", "peak"].map(|name| format!("vllm.gpu.memory_{name}_bytes"));
        assert_eq!(keys.map(|key| value(&key)), ["5", "9", "7"]);
        assert_eq!(
            (value("vllm.batch_tokens"), value("vllm.device_ms")),
            ("100".into(), "10".into())
        );
    }

    #[test]
    fn however_many_batches_fail_the_spans_of_requests_stay() {
        let failed = Err(Error::DeviceLost { detail: "gone".to_owned() });
        let telemetry = Telemetry::detached();
        let cx = RunContext::new(&telemetry, Tool::Search, &[]);
        cx.stage(crate::base::telemetry::Stage::Search, |_| Ok(())).unwrap();
        (0..5000).for_each(|_| close(&cx, Lane::Bulk, &FACTS, &failed));
        assert_eq!((telemetry.batch_spans(), telemetry.spans(&cx.trace_id()).len()), (512, 1));
    }
}
