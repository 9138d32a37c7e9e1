//! `codeintel search`: searches the index.

use std::sync::Arc;

use super::highlight::Highlighter;
use super::out::{BOLD, DIM, Out, PATH, counted, paint, print_warning};
use super::{Context, report};
use crate::base::config::help;
use crate::base::error::{Error, Result};
use crate::base::telemetry::Caller;
use crate::tools::search::{self, SearchInput};
use crate::tools::semantic_search::RerankOptions;
use crate::tools::wire::{RerankUse, SearchAnswer, SearchFinding};
use crate::tools::{changed_note, semantic_search};

/// Maximum lines of a snippet.
const SNIPPET_LINES: usize = 10;
/// Lines shown before the best match.
const LINES_BEFORE: usize = 2;

#[derive(clap::Args)]
pub struct SearchArgs {
    /// A question, an identifier, a path, an error message
    #[arg(required = true, value_name = "QUERY")]
    pub query: Vec<String>,
    #[arg(short, long, value_name = "N", help = help("search.limit"))]
    pub limit: Option<usize>,
    /// Print the answer as JSON (docs/searching.md)
    #[arg(long)]
    pub json: bool,
    /// Search only these channels, of dense, lexical, symbol and, if the index has it, sparse
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub channels: Vec<String>,
    /// Show why each result ranked and how long each stage took
    #[arg(long)]
    pub explain: bool,
    /// Search only these languages, such as rust,python
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub lang: Vec<String>,
    /// Search only paths that match; a leading ! excludes those that match
    #[arg(long, value_name = "GLOB")]
    pub glob: Vec<String>,
    /// Rank the best chunks once more: off, exact, maxsim, cross_encoder or listwise
    /// (docs/searching.md)
    #[arg(long, value_name = "METHOD")]
    pub rerank: Option<String>,
    /// Raise files that a recent commit changed
    #[arg(long)]
    pub recent: bool,
}

pub fn run(mut cx: Context, args: SearchArgs) -> Result<(), Arc<Error>> {
    let input = SearchInput {
        query: args.query.join(" "),
        limit: args.limit,
        channels: args.channels,
        globs: args.glob,
        languages: args.lang,
        recency: args.recent.then_some(true),
        rm3: None,
        rerank: RerankOptions { method: args.rerank, top_k: None },
    };
    // Check the query before opening the index, which takes longer.
    let query = input.clone().check(&cx.app.settings().search)?;
    cx.app.open_for(&query.channels)?;
    cx.app.searcher()?.prepare_rerank(query.rerank);
    let run = semantic_search::SPEC.begin(&cx.app, Caller::nobody(), None);
    let result = search::run(&cx.app, input, &run);
    cx.finish(&run, result.as_ref().err().map(|error| &**error));
    let answer = result?;
    if args.json {
        cx.out.json(&answer)?;
    } else {
        print(&mut cx.out, &answer, args.explain)?;
    }
    Ok(())
}

fn print(out: &mut Out, answer: &SearchAnswer, explain: bool) -> Result<()> {
    answer.run_report.warnings.iter().for_each(|warning| print_warning(&warning.message));
    let mut highlighter = out.is_styled().then(Highlighter::new);
    for finding in &answer.findings {
        print_finding(out, finding, explain, highlighter.as_mut())?;
    }
    if answer.findings.is_empty() {
        out.line(&answer.answer)?;
        for limit in &answer.limits {
            out.line(paint(DIM, format!("  {limit}")))?;
        }
        for step in &answer.next_steps {
            out.line(paint(DIM, format!("Try: {step}.")))?;
        }
    }
    let changed = changed_note(answer.freshness.dirty_files);
    if let Some(note) = changed.filter(|_| !answer.findings.is_empty()) {
        out.line(paint(DIM, format!("{note}: codeintel index")))?;
    }
    if explain {
        let method = &answer.method;
        let depths = method.channels.iter().map(|channel| {
            format!("{} {} deep, weight {}", channel.name, channel.depth, channel.weight)
        });
        let depths = depths.collect::<Vec<_>>().join("; ");
        let line = format!("   {} query: {depths}; {} fusion", answer.query_kind, method.fusion);
        let confidence = answer.confidence.map(|p| format!("; confidence {p}"));
        let line = line + &confidence.unwrap_or_default();
        out.line(paint(DIM, line))?;
        if let Some(RerankUse { method, candidates, scored }) = &method.rerank {
            let line = format!("   {scored} of {} chunks reranked by {method}", candidates.len());
            out.line(paint(DIM, line))?;
        }
        report::print_stages(out, &method.stages, &answer.run_id, &answer.trace_id)?;
    }
    Ok(())
}

fn print_finding(
    out: &mut Out,
    finding: &SearchFinding,
    explain: bool,
    highlighter: Option<&mut Highlighter>,
) -> Result<()> {
    let location = &finding.location;
    let title = if finding.title == location.path {
        String::new()
    } else {
        format!("  {}", finding.title.lines().next().unwrap_or_default())
    };
    let range = format!("{}:{}-{}", location.path, location.start_line, location.end_line);
    out.line(format!(
        "{} {}{title}  {}",
        paint(BOLD, format!("{}.", finding.rank)),
        paint(PATH, range),
        paint(DIM, format!("{:.4}", finding.score))
    ))?;
    if explain {
        out.line(paint(DIM, format!("   why: {}", finding.why.text)))?;
    }
    let text = match highlighter {
        Some(highlighter) => highlighter.highlight(&finding.language, &finding.snippet),
        None => finding.snippet.clone(),
    };
    let length = finding.snippet.trim_end().lines().count();
    let hidden = length.saturating_sub(SNIPPET_LINES);
    let first = finding.focus.saturating_sub(LINES_BEFORE).min(hidden);
    let lines = text.lines().enumerate().take(length).skip(first);
    for (i, line) in lines.take(SNIPPET_LINES) {
        let number = paint(DIM, format!("{:>6} │", location.start_line as usize + i));
        out.line(format!("{number} {}", line.trim_end()))?;
    }
    if hidden > 0 {
        out.line(paint(DIM, format!("       ┆ {}", counted(hidden, "more line"))))?;
    }
    if !finding.also_in.is_empty() {
        out.line(paint(DIM, format!("       ┆ also in {}", finding.also_in.join(", "))))?;
    }
    out.line("")
}
