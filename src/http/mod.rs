//! What do the HTTP doors accept and answer?
//!
//! Doors only translate: JSON to a call of a journey, its result or error to JSON. All JSON types of
//! the crate are in [`wire`].

mod door;
mod health;
mod metrics;
mod openai;
mod reply;
mod runs;
mod search;

pub use metrics::router as metrics_router;

use std::future::Future;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::base::error::{Error, Result};
use crate::tools::Server;

/// What is there, for people who asked for something else.
pub const ROUTES: &str = "GET /healthz, GET /readyz, GET /metrics, GET /v1/runs/{run_id}, \
    GET /v1/traces/{trace_id}, POST /v1/embeddings, POST /v1/search";

/// The routes, over a server that may still be warming.
pub fn router(server: Server) -> Router {
    let body_bytes_max = server.settings().serve.body_bytes_max;
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::scrape))
        .route("/v1/runs/{run_id}", get(runs::run))
        .route("/v1/traces/{trace_id}", get(runs::trace))
        .route("/v1/embeddings", post(openai::embed))
        .route("/v1/search", post(search::search))
        .fallback(reply::no_such_route)
        .method_not_allowed_fallback(reply::no_such_method)
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(from_fn_with_state(server.clone(), door::observe))
        .with_state(server)
}

/// Listens on the address of the settings.
pub async fn listen(address: &str) -> Result<(TcpListener, SocketAddr)> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::InvalidInput => Error::Argument {
            name: "serve.address",
            value: address.to_owned(),
            expected: "HOST:PORT, such as 127.0.0.1:8080".to_owned(),
        },
        std::io::ErrorKind::AddrInUse => Error::Unavailable {
            what: format!("the address {address}"),
            remedy: "another program listens on it; stop that one, or use --address".to_owned(),
        },
        _ => Error::Unavailable {
            what: format!("the address {address}"),
            remedy: format!("{source}; use another --address"),
        },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves until `stop` is done, then answers what is in flight and returns.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
        .map_err(Error::library("the listener", "serve"))
}
