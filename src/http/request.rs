//! Execution of a tool for a request, and the parts that all dialects share.
//!
//! A tool runs outside the async threads and is cancelled when the client disconnects.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::base::error::{Error, Result};
use crate::base::telemetry::{Caller, RunContext};
use crate::tools::{App, ToolSpec};

/// OpenAI's clients read this header before Retry-After.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// A parsed body, or the reason why parsing failed.
pub type JsonBody<T> = std::result::Result<Json<T>, JsonRejection>;

/// Cancels the run when its request is dropped because the client closed the connection.
struct CancelOnDrop(RunContext);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs a tool as `work` and ends its run. A panic fails only this request.
pub async fn run_tool<T: Send + 'static>(
    app: App,
    caller: Caller,
    spec: &'static ToolSpec,
    work: impl FnOnce(&App, &RunContext) -> Result<T, Arc<Error>> + Send + 'static,
) -> Result<T, Arc<Error>> {
    let cx = spec.begin(&app, caller);
    let _cancel = CancelOnDrop(cx.clone());
    let internal = |detail: String| Arc::new(Error::Internal { what: "request", detail });
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&app, &cx))).unwrap_or_else(|_| {
            tracing::error!(tool = spec.name, run_id = cx.run_id(), "a request panicked");
            Err(internal("it panicked".to_owned()))
        });
        cx.finish(result.as_ref().err().map(|error| &**error));
        result
    };
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|e| Err(internal(e.to_string())))
}

/// Returns the parsed body of a request, or an error that describes the defect.
pub fn parsed<T>(body: JsonBody<T>, app: &App) -> Result<T> {
    body.map(|Json(body)| body).map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Error::BodyTooLarge { bytes_max: app.settings().serve.body_bytes_max };
        }
        Error::Argument {
            name: "body",
            value: rejection.body_text(),
            expected: "a JSON object as in the documentation".to_owned(),
        }
    })
}

/// The HTTP status of a failed request.
pub fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Adds the time to retry after, if `error` has one, in whole seconds and also in milliseconds for
/// clients that read that header.
pub fn add_retry_after(response: &mut Response, error: &Error) {
    let Error::Overloaded { retry_ms, .. } = error else { return };
    let ms = retry_ms.unwrap_or(1000);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
    headers.insert(RETRY_AFTER_MS, HeaderValue::from(ms));
}
