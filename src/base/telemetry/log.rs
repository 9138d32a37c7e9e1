//! Logging to standard error and to a collector, as text or JSON.
//!
//! Each line carries the ids of the span in which it was written.

use std::fmt;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as layer};

use super::Telemetry;

/// Crates whose log events are not exported: the exporter would log about its own requests.
const SILENT: [&str; 6] = ["hyper", "h2", "tonic", "tower", "reqwest", "opentelemetry"];

/// Format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

/// Starts logging to standard error, and to a collector if one is configured. filter: in the
/// syntax of RUST_LOG. Only the first call has an effect.
pub fn init(telemetry: &Telemetry, format: LogFormat, filter: &str) {
    let filter = EnvFilter::new(filter);
    let stderr = layer::layer().with_writer(std::io::stderr).event_format(format);
    let collector = telemetry.logs().map(|provider| {
        let quiet = FilterFn::new(|meta| {
            *meta.level() <= tracing::Level::INFO
                && !SILENT.iter().any(|crate_| meta.target().starts_with(crate_))
        });
        OpenTelemetryTracingBridge::new(provider).with_filter(quiet)
    });
    let _ =
        tracing_subscriber::registry().with(collector).with(stderr.with_filter(filter)).try_init();
}

impl<S, N> FormatEvent<S, N> for LogFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let context = Context::current();
        let span = context.span().span_context().clone();
        if span.is_valid() {
            fields.0.insert("trace_id".to_owned(), span.trace_id().to_string().into());
            fields.0.insert("span_id".to_owned(), span.span_id().to_string().into());
        }
        let (meta, now) = (event.metadata(), jiff::Timestamp::now());
        let message = fields.0.remove("message");
        match self {
            Self::Human => {
                let time = now.strftime("%H:%M:%S%.3f");
                write!(writer, "{time} {:>5} ", meta.level())?;
                if let Some(Value::String(message)) = message {
                    write!(writer, "{message}")?;
                }
                for (name, value) in &fields.0 {
                    match value {
                        Value::String(text) => write!(writer, " {name}={text}")?,
                        value => write!(writer, " {name}={value}")?,
                    }
                }
            }
            Self::Json => {
                let mut line = Map::new();
                line.insert("timestamp".to_owned(), now.to_string().into());
                line.insert("level".to_owned(), meta.level().as_str().into());
                line.insert("target".to_owned(), meta.target().into());
                line.insert("message".to_owned(), message.unwrap_or_default());
                line.extend(fields.0);
                write!(writer, "{}", Value::Object(line))?;
            }
        }
        writeln!(writer)
    }
}

/// The fields of one event.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}
