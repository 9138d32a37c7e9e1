//! The JSON of a run, shared by answers, stored files and `codeintel trace`.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::telemetry::attrs::{Attr, AttrValue};
use crate::base::telemetry::{FinishedSpan, RunReport, Stage, StepRecord};
use crate::tools::JsonObject;

/// The last stage of a run and the reason why it ended.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    pub schema_version: u32,
    pub tool: String,
    pub stopped_because: String,
    /// The error with which the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Note>,
    /// The same as `last_completed_stage`.
    pub stopped_after_stage: Option<String>,
    pub last_completed_stage: Option<String>,
    pub first_missing_stage: Option<String>,
    pub elapsed_ms: f64,
    pub budgets: Budgets,
    /// The decision of the search gate.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub decision: Map<String, Value>,
    /// Of an answer that points to files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savings: Option<SavingsItem>,
    pub warnings: Vec<Note>,
    pub hints: Vec<Note>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Budgets {
    pub deadline_ms: Option<i64>,
}

/// The size of an answer beside that of the whole files that it points to; four bytes count as a token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SavingsItem {
    pub tokens_returned: usize,
    pub tokens_of_files: usize,
    pub files: usize,
}

impl std::fmt::Display for SavingsItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tokens_returned, tokens_of_files, files } = *self;
        let grouped = |n: usize| indicatif::HumanCount(n as u64);
        let (returned, whole) = (grouped(tokens_returned), grouped(tokens_of_files));
        let of = if files == 1 { "the file".to_owned() } else { format!("the {files} files") };
        write!(f, "{returned} tokens returned, {whole} tokens in {of}")
    }
}

/// A warning, a hint or an error.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    pub code: String,
    pub message: String,
}

/// One stage that a run went through.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunStep {
    pub name: String,
    /// `run`, `skip` or `error`.
    pub status: String,
    /// Its nesting level, from 0.
    pub depth: u8,
    pub started_ms: f64,
    pub duration_ms: f64,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attrs: Map<String, Value>,
}

/// A run that ended: its ids, its result and its stages; in files also its spans.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    pub run_id: String,
    pub trace_id: String,
    pub session_id: Option<String>,
    #[serde(flatten)]
    pub report: RunResult,
    #[schemars(with = "Vec<JsonObject>")]
    pub stages: Vec<RunStep>,
    #[schemars(with = "Vec<JsonObject>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<SpanRecord>,
}

/// A finished span.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpanRecord {
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
    pub events: Vec<SpanEvent>,
    pub links: Vec<SpanLink>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpanEvent {
    pub name: String,
    pub attributes: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpanLink {
    pub trace_id: String,
    pub span_id: String,
}

/// The spans of one trace.
#[derive(Serialize)]
pub struct TraceAnswer {
    pub trace_id: String,
    pub spans: Vec<SpanRecord>,
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

impl From<&RunReport> for RunResult {
    fn from(report: &RunReport) -> Self {
        let name = |stage: Option<Stage>| stage.map(|stage| stage.name().to_owned());
        let note =
            |code: &str, message: &str| Note { code: code.to_owned(), message: message.to_owned() };
        Self {
            schema_version: RunReport::SCHEMA_VERSION,
            tool: report.tool_name().to_owned(),
            stopped_because: report.stopped_because.clone(),
            error: report.error.as_ref().map(|error| note(error.code, &error.message)),
            stopped_after_stage: name(report.last_completed_stage),
            last_completed_stage: name(report.last_completed_stage),
            first_missing_stage: name(report.first_missing_stage),
            elapsed_ms: ms(report.elapsed),
            budgets: Budgets { deadline_ms: report.deadline_ms() },
            decision: attributes(report.decision()),
            savings: report.savings.map(|savings| SavingsItem {
                tokens_returned: savings.tokens_returned,
                tokens_of_files: savings.tokens_of_files,
                files: savings.files,
            }),
            warnings: report.warnings.iter().map(|w| note(w.code, &w.message)).collect(),
            hints: report.hints().iter().map(|h| note(h.code, &h.message)).collect(),
        }
    }
}

impl From<&StepRecord> for RunStep {
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

/// The stages of a run, in the order in which they began.
pub fn steps(report: &RunReport) -> Vec<RunStep> {
    report.steps.iter().map(RunStep::from).collect()
}

impl RunRecord {
    pub fn new(report: &RunReport) -> Self {
        Self {
            run_id: report.run_id.clone(),
            trace_id: report.trace_id.clone(),
            session_id: report.session_id.clone(),
            report: RunResult::from(report),
            stages: steps(report),
            spans: Vec::new(),
        }
    }

    pub fn with_spans(mut self, spans: &[FinishedSpan]) -> Self {
        self.spans = spans.iter().map(SpanRecord::from).collect();
        self
    }
}

impl TraceAnswer {
    pub fn new(trace_id: String, spans: &[FinishedSpan]) -> Self {
        Self { trace_id, spans: spans.iter().map(SpanRecord::from).collect() }
    }
}

impl From<&FinishedSpan> for SpanRecord {
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
                .map(|(name, attrs)| SpanEvent { name: name.clone(), attributes: map(attrs) })
                .collect(),
            links: links
                .map(|(trace_id, span_id)| SpanLink {
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
