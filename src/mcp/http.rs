//! MCP over streamable HTTP: the route `/mcp`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any_service};
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use super::server::{McpServer, Transport};
use crate::tools::{App, ToolSet};

/// Sessions of clients that began with a handshake; newer clients have none.
const SESSIONS_MAX: usize = 256;
/// A session without a request for this long is closed.
const SESSION_IDLE_MAX: Duration = Duration::from_secs(30 * 60);

/// What answers `/mcp`. Requests of browsers are refused unless their origin is allowed, and so are
/// requests to another host name than the allowed ones, so that a web page cannot reach the server.
pub fn route(app: &App, tools: ToolSet) -> MethodRouter<App> {
    let serve = &app.settings().serve;
    let mut sessions = LocalSessionManager::default();
    let mut session_config = SessionConfig::default();
    session_config.keep_alive = Some(SESSION_IDLE_MAX);
    sessions.session_config = session_config;
    let sessions = Arc::new(sessions);
    let mut config = StreamableHttpServerConfig::default().enforce_origin_validation();
    config.allowed_origins = list(&serve.allowed_origins);
    config.allowed_hosts.extend(list(&serve.allowed_hosts));
    config.max_request_body_bytes = serve.body_bytes_max;
    let server = McpServer::new(app.clone(), tools, Transport::Http);
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions.clone(), config);
    any_service(service)
        .layer(from_fn_with_state(sessions, bound_sessions))
        .layer(from_fn(accept_own_origin))
}

/// Accepts a page of this server: its origin is the host of the request, which must be an allowed one.
async fn accept_own_origin(mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
    if origin.is_some() && origin == text(header::HOST) {
        request.headers_mut().remove(header::ORIGIN);
    }
    next.run(request).await
}

/// The items of a comma-separated setting.
fn list(setting: &str) -> Vec<String> {
    setting.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Refuses a request that may begin a session when there are too many.
async fn bound_sessions(
    State(sessions): State<Arc<LocalSessionManager>>,
    request: Request,
    next: Next,
) -> Response {
    let is_in_session = request.headers().contains_key("mcp-session-id");
    if !is_in_session && sessions.sessions.read().await.len() >= SESSIONS_MAX {
        let retry = [(header::RETRY_AFTER, HeaderValue::from_static("5"))];
        let message =
            format!("{SESSIONS_MAX} MCP sessions are open; close one, or try again later");
        return (StatusCode::TOO_MANY_REQUESTS, retry, message).into_response();
    }
    next.run(request).await
}
