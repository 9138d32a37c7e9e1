//! The server span of one HTTP request.

use std::future::Future;
use std::time::Instant;

use opentelemetry::KeyValue;
use opentelemetry::context::FutureExt;
use opentelemetry::trace::{Span as _, SpanKind, Status};
use opentelemetry_sdk::trace::Span;

use super::attrs::{self, Attr, AttrValue};
use super::caller::Caller;
use super::labels::{Label, Route, StatusClass};
use super::telemetry::Telemetry;

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
        let name = format!("{method} {}", route.value());
        let (span, here) = self.start(name, SpanKind::Server, Vec::new(), &caller.context);
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

    /// Ends the span with the status of the response.
    pub fn finish(mut self, status: u16) {
        self.end(status);
    }

    fn end(&mut self, status: u16) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let took = self.started.elapsed();
        self.set(attrs::HTTP_STATUS, status);
        if status >= 500 {
            self.set(attrs::ERROR_TYPE, status.to_string());
        }
        if let Some(mut span) = self.span.take() {
            if status >= 500 {
                span.set_status(Status::error(""));
            }
            span.end();
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

impl Drop for HttpSpan {
    fn drop(&mut self) {
        self.end(CLIENT_CLOSED);
    }
}
