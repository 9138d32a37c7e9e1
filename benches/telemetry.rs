//! What does the telemetry of one run cost?
//!
//! Measured: a run of ten stages, nested like those of a search, each with four attributes and one
//! event, up to its report: spans, measurements, the flight recorder, the report. First without an
//! exporter, which is the default; then with an exporter that drops everything; then with the SDK
//! disabled, which leaves only the report. A search takes milliseconds, so this must be negligible.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use codeintel::base::telemetry::labels::Tool;
use codeintel::base::telemetry::{RunContext, Stage, StageSpan, Telemetry, TelemetryConfig, attrs};
use divan::{Bencher, black_box};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

mod support;

/// Of the ten stages, the first holds the others.
const WITHIN: [Stage; 9] = [
    Stage::Gate,
    Stage::Gather,
    Stage::EmbedQuery,
    Stage::Dense,
    Stage::Lexical,
    Stage::Symbol,
    Stage::Fuse,
    Stage::Hydrate,
    Stage::DuckdbHydrate,
];

fn main() {
    divan::main();
}

fn ten_stages(telemetry: &Telemetry) -> RunContext {
    let cx = RunContext::new(telemetry, Tool::Search, &WITHIN);
    let done = cx.stage(Stage::Search, |s| {
        describe(s);
        let cx = s.cx();
        WITHIN.into_iter().try_for_each(|stage| {
            cx.stage(stage, |s| {
                describe(s);
                Ok(())
            })
        })
    });
    done.expect("no stage fails");
    cx
}

/// Four attributes of those that the stage can have, or as many as there are.
fn describe(span: &mut StageSpan) {
    for (i, attr) in span.stage().attrs().iter().take(4).enumerate() {
        match i {
            0 => span.set(*attr, "a word"),
            1 => span.set(*attr, 0.25),
            _ => span.set(*attr, i),
        }
    }
    span.event("channels.gathered", &[(attrs::DENSE, 50_usize.into())]);
}

fn disabled() -> Telemetry {
    let config = TelemetryConfig { disabled: true, ..TelemetryConfig::default() };
    Telemetry::extend(SdkTracerProvider::builder(), SdkMeterProvider::builder(), &config)
}

/// Takes every batch and drops it.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

#[divan::bench]
fn a_run_of_ten_stages(bencher: Bencher<'_, '_>) {
    let telemetry = Telemetry::detached();
    bencher.bench_local(|| {
        let cx = ten_stages(&telemetry);
        cx.finish(None);
        cx
    });
}

#[divan::bench]
fn a_run_of_ten_stages_exported(bencher: Bencher<'_, '_>) {
    let traces = SdkTracerProvider::builder().with_batch_exporter(Nowhere);
    let metrics = SdkMeterProvider::builder();
    let telemetry = Telemetry::extend(traces, metrics, &TelemetryConfig::default());
    bencher.bench_local(|| ten_stages(&telemetry).finish(None));
}

#[divan::bench]
fn a_run_of_ten_stages_with_the_sdk_disabled(bencher: Bencher<'_, '_>) {
    let telemetry = disabled();
    bencher.bench_local(|| ten_stages(&telemetry).finish(None));
}

#[divan::bench]
fn a_run_without_stages(bencher: Bencher<'_, '_>) {
    let telemetry = Telemetry::detached();
    bencher.bench_local(|| black_box(RunContext::new(&telemetry, Tool::Search, &[])));
}
