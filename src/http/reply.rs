//! How does work get off the async threads, and its result into a response?

use std::panic::{AssertUnwindSafe, catch_unwind};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::tools::Server;
use crate::tools::wire::Problem;

/// What OpenAI's clients read before Retry-After.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

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
    say_when(&mut response, error);
    response
}

/// Says in the headers of an `overloaded` when to ask again: whole seconds, and for clients that
/// know it the milliseconds.
pub fn say_when(response: &mut Response, error: &Error) {
    let Error::Overloaded { retry_ms, .. } = error else { return };
    let ms = retry_ms.unwrap_or(1000);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
    headers.insert(RETRY_AFTER_MS, HeaderValue::from(ms));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overloaded_answer_says_when_to_ask_again() {
        let headers = |retry_ms| {
            let limit = "9 tokens".to_owned();
            let response = problem(&Error::Overloaded { what: "the queue", limit, retry_ms });
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            (header("retry-after"), header("retry-after-ms"))
        };
        assert_eq!(headers(Some(2300)), ("3".to_owned(), "2300".to_owned()));
        assert_eq!(headers(Some(1)), ("1".to_owned(), "1".to_owned()));
        assert_eq!(headers(None), ("1".to_owned(), "1000".to_owned()));
        assert!(problem(&Error::Cancelled).headers().get("retry-after").is_none());
    }
}
