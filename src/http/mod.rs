//! Which HTTP requests does the server accept, and how does it respond?
//!
//! A dialect is one file: its requests, its responses, and how it spells a failure. Handlers parse,
//! run a tool and print; a new route is a row of [`routes`].

mod health;
mod json_body;
mod metrics;
mod middleware;
mod native;
mod openai;
mod request;
mod slots;

pub use metrics::router as metrics_router;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{self, MethodRouter};
use axum::{Extension, Router};
use tokio::net::TcpListener;

use crate::base::config::ServeSettings;
use crate::base::error::{Error, Result};
use crate::tools::{App, ToolSet, search, semantic_search};
use slots::Slots;

/// Threads for requests that run no tool.
const OTHER_THREADS: usize = 64;

/// One route of the server.
struct Route {
    method: &'static str,
    path: &'static str,
    handler: MethodRouter<App>,
}

fn get<T: 'static>(path: &'static str, handler: impl Handler<T, App>) -> Route {
    Route { method: "GET", path, handler: routing::get(handler) }
}

fn post<T: 'static>(path: &'static str, handler: impl Handler<T, App>) -> Route {
    Route { method: "POST", path, handler: routing::post(handler) }
}

/// The table of all routes. mcp: what answers `/mcp`, an interface of its own.
fn routes(mcp: MethodRouter<App>) -> Vec<Route> {
    vec![
        get("/healthz", health::alive),
        get("/readyz", health::ready),
        get("/metrics", metrics::scrape),
        get("/v1/runs/{run_id}", native::run),
        get("/v1/traces/{trace_id}", native::trace),
        post("/v1/embeddings", openai::embeddings),
        native::tool("/v1/search", &semantic_search::SPEC, search::run),
        get("/v1/tools", native::list_tools),
        post("/v1/tools/{name}", native::call_tool),
        Route { method: "POST", path: "/mcp", handler: mcp },
    ]
}

/// The list of routes, for the message to a request without a route.
pub fn route_list() -> String {
    let names = routes(MethodRouter::new())
        .into_iter()
        .map(|route| format!("{} {}", route.method, route.path));
    names.collect::<Vec<_>>().join(", ")
}

/// Maximum threads that the requests of one server hold: one for each request to a tool, and some
/// for the reports of runs and for following the index.
pub fn threads_max(settings: &ServeSettings) -> usize {
    // Embedding is no tool of agents.
    let tools = ToolSet::all().iter().count() + 1;
    tools * settings.requests_max + OTHER_THREADS
}

/// The router of an app that may still be loading. mcp: what answers `/mcp`.
pub fn router(app: App, mcp: MethodRouter<App>) -> Router {
    let serve = &app.settings().serve;
    let body_bytes_max = serve.body_bytes_max;
    let slots = Arc::new(Slots::new(serve.requests_max));
    routes(mcp)
        .into_iter()
        .fold(Router::new(), |router, route| router.route(route.path, route.handler))
        .fallback(native::no_such_route)
        .method_not_allowed_fallback(native::no_such_method)
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(Extension(slots))
        .layer(from_fn_with_state(app.clone(), middleware::observe))
        .with_state(app)
}

/// Listens on `address`, HOST:PORT.
pub async fn listen(address: &str) -> Result<(TcpListener, SocketAddr)> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::InvalidInput => Error::Argument {
            name: "serve.address",
            value: address.to_owned(),
            expected: "HOST:PORT, such as 127.0.0.1:8080".to_owned(),
        },
        std::io::ErrorKind::AddrInUse => Error::Unavailable {
            what: format!("the address {address}"),
            remedy: "another program is already listening there; stop it or choose a different \
                     --address"
                .to_owned(),
        },
        _ => Error::Unavailable {
            what: format!("the address {address}"),
            remedy: format!("{source}; choose a different --address"),
        },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves until `stop` completes, then finishes the requests in flight and returns.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::telemetry::labels::{self, Label};

    #[test]
    fn every_route_has_its_label_in_telemetry() {
        let routes: Vec<&str> =
            routes(MethodRouter::new()).iter().map(|route| route.path).collect();
        let labels: Vec<&str> = labels::Route::ALL.iter().map(|label| label.value()).collect();
        assert_eq!([&routes[..], &["unmatched"]].concat(), labels);
    }
}
