//! `codeintel mcp`: serves an agent over standard input and output.

use std::path::PathBuf;
use std::time::Duration;

use super::Context;
use crate::base::error::{Error, Result};
use crate::mcp::serve_stdio;
use crate::tools::{App, ToolSet};

/// The interval at which CURRENT is read.
const REFRESH: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub struct McpArgs {
    /// Folders or files to index and watch [default: those of the index, else the current folder]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Offer only these tools, such as semantic_search,open_file [default: all]
    #[arg(long, value_name = "NAMES", default_value = "")]
    pub tools: String,
    /// Do not update the index when files change
    #[arg(long)]
    pub no_watch: bool,
}

pub fn run(cx: Context, args: McpArgs) -> Result<()> {
    let tools = ToolSet::parse(&args.tools)?;
    let runtime = tokio::runtime::Runtime::new().map_err(Error::library("tokio", "start"))?;
    let app = cx.app;
    std::thread::spawn({
        let app = app.clone();
        let paths = args.paths;
        move || keep_open(&app, paths, !args.no_watch)
    });
    let result = runtime.block_on(serve_stdio(app, tools));
    // Reading standard input cannot be interrupted.
    runtime.shutdown_background();
    result
}

/// Opens the index and follows it: files that change are indexed, versions of others are opened.
fn keep_open(app: &App, paths: Vec<PathBuf>, watch: bool) {
    if watch {
        app.expect_index();
    }
    app.warm(|| app.start_warm_engine());
    if watch {
        let app = app.clone();
        std::thread::spawn(move || {
            if let Err(error) = app.watch(paths) {
                tracing::error!(%error, "the files are no longer watched");
            }
        });
    }
    // Another process may publish a version, too.
    loop {
        std::thread::sleep(REFRESH);
        app.refresh();
    }
}
