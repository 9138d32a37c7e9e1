//! `POST /v1/embeddings`, as OpenAI's clients send it.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Json, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply;
use super::search::checked;
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{Caller, RunContext};
use crate::embedding::engine::{EmbedRequest, Embeddings, Engine, PromptKind};
use crate::tools::Server;
use crate::tools::wire::{EmbeddingList, Encoding};

/// Requests of at most this many texts go before bulk work.
const INTERACTIVE_TEXTS_MAX: usize = 4;

/// The body; other fields of OpenAI's that change nothing here (`user`) are accepted.
#[derive(Deserialize)]
pub struct Request {
    input: Input,
    model: Option<String>,
    #[serde(default)]
    encoding_format: Encoding,
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
    Other(Value),
}

pub async fn embed(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    body: std::result::Result<Json<Request>, JsonRejection>,
) -> Response {
    let cx = RunContext::of(server.telemetry(), Tool::Embeddings, &[], caller);
    let work = move |cx: &RunContext| answer(&server, checked(body, server.settings())?, cx);
    match reply::blocking(cx, work).await {
        Ok((engine, encoding, embeddings)) => {
            let list = EmbeddingList::new(&embeddings, &engine.identity().name, encoding);
            reply::json(StatusCode::OK, &list)
        }
        Err(error) => failure(&error),
    }
}

type Answer = (Engine, Encoding, Embeddings);

fn answer(server: &Server, request: Request, cx: &RunContext) -> Result<Answer> {
    let texts = match request.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
        Input::Other(other) => {
            let value: String = other.to_string().chars().take(80).collect();
            let expected = "a string or a list of strings".to_owned();
            return Err(Error::Argument { name: "input", value, expected });
        }
    };
    let most = server.settings().serve.items_max;
    if !(1..=most).contains(&texts.len()) {
        let (value, expected) = (format!("{} texts", texts.len()), format!("1 to {most} texts"));
        return Err(Error::Argument { name: "input", value, expected });
    }
    if let Some(empty) = texts.iter().position(String::is_empty) {
        let value = format!("an empty text at position {empty}");
        return Err(Error::Argument { name: "input", value, expected: "some text".to_owned() });
    }
    let engine = server.engine()?;
    let identity = engine.identity();
    if let Some(model) = request.model.filter(|model| *model != identity.name) {
        let remedy = format!("this server has {}", identity.name);
        let (looked_in, remedy) = ("this server".to_owned(), remedy);
        return Err(Error::ModelMissing { model, looked_in, remedy });
    }
    let dimensions = identity.dimensions(request.dimensions)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let wanted = if texts.len() <= INTERACTIVE_TEXTS_MAX {
        EmbedRequest::query(&texts, PromptKind::None)
    } else {
        EmbedRequest::bulk(&texts, PromptKind::None)
    };
    let embeddings = engine.embed(wanted, cx)?.cut(dimensions, identity);
    Ok((engine, request.encoding_format, embeddings))
}

/// OpenAI's form of an error.
fn failure(error: &Error) -> Response {
    let status = match error {
        Error::ModelMissing { .. } => StatusCode::NOT_FOUND,
        error => reply::status(error),
    };
    let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    let code = error.kind().code();
    let message = error.to_string();
    let body =
        json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
    let mut response = reply::json(status, &body);
    reply::say_when(&mut response, error);
    response
}
