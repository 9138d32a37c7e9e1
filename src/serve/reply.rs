//! How does work get off the async threads, and its result into a response?

use std::panic::{AssertUnwindSafe, catch_unwind};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Server;
use super::wire::Problem;
use crate::error::{Error, Result};
use crate::telemetry::RunContext;

/// Cancels the run when its request is dropped: the caller closed the connection.
struct CancelOnDrop(RunContext);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs blocking `work` off the async threads, and ends its run. A panic ends this request and
/// nothing else.
pub async fn blocking<T: Send + 'static>(
    cx: RunContext,
    work: impl FnOnce(&RunContext) -> Result<T> + Send + 'static,
) -> Result<T> {
    let _cancel = CancelOnDrop(cx.clone());
    let panicked = |detail: String| Error::Internal { what: "request", detail };
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&cx))).unwrap_or_else(|_| {
            tracing::error!(run_id = cx.run_id(), "a request panicked");
            Err(panicked("it panicked".to_owned()))
        });
        cx.finish(result.as_ref().err());
        result
    };
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|e| Err(panicked(e.to_string())))
}

/// `body` as JSON.
///
/// Straight to text: a detour over `Value` would widen each f32 and print digits that it lacks.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    (status, Json(body)).into_response()
}

/// The status that a failure answers with.
pub fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Our own dialect: RFC 9457 problem details.
pub fn problem(error: &Error) -> Response {
    let mut response = as_problem(&Problem::from(error));
    if status(error) == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn as_problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, problem);
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The answer where something is not there, or not for this method.
pub fn not_there(status: StatusCode, code: &'static str, detail: String) -> Response {
    as_problem(&Problem::of_status(code, status.as_u16(), detail))
}

/// The answer to a route that is not there.
pub async fn no_such_route(State(_): State<Server>, uri: axum::http::Uri) -> Response {
    not_there(StatusCode::NOT_FOUND, "not-found", no_route(&uri))
}

/// The answer to a route that is there for another method.
pub async fn no_such_method(State(_): State<Server>, uri: axum::http::Uri) -> Response {
    not_there(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", no_route(&uri))
}

fn no_route(uri: &axum::http::Uri) -> String {
    let path = uri.path();
    format!("{path} is not there for this method; routes: {}", super::ROUTES)
}
