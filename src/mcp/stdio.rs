//! MCP over standard input and output: one client, which started this process.

use rmcp::ServiceExt;
use rmcp::transport::io::stdio_pipes;

use super::server::{McpServer, Transport};
use crate::base::error::{Error, Result};
use crate::tools::{App, ToolSet};

/// Serves until the client closes standard input.
pub async fn serve_stdio(app: App, tools: ToolSet) -> Result<()> {
    let server = McpServer::new(app, tools, Transport::Stdio);
    let running = match server.serve(stdio_pipes()).await {
        Ok(running) => running,
        // The client closed the connection before it said anything.
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(Error::library("rmcp", "begin an MCP connection")(error)),
    };
    running.waiting().await.map_err(Error::library("rmcp", "serve an MCP connection"))?;
    Ok(())
}
