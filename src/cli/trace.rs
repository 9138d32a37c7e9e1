//! `codeintel trace`: what happened in a run?

use super::Context;
use super::args::{TellingArg, TraceArgs};
use super::report::print_story;
use crate::base::error::{Error, Result};
use crate::tools::RunFolder;
use crate::tools::wire::RunStory;

pub fn run(mut cx: Context, args: TraceArgs) -> Result<()> {
    let story = match &args.url {
        Some(url) => fetch(url, &args.run_id)?,
        None => RunFolder::of(&cx.data(), &cx.settings.telemetry).read(&args.run_id)?.ok_or_else(
            || {
                let folder = cx.data().path().join("runs");
                missing(&args.run_id, &folder.display().to_string())
            },
        )?,
    };
    match args.format {
        TellingArg::Text => print_story(&mut cx.out, &story),
        TellingArg::Json => cx.out.json(&story),
        TellingArg::Markdown => cx.out.line(story.markdown().trim_end()),
        TellingArg::Mermaid => cx.out.line(story.mermaid().trim_end()),
    }
}

fn missing(run_id: &str, place: &str) -> Error {
    Error::Unavailable {
        what: format!("run {run_id:?}"),
        remedy: format!(
            "{place} has no such run; commands keep every run, a server only failed ones: ask it \
             with --url http://127.0.0.1:8080"
        ),
    }
}

/// Asks a server that runs.
fn fetch(url: &str, run_id: &str) -> Result<RunStory> {
    let address = format!("{}/v1/runs/{run_id}", url.trim_end_matches('/'));
    let failed = |error: reqwest::Error| Error::Unavailable {
        what: address.clone(),
        remedy: format!("{}; is `codeintel serve` there?", error.without_url()),
    };
    let answer = reqwest::blocking::get(&address).map_err(failed)?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Err(missing(run_id, url));
    }
    let text = answer.error_for_status().and_then(|answer| answer.text()).map_err(failed)?;
    serde_json::from_str(&text).map_err(Error::library("serde_json", "read the run"))
}
