//! `GET /healthz` and `GET /readyz`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::tools::App;
use crate::tools::wire::Readiness;

/// Responds 200 as long as the process is running.
pub async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Responds 200 when every required probe is ready and 503 before, with the state of each probe.
pub async fn ready(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let readiness = Readiness::new(&app);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
