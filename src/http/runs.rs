//! `GET /v1/runs/{run_id}`, `GET /v1/traces/{trace_id}`: what happened in a run?

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::reply;
use crate::tools::Server;
use crate::tools::wire::{RunStory, Trace};

/// How a run is told.
#[derive(Clone, Copy)]
enum Telling {
    Json,
    Markdown,
    Mermaid,
}

const SUFFIXES: [(&str, Telling); 3] =
    [(".json", Telling::Json), (".md", Telling::Markdown), (".mmd", Telling::Mermaid)];

/// The suffix decides, else the Accept header, else it is JSON.
fn asked(id: &str, headers: &HeaderMap) -> (String, Telling) {
    for (suffix, telling) in SUFFIXES {
        if let Some(id) = id.strip_suffix(suffix) {
            return (id.to_owned(), telling);
        }
    }
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let telling = match accept {
        accept if accept.contains("text/markdown") => Telling::Markdown,
        accept if accept.contains("text/vnd.mermaid") => Telling::Mermaid,
        _ => Telling::Json,
    };
    (id.to_owned(), telling)
}

/// A run of this process; `latest` is the last one that ended. Failed ones of earlier processes
/// come from the data folder.
pub async fn run(
    State(server): State<Server>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let (id, telling) = asked(&id, &headers);
    let read = {
        let (server, id) = (server.clone(), id.clone());
        move || match server.telemetry().run(&id) {
            Some(report) => Ok(Some(RunStory::new(&report))),
            None => {
                crate::tools::RunFolder::of(server.data(), &server.settings().telemetry).read(&id)
            }
        }
    };
    let story = match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some(story))) => story,
        Ok(Err(error)) => return reply::problem(&error),
        Ok(Ok(None)) | Err(_) => return gone("run", &id),
    };
    let text =
        |kind: &'static str, text: String| ([(header::CONTENT_TYPE, kind)], text).into_response();
    match telling {
        Telling::Json => reply::json(StatusCode::OK, &story),
        Telling::Markdown => text("text/markdown; charset=utf-8", story.markdown()),
        Telling::Mermaid => text("text/vnd.mermaid; charset=utf-8", story.mermaid()),
    }
}

/// The spans of a trace, as long as the flight recorder has them.
pub async fn trace(State(server): State<Server>, Path(id): Path<String>) -> Response {
    let spans = server.telemetry().spans(&id);
    if spans.is_empty() {
        return gone("trace", &id);
    }
    reply::json(StatusCode::OK, &Trace::new(&id, &spans))
}

fn gone(what: &str, id: &str) -> Response {
    let detail = format!(
        "there is no {what} {id:?} here: the last 256 runs and 4,096 spans are kept, and the \
         reports of failed runs in the data folder"
    );
    reply::not_there(StatusCode::NOT_FOUND, "not-found", detail)
}
