//! The table of metrics, their labels, and the instruments that record them.
//!
//! Every combination of labels is bound when the process starts, so that each series exists, with
//! zeros, from the first scrape, and a measurement needs no lookup.

use std::marker::PhantomData;
use std::time::Duration;

use opentelemetry::metrics::{BoundCounter, BoundGauge, BoundHistogram, Meter};

use super::batch_facts::BatchFacts;
use super::labels::{
    DeviceKind, EmbedOutcome, FallbackReason, IndexKind, LabelSet, Lane, Mode, OnGpu, Outcome,
    Provider, Retrieval, Route, RunStatus, StatusClass, Tool,
};
use super::stage::Stage;

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric, as documented.
pub struct Metric {
    /// Name declared to OpenTelemetry.
    pub name: &'static str,
    pub kind: MetricKind,
    /// Unit in UCUM notation; empty if the name contains it.
    pub unit: &'static str,
    /// Name in a Prometheus scrape, without `_bucket`, `_sum` and `_count`.
    pub scraped: &'static str,
    pub labels: fn() -> Vec<&'static str>,
    pub what: &'static str,
    /// Upper bounds of the buckets of a histogram.
    pub bounds: &'static [f64],
}

/// A metric with all of its series bound.
trait Family: Sized {
    const KIND: MetricKind;
    fn names() -> Vec<&'static str>;
    fn bind(meter: &Meter, metric: &Metric) -> Self;
}

macro_rules! family {
    ($(#[$doc:meta])* $name:ident, $bound:ident<$value:ty>, $kind:ident, $builder:ident, $record:ident $(, zero $zero:expr)?) => {
        $(#[$doc])*
        struct $name<L> {
            bound: Vec<$bound<$value>>,
            labels: PhantomData<fn(L)>,
        }

        impl<L: LabelSet> $name<L> {
            fn $record(&self, labels: L, value: $value) {
                self.bound[labels.place()].$record(value);
            }
        }

        impl<L: LabelSet> Family for $name<L> {
            const KIND: MetricKind = MetricKind::$kind;

            fn names() -> Vec<&'static str> {
                L::names()
            }

            fn bind(meter: &Meter, metric: &Metric) -> Self {
                let builder = meter.$builder(metric.name).with_description(metric.what);
                let instrument = builder.with_unit(metric.unit).build();
                let bound: Vec<_> =
                    L::combinations().iter().map(|labels| instrument.bind(labels)).collect();
                $(bound.iter().for_each(|bound| bound.$record($zero));)?
                Self { bound, labels: PhantomData }
            }
        }
    };
}
family!(Counters, BoundCounter<u64>, Counter, u64_counter, add);
family!(Gauges, BoundGauge<u64>, Gauge, u64_gauge, record, zero 0);
family!(Histograms, BoundHistogram<f64>, Histogram, f64_histogram, record);

/// From 50 microseconds to 100 seconds.
const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0, 100.0,
];
const FAISS_MS: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0];
const REQUEST_MS: &[f64] = &[1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0];
const TENTHS: &[f64] = &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
const RRF_KS: &[f64] = &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0];
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
const TOKENS: &[f64] = &[16.0, 64.0, 256.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 65_536.0];
/// Bounds from the OpenTelemetry conventions for `http.server.request.duration`.
pub(super) const HTTP_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Bounds from the OpenTelemetry conventions for `gen_ai.client.embeddings.duration`.
const GEN_AI_SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// The labels of a batch.
type BatchLabels = (Mode, DeviceKind, Lane);

macro_rules! instruments {
    ($($field:ident: $family:ident<$labels:ty> = $name:literal [$unit:literal] as $scraped:literal
        $(in $bounds:ident)?, $what:literal;)+) => {
        /// Every instrument, created once from the meter.
        pub struct Instruments {
            $($field: $family<$labels>,)+
        }

        /// The metrics that pipelines and interfaces measure.
        pub const MEASURED: &[Metric] = &[$(Metric {
            name: $name,
            kind: <$family<$labels> as Family>::KIND,
            unit: $unit,
            scraped: $scraped,
            labels: <$family<$labels> as Family>::names,
            what: $what,
            bounds: instruments!(@bounds $($bounds)?),
        }),+];

        impl Instruments {
            pub(super) fn new(meter: &Meter) -> Self {
                let mut metrics = MEASURED.iter();
                let mut next = || metrics.next().expect("a row for each field");
                Self { $($field: Family::bind(meter, next()),)+ }
            }
        }
    };
    (@bounds $bounds:ident) => { $bounds };
    (@bounds) => { &[] };
}

instruments! {
    runs: Counters<(Tool, RunStatus)> = "codeintel.mcp.runs" ["{run}"] as "codeintel_mcp_runs_total",
        "Finished runs";
    faiss: Histograms<(IndexKind, OnGpu)> = "codeintel.faiss.search.ms" [""] as "codeintel_faiss_search_ms"
        in FAISS_MS, "Duration of one vector search in milliseconds";
    rrf_k: Histograms<(Tool,)> = "codeintel.retrieval.rrf_k" [""] as "codeintel_retrieval_rrf_k"
        in RRF_KS, "Reciprocal rank fusion constant chosen by the gate";
    ambiguity: Histograms<(Tool,)> = "codeintel.retrieval.query_ambiguity" [""]
        as "codeintel_retrieval_query_ambiguity" in TENTHS, "Ambiguity of queries, 0 to 1";
    latency: Histograms<(Route, StatusClass)> = "codeintel.request.latency.ms" [""]
        as "codeintel_request_latency_ms" in REQUEST_MS, "Duration of an HTTP request in milliseconds";
    stage: Histograms<(Stage, Outcome)> = "codeintel.stage.duration" ["s"]
        as "codeintel_stage_duration_seconds" in SECONDS, "Duration of one stage in seconds";
    batch_duration: Histograms<BatchLabels> = "codeintel.embed.batch.duration" ["s"]
        as "codeintel_embed_batch_duration_seconds" in SECONDS, "Seconds that the device or the endpoint took for one batch";
    batch_size: Histograms<BatchLabels> = "codeintel.embed.batch.size" ["{sequence}"]
        as "codeintel_embed_batch_size" in SIZES, "Sequences in one batch";
    batch_tokens: Histograms<BatchLabels> = "codeintel.embed.batch.tokens" ["{token}"]
        as "codeintel_embed_batch_tokens" in TOKENS, "Tokens in one batch";
    fill_ratio: Histograms<BatchLabels> = "codeintel.embed.batch.fill_ratio" [""]
        as "codeintel_embed_batch_fill_ratio" in TENTHS, "Tokens in one batch as a fraction of the batch's limit (engine.max_batch_tokens, engine.batch_ms)";
    queue_duration: Histograms<BatchLabels> = "codeintel.embed.queue.duration" ["s"]
        as "codeintel_embed_queue_duration_seconds" in SECONDS, "Seconds that the oldest text of a batch waited in the queue";
    embed_tokens: Counters<(Lane,)> = "codeintel.embed.tokens" ["{token}"]
        as "codeintel_embed_tokens_total", "Tokens computed";
    embed_requests: Counters<(EmbedOutcome,)> = "codeintel.embed.requests" ["{request}"]
        as "codeintel_embed_requests_total", "Embedding requests";
    fallbacks: Counters<(FallbackReason,)> = "codeintel.embed.fallbacks" ["{request}"]
        as "codeintel_embed_fallbacks_total", "Requests that the endpoint computed although vllm.mode is auto";
    queue_depth: Gauges<(Lane,)> = "codeintel.embed.queue.depth" ["{token}"]
        as "codeintel_embed_queue_depth", "Tokens waiting in the queue after the last batch or request";
    cache_hits: Counters<(Lane,)> = "codeintel.embed.cache.hits" ["{vector}"]
        as "codeintel_embed_cache_hits_total", "Vectors found in the cache";
    cache_misses: Counters<(Lane,)> = "codeintel.embed.cache.misses" ["{vector}"]
        as "codeintel_embed_cache_misses_total", "Vectors not found in the cache";
    calls: Histograms<(Tool, RunStatus)> = "mcp.server.operation.duration" ["s"]
        as "mcp_server_operation_duration_seconds" in GEN_AI_SECONDS, "Duration of one call of a tool over MCP in seconds";
    gen_ai: Histograms<(Mode,)> = "gen_ai.client.embeddings.duration" ["s"]
        as "gen_ai_client_embeddings_duration_seconds" in GEN_AI_SECONDS, "Duration of one embedding request in seconds";
    retrieval: Histograms<(Retrieval, Provider, Outcome)> = "gen_ai.retrieval.duration" ["s"]
        as "gen_ai_retrieval_duration_seconds" in SECONDS, "Duration of one search of the index in seconds";
}

impl Instruments {
    pub(super) fn ran(&self, tool: Tool, status: RunStatus) {
        self.runs.add((tool, status), 1);
    }

    pub(super) fn called(&self, tool: Tool, status: RunStatus, took: Duration) {
        self.calls.record((tool, status), took.as_secs_f64());
    }

    pub(super) fn staged(&self, stage: Stage, outcome: Outcome, took: Duration) {
        self.stage.record((stage, outcome), took.as_secs_f64());
    }

    pub(super) fn answered(&self, route: Route, status: StatusClass, took: Duration) {
        self.latency.record((route, status), took.as_secs_f64() * 1e3);
    }

    /// Records one search of the vector index.
    pub fn searched(&self, kind: IndexKind, gpu: bool, took: Duration) {
        let gpu = if gpu { OnGpu::Yes } else { OnGpu::No };
        self.faiss.record((kind, gpu), took.as_secs_f64() * 1e3);
    }

    /// Records one decision of the gate in a run of `tool`. ambiguity: 0 to 1.
    pub fn gated(&self, tool: Tool, rrf_k: Option<usize>, ambiguity: f64) {
        if let Some(k) = rrf_k {
            self.rrf_k.record((tool,), k as f64);
        }
        self.ambiguity.record((tool,), ambiguity);
    }

    /// Records one search, from the query to its answer or failure.
    pub fn retrieved(&self, outcome: Outcome, took: Duration) {
        self.retrieval.record((Retrieval, Provider, outcome), took.as_secs_f64());
    }

    /// Records one embedding request, from the call to its response.
    pub fn embedded(&self, mode: Mode, outcome: EmbedOutcome, took: Duration) {
        self.embed_requests.add((outcome,), 1);
        self.gen_ai.record((mode,), took.as_secs_f64());
    }

    /// Records one request that the endpoint computes instead of this process.
    pub fn fell_back(&self, reason: FallbackReason) {
        self.fallbacks.add((reason,), 1);
    }

    /// Records one batch that an endpoint answered. tokens: as counted by the endpoint.
    pub fn fetched(&self, lane: Lane, sequences: usize, tokens: usize, took: Duration) {
        let labels = (Mode::Http, DeviceKind::Endpoint, lane);
        self.batch_duration.record(labels, took.as_secs_f64());
        self.batch_size.record(labels, sequences as f64);
        self.batch_tokens.record(labels, tokens as f64);
        self.embed_tokens.add((lane,), tokens as u64);
    }

    /// Records the cache hits and misses of one request.
    pub fn looked_up(&self, lane: Lane, hits: usize, misses: usize) {
        self.cache_hits.add((lane,), hits as u64);
        self.cache_misses.add((lane,), misses as u64);
    }

    /// Records the tokens waiting in each lane.
    pub fn waiting(&self, interactive: usize, bulk: usize) {
        self.queue_depth.record((Lane::Interactive,), interactive as u64);
        self.queue_depth.record((Lane::Bulk,), bulk as u64);
    }

    pub(super) fn batched(&self, lane: Lane, facts: &BatchFacts) {
        let labels = (Mode::Inproc, facts.device, lane);
        self.batch_duration.record(labels, facts.computed.as_secs_f64());
        self.batch_size.record(labels, facts.sequences as f64);
        self.batch_tokens.record(labels, facts.tokens as f64);
        self.fill_ratio.record(labels, facts.fill_ratio());
        self.queue_duration.record(labels, facts.queued.as_secs_f64());
        self.embed_tokens.add((lane,), facts.tokens as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::telemetry::Telemetry;

    #[test]
    fn a_measurement_has_the_labels_of_the_device_and_the_tool_it_is_of() {
        let telemetry = Telemetry::detached();
        let instruments = telemetry.instruments();
        let ms = Duration::from_millis;
        let facts = |device| BatchFacts {
            device,
            sequences: 2,
            tokens: 8,
            tokens_max: 8,
            queued: ms(1),
            computed: ms(1),
            expected: ms(1),
            memory: None,
        };
        instruments.batched(Lane::Bulk, &facts(DeviceKind::Cuda));
        (0..3).for_each(|_| instruments.batched(Lane::Bulk, &facts(DeviceKind::Cpu)));
        instruments.gated(Tool::Bench, Some(60), 0.5);
        instruments.fell_back(FallbackReason::CoolDown);
        let scrape = telemetry.scrape().unwrap();
        for sample in [
            r#"codeintel_embed_batch_size_count{device="cuda",lane="bulk",mode="inproc"} 1"#,
            r#"codeintel_embed_batch_size_count{device="cpu",lane="bulk",mode="inproc"} 3"#,
            r#"codeintel_retrieval_rrf_k_count{tool="bench"} 1"#,
            r#"codeintel_retrieval_query_ambiguity_count{tool="bench"} 1"#,
            r#"codeintel_retrieval_rrf_k_count{tool="search:semantic"} 0"#,
            r#"codeintel_embed_fallbacks_total{reason="cool_down"} 1"#,
            r#"codeintel_embed_fallbacks_total{reason="device"} 0"#,
        ] {
            assert!(scrape.lines().any(|line| line == sample), "{sample} is not in\n{scrape}");
        }
    }
}
