//! The context of a run: ids, deadline, cancellation, and the steps so far.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{Link, SpanContext, TraceContextExt};
use parking_lot::Mutex;

use super::attrs;
use super::caller::{Caller, Served, headers};
use super::deadline::Deadline;
use super::instruments::Instruments;
use super::labels::{RunStatus, Tool};
use super::report::{RunError, RunReport, Savings, StepRecord, StepStatus};
use super::run_log::RunLog;
use super::stage::Stage;
use super::stage_span::StageSpan;
use super::telemetry::Telemetry;
use crate::base::error::{Error, Warning};
use crate::base::signal::Signal;

/// One run: its ids, its deadline, its steps so far. Clones share the run.
#[derive(Clone)]
pub struct RunContext {
    pub(super) run: Arc<Run>,
    pub(super) deadline: Option<Deadline>,
    /// The parent of the next stage's span, with the baggage.
    pub(super) parent: Context,
    pub(super) depth: u8,
    pub(super) items_done: Option<ItemsDone>,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunProgress {
    pub done: usize,
    /// 0 while it is not known.
    pub total: usize,
    pub message: String,
}

/// Is told how many more items are done.
pub(super) type ItemsDone = Arc<dyn Fn(usize) + Send + Sync>;

type ProgressSource = Box<dyn Fn() -> RunProgress + Send + Sync>;

pub(super) struct Run {
    pub telemetry: Telemetry,
    /// Shared with the flight recorder, which keeps it after the run.
    pub log: Arc<RunLog>,
    served: Option<Arc<Served>>,
    pub cancelled: Signal,
    /// Spans of the finished channels, to which the fusion links.
    pub channels: Mutex<Vec<SpanContext>>,
    /// The stage that lasts until the run is finished.
    outermost: Mutex<Option<StageSpan>>,
    progress: OnceLock<ProgressSource>,
}

impl RunContext {
    /// A run of `tool` without a caller, expected to complete the stages `planned`.
    pub fn new(telemetry: &Telemetry, tool: Tool, planned: &'static [Stage]) -> Self {
        Self::of(telemetry, tool, planned, Caller::nobody())
    }

    /// A run for `caller`, with its ids and as a child of its span.
    pub fn of(
        telemetry: &Telemetry,
        tool: Tool,
        planned: &'static [Stage],
        caller: Caller,
    ) -> Self {
        let Caller { run_id, session_id, context, arrived, served } = caller;
        if let Some(served) = &served {
            let _ = served.tool.set(tool);
        }
        let span = context.span().span_context().clone();
        let gpus = telemetry.gpus();
        let log = RunLog::new(run_id, session_id, tool, arrived, planned, gpus, span);
        let run = Run {
            telemetry: telemetry.clone(),
            log: Arc::new(log),
            served,
            cancelled: Signal::default(),
            channels: Mutex::default(),
            outermost: Mutex::default(),
            progress: OnceLock::new(),
        };
        Self { run: Arc::new(run), deadline: None, parent: context, depth: 0, items_done: None }
    }

    /// The same run inside `stage`, which lasts until [`RunContext::finish`]. Call it before the
    /// first stage.
    pub fn within(self, stage: Stage) -> Self {
        let span = StageSpan::open(&self, stage);
        let cx = span.cx();
        *self.run.outermost.lock() = Some(span);
        cx
    }

    /// The same run; `tell` learns of the items of a request, such as texts to embed, as they are done.
    pub fn with_items_done(&self, tell: impl Fn(usize) + Send + Sync + 'static) -> Self {
        Self { items_done: Some(Arc::new(tell)), ..self.clone() }
    }

    /// Records that `n` more items of a request are done.
    pub fn items_done(&self, n: usize) {
        if let Some(tell) = &self.items_done {
            tell(n);
        }
    }

    /// Sets how the progress of the run is read. Only the first call has an effect.
    pub fn set_progress(&self, read: impl Fn() -> RunProgress + Send + Sync + 'static) {
        let _ = self.run.progress.set(Box::new(read));
    }

    /// Records what the answer cost. Only the first call has an effect.
    pub fn set_savings(&self, savings: Savings) {
        let _ = self.run.log.savings.set(savings);
    }

    /// How far the run is, if it says so.
    pub fn progress(&self) -> Option<RunProgress> {
        self.run.progress.get().map(|read| read())
    }

    /// The session of the caller.
    pub fn session_id(&self) -> Option<&str> {
        self.run.log.session_id.as_deref()
    }

    pub fn tool(&self) -> Tool {
        self.run.log.tool
    }

    pub fn run_id(&self) -> &str {
        &self.run.log.run_id
    }

    /// 32 hexadecimal digits; empty before the first stage of a run without a caller.
    pub fn trace_id(&self) -> String {
        self.run.log.trace_id()
    }

    /// The headers (name, value) with which another process continues this trace and this run:
    /// those of `traceparent`, `tracestate` and `baggage` that OTEL_PROPAGATORS enables.
    pub fn headers(&self) -> Vec<(String, String)> {
        headers(&self.parent, self.telemetry().propagation())
    }

    /// A link to the span of this context.
    pub(super) fn link(&self) -> Option<Link> {
        let span = self.parent.span().span_context().clone();
        span.is_valid().then(|| Link::new(span, Vec::new(), 0))
    }

    /// The metrics of this run's telemetry.
    pub fn instruments(&self) -> &Instruments {
        self.run.telemetry.instruments()
    }

    pub fn telemetry(&self) -> &Telemetry {
        &self.run.telemetry
    }

    /// Records a warning; the run continues.
    pub fn warn(&self, warning: Warning) {
        self.run.log.warn(warning, false);
    }

    /// Like [`RunContext::warn`], unless the run already has a warning with that code.
    pub fn warn_once(&self, warning: Warning) {
        self.run.log.warn(warning, true);
    }

    /// The codes of the warnings so far.
    pub fn warning_codes(&self) -> Vec<String> {
        self.run.log.warning_codes()
    }

    /// Records that `stage` was not needed, and why.
    pub fn skip(&self, stage: Stage, reason: &'static str) {
        let log = &self.run.log;
        log.push(StepRecord {
            stage,
            status: StepStatus::Skip,
            started: log.started.elapsed(),
            duration: Duration::ZERO,
            depth: self.depth,
            attrs: vec![(attrs::WARNINGS, reason.into())],
        });
    }

    /// The run so far.
    pub fn report(&self) -> RunReport {
        self.run.log.report(self.deadline.map(|deadline| deadline.budget))
    }

    /// Ends the run with its result: counts it and keeps its log, from which its report is made when
    /// somebody asks. The interface that began the run calls this once.
    pub fn finish(&self, error: Option<&Error>) {
        let status = match error {
            None => RunStatus::Ok,
            Some(Error::Cancelled) => RunStatus::Cancelled,
            Some(_) => RunStatus::Error,
        };
        let outermost = self.run.outermost.lock().take();
        if let Some(mut span) = outermost {
            if let Some(error) = error {
                span.fail(error);
            }
            span.close();
        }
        let error = error.map(RunError::from);
        if let (Some(served), Some(error)) = (&self.run.served, &error) {
            let _ = served.error.set(error.clone());
        }
        self.run.log.end(error, self.deadline.map(|deadline| deadline.budget));
        self.instruments().ran(self.tool(), status);
        self.run.telemetry.finished(self, status);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use opentelemetry::trace::{SpanId, Status};
    use opentelemetry_sdk::trace::InMemorySpanExporter;

    #[test]
    fn stages_nest_as_spans_and_a_failure_is_in_the_report() {
        let exporter = InMemorySpanExporter::default();
        let telemetry = Telemetry::with_exporter(exporter.clone());
        let cx =
            RunContext::new(&telemetry, Tool::Search, &[Stage::Gate, Stage::Gather, Stage::Fuse]);
        let result = cx.stage(Stage::Search, |s| {
            s.cx().stage(Stage::Gate, |s| {
                s.set(attrs::RRF_K, 60usize);
                Ok(())
            })?;
            let within = s.cx();
            std::thread::spawn(move || {
                within.stage(Stage::Gather, |_| Err::<(), _>(Error::Cancelled))
            })
            .join()
            .unwrap()
        });
        assert!(matches!(result, Err(Error::Cancelled)));

        let spans = exporter.get_finished_spans().unwrap();
        let names: Vec<_> = spans.iter().map(|s| s.name.as_ref()).collect();
        assert_eq!(names, ["retrieval.gating", "retrieval.gather_channels", "retrieval.search"]);
        let root = spans[2].span_context.span_id();
        assert!(spans[..2].iter().all(|s| s.parent_span_id == root));
        assert!(matches!(spans[1].status, Status::Error { .. }));

        let report = cx.report();
        assert_eq!(report.stopped_because, "gather:cancelled");
        assert_eq!(report.last_completed_stage, Some(Stage::Gate));
        assert_eq!(report.first_missing_stage, Some(Stage::Gather));
        assert_eq!(report.trace_id, spans[2].span_context.trace_id().to_string());
    }

    #[test]
    fn a_panic_is_a_failed_step_and_goes_on() {
        let exporter = InMemorySpanExporter::default();
        let telemetry = Telemetry::with_exporter(exporter.clone());
        let cx = RunContext::new(&telemetry, Tool::Search, &[Stage::Gate]);
        let panicking = || cx.stage(Stage::Gate, |_| -> Result<(), Error> { panic!("a bug") });
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        let report = cx.report();
        assert_eq!(report.steps[0].status, StepStatus::Error);
        assert_eq!(report.stopped_because, "gate:internal-error");
        let spans = exporter.get_finished_spans().unwrap();
        assert!(matches!(spans[0].status, Status::Error { .. }));
    }

    #[test]
    fn a_run_that_ended_is_kept_with_its_reason() {
        let telemetry = Telemetry::detached();
        let cx = RunContext::new(&telemetry, Tool::Search, &[Stage::Gate]);
        assert_eq!(cx.report().stopped_because, "not_reached:gate");
        cx.finish(Some(&Error::Cancelled));
        let kept = telemetry.run(cx.run_id()).unwrap();
        assert_eq!(kept.stopped_because, "request:cancelled");
        let wrong = Error::QueryInvalid { detail: "it is empty".to_owned() };
        let cx = RunContext::new(&telemetry, Tool::Search, &[Stage::Gate]);
        cx.finish(Some(&wrong));
        let kept = telemetry.run("latest").unwrap();
        assert_eq!(
            (kept.run_id.as_str(), kept.stopped_because.as_str()),
            (cx.run_id(), "request:search-query-invalid")
        );
    }

    #[test]
    fn without_spans_the_report_is_the_same_and_nothing_is_attached() {
        use opentelemetry_sdk::metrics::SdkMeterProvider;
        use opentelemetry_sdk::trace::SdkTracerProvider;

        use crate::base::telemetry::TelemetryConfig;
        let run = |disabled| {
            let config = TelemetryConfig { disabled, ..TelemetryConfig::default() };
            let (traces, metrics) = (SdkTracerProvider::builder(), SdkMeterProvider::builder());
            let telemetry = Telemetry::extend(traces, metrics, &config);
            let cx = RunContext::new(&telemetry, Tool::Search, &[Stage::Gate, Stage::Fuse]);
            let lost = Error::DeviceLost { detail: "gone".to_owned() };
            let failed = cx.stage(Stage::Search, |s| {
                let cx = s.cx();
                cx.stage(Stage::Gate, |s| {
                    s.set(attrs::RRF_K, 60_usize);
                    assert_eq!(Context::current().has_active_span(), !disabled);
                    Ok(())
                })?;
                cx.warn(Warning::new("channel-late", "dense"));
                cx.skip(Stage::Lexical, "not-asked");
                cx.stage(Stage::Fuse, |_| Err::<(), _>(lost))
            });
            cx.finish(failed.as_ref().err());
            let report = telemetry.run(cx.run_id()).unwrap();
            assert_eq!((report.trace_id.len(), report.trace_id), (32, cx.trace_id()));
            assert_eq!(telemetry.spans(&cx.trace_id()).is_empty(), disabled);
            let mut steps = report.steps;
            for step in &mut steps {
                (step.started, step.duration) = (Duration::ZERO, Duration::ZERO);
                step.attrs.retain(|(key, _)| *key != attrs::RUN_ID);
            }
            format!("{steps:?} {:?} {} {:?}", report.warnings, report.stopped_because, report.error)
        };
        assert_eq!(run(true), run(false));
        assert!(run(true).contains("fuse:device-lost"), "{}", run(true));
    }

    #[test]
    fn a_run_is_one_trace_and_its_outermost_step_is_always_kept() {
        let exporter = InMemorySpanExporter::default();
        let telemetry = Telemetry::with_exporter(exporter.clone());
        let cx = RunContext::new(&telemetry, Tool::Embed, &[]);
        (0..3).for_each(|_| cx.stage(Stage::Embed, |_| Ok(())).unwrap());
        let spans = exporter.get_finished_spans().unwrap();
        let first = &spans[0].span_context;
        assert!(spans[1..].iter().all(|span| span.parent_span_id == first.span_id()));
        assert!(spans.iter().all(|span| span.span_context.trace_id() == first.trace_id()));

        exporter.reset();
        let cx = RunContext::new(&telemetry, Tool::Embed, &[Stage::Batch]).within(Stage::Batch);
        (0..1000).for_each(|_| cx.stage(Stage::Embed, |_| Ok(())).unwrap());
        cx.finish(Some(&Error::Cancelled));
        let report = cx.report();
        assert_eq!((report.steps[0].stage, report.steps[0].depth), (Stage::Batch, 0));
        assert_eq!(report.stopped_because, "batch:cancelled");
        let spans = exporter.get_finished_spans().unwrap();
        let root = &spans[1000];
        assert_eq!((root.name.as_ref(), root.parent_span_id), ("batch.run", SpanId::INVALID));
        let id = root.span_context.span_id();
        assert!(spans[..1000].iter().all(|span| span.parent_span_id == id));
        assert!((100..=256).contains(&report.steps.len()));
    }

    #[test]
    fn a_run_that_ended_with_an_error_never_says_completed_and_has_its_message() {
        let telemetry = Telemetry::detached();
        let lost = || Error::DeviceLost { detail: "it fell off the bus".to_owned() };
        let wrong = || Error::QueryInvalid { detail: "it is empty".to_owned() };
        let stopped = |planned, stages: &dyn Fn(&RunContext), error: Option<&Error>| {
            let cx = RunContext::new(&telemetry, Tool::Embed, planned);
            stages(&cx);
            cx.finish(error);
            let report = cx.report();
            assert_eq!(
                report.error.as_ref().map(|e| &*e.message),
                error.map(|e| e.to_string()).as_deref()
            );
            report.stopped_because.clone()
        };
        let fine = |cx: &RunContext| drop(cx.stage(Stage::Embed, |_| Ok(())));
        let fails = |cx: &RunContext| drop(cx.stage(Stage::Embed, |_| Err::<(), _>(lost())));
        let kind = lost().kind().code();
        let (outside, within) = (format!("request:{kind}"), format!("embed:{kind}"));
        // Nothing is planned.
        assert_eq!(stopped(&[], &|_| (), Some(&lost())), outside);
        assert_eq!(stopped(&[], &fails, Some(&lost())), within);
        // The first slice succeeded.
        assert_eq!(stopped(&[Stage::Embed], &|cx| (fine(cx), fails(cx)).1, Some(&lost())), within);
        assert_eq!(stopped(&[Stage::Embed], &fine, Some(&lost())), outside);
        // A stage failed without ending the run, which ended for another reason.
        let other = stopped(&[], &fails, Some(&wrong()));
        assert_eq!(other, "request:search-query-invalid");
        assert_eq!(stopped(&[], &fails, None), "completed");
        assert_eq!(stopped(&[Stage::Embed, Stage::Fuse], &fine, None), "completed");
    }
}
