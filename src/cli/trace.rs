//! `codeintel trace`: prints the report of a run.

use clap::ValueEnum;

use super::Context;
use super::report::print_record;
use crate::base::error::{Error, Result};
use crate::tools::find_run;
use crate::tools::wire::RunRecord;

#[derive(clap::Args)]
pub struct TraceArgs {
    /// The id that --explain, --report or the header X-Run-Id shows
    #[arg(default_value = "latest", value_name = "RUN_ID")]
    pub run_id: String,
    /// Ask a running server, such as http://127.0.0.1:8080, instead of the data folder
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Format of the output
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub format: RunFormatArg,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum RunFormatArg {
    Text,
    Json,
    Markdown,
    /// A gantt chart for Mermaid
    Mermaid,
}

pub fn run(mut cx: Context, args: TraceArgs) -> Result<()> {
    let record = match &args.url {
        Some(url) => fetch(url, &args.run_id)?,
        None => find_run(&cx.app, &args.run_id)?.ok_or_else(|| {
            let folder = cx.app.data().path().join("runs");
            missing(&args.run_id, &folder.display().to_string())
        })?,
    };
    match args.format {
        RunFormatArg::Text => print_record(&mut cx.out, &record),
        RunFormatArg::Json => cx.out.json(&record),
        RunFormatArg::Markdown => cx.out.line(record.markdown().trim_end()),
        RunFormatArg::Mermaid => cx.out.line(record.mermaid().trim_end()),
    }
}

/// `place` is a folder or an address.
fn missing(run_id: &str, place: &str) -> Error {
    Error::Unavailable {
        what: format!("run {run_id:?}"),
        remedy: format!(
            "it is not in {place}; commands keep every run and a server only failed ones: ask a \
             running server with --url http://127.0.0.1:8080"
        ),
    }
}

/// Asks a running server.
fn fetch(url: &str, run_id: &str) -> Result<RunRecord> {
    let address = format!("{}/v1/runs/{run_id}", url.trim_end_matches('/'));
    let failed = |error: reqwest::Error| Error::Unavailable {
        what: address.clone(),
        remedy: format!("{}; check that `codeintel serve` is running there", error.without_url()),
    };
    let answer = reqwest::blocking::get(&address).map_err(failed)?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Err(missing(run_id, url));
    }
    let text = answer.error_for_status().and_then(|answer| answer.text()).map_err(failed)?;
    serde_json::from_str(&text).map_err(Error::library("serde_json", "read the run"))
}
