//! `GET /healthz` and `GET /readyz`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::tools::App;
use crate::tools::wire::Readiness;

/// 200 as long as the process answers.
pub async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// 200 when every probe is ready, 503 before; each probe is named.
pub async fn ready(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let readiness = Readiness::new(&app);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
