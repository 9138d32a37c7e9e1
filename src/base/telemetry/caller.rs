//! The caller of a request: its trace, run and session ids, and which of its headers are trusted.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use opentelemetry::baggage::BaggageExt;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::attrs;
use super::labels::Tool;
use super::report::RunError;

/// Maximum length of an id from a caller, in bytes.
const ID_BYTES_MAX: usize = 128;

/// The ids and the parent span of a request.
#[derive(Clone)]
pub struct Caller {
    pub(super) run_id: String,
    pub(super) session_id: Option<String>,
    /// The parent span, and the baggage with the ids of the run and the session.
    pub(super) context: Context,
    /// When its request began. Deadlines count from here.
    pub(super) arrived: Instant,
    /// What the run of the request leaves for its server span.
    pub(super) served: Option<Arc<Served>>,
}

/// The tool that a request ran, and the error with which the run ended.
#[derive(Default)]
pub(super) struct Served {
    pub tool: OnceLock<Tool>,
    pub error: OnceLock<RunError>,
}

/// The headers of a request that are trusted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Propagation {
    pub trace: bool,
    pub baggage: bool,
}

/// The headers that the propagators read, by name; they need references.
struct Incoming(Vec<(&'static str, String)>);

impl Extractor for Incoming {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, v)| v.as_str())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

impl Caller {
    /// A run without a caller, which begins its own trace.
    pub fn nobody() -> Self {
        Self::with(Context::new(), None, None)
    }

    /// Reads X-Run-ID, X-Session-ID, `baggage`, `traceparent` and `tracestate`. header: looks up an
    /// HTTP header in any case, or a member of another protocol's metadata.
    ///
    /// An id must have 1 to 128 letters, digits and `._:-`; any other id counts as absent. A run id
    /// is generated if there is none.
    pub(super) fn read(propagation: Propagation, header: &dyn Fn(&str) -> Option<String>) -> Self {
        let names = ["traceparent", "tracestate", "baggage"];
        let found = names.into_iter().filter_map(|name| Some((name, header(name)?)));
        let headers = Incoming(found.collect());
        let mut context = Context::new();
        if propagation.trace {
            context = TraceContextPropagator::new().extract_with_context(&context, &headers);
        }
        if propagation.baggage {
            context = BaggagePropagator::new().extract_with_context(&context, &headers);
        }
        let carried = |attr: attrs::Attr| context.baggage().get(attr.key()).map(|v| v.to_string());
        let id = |name, attr| header(name).or_else(|| carried(attr)).filter(|id| is_id(id));
        let (run, session) = (id("x-run-id", attrs::RUN), id("x-session-id", attrs::SESSION));
        Self::with(context, run, session)
    }

    fn with(context: Context, run_id: Option<String>, session_id: Option<String>) -> Self {
        let ids = RandomIdGenerator::default();
        let run_id = run_id.unwrap_or_else(|| ids.new_trace_id().to_string());
        let before = context.baggage().iter().map(|(key, (value, metadata))| {
            opentelemetry::baggage::KeyValueMetadata::new(
                key.clone(),
                value.clone(),
                metadata.as_str(),
            )
        });
        let run = KeyValue::new(attrs::RUN.key(), run_id.clone());
        let session = session_id.clone().map(|id| KeyValue::new(attrs::SESSION.key(), id));
        let ours = [Some(run), session].into_iter().flatten().map(Into::into);
        let context = context.with_baggage(before.chain(ours).collect::<Vec<_>>());
        Self { run_id, session_id, context, arrived: Instant::now(), served: None }
    }

    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.context.span().span_context().trace_id().to_string()
    }

    /// The same caller, whose run is a child of the server span `span` and leaves it its outcome.
    pub(super) fn within(&self, span: SpanContext) -> Self {
        let context = self.context.with_remote_span_context(span);
        Self { context, served: Some(Arc::default()), ..self.clone() }
    }
}

/// Headers of a request that this process sends.
struct Outgoing(Vec<(String, String)>);

impl Injector for Outgoing {
    fn set(&mut self, key: &str, value: String) {
        self.0.push((key.to_owned(), value));
    }
}

/// The headers (name, value) that carry `context` to another process.
pub(super) fn headers(context: &Context, propagation: Propagation) -> Vec<(String, String)> {
    let mut out = Outgoing(Vec::new());
    if propagation.trace {
        TraceContextPropagator::new().inject_context(context, &mut out);
    }
    if propagation.baggage {
        BaggagePropagator::new().inject_context(context, &mut out);
    }
    out.0.retain(|(_, value)| !value.is_empty());
    out.0
}

/// Whether `id` is safe in headers, file names and reports.
fn is_id(id: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(fine) && !id.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::telemetry::{RunContext, Telemetry};

    const ALL: Propagation = Propagation { trace: true, baggage: true };
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// Reads X-Run-ID, X-Session-ID, `baggage`, `traceparent` and `tracestate`. header: looks up an
    /// HTTP header in any case, or a member of another protocol's metadata.
    ///
    /// An id must have 1 to 128 letters, digits and `._:-`; any other id counts as absent. A run id
    /// is generated if there is none.
    pub(super) fn read(propagation: Propagation, headers: &[(&str, &str)]) -> Caller {
        let lookup = |name: &str| {
            headers.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_string())
        };
        Caller::read(propagation, &lookup)
    }

    #[test]
    fn ids_come_from_headers_before_baggage_and_are_made_when_there_are_none() {
        let both = read(ALL, &[("X-Run-Id", "a"), ("baggage", "run.id=b,session.id=s,other=x")]);
        assert_eq!((both.run_id(), both.session_id.as_deref()), ("a", Some("s")));
        let baggage = both.context.baggage();
        assert_eq!(baggage.get("run.id").unwrap().as_str(), "a");
        assert_eq!(baggage.get("other").unwrap().as_str(), "x");
        let made = read(ALL, &[]);
        assert_eq!((made.run_id().len(), made.session_id), (32, None));
        for bad in ["", "a/b", "../x", ".hidden", "a b", "é"] {
            assert_eq!(read(ALL, &[("x-run-id", bad)]).run_id().len(), 32, "{bad:?}");
        }
        assert_eq!(read(ALL, &[("x-run-id", &"x".repeat(129))]).run_id().len(), 32);
    }

    #[test]
    fn what_goes_out_is_what_another_process_reads_as_its_caller() {
        use crate::base::telemetry::labels::Tool;
        let telemetry = Telemetry::detached();
        let headers = [("traceparent", PARENT), ("x-run-id", "a"), ("x-session-id", "s")];
        let caller = read(ALL, &headers);
        let cx = RunContext::of(&telemetry, Tool::Embed, &[], caller);
        let out = cx.headers();
        let out: Vec<_> = out.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let next = read(ALL, &out);
        assert_eq!((next.run_id(), next.session_id.as_deref()), ("a", Some("s")));
        assert_eq!(next.trace_id(), PARENT[3..35]);
    }

    #[test]
    fn a_remote_parent_is_believed_unless_that_is_switched_off() {
        let headers = [("traceparent", PARENT), ("baggage", "run.id=b")];
        let caller = read(ALL, &headers);
        assert_eq!((caller.trace_id().as_str(), caller.run_id()), (&PARENT[3..35], "b"));
        assert!(caller.context.span().span_context().is_remote());
        let ignored = read(Propagation { trace: false, baggage: false }, &headers);
        assert_ne!(ignored.run_id(), "b");
        assert_eq!(ignored.trace_id(), "0".repeat(32));
        assert_eq!(read(ALL, &[("traceparent", "00-zz-1-01")]).trace_id(), "0".repeat(32));
    }
}
