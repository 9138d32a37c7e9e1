//! What a run leaves: all that its report is made of.
//!
//! A run writes its log once; the report is built from it when somebody asks.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use opentelemetry::trace::{SpanContext, TraceId};
use parking_lot::Mutex;

use super::labels::Tool;
use super::report::{RunError, RunReport, Savings, StepRecord, StepStatus};
use super::stage::Stage;
use crate::base::error::Warning;

/// Maximum steps recorded for one run; a run has about ten.
const STEPS_MAX: usize = 256;
/// Steps of these that are reserved for the outermost stage, which ends last.
const OUTERMOST_STEPS: usize = 16;
/// Room for the steps of most runs.
const STEPS_USUAL: usize = 16;
/// Maximum warnings recorded for one run.
const WARNINGS_MAX: usize = 64;

/// The log of one run.
pub(super) struct RunLog {
    pub run_id: String,
    pub session_id: Option<String>,
    pub tool: Tool,
    pub started: Instant,
    planned: &'static [Stage],
    gpus: usize,
    /// The caller's span; not valid without a caller.
    caller: SpanContext,
    /// Span of the run's first stage, to which channels link.
    pub root: OnceLock<SpanContext>,
    steps: Mutex<Vec<StepRecord>>,
    warnings: Mutex<Vec<Warning>>,
    failures: Mutex<Failures>,
    pub savings: OnceLock<Savings>,
    end: OnceLock<End>,
}

/// How a run ended.
struct End {
    elapsed: Duration,
    budget: Option<Duration>,
    error: Option<RunError>,
}

/// Stage and kind of the first failure of each kind, which is that of the innermost stage.
#[derive(Default)]
struct Failures(Vec<(&'static str, &'static str)>);

impl RunLog {
    pub fn new(
        run_id: String,
        session_id: Option<String>,
        tool: Tool,
        started: Instant,
        planned: &'static [Stage],
        gpus: usize,
        caller: SpanContext,
    ) -> Self {
        Self {
            run_id,
            session_id,
            tool,
            started,
            planned,
            gpus,
            caller,
            root: OnceLock::new(),
            steps: Mutex::new(Vec::with_capacity(STEPS_USUAL)),
            warnings: Mutex::default(),
            failures: Mutex::default(),
            savings: OnceLock::new(),
            end: OnceLock::new(),
        }
    }

    pub fn push(&self, step: StepRecord) {
        let mut steps = self.steps.lock();
        // Room is reserved for outer stages, however many stages are inside them.
        let limit = match step.depth {
            0 => STEPS_MAX,
            1 => STEPS_MAX - OUTERMOST_STEPS,
            _ => STEPS_MAX / 2,
        };
        if steps.len() < limit {
            steps.push(step);
        }
    }

    /// Keeps the first failure of each kind.
    pub fn failed(&self, place: &'static str, kind: &'static str) {
        let places = &mut self.failures.lock().0;
        if places.iter().all(|(_, known)| *known != kind) {
            places.push((place, kind));
        }
    }

    /// Records a warning. once: only if there is none with its code.
    pub fn warn(&self, warning: Warning, once: bool) {
        let mut warnings = self.warnings.lock();
        let is_known = once && warnings.iter().any(|known| known.code == warning.code);
        if warnings.len() < WARNINGS_MAX && !is_known {
            warnings.push(warning);
        }
    }

    pub fn warning_codes(&self) -> Vec<String> {
        self.warnings.lock().iter().map(|warning| warning.code.to_owned()).collect()
    }

    /// 32 hexadecimal digits; empty before the first stage of a run without a caller.
    pub fn trace_id(&self) -> String {
        let trace_id = self.root.get().unwrap_or(&self.caller).trace_id();
        if trace_id == TraceId::INVALID { String::new() } else { trace_id.to_string() }
    }

    /// Ends the run. budget: its time limit.
    pub fn end(&self, error: Option<RunError>, budget: Option<Duration>) {
        let _ = self.end.set(End { elapsed: self.started.elapsed(), budget, error });
    }

    /// The run so far. budget: its time limit, if it has not ended.
    pub fn report(&self, budget: Option<Duration>) -> RunReport {
        let mut steps = self.steps.lock().clone();
        steps.sort_by_key(|s| (s.started, s.depth));
        let done = |stage: &Stage| {
            steps.iter().any(|s| s.stage == *stage && s.status != StepStatus::Error)
        };
        let first_missing_stage = self.planned.iter().copied().find(|stage| !done(stage));
        let last_completed_stage = self.planned.iter().copied().rfind(done);
        let failures = self.failures.lock();
        let end = self.end.get();
        let error = end.and_then(|end| end.error.clone());
        // Until a run ends, the stages show whether it is complete.
        let missing = first_missing_stage.filter(|_| end.is_none());
        let stopped_because = match (&error, missing, failures.0.first()) {
            (Some(error), ..) => failures.place_of(error.code),
            (None, None, _) => "completed".to_owned(),
            (None, Some(_), Some((place, kind))) => format!("{place}:{kind}"),
            (None, Some(stage), None) => format!("not_reached:{}", stage.name()),
        };
        RunReport {
            trace_id: self.trace_id(),
            session_id: self.session_id.clone(),
            run_id: self.run_id.clone(),
            tool: Some(self.tool),
            elapsed: end.map_or_else(|| self.started.elapsed(), |end| end.elapsed),
            budget: end.map_or(budget, |end| end.budget),
            gpus: self.gpus,
            steps,
            warnings: self.warnings.lock().clone(),
            last_completed_stage,
            first_missing_stage,
            stopped_because,
            error,
            savings: self.savings.get().copied(),
        }
    }
}

impl Failures {
    /// `<stage>:<kind>`; the stage is `request` if the failure happened outside all stages.
    fn place_of(&self, kind: &str) -> String {
        let place = self.0.iter().find(|(_, known)| *known == kind);
        format!("{}:{kind}", place.map_or("request", |(place, _)| *place))
    }
}
