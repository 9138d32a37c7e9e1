//! The telemetry of a process: providers, exporters, recorder and scrape.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::metrics::{Histogram, MeterProvider as _};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer, TracerProvider as _,
};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, InstrumentKind, MeterProviderBuilder, SdkMeterProvider, Stream,
};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider, Span, SpanExporter,
    TracerProviderBuilder,
};
use prometheus::TextEncoder;

use super::attrs::Spelling;
use super::caller::{Caller, Propagation};
use super::config::{Exporter, TelemetryConfig};
use super::context::RunContext;
use super::finished_span::FinishedSpan;
use super::instruments::{HTTP_SECONDS, Instruments, MEASURED};
use super::labels::RunStatus;
use super::recorder::{Processor, RecordAll, Recorder};
use super::report::RunReport;
use super::{export, process, resource};
use crate::base::error::{Error, Result};

/// Name of our tracer and meter.
const SCOPE: &str = "codeintel";
/// Room for the attributes of most spans.
const ATTRIBUTES_USUAL: usize = 16;
/// Time limit of the last export when the process ends.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// Called with every run that ends.
pub type RunListener = Box<dyn Fn(&RunContext, RunStatus) + Send + Sync>;

/// The telemetry of a process. Clones share it.
#[derive(Clone)]
pub struct Telemetry(Arc<Parts>);

struct Parts {
    /// `None` if the SDK is disabled: no spans are created, and everything else works as usual.
    tracer: Option<SdkTracer>,
    traces: Option<SdkTracerProvider>,
    metrics: SdkMeterProvider,
    logs: Option<SdkLoggerProvider>,
    instruments: Instruments,
    http_duration: Histogram<f64>,
    registry: prometheus::Registry,
    recorder: Arc<Recorder>,
    propagation: Propagation,
    spelling: Spelling,
    trace_probes: bool,
    /// Batches of bulk work so far, of which a sample is traced.
    bulk_batches: AtomicU64,
    gpus: usize,
    listener: OnceLock<RunListener>,
    /// Runs the gRPC exporters.
    _runtime: Option<tokio::runtime::Runtime>,
}

static INSTALLED: OnceLock<Telemetry> = OnceLock::new();

impl Telemetry {
    /// The telemetry of this process; later calls return that of the first.
    pub fn install(config: &TelemetryConfig) -> Result<Self> {
        if let Some(installed) = INSTALLED.get() {
            return Ok(installed.clone());
        }
        let telemetry = Self::build(config)?;
        Ok(INSTALLED.get_or_init(|| telemetry).clone())
    }

    /// Separate telemetry that exports nothing, for tests and for hosts with several.
    pub fn detached() -> Self {
        let config = TelemetryConfig::default();
        let (traces, metrics) = (SdkTracerProvider::builder(), SdkMeterProvider::builder());
        Self::extend(traces, metrics, &config)
    }

    /// Telemetry that passes every finished span to `exporter` at once.
    pub fn with_exporter(exporter: impl SpanExporter + 'static) -> Self {
        let traces = SdkTracerProvider::builder().with_simple_exporter(exporter);
        Self::extend(traces, SdkMeterProvider::builder(), &TelemetryConfig::default())
    }

    /// Adds our recorder and registry to providers that a host program is building. The host's
    /// exporters stay its own, and nothing is exported twice.
    pub fn extend(
        traces: TracerProviderBuilder,
        metrics: MeterProviderBuilder,
        config: &TelemetryConfig,
    ) -> Self {
        let outlets = export::Outlets::default();
        Self::assemble(traces, metrics, outlets, config)
    }

    fn build(config: &TelemetryConfig) -> Result<Self> {
        let outlets =
            if config.disabled { export::Outlets::default() } else { export::outlets(config)? };
        let resource = resource::detect(&config.detectors);
        let traces = SdkTracerProvider::builder()
            .with_sampler(RecordAll(config.sampler.clone()))
            .with_resource(resource.clone());
        let metrics = SdkMeterProvider::builder().with_resource(resource);
        Ok(Self::assemble(traces, metrics, outlets, config))
    }

    fn assemble(
        traces: TracerProviderBuilder,
        mut metrics: MeterProviderBuilder,
        outlets: export::Outlets,
        config: &TelemetryConfig,
    ) -> Self {
        let recorder = Arc::new(Recorder::default());
        let processor = Processor { recorder: recorder.clone(), export: outlets.spans };
        let traces = (!config.disabled).then(|| traces.with_span_processor(processor).build());
        let registry = prometheus::Registry::new();
        if !config.disabled {
            if config.metrics.contains(&Exporter::Prometheus) {
                metrics = metrics.with_reader(prometheus_reader(&registry));
            }
            metrics = outlets.metrics.into_iter().fold(metrics, |m, add| add(m));
        }
        let metrics = metrics.with_view(buckets).build();
        let meter = metrics.meter(SCOPE);
        let gpus = process::register(&meter);
        let http_duration = meter
            .f64_histogram(process::HTTP_DURATION.name)
            .with_unit(process::HTTP_DURATION.unit)
            .with_description(process::HTTP_DURATION.what)
            .build();
        Self(Arc::new(Parts {
            tracer: traces.as_ref().map(|provider| provider.tracer(SCOPE)),
            traces,
            instruments: Instruments::new(&meter),
            http_duration,
            metrics,
            logs: outlets.logs,
            registry,
            recorder,
            propagation: Propagation {
                trace: config.propagate_trace,
                baggage: config.propagate_baggage,
            },
            spelling: Spelling { chars_max: config.value_chars_max, part2: config.part2 },
            trace_probes: config.trace_probes,
            bulk_batches: AtomicU64::new(0),
            gpus,
            listener: OnceLock::new(),
            _runtime: outlets.runtime,
        }))
    }

    /// Starts a span as a child of the one in `parent`, and returns its context. Without an SDK
    /// only the ids are passed on.
    pub(super) fn start(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        links: Vec<Link>,
        parent: &Context,
    ) -> (Option<Span>, SpanContext) {
        match &self.0.tracer {
            Some(tracer) => {
                let mut builder = tracer.span_builder(name).with_kind(kind).with_links(links);
                builder.attributes = Some(Vec::with_capacity(ATTRIBUTES_USUAL));
                let span = tracer.build_with_context(builder, parent);
                let here = span.span_context().clone();
                (Some(span), here)
            }
            None => (None, ids(parent)),
        }
    }

    pub(super) fn trace_probes(&self) -> bool {
        self.0.trace_probes
    }

    /// Counts a batch of bulk work, and returns how many came before.
    pub(super) fn count_bulk_batch(&self) -> u64 {
        self.0.bulk_batches.fetch_add(1, Ordering::Relaxed)
    }

    /// The tracer, unless the SDK is disabled.
    pub(super) fn tracer(&self) -> Option<&SdkTracer> {
        self.0.tracer.as_ref()
    }

    pub fn instruments(&self) -> &Instruments {
        &self.0.instruments
    }

    pub(super) fn http_duration(&self) -> &Histogram<f64> {
        &self.0.http_duration
    }

    /// Reads the caller of a request from its headers; see [`Caller::read`].
    pub fn caller(&self, header: &dyn Fn(&str) -> Option<String>) -> Caller {
        Caller::read(self.propagation(), header)
    }

    pub(super) fn propagation(&self) -> Propagation {
        self.0.propagation
    }

    pub(super) fn spelling(&self) -> Spelling {
        self.0.spelling
    }

    pub(super) fn logs(&self) -> Option<&SdkLoggerProvider> {
        self.0.logs.as_ref()
    }

    /// Number of GPUs that NVML reports.
    pub fn gpus(&self) -> usize {
        self.0.gpus
    }

    /// Calls `listener` with every run that ends from now on. Only the first call has an effect.
    pub fn on_finished(&self, listener: RunListener) {
        let _ = self.0.listener.set(listener);
    }

    pub(super) fn finished(&self, cx: &RunContext, status: RunStatus) {
        self.0.recorder.keep_run(cx.run.log.clone());
        if let Some(listener) = self.0.listener.get() {
            listener(cx, status);
        }
    }

    /// Keeps the report of a request that was refused before a tool ran.
    pub(super) fn refused(&self, report: RunReport) {
        self.0.recorder.keep_refused(Arc::new(report));
    }

    /// The report of a recent run; `latest` is the last one.
    pub fn run(&self, run_id: &str) -> Option<RunReport> {
        self.0.recorder.run(run_id)
    }

    /// The report of the latest run of a session.
    pub fn run_of_session(&self, session_id: &str) -> Option<RunReport> {
        self.0.recorder.run_of_session(session_id)
    }

    /// The recent spans of a trace, sampled or not. trace_id: 32 hexadecimal digits.
    pub fn spans(&self, trace_id: &str) -> Vec<FinishedSpan> {
        TraceId::from_hex(trace_id).map(|id| self.0.recorder.spans(id)).unwrap_or_default()
    }

    /// Number of spans of batches that are kept.
    #[cfg(test)]
    pub(super) fn batch_spans(&self) -> usize {
        self.0.recorder.batch_spans()
    }

    /// Every metric in the Prometheus text format 0.0.4.
    pub fn scrape(&self) -> Result<String> {
        let families = self.0.registry.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .map_err(Error::library("prometheus", "write the metrics"))
    }

    /// Flushes and closes traces, metrics and logs. Call it last, from a thread that runs no async
    /// work; it takes a few seconds at most.
    pub fn shutdown(&self) {
        let closed = [
            self.0.traces.as_ref().map(|p| p.shutdown_with_timeout(SHUTDOWN)),
            Some(self.0.metrics.shutdown_with_timeout(SHUTDOWN)),
            self.0.logs.as_ref().map(|p| p.shutdown_with_timeout(SHUTDOWN)),
        ];
        for error in closed.into_iter().flatten().filter_map(std::result::Result::err) {
            tracing::debug!(%error, "telemetry did not close cleanly");
        }
    }
}

/// The context of a request or a stage that has no span of its own: that of its parent, or a new
/// one.
pub(super) fn ids(parent: &Context) -> SpanContext {
    let parent = parent.span().span_context().clone();
    if parent.is_valid() { parent } else { new_trace() }
}

fn new_trace() -> SpanContext {
    let ids = RandomIdGenerator::default();
    let (trace, span) = (ids.new_trace_id(), ids.new_span_id());
    SpanContext::new(trace, span, TraceFlags::default(), false, TraceState::NONE)
}

fn prometheus_reader(
    registry: &prometheus::Registry,
) -> opentelemetry_prometheus::PrometheusExporter {
    opentelemetry_prometheus::exporter()
        // Without this the exporter would create a registry that we cannot read.
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .expect("a new registry holds nothing that could clash")
}

/// The buckets of each histogram. Minimum and maximum are not kept: for a series without
/// measurements they are infinite, and would be exported so.
fn buckets(instrument: &Instrument) -> Option<Stream> {
    if instrument.kind() != InstrumentKind::Histogram {
        return None;
    }
    let declared = MEASURED.iter().find(|metric| metric.name == instrument.name());
    let boundaries = declared.map_or(HTTP_SECONDS, |metric| metric.bounds).to_vec();
    let aggregation = Aggregation::ExplicitBucketHistogram { boundaries, record_min_max: false };
    Stream::builder().with_aggregation(aggregation).build().ok()
}
