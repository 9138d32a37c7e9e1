//! What does the story of one run cost when nobody exports it?
//!
//! Measured: a run of ten stages, nested as those of a search, each with four attributes and one
//! event; with and without the report at the end. No corpus. The tracer is the SDK's, without an
//! exporter, as the program runs by default. A search takes milliseconds: this must not show in it.

use codeintel::telemetry::labels::Tool;
use codeintel::telemetry::{RunContext, Stage, Telemetry, attrs};
use divan::{Bencher, black_box};

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

fn describe(span: &mut codeintel::telemetry::StageSpan) {
    // Four of what the stage's table allows, or as many as there are.
    for (i, attr) in span.stage().attrs().iter().take(4).enumerate() {
        span.set(*attr, i);
    }
    span.event("channels.gathered", &[(attrs::DENSE, 50_usize.into())]);
}

#[divan::bench]
fn a_run_of_ten_stages(bencher: Bencher<'_, '_>) {
    let telemetry = Telemetry::detached();
    bencher.bench_local(|| black_box(ten_stages(&telemetry)));
}

#[divan::bench]
fn a_run_of_ten_stages_and_its_report(bencher: Bencher<'_, '_>) {
    let telemetry = Telemetry::detached();
    bencher.bench_local(|| {
        let report = ten_stages(&telemetry).report();
        assert_eq!((report.steps.len(), report.stopped_because.as_str()), (10, "completed"));
        report
    });
}

#[divan::bench]
fn a_run_without_stages(bencher: Bencher<'_, '_>) {
    let telemetry = Telemetry::detached();
    bencher.bench_local(|| black_box(RunContext::new(&telemetry, Tool::Search, &[])));
}
