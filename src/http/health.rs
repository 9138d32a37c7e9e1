//! `GET /healthz` and `GET /readyz`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::embedding::engine::Engine;
use crate::tools::App;

/// 200 as long as the process answers.
pub async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// 200 when every probe is ready, 503 before; each probe is named.
pub async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let probes = app.probes();
    let ready = probes.iter().all(|probe| probe.why_not.is_none());
    let rows = probes.iter().map(|probe| {
        let row = match &probe.why_not {
            None => json!({ "ready": true }),
            Some(why) => json!({ "ready": false, "why": why }),
        };
        (probe.name.to_owned(), row)
    });
    let mut rows: serde_json::Map<String, Value> = rows.collect();
    if let (Ok(engine), Some(Value::Object(row))) = (app.engine(), rows.get_mut("engine"))
        && let Value::Object(stats) = stats(&engine)
    {
        row.extend(stats);
    }
    if let (Ok(searcher), Some(Value::Object(row))) = (app.searcher(), rows.get_mut("index")) {
        let why = searcher.why_on_cpu();
        row.insert("vectors_on_gpu".to_owned(), why.is_none().into());
        row.insert("why_vectors_on_cpu".to_owned(), why.into());
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "probes": rows })))
}

/// State of an engine that is ready, or was before its device failed.
fn stats(engine: &Engine) -> Value {
    let stats = engine.stats();
    json!({
        "device": engine.device_name(),
        "batches": stats.batches,
        "sequences": stats.sequences,
        "tokens": stats.tokens,
        "tokens_per_s": stats.tokens_per_s,
        "batch_tokens_max": stats.batch_tokens_max,
        "out_of_memory": stats.out_of_memory,
        "gpu_memory_bytes": stats.memory.map(|memory| json!({
            "used": memory.used_bytes,
            "total": memory.total_bytes,
            "peak": memory.peak_bytes,
        })),
        "waiting": {
            "sequences": stats.queue_depth,
            "interactive_tokens": stats.interactive_tokens,
            "bulk_tokens": stats.bulk_tokens,
        },
    })
}
