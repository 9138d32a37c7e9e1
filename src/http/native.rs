//! Our own dialect: JSON answers as in `tools::wire`, failures as problem documents (RFC 9457).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Route;
use super::json_body::JsonBody;
use super::request::{self, RequestHead};
use crate::base::error::{Error, Result};
use crate::base::telemetry::{RunContext, RunError};
use crate::tools::wire::{Problem, ToolDescription, TraceAnswer};
use crate::tools::{App, FromFields, JsonObject, ToolSet, ToolSpec, find_run};

/// The route of a tool: its input is the body, its answer is JSON.
pub fn tool<I, T>(
    path: &'static str,
    spec: &'static ToolSpec,
    run: fn(&App, I, &RunContext) -> Result<T, Arc<Error>>,
) -> Route
where
    I: FromFields + 'static,
    T: Serialize + Send + 'static,
{
    let handler = move |State(app): State<App>, head: RequestHead, body: JsonBody| {
        let work = move |app: &App, cx: &RunContext| run(app, body.parse(app)?, cx);
        async move {
            match request::run_tool(app, head, spec, work).await {
                Ok(answer) => Json(answer).into_response(),
                Err(error) => from_error(&error),
            }
        }
    };
    super::post(path, handler)
}

/// `GET /v1/tools`: lists the tools with their schemas.
pub async fn list_tools() -> Response {
    let tools: Vec<ToolDescription> = ToolSet::all().iter().map(ToolDescription::new).collect();
    Json(tools).into_response()
}

/// `POST /v1/tools/{name}`: calls a tool with the body as its arguments.
pub async fn call_tool(
    State(app): State<App>,
    Path(name): Path<String>,
    head: RequestHead,
    body: JsonBody,
) -> Response {
    let tool = match ToolSet::all().find(&name) {
        Ok(tool) => tool,
        Err(error) => return problem(StatusCode::NOT_FOUND, "not-found", error.to_string()),
    };
    let work = move |app: &App, cx: &RunContext| tool.call(app, body.parse::<JsonObject>(app)?, cx);
    match request::run_tool(app, head, tool.spec, work).await {
        Ok(answer) => Json(answer.json).into_response(),
        Err(error) => from_error(&error),
    }
}

/// The response to a failed request.
pub fn from_error(error: &Error) -> Response {
    let mut response = problem(request::status(error), error.kind().code(), error.to_string());
    request::add_retry_after(&mut response, error);
    response
}

/// A problem document.
pub fn problem(status: StatusCode, code: &'static str, detail: String) -> Response {
    let reason = RunError::new(code, &detail);
    let mut response = (status, Json(Problem::with(status.as_u16(), code, detail))).into_response();
    response.extensions_mut().insert(reason);
    let media_type = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// The response to a path without a route.
pub async fn no_such_route(uri: Uri) -> Response {
    let detail = format!("no route {}; routes: {}", uri.path(), super::route_list());
    problem(StatusCode::NOT_FOUND, "not-found", detail)
}

/// The response to a method that the route does not support.
pub async fn no_such_method(uri: Uri) -> Response {
    let detail =
        format!("{} does not have this method; routes: {}", uri.path(), super::route_list());
    problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

/// The format of a run in a response.
#[derive(Clone, Copy)]
enum RunFormat {
    Json,
    Markdown,
    Mermaid,
}

impl RunFormat {
    /// Returns the requested format and the id without its suffix. The suffix decides, else the
    /// Accept header; the default is JSON.
    fn parse<'a>(id: &'a str, headers: &HeaderMap) -> (Self, &'a str) {
        let suffixes = [(".json", Self::Json), (".md", Self::Markdown), (".mmd", Self::Mermaid)];
        for (suffix, format) in suffixes {
            if let Some(id) = id.strip_suffix(suffix) {
                return (format, id);
            }
        }
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let format = if accept.contains("text/markdown") {
            Self::Markdown
        } else if accept.contains("text/vnd.mermaid") {
            Self::Mermaid
        } else {
            Self::Json
        };
        (format, id)
    }
}

/// `GET /v1/runs/{run_id}`: returns a run of this process, the last finished run for `latest`, or a
/// failed run of an earlier process from the data folder.
pub async fn run(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let (format, run_id) = RunFormat::parse(&id, &headers);
    let found = {
        let run_id = run_id.to_owned();
        tokio::task::spawn_blocking(move || find_run(&app, &run_id)).await
    };
    let record = match found {
        Ok(Ok(Some(record))) => record,
        Ok(Err(error)) => return from_error(&error),
        Ok(Ok(None)) | Err(_) => return not_kept("run", run_id),
    };
    let text = |media_type: &'static str, text: String| {
        ([(header::CONTENT_TYPE, media_type)], text).into_response()
    };
    match format {
        RunFormat::Json => Json(record).into_response(),
        RunFormat::Markdown => text("text/markdown; charset=utf-8", record.markdown()),
        RunFormat::Mermaid => text("text/vnd.mermaid; charset=utf-8", record.mermaid()),
    }
}

/// `GET /v1/traces/{trace_id}`: returns the spans of a trace while the recorder holds them.
pub async fn trace(State(app): State<App>, Path(id): Path<String>) -> Response {
    let spans = app.telemetry().spans(&id);
    if spans.is_empty() {
        return not_kept("trace", &id);
    }
    Json(TraceAnswer::new(id, &spans)).into_response()
}

fn not_kept(noun: &str, id: &str) -> Response {
    let detail = format!(
        "no {noun} {id:?}: the last 256 runs and 4,096 spans are kept in memory, and the reports of \
         failed runs in the data folder"
    );
    problem(StatusCode::NOT_FOUND, "not-found", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overloaded_answer_says_when_to_try_again() {
        let headers = |retry_ms| {
            let limit = "9 tokens".to_owned();
            let response = from_error(&Error::Overloaded { what: "the queue", limit, retry_ms });
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            (header("retry-after"), header("retry-after-ms"))
        };
        assert_eq!(headers(Some(2300)), ("3".to_owned(), "2300".to_owned()));
        assert_eq!(headers(Some(1)), ("1".to_owned(), "1".to_owned()));
        assert_eq!(headers(None), ("1".to_owned(), "1000".to_owned()));
        assert!(from_error(&Error::Cancelled).headers().get("retry-after").is_none());
    }
}
