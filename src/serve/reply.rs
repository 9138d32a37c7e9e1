//! How does work get off the async threads, and its result into a response?

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Server;
use super::wire::Problem;
use crate::error::{Error, Result};
use crate::telemetry::{RunContext, Stage};

/// The longest id that a caller may bring, in bytes.
const ID_BYTES_MAX: usize = 128;

/// A run for one request, with the ids that its headers brought.
pub fn run_context(
    server: &Server,
    headers: &HeaderMap,
    tool: &'static str,
    planned: &[Stage],
) -> RunContext {
    let id = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?.trim();
        (!value.is_empty() && value.len() <= ID_BYTES_MAX).then(|| value.to_owned())
    };
    RunContext::new(server.telemetry(), tool, planned).with_ids(id("x-run-id"), id("x-session-id"))
}

/// Cancels the run when its request is dropped: the caller closed the connection.
struct CancelOnDrop(RunContext);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs blocking `work` off the async threads. A panic ends this request and nothing else.
///
/// A request that is refused before its first step gets one, so that every answer has a trace.
pub async fn blocking<T: Send + 'static>(
    cx: RunContext,
    work: impl FnOnce(&RunContext) -> Result<T> + Send + 'static,
) -> Result<T> {
    let _cancel = CancelOnDrop(cx.clone());
    let run = cx.clone();
    let result = match tokio::task::spawn_blocking(move || work(&run)).await {
        Ok(result) => result,
        Err(panic) => {
            tracing::error!(%panic, "a request panicked");
            Err(Error::Internal { what: "request", detail: "it panicked".to_owned() })
        }
    };
    match result {
        Err(error) if cx.trace_id().is_empty() => cx.stage(Stage::Request, |_| Err(error)),
        result => result,
    }
}

/// `body` as JSON, with the ids of its run in the headers.
///
/// Straight to text: a detour over `Value` would widen each f32 and print digits that it lacks.
pub fn json(cx: &RunContext, status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    for (name, value) in [("x-trace-id", cx.trace_id()), ("x-run-id", cx.run_id().to_owned())] {
        if let Ok(value) = HeaderValue::from_str(&value)
            && !value.is_empty()
        {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// The status that a failure answers with.
pub fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Our own dialect: RFC 9457 problem details.
pub fn problem(cx: &RunContext, error: &Error) -> Response {
    let mut response = as_problem(json(cx, status(error), &Problem::from(error)));
    if status(error) == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn as_problem(mut response: Response) -> Response {
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The answer to a route that is not there.
pub async fn no_such_route(
    State(server): State<Server>,
    headers: HeaderMap,
    uri: axum::http::Uri,
) -> Response {
    no_route(&server, &headers, StatusCode::NOT_FOUND, "not-found", &uri)
}

/// The answer to a route that is there for another method.
pub async fn no_such_method(
    State(server): State<Server>,
    headers: HeaderMap,
    uri: axum::http::Uri,
) -> Response {
    no_route(&server, &headers, StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", &uri)
}

fn no_route(
    server: &Server,
    headers: &HeaderMap,
    status: StatusCode,
    code: &'static str,
    uri: &axum::http::Uri,
) -> Response {
    let cx = run_context(server, headers, "none", &[]);
    // Only for the trace; nothing in it can fail.
    let _ = cx.stage(Stage::Request, |_| Ok(()));
    let detail = format!(
        "{} is not there for this method; routes: GET /healthz, GET /readyz, \
         POST /v1/embeddings, POST /v1/search",
        uri.path()
    );
    as_problem(json(&cx, status, &Problem::of_status(code, status.as_u16(), detail)))
}
