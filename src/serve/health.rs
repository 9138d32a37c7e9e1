//! `GET /healthz`, `GET /readyz`: is it alive, is it ready?

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Server;

/// 200 as long as the process answers.
pub async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// 200 when every probe is ready, 503 before; each probe is named.
pub async fn ready(State(server): State<Server>) -> (StatusCode, Json<Value>) {
    let probes = server.probes();
    let ready = probes.iter().all(|probe| probe.why_not.is_none());
    let rows = probes.iter().map(|probe| {
        let row = match &probe.why_not {
            None => json!({ "ready": true }),
            Some(why) => json!({ "ready": false, "why": why }),
        };
        (probe.name.to_owned(), row)
    });
    let rows: serde_json::Map<String, Value> = rows.collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "probes": rows })))
}
