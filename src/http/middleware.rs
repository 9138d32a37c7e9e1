//! The middleware of all routes: server span, measurements, and headers with run and trace id.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::base::telemetry::{HttpSpan, RunError};
use crate::tools::App;

/// Adds the [`Caller`](crate::base::telemetry::Caller) to the extensions of the request for the
/// handler.
pub async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let span = begin(&app, &request);
    let ids =
        [("x-trace-id", span.caller().trace_id()), ("x-run-id", span.caller().run_id().to_owned())];
    request.extensions_mut().insert(span.caller().clone());
    let mut response = span.within(next.run(request)).await;
    let status = response.status();
    let refusal = response.extensions_mut().remove::<RunError>();
    span.finish(status.as_u16(), refusal);
    for (name, id) in ids {
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn begin(app: &App, request: &Request) -> HttpSpan {
    let header = |name: &str| Some(request.headers().get(name)?.to_str().ok()?.trim().to_owned());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let (method, path) = (request.method().as_str(), request.uri().path());
    app.telemetry().http(method, route, path, &header)
}
