//! How does a run look as JSON? The same in answers, in files, and for `codeintel trace`.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::telemetry::attrs::{Attr, AttrValue};
use crate::base::telemetry::labels::Label;
use crate::base::telemetry::{FinishedSpan, RunReport, Stage, StepRecord};

/// What a run did and where it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub schema_version: u32,
    pub tool: String,
    pub stopped_because: String,
    /// The same as `last_completed_stage`.
    pub stopped_after_stage: Option<String>,
    pub last_completed_stage: Option<String>,
    pub first_missing_stage: Option<String>,
    pub elapsed_ms: f64,
    pub budgets: Budgets,
    /// What the gate decided.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub decision: Map<String, Value>,
    pub warnings: Vec<Note>,
    pub hints: Vec<Note>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Budgets {
    pub deadline_ms: Option<i64>,
}

/// A warning or a hint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Note {
    pub code: String,
    pub message: String,
}

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    /// `run`, `skip` or `error`.
    pub status: String,
    /// How deep it is nested.
    pub depth: u8,
    pub started_ms: f64,
    pub duration_ms: f64,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attrs: Map<String, Value>,
}

/// A run that ended: its ids, its report, its steps, and in files its spans.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunStory {
    pub run_id: String,
    pub trace_id: String,
    pub session_id: Option<String>,
    #[serde(flatten)]
    pub report: Report,
    pub stages: Vec<Step>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
}

/// One span of the flight recorder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Span {
    pub name: String,
    pub kind: String,
    pub span_id: String,
    pub parent_span_id: Option<String>,
    /// RFC 3339, UTC.
    pub started_at: String,
    pub duration_ms: f64,
    pub error: Option<String>,
    pub sampled: bool,
    pub attributes: Map<String, Value>,
    pub events: Vec<Event>,
    pub links: Vec<Link>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    pub name: String,
    pub attributes: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Link {
    pub trace_id: String,
    pub span_id: String,
}

/// The spans of one trace.
#[derive(Serialize)]
pub struct Trace<'a> {
    trace_id: &'a str,
    spans: Vec<Span>,
}

/// Milliseconds with three digits after the point.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn attributes(attrs: &[(Attr, AttrValue)]) -> Map<String, Value> {
    attrs.iter().map(|(key, value)| (key.key().to_owned(), json(value))).collect()
}

fn json(value: &AttrValue) -> Value {
    match value {
        AttrValue::Bool(v) => (*v).into(),
        AttrValue::Int(v) => (*v).into(),
        AttrValue::Float(v) => (*v).into(),
        AttrValue::Text(v) => v.as_ref().into(),
        AttrValue::List(v) => v.clone().into(),
    }
}

impl From<&RunReport> for Report {
    fn from(report: &RunReport) -> Self {
        let name = |stage: Option<Stage>| stage.map(|stage| stage.name().to_owned());
        let note =
            |code: &str, message: &str| Note { code: code.to_owned(), message: message.to_owned() };
        Self {
            schema_version: RunReport::SCHEMA_VERSION,
            tool: report.tool.value().to_owned(),
            stopped_because: report.stopped_because.clone(),
            stopped_after_stage: name(report.last_completed_stage),
            last_completed_stage: name(report.last_completed_stage),
            first_missing_stage: name(report.first_missing_stage),
            elapsed_ms: ms(report.elapsed),
            budgets: Budgets { deadline_ms: report.deadline_ms() },
            decision: attributes(report.decision()),
            warnings: report.warnings.iter().map(|w| note(w.code, &w.message)).collect(),
            hints: report.hints().iter().map(|h| note(h.code, &h.message)).collect(),
        }
    }
}

impl From<&StepRecord> for Step {
    fn from(step: &StepRecord) -> Self {
        Self {
            name: step.stage.name().to_owned(),
            status: step.status.as_str().to_owned(),
            depth: step.depth,
            started_ms: ms(step.started),
            duration_ms: ms(step.duration),
            attrs: attributes(&step.attrs),
        }
    }
}

/// The steps of a run, in the order in which they began.
pub fn steps(report: &RunReport) -> Vec<Step> {
    report.steps.iter().map(|step| Step::from(&**step)).collect()
}

impl RunStory {
    pub fn new(report: &RunReport) -> Self {
        Self {
            run_id: report.run_id.clone(),
            trace_id: report.trace_id.clone(),
            session_id: report.session_id.clone(),
            report: Report::from(report),
            stages: steps(report),
            spans: Vec::new(),
        }
    }

    pub fn with_spans(mut self, spans: &[FinishedSpan]) -> Self {
        self.spans = spans.iter().map(Span::from).collect();
        self
    }
}

impl<'a> Trace<'a> {
    pub fn new(trace_id: &'a str, spans: &[FinishedSpan]) -> Self {
        Self { trace_id, spans: spans.iter().map(Span::from).collect() }
    }
}

impl From<&FinishedSpan> for Span {
    fn from(span: &FinishedSpan) -> Self {
        let map = |attrs: &[(String, AttrValue)]| -> Map<String, Value> {
            attrs.iter().map(|(key, value)| (key.clone(), json(value))).collect()
        };
        let events = span.events.iter();
        let links = span.links.iter();
        Self {
            name: span.name.clone(),
            kind: span.kind.to_owned(),
            span_id: span.span_id.clone(),
            parent_span_id: span.parent_span_id.clone(),
            started_at: timestamp(span.started),
            duration_ms: ms(span.duration),
            error: span.error.clone(),
            sampled: span.sampled,
            attributes: map(&span.attributes),
            events: events
                .map(|(name, attrs)| Event { name: name.clone(), attributes: map(attrs) })
                .collect(),
            links: links
                .map(|(trace_id, span_id)| Link {
                    trace_id: trace_id.clone(),
                    span_id: span_id.clone(),
                })
                .collect(),
        }
    }
}

fn timestamp(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map(|at| at.to_string()).unwrap_or_default()
}
