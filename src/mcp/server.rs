//! McpServer: the requests of the protocol, answered by the table of tools.

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CustomRequest,
    CustomResult, ErrorCode, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
    Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, MetaObject, PaginatedRequestParams, ProgressNotificationParam, Prompt,
    PromptArgument, PromptMessage, ReadResourceRequestParams, ReadResourceResponse, Resource, Role,
    ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::resources;
use crate::base::error::{Error, Result};
use crate::base::telemetry::{Caller, McpCall, RunContext};
use crate::tools::wire::Problem;
use crate::tools::{self, App, CalledTool, ToolSet};

/// Calls at once; more are refused, and the caller is told to try again.
const CALLS_MAX: usize = 64;
/// Time after which a refused caller may try again.
const RETRY: Duration = Duration::from_millis(200);
/// The interval of progress notifications.
const PROGRESS: Duration = Duration::from_millis(500);
/// What a notification adds if no more items are done, so that clients see that the call goes on.
const HEARTBEAT: f64 = 1e-3;
/// The most links to files in one answer.
const LINKS_MAX: usize = 20;

const INSTRUCTIONS: &str = "codeintel searches an index of this repository. Start with \
    semantic_search for a question, symbol_search for a name, search_text for exact text. Read with \
    outline, then open_file for the lines that matter. references_at shows who uses a symbol. Paths are \
    relative to the indexed roots; lines count from 1.";

/// The transport of a connection, as OpenTelemetry names it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Transport {
    Stdio,
    Http,
}

impl Transport {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stdio => "pipe",
            Self::Http => "tcp",
        }
    }
}

/// The handler of all connections. Clones share the limit on calls.
#[derive(Clone)]
pub struct McpServer {
    app: App,
    tools: ToolSet,
    transport: Transport,
    calls: Arc<Semaphore>,
}

impl McpServer {
    pub(super) fn new(app: App, tools: ToolSet, transport: Transport) -> Self {
        Self { app, tools, transport, calls: Arc::new(Semaphore::new(CALLS_MAX)) }
    }
}

/// Cancels a run when its call is dropped.
struct CancelOnDrop(RunContext);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .build();
        let server = Implementation::new("codeintel", env!("CARGO_PKG_VERSION"))
            .with_title("codeintel")
            .with_description(env!("CARGO_PKG_DESCRIPTION"));
        let mut info = ServerConfig::new(capabilities).with_instructions(INSTRUCTIONS);
        info.server_info = server;
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.iter().map(described).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let tool = self
            .tools
            .find(&request.name)
            .map_err(|error| ErrorData::invalid_params(error.to_string(), None))?;
        let arguments = request.arguments.unwrap_or_default();
        let result = self.run(tool, arguments, &context).await;
        Ok(CallToolResponse::from(match result {
            Ok(answer) => answered(answer),
            Err(error) => refused(&error),
        }))
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let app = self.app.clone();
        let cursor = request.and_then(|request| request.cursor);
        self.blocking(move || resources::list(&app, cursor.as_deref())).await
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(vec![resources::template()]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let app = self.app.clone();
        Ok(self.blocking(move || resources::read(&app, &request.uri)).await?.into())
    }

    /// rmcp passes a request here that it cannot read as one of those above.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let CustomRequest { method, .. } = request;
        if !METHODS.contains(&&*method) {
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None));
        }
        let message = format!(
            "the params of {method} are not those of the protocol; in tools/call and prompts/get, \
             arguments is an object"
        );
        Err(ErrorData::invalid_params(message, None))
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let area = PromptArgument::new("area")
            .with_description("The part to review: a folder, a file, or a topic")
            .with_required(true);
        let prompt =
            Prompt::new(REVIEW, Some("Review a part of this repository"), Some(vec![area]));
        Ok(ListPromptsResult::with_all_items(vec![prompt]))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name != REVIEW {
            let message = format!("no prompt {:?}; the prompt is {REVIEW}", request.name);
            return Err(ErrorData::invalid_params(message, None));
        }
        let area = request.arguments.as_ref().and_then(|arguments| arguments.get("area"));
        let Some(area) = area.and_then(Value::as_str).filter(|area| !area.trim().is_empty()) else {
            let message = "area is missing: a folder, a file, or a topic";
            return Err(ErrorData::invalid_params(message, None));
        };
        let text = format!(
            "Review this part of the repository: {area}\n\nFind its code with semantic_search and \
             list_paths, read it with outline and open_file, and check callers with references_at \
             before you judge a function. Report defects first, each with its path and line, the input \
             that shows it, and a remedy; then what is hard to read or to change. Say what you did not \
             look at."
        );
        Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).into())
    }
}

/// The methods that the handler answers.
const METHODS: [&str; 7] = [
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "prompts/list",
    "prompts/get",
];

/// The name of the prompt.
const REVIEW: &str = "code_review";

impl McpServer {
    /// Takes one of the calls at once.
    fn permit(&self) -> Result<OwnedSemaphorePermit> {
        self.calls.clone().try_acquire_owned().map_err(|_| {
            let (what, limit) = ("the MCP server", format!("{CALLS_MAX} calls at once"));
            Error::Overloaded { what, limit, retry_ms: Some(RETRY.as_millis() as u64) }
        })
    }

    /// Runs `work` outside the async threads, as one of the calls at once.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Arc<Error>> + Send + 'static,
    ) -> Result<T, ErrorData> {
        let permit = self.permit().map_err(|error| resources::error_data(&error))?;
        let work = move || {
            let _permit = permit;
            work()
        };
        let failed =
            |error: tokio::task::JoinError| ErrorData::internal_error(error.to_string(), None);
        let result = tokio::task::spawn_blocking(work).await.map_err(failed)?;
        result.map_err(|error| resources::error_data(&error))
    }

    /// Runs a tool for one call. The call's cancellation and its end cancel the run.
    async fn run(
        &self,
        tool: &'static tools::Tool,
        arguments: tools::JsonObject,
        context: &RequestContext<RoleServer>,
    ) -> Result<CalledTool, Arc<Error>> {
        let permit = self.permit()?;
        let meta = |name: &str| context.meta.0.get(name)?.as_str().map(str::to_owned);
        let http =
            context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Caller>());
        let span = self.app.telemetry().mcp(McpCall {
            tool: tool.spec.label,
            name: tool.spec.name,
            request_id: context.id.to_string(),
            transport: self.transport.as_str(),
            meta: &meta,
            http,
        });
        let cx = tool.spec.begin(&self.app, span.caller().clone(), None);
        let _cancel = CancelOnDrop(cx.clone());
        let (app, run) = (self.app.clone(), cx.clone());
        let mut work = tokio::task::spawn_blocking(move || {
            // Held by the work: a caller that goes away does not make room before it has ended.
            let _permit = permit;
            tool.run(&app, arguments, &run)
        });
        let progress_token = context.meta.get_progress_token();
        let mut interval = tokio::time::interval(PROGRESS);
        let mut sent = 0.0;
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                () = context.ct.cancelled(), if !cx.is_cancelled() => cx.cancel(),
                _ = interval.tick(), if progress_token.is_some() => {
                    let Some((token, progress)) = progress_token.clone().zip(cx.progress()) else { continue };
                    // Progress must increase with each notification, also while nothing is counted.
                    sent = (progress.done as f64).max(sent + HEARTBEAT);
                    let mut message = ProgressNotificationParam::new(token, sent);
                    message.total = (progress.total > 0).then_some(progress.total as f64);
                    message.message = Some(progress.message);
                    let _ = context.peer.notify_progress(message).await;
                }
            }
        };
        let result = result.unwrap_or_else(|error| {
            Err(Error::Internal { what: "tool", detail: error.to_string() }.into())
        });
        span.finish(result.as_ref().err().map(|error| &**error));
        result
    }
}

/// A tool as clients see it.
fn described(tool: &tools::Tool) -> Tool {
    let spec = tool.spec;
    let annotations = ToolAnnotations::with_title(spec.title)
        .read_only(spec.is_read_only)
        .destructive(false)
        .idempotent(true)
        .open_world(false);
    Tool::new(spec.name, spec.description, tool.input_schema.clone())
        .with_title(spec.title)
        .with_raw_output_schema(tool.output_schema.clone())
        .with_annotations(annotations)
}

fn answered(answer: CalledTool) -> CallToolResult {
    let mut content = vec![ContentBlock::text(answer.text)];
    let mut seen = std::collections::HashSet::new();
    let distinct = answer.links.into_iter().filter(|link| seen.insert(link.uri.clone()));
    let resource = |link: tools::FileLink| Resource::new(link.uri, link.path);
    content.extend(distinct.take(LINKS_MAX).map(resource).map(ContentBlock::resource_link));
    let mut result = CallToolResult::success(content);
    result.structured_content = Some(answer.json);
    result
}

/// A failed call: the message for a model, and the problem document for a program. It is not
/// structured content, which must conform to the schema of the answer.
fn refused(error: &Error) -> CallToolResult {
    let problem = Problem::new(error);
    let mut meta = MetaObject::new();
    let json = serde_json::to_value(&problem).unwrap_or_default();
    meta.insert("codeintel/problem".to_owned(), json);
    let mut result = CallToolResult::error(vec![ContentBlock::text(format!(
        "{}: {}",
        problem.code, problem.detail
    ))]);
    result.meta = Some(meta);
    result
}
