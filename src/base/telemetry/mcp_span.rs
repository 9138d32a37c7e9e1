//! The server span of one call of a tool over MCP.

use std::time::Instant;

use opentelemetry::Context;
use opentelemetry::trace::{Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt};
use opentelemetry_sdk::trace::Span;

use super::attrs::{self, Attr, AttrValue};
use super::caller::Caller;
use super::labels::{Label, RunStatus, Tool};
use super::telemetry::Telemetry;
use crate::base::error::{Error, ErrorKind};

/// One call of a tool.
pub struct McpCall<'a> {
    pub tool: Tool,
    /// The tool's name in the protocol.
    pub name: &'static str,
    /// The id of the JSON-RPC request.
    pub request_id: String,
    /// `pipe` or `tcp`.
    pub transport: &'static str,
    /// Looks up a member of the call's `_meta`: `traceparent`, `tracestate`, `baggage`.
    pub meta: &'a dyn Fn(&str) -> Option<String>,
    /// The caller of the HTTP request that carried the call.
    pub http: Option<&'a Caller>,
}

/// The open server span of one call.
pub struct McpSpan {
    telemetry: Telemetry,
    span: Option<Span>,
    caller: Caller,
    tool: Tool,
    started: Instant,
}

impl Telemetry {
    /// Begins the span of a call. Its parent is the `traceparent` of the call, if it has one, and then
    /// the span links to that of the HTTP request; otherwise the parent is the HTTP request's.
    pub fn mcp(&self, call: McpCall<'_>) -> McpSpan {
        let McpCall { tool, name, request_id, transport, meta, http } = call;
        let ids = |name: &str| match name {
            "x-run-id" => http.map(|caller| caller.run_id.clone()),
            "x-session-id" => http.and_then(|caller| caller.session_id.clone()),
            _ => None,
        };
        let own = self.caller(&|name: &str| meta(name).or_else(|| ids(name)));
        let http = http.map(|caller| caller.context.span().span_context().clone());
        let (parent, links) = parent(&own, http);
        let (span, here) = self.start(format!("mcp.{name}"), SpanKind::Server, links, &parent);
        let caller = own.within(here);
        let mut span =
            McpSpan { telemetry: self.clone(), span, caller, tool, started: Instant::now() };
        span.set(attrs::TOOL, tool.value());
        span.set(attrs::TOOL_NAME, name);
        span.set(attrs::MCP_METHOD, "tools/call");
        span.set(attrs::GEN_AI_OPERATION, "execute_tool");
        span.set(attrs::NETWORK_TRANSPORT, transport);
        span.set(attrs::JSONRPC_ID, request_id);
        span.set(attrs::RUN_ID, span.caller.run_id.clone());
        if let Some(session) = span.caller.session_id.clone() {
            span.set(attrs::SESSION_ID, session);
        }
        span
    }
}

/// The context that holds the parent of a call's span, and the links of that span.
fn parent(own: &Caller, http: Option<SpanContext>) -> (Context, Vec<Link>) {
    let Some(http) = http else { return (own.context.clone(), Vec::new()) };
    if own.context.span().span_context().is_valid() {
        return (own.context.clone(), vec![Link::new(http, Vec::new(), 0)]);
    }
    (own.context.with_remote_span_context(http), Vec::new())
}

impl McpSpan {
    /// The attributes that the span can carry.
    pub const ATTRS: &'static [Attr] = &[
        attrs::TOOL,
        attrs::TOOL_NAME,
        attrs::MCP_METHOD,
        attrs::GEN_AI_OPERATION,
        attrs::NETWORK_TRANSPORT,
        attrs::JSONRPC_ID,
        attrs::RUN_ID,
        attrs::SESSION_ID,
        attrs::ERROR_TYPE,
    ];

    fn set(&mut self, key: Attr, value: impl Into<AttrValue>) {
        if let Some(span) = &mut self.span {
            self.telemetry.spelling().spell(key, &value.into(), |kv| span.set_attribute(kv));
        }
    }

    /// The caller, with this span as its parent span.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Ends the span. The conventions call every failure of a tool `tool_error`.
    pub fn finish(mut self, error: Option<&Error>) {
        let status = match error {
            None => RunStatus::Ok,
            Some(error) if error.kind() == ErrorKind::Cancelled => RunStatus::Cancelled,
            Some(_) => RunStatus::Error,
        };
        if let Some(error) = error {
            self.set(attrs::ERROR_TYPE, "tool_error");
            if let Some(span) = &mut self.span {
                span.set_status(Status::error(error.to_string()));
            }
        }
        if let Some(mut span) = self.span.take() {
            span.end();
        }
        self.telemetry.instruments().called(self.tool, status, self.started.elapsed());
    }
}
