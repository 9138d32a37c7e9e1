//! Which run is this, and which of its steps is being taken?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::Context;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};

use super::attrs::{self, Attr, AttrValue, key_value};
use super::report::{RunReport, StepRecord, StepStatus};
use super::{Stage, Telemetry};
use crate::error::{Error, Result, Warning};

/// The most steps that one run records; a run has about ten.
const STEPS_MAX: usize = 256;
/// The most warnings that one run records.
const WARNINGS_MAX: usize = 64;

/// One run: its ids, its deadline, its steps so far. Cloning shares the run.
#[derive(Clone)]
pub struct RunContext {
    run: Arc<Run>,
    parent: Context,
    depth: u8,
}

struct Run {
    telemetry: Telemetry,
    run_id: String,
    session_id: Option<String>,
    tool: &'static str,
    started: Instant,
    deadline: Option<Instant>,
    cancelled: AtomicBool,
    planned: Vec<Stage>,
    steps: Mutex<Vec<StepRecord>>,
    warnings: Mutex<Vec<Warning>>,
    failure: Mutex<Option<(Stage, &'static str)>>,
    trace_id: Mutex<String>,
}

/// A panic while a step was being pushed leaves the list usable: each push is one operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RunContext {
    /// A run of `tool` (such as `search:semantic`) that is expected to complete `planned`.
    pub fn new(telemetry: &Telemetry, tool: &'static str, planned: &[Stage]) -> Self {
        let run = Run {
            telemetry: telemetry.clone(),
            run_id: new_run_id(),
            session_id: None,
            tool,
            started: Instant::now(),
            deadline: None,
            cancelled: AtomicBool::new(false),
            planned: planned.to_vec(),
            steps: Mutex::default(),
            warnings: Mutex::default(),
            failure: Mutex::default(),
            trace_id: Mutex::default(),
        };
        Self { run: Arc::new(run), parent: Context::new(), depth: 0 }
    }

    /// The same run with a deadline `budget` after its beginning. To be called before the first stage.
    pub fn with_deadline(mut self, budget: Duration) -> Self {
        let deadline = self.run.started + budget;
        let run =
            Arc::get_mut(&mut self.run).expect("the deadline is set before the run is shared");
        run.deadline = Some(deadline);
        self
    }

    /// The same run with ids that the caller brought. To be called before the first stage.
    pub fn with_ids(mut self, run_id: Option<String>, session_id: Option<String>) -> Self {
        let run = Arc::get_mut(&mut self.run).expect("ids are set before the run is shared");
        if let Some(run_id) = run_id {
            run.run_id = run_id;
        }
        run.session_id = session_id;
        self
    }

    pub fn run_id(&self) -> &str {
        &self.run.run_id
    }

    /// 32 hexadecimal digits; empty before the first stage.
    pub fn trace_id(&self) -> String {
        lock(&self.run.trace_id).clone()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.run.deadline
    }

    /// Asks the run to stop at the next step.
    pub fn cancel(&self) {
        self.run.cancelled.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.run.cancelled.load(Ordering::Relaxed)
    }

    /// Records a warning; the answer still comes.
    pub fn warn(&self, warning: Warning) {
        let mut warnings = lock(&self.run.warnings);
        if warnings.len() < WARNINGS_MAX {
            warnings.push(warning);
        }
    }

    /// Runs `work` as `stage`: one span, one step of the report, timed; an error is recorded on both.
    pub fn stage<T>(
        &self,
        stage: Stage,
        work: impl FnOnce(&mut StageSpan) -> Result<T>,
    ) -> Result<T> {
        if self.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let mut span = self.open(stage);
        let result = work(&mut span);
        match &result {
            Ok(_) => span.close(StepStatus::Run),
            Err(error) => {
                span.fail(error);
                span.close(StepStatus::Error);
            }
        }
        result
    }

    /// Records that `stage` was not needed, and why.
    pub fn skip(&self, stage: Stage, reason: &str) {
        let step = StepRecord {
            stage,
            status: StepStatus::Skip,
            started: self.run.started.elapsed(),
            duration: Duration::ZERO,
            depth: self.depth,
            attrs: vec![(attrs::WARNINGS, reason.into())],
        };
        self.run.push(step);
    }

    fn open(&self, stage: Stage) -> StageSpan {
        let kind = if stage.is_client() { SpanKind::Client } else { SpanKind::Internal };
        let tracer = &self.run.telemetry.tracer;
        let builder = tracer.span_builder(stage.span_name()).with_kind(kind);
        let span = tracer.build_with_context(builder, &self.parent);
        let context = self.parent.with_span(span);
        if self.depth == 0 {
            *lock(&self.run.trace_id) = context.span().span_context().trace_id().to_string();
        }
        let within = Self { run: self.run.clone(), parent: context, depth: self.depth + 1 };
        let mut span = StageSpan { stage, within, started: Instant::now(), attrs: Vec::new() };
        span.set(attrs::REQUEST_STAGE, stage.name());
        if self.depth == 0 {
            span.set(attrs::RUN_ID, self.run.run_id.as_str());
            if let Some(session) = &self.run.session_id {
                span.set(attrs::SESSION_ID, session.as_str());
            }
        }
        span
    }

    /// The run so far.
    pub fn report(&self) -> RunReport {
        let run = &*self.run;
        let mut steps = lock(&run.steps).clone();
        steps.sort_by_key(|s| (s.started, s.depth));
        let done = |stage: &Stage| {
            steps.iter().any(|s| s.stage == *stage && s.status != StepStatus::Error)
        };
        let first_missing_stage = run.planned.iter().copied().find(|stage| !done(stage));
        let last_completed_stage = run.planned.iter().copied().rfind(done);
        let stopped_because = match (*lock(&run.failure), first_missing_stage) {
            (Some((stage, kind)), Some(_)) => format!("{}:{kind}", stage.name()),
            (None, Some(stage)) => format!("not_reached:{}", stage.name()),
            (_, None) => "completed".to_owned(),
        };
        RunReport {
            trace_id: self.trace_id(),
            session_id: run.session_id.clone(),
            run_id: run.run_id.clone(),
            tool: run.tool,
            steps,
            warnings: lock(&run.warnings).clone(),
            last_completed_stage,
            first_missing_stage,
            stopped_because,
        }
    }
}

impl Run {
    fn push(&self, step: StepRecord) {
        let mut steps = lock(&self.steps);
        // However many batches lie within the stages of a long run, the stages keep their places.
        let most = if step.depth <= 1 { STEPS_MAX } else { STEPS_MAX / 2 };
        if steps.len() < most {
            steps.push(step);
        }
    }
}

/// A step that is being taken.
pub struct StageSpan {
    stage: Stage,
    within: RunContext,
    started: Instant,
    attrs: Vec<(Attr, AttrValue)>,
}

impl StageSpan {
    /// The run as seen from inside this step: its stages become children of this one. It may go to another thread.
    pub fn cx(&self) -> RunContext {
        self.within.clone()
    }

    /// Sets an attribute on the span and in the report.
    pub fn set(&mut self, key: Attr, value: impl Into<AttrValue>) {
        let value = value.into();
        self.within.parent.span().set_attribute(key_value(key, &value));
        self.attrs.push((key, value));
    }

    /// Adds an event to the span.
    pub fn event(&self, name: &'static str, attributes: &[(Attr, AttrValue)]) {
        let attributes = attributes.iter().map(|(k, v)| key_value(*k, v)).collect();
        self.within.parent.span().add_event(name, attributes);
    }

    fn fail(&mut self, error: &Error) {
        let kind = error.kind().code();
        self.set(attrs::ERROR_TYPE, kind);
        let span = self.within.parent.span();
        span.record_error(error);
        span.set_status(Status::error(error.to_string()));
        tracing::debug!(stage = self.stage.name(), error.kind = kind, %error, "stage failed");
        // The innermost failing stage is the one that explains the run.
        lock(&self.within.run.failure).get_or_insert((self.stage, kind));
    }

    fn close(self, status: StepStatus) {
        self.within.parent.span().end();
        let run = &self.within.run;
        run.push(StepRecord {
            stage: self.stage,
            status,
            started: self.started - run.started,
            duration: self.started.elapsed(),
            depth: self.within.depth - 1,
            attrs: self.attrs,
        });
    }
}

/// 32 hexadecimal digits that no other run of this machine has.
fn new_run_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    hasher.update(&std::process::id().to_le_bytes());
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    hasher.update(&since.as_nanos().to_le_bytes());
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::trace::InMemorySpanExporter;

    #[test]
    fn stages_nest_as_spans_and_a_failure_is_told_in_the_report() {
        let exporter = InMemorySpanExporter::default();
        let telemetry = Telemetry::with_exporter(exporter.clone());
        let cx = RunContext::new(
            &telemetry,
            "search:semantic",
            &[Stage::Gate, Stage::Gather, Stage::Fuse],
        );
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
}
