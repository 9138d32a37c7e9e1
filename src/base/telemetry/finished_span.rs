//! A finished span in plain types.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use super::attrs::AttrValue;

/// One span of the flight recorder.
#[derive(Debug, Clone)]
pub struct FinishedSpan {
    pub name: String,
    pub kind: &'static str,
    /// 16 hexadecimal digits.
    pub span_id: String,
    pub parent_span_id: Option<String>,
    pub started: SystemTime,
    pub duration: Duration,
    /// The description of the failure, if it failed.
    pub error: Option<String>,
    /// Whether it was sampled, and so exported if an exporter is configured.
    pub sampled: bool,
    pub attributes: Vec<(String, AttrValue)>,
    /// Name and attributes of each event, in order.
    pub events: Vec<(String, Vec<(String, AttrValue)>)>,
    /// Trace id and span id of each link.
    pub links: Vec<(String, String)>,
}

impl From<&SpanData> for FinishedSpan {
    fn from(span: &SpanData) -> Self {
        let context = &span.span_context;
        let parent = span.parent_span_id;
        let events = span.events.iter();
        let links = span.links.iter().map(|link| &link.span_context);
        Self {
            name: span.name.to_string(),
            kind: match span.span_kind {
                SpanKind::Client => "client",
                SpanKind::Server => "server",
                SpanKind::Producer => "producer",
                SpanKind::Consumer => "consumer",
                SpanKind::Internal => "internal",
            },
            span_id: context.span_id().to_string(),
            parent_span_id: (parent != SpanId::INVALID).then(|| parent.to_string()),
            started: span.start_time,
            duration: span.end_time.duration_since(span.start_time).unwrap_or_default(),
            error: match &span.status {
                Status::Error { description } => Some(description.to_string()),
                _ => None,
            },
            sampled: context.is_sampled(),
            attributes: attributes(&span.attributes),
            events: events.map(|e| (e.name.to_string(), attributes(&e.attributes))).collect(),
            links: links.map(|to| (to.trace_id().to_string(), to.span_id().to_string())).collect(),
        }
    }
}

fn attributes(pairs: &[KeyValue]) -> Vec<(String, AttrValue)> {
    pairs.iter().map(|kv| (kv.key.to_string(), attr_value(&kv.value))).collect()
}

fn attr_value(value: &Value) -> AttrValue {
    match value {
        Value::Bool(v) => (*v).into(),
        Value::I64(v) => (*v).into(),
        Value::F64(v) => (*v).into(),
        Value::Array(Array::String(list)) => {
            AttrValue::List(list.iter().map(|text| text.to_string()).collect())
        }
        other => other.to_string().into(),
    }
}
