//! What does every request get? A span, the ids of its run and trace on the answer, measurements.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::base::telemetry::HttpSpan;
use crate::tools::Server;

/// The middleware around all routes. The handler finds the [`Caller`](crate::base::telemetry::Caller) among the
/// extensions of its request.
pub async fn observe(State(server): State<Server>, mut request: Request, next: Next) -> Response {
    let span = begin(&server, &request);
    let (run_id, trace_id) = (span.caller().run_id().to_owned(), span.caller().trace_id());
    request.extensions_mut().insert(span.caller().clone());
    let mut response = span.within(next.run(request)).await;
    span.finish(response.status().as_u16());
    for (name, value) in [("x-trace-id", trace_id), ("x-run-id", run_id)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn begin(server: &Server, request: &Request) -> HttpSpan {
    let header = |name: &str| Some(request.headers().get(name)?.to_str().ok()?.trim().to_owned());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let (method, path) = (request.method().as_str(), request.uri().path());
    server.telemetry().http(method, route, path, &header)
}
