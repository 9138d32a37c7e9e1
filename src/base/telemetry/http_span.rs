//! The server span of one HTTP request.

use std::future::Future;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::context::FutureExt;
use opentelemetry::trace::{Span as _, SpanKind, Status};
use opentelemetry_sdk::trace::Span;

use super::attrs::{self, Attr, AttrValue};
use super::caller::Caller;
use super::labels::{Label, Route, StatusClass};
use super::report::{RunError, RunReport};
use super::telemetry::{Telemetry, ids};

/// The status of a request whose caller disconnected before the response.
const CLIENT_CLOSED: u16 = 499;

/// The open server span of one request. It ends with the response's status, or when dropped.
pub struct HttpSpan {
    telemetry: Telemetry,
    span: Option<Span>,
    caller: Caller,
    method: &'static str,
    route: Route,
    started: Instant,
    ended: bool,
}

impl Telemetry {
    /// Begins the span of a request. header: looks up a request header in any case; route: the
    /// registered route, `None` if no route matches.
    pub fn http(
        &self,
        method: &str,
        route: Option<&str>,
        path: &str,
        header: &dyn Fn(&str) -> Option<String>,
    ) -> HttpSpan {
        let method = match method {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            "PUT" => "PUT",
            "DELETE" => "DELETE",
            "OPTIONS" => "OPTIONS",
            _ => "_OTHER",
        };
        let (route, caller) = (Route::of(route), self.caller(header));
        let (span, here) = if route.is_probe() && !self.trace_probes() {
            (None, ids(&caller.context))
        } else {
            let name = format!("{method} {}", route.value());
            self.start(name, SpanKind::Server, Vec::new(), &caller.context)
        };
        let mut span = HttpSpan {
            telemetry: self.clone(),
            span,
            caller: caller.within(here),
            method,
            route,
            started: Instant::now(),
            ended: false,
        };
        span.set(attrs::HTTP_METHOD, method);
        span.set(attrs::HTTP_ROUTE, route.value());
        span.set(attrs::URL_PATH, path.to_owned());
        span.set(attrs::URL_SCHEME, "http");
        span.set(attrs::RUN_ID, span.caller.run_id.clone());
        if let Some(session) = span.caller.session_id.clone() {
            span.set(attrs::SESSION_ID, session);
        }
        span
    }
}

impl HttpSpan {
    /// The attributes that the span can carry.
    pub const ATTRS: &'static [Attr] = &[
        attrs::HTTP_METHOD,
        attrs::HTTP_ROUTE,
        attrs::HTTP_STATUS,
        attrs::URL_PATH,
        attrs::URL_SCHEME,
        attrs::RUN_ID,
        attrs::SESSION_ID,
        attrs::TOOL,
        attrs::ERROR_TYPE,
        attrs::ERROR_MESSAGE,
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

    /// Runs `work` with this span as the current one, for log events.
    pub fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.with_context(self.caller.context.clone())
    }

    /// Ends the span with the status of the response. refusal: why the request failed, for one that
    /// no tool ran for.
    pub fn finish(mut self, status: u16, refusal: Option<RunError>) {
        self.end(status, refusal);
    }

    fn end(&mut self, status: u16, refusal: Option<RunError>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let took = self.started.elapsed();
        self.set(attrs::HTTP_STATUS, status);
        let tool = self.caller.served.as_ref().and_then(|served| served.tool.get().copied());
        if let Some(tool) = tool {
            self.set(attrs::TOOL, tool.value());
        }
        let error = (status >= 400).then(|| self.error(status, refusal));
        if let Some(error) = &error {
            self.set(attrs::ERROR_TYPE, error.code);
            self.set(attrs::ERROR_MESSAGE, error.message.clone());
            self.log(status, error);
        }
        if let Some(mut span) = self.span.take() {
            // By the conventions, the caller's mistakes are no errors of the server.
            if let Some(error) = error.as_ref().filter(|_| status >= 500) {
                span.set_status(Status::error(error.message.clone()));
            }
            span.end();
        }
        if let (Some(error), None, false) = (error, tool, self.route.is_probe()) {
            self.telemetry.refused(self.report(error, took));
        }
        self.telemetry.instruments().answered(self.route, StatusClass::of(status), took);
        self.telemetry.http_duration().record(
            took.as_secs_f64(),
            &[
                KeyValue::new(attrs::HTTP_METHOD.key(), self.method),
                KeyValue::new(attrs::HTTP_ROUTE.key(), self.route.value()),
                KeyValue::new(attrs::HTTP_STATUS.key(), i64::from(status)),
            ],
        );
    }
}

impl HttpSpan {
    /// Why the request failed: the error of its run, or else `refusal`.
    fn error(&self, status: u16, refusal: Option<RunError>) -> RunError {
        let run = self.caller.served.as_ref().and_then(|served| served.error.get().cloned());
        run.or(refusal).unwrap_or_else(|| match status {
            CLIENT_CLOSED => RunError::new("cancelled", "the client closed the connection"),
            _ => RunError::new("_OTHER", &format!("status {status}")),
        })
    }

    /// Writes a log line with the reason. Probes fail at an interval while a server starts, so they
    /// are not logged.
    fn log(&self, status: u16, error: &RunError) {
        let _attached = self.caller.context.clone().attach();
        let (route, run_id) = (self.route.value(), self.caller.run_id());
        let RunError { code, message } = error;
        if self.route.is_probe() || status == CLIENT_CLOSED {
            tracing::debug!(route, status, run_id, error.kind = code, error = message, "no answer");
        } else if status >= 500 {
            tracing::warn!(
                route,
                status,
                run_id,
                error.kind = code,
                error = message,
                "request failed"
            );
        } else {
            tracing::info!(
                route,
                status,
                run_id,
                error.kind = code,
                error = message,
                "request refused"
            );
        }
    }

    /// The report of a request that no tool ran for.
    fn report(&self, error: RunError, elapsed: Duration) -> RunReport {
        RunReport {
            trace_id: self.caller.trace_id(),
            session_id: self.caller.session_id.clone(),
            run_id: self.caller.run_id.clone(),
            tool: None,
            elapsed,
            budget: None,
            gpus: self.telemetry.gpus(),
            steps: Vec::new(),
            warnings: Vec::new(),
            last_completed_stage: None,
            first_missing_stage: None,
            stopped_because: format!("request:{}", error.code),
            error: Some(error),
            savings: None,
        }
    }
}

impl Drop for HttpSpan {
    fn drop(&mut self) {
        self.end(CLIENT_CLOSED, None);
    }
}
