//! `GET /metrics`: the metrics in the text format of Prometheus.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::native;
use crate::base::config::MetricsRoute;
use crate::base::error::Result;
use crate::base::telemetry::Telemetry;
use crate::tools::App;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the metrics on the main port, unless they were moved to the second listener.
pub async fn scrape(State(app): State<App>) -> Response {
    match app.settings().metrics.route {
        MetricsRoute::On => answer(app.telemetry().scrape()),
        MetricsRoute::Gone => {
            let detail = "metrics.route is \"gone\": scrape the listener of PROMETHEUS_HOST and \
                          PROMETHEUS_PORT, port 9464 unless set";
            native::problem(StatusCode::GONE, "gone", detail.to_owned())
        }
    }
}

/// The router of the second listener, which has only `/metrics`.
pub fn router(telemetry: Telemetry) -> Router {
    let scrape = |State(telemetry): State<Telemetry>| async move { answer(telemetry.scrape()) };
    Router::new().route("/metrics", get(scrape)).with_state(telemetry)
}

fn answer(text: Result<String>) -> Response {
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => native::from_error(&error),
    }
}
