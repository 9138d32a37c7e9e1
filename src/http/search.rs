//! `POST /v1/search`: a query in, an envelope out.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Json, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::reply::{blocking, json, problem};
use crate::base::config::{SearchSettings, Settings};
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{Caller, RunContext};
use crate::index::catalog::ScopeSpec;
use crate::search::{Channel, Query, Searcher};
use crate::tools::Server;
use crate::tools::wire::Envelope;

/// The body of a search.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    query: String,
    limit: Option<usize>,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    globs: Vec<String>,
    #[serde(default)]
    languages: Vec<String>,
}

impl Request {
    fn check(self, settings: &SearchSettings) -> Result<Query> {
        let scope = ScopeSpec { globs: self.globs, languages: self.languages };
        let limit = self.limit.unwrap_or(settings.limit);
        let query = Query::new(&self.query, limit, settings)?.with_scope(scope);
        if self.channels.is_empty() {
            return Ok(query);
        }
        let channels = self.channels.iter().map(|word| Channel::parse(word));
        query.with_channels(channels.collect::<Result<_>>()?)
    }
}

pub async fn search(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    body: std::result::Result<Json<Request>, JsonRejection>,
) -> Response {
    let cx = RunContext::of(server.telemetry(), Tool::Search, &Searcher::PLANNED, caller);
    let work = move |cx: &RunContext| {
        let query = checked(body, server.settings())?.check(&server.settings().search)?;
        server.searcher()?.search(&query, cx)
    };
    match blocking(cx, work).await {
        Ok(envelope) => json(StatusCode::OK, &Envelope::from(&envelope)),
        Err(error) => problem(&error),
    }
}

/// The body, or what is wrong with it.
pub fn checked<T>(
    body: std::result::Result<Json<T>, JsonRejection>,
    settings: &Settings,
) -> Result<T> {
    body.map(|Json(body)| body).map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Error::BodyTooLarge { bytes_max: settings.serve.body_bytes_max }
        }
        _ => Error::Argument {
            name: "body",
            value: rejection.body_text(),
            expected: "a JSON object as in the documentation".to_owned(),
        },
    })
}
