//! `codeintel search`: ask the index.

use super::args::SearchArgs;
use super::highlight::Highlighter;
use super::index::start_engine;
use super::out::{BOLD, DIM, Out, PATH, paint, print_warning};
use super::{Context, report};
use crate::base::config::Settings;
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::index::catalog::ScopeSpec;
use crate::index::versions::DataFolder;
use crate::search::{Channel, Envelope, Finding, Query, Searcher};
use crate::tools::wire;

/// Lines of a snippet.
const SNIPPET_LINES: usize = 10;
/// Lines shown before the one that says most.
const LINES_BEFORE: usize = 2;

pub fn run(mut cx: Context, args: SearchArgs) -> Result<()> {
    let settings = &cx.settings;
    let query = query(&cx, &args)?;
    let here = std::env::current_dir().unwrap_or_default();
    let version = DataFolder::new(settings.data.folder(&here)).current()?;
    let engine = match query.channels.contains(&Channel::Dense) {
        true => Some(start_engine(settings, model(settings, &version.manifest.model.name))?),
        false => None,
    };
    let searcher = Searcher::open(version, engine, settings)?;
    let run = RunContext::new(&cx.telemetry, Tool::Search, &Searcher::PLANNED);
    let result = searcher.search(&query, &run);
    cx.finish(&run, result.as_ref().err());
    let envelope = result?;
    if args.json {
        return cx.out.json(&wire::Envelope::from(&envelope));
    }
    print(&mut cx.out, &envelope, args.explain)
}

/// The model that was asked for; when none was, the one that made the index.
fn model<'a>(settings: &'a Settings, index: &'a str) -> &'a str {
    match settings.model.name == Settings::default().model.name {
        true => index,
        false => &settings.model.name,
    }
}

fn query(cx: &Context, args: &SearchArgs) -> Result<Query> {
    let limit = args.limit.unwrap_or(cx.settings.search.limit);
    let scope = ScopeSpec { globs: args.glob.clone(), languages: args.lang.clone() };
    let query = Query::new(&args.query.join(" "), limit, &cx.settings.search)?.with_scope(scope);
    if args.channels.is_empty() {
        return Ok(query);
    }
    let channels = args.channels.iter().map(|word| Channel::parse(word));
    query.with_channels(channels.collect::<Result<_>>()?)
}

fn print(out: &mut Out, envelope: &Envelope, explain: bool) -> Result<()> {
    envelope.report.warnings.iter().for_each(print_warning);
    let mut highlighter = out.is_styled().then(Highlighter::new);
    for (i, finding) in envelope.findings.iter().enumerate() {
        print_finding(out, i + 1, finding, explain, highlighter.as_mut())?;
    }
    if envelope.findings.is_empty() {
        out.line(&envelope.answer)?;
        for step in &envelope.next_steps {
            out.line(paint(DIM, format!("Try: {step}.")))?;
        }
    }
    if explain {
        let kind = envelope.query_kind.as_str();
        let depths = envelope.plan.channels.iter().map(|(channel, depth, weight)| {
            format!("{} {depth} deep, weight {weight}", channel.as_str())
        });
        let depths = depths.collect::<Vec<_>>().join("; ");
        let rrf_k = envelope.plan.rrf_k;
        out.line(paint(DIM, format!("   {kind} query: {depths}; rrf_k {rrf_k}")))?;
        report::print_stages(out, &envelope.report)?;
    }
    Ok(())
}

fn print_finding(
    out: &mut Out,
    rank: usize,
    finding: &Finding,
    explain: bool,
    highlighter: Option<&mut Highlighter>,
) -> Result<()> {
    let row = &finding.row;
    let place = format!("{}:{}-{}", row.path, row.start_line, row.end_line);
    let title = match finding.title == row.path {
        true => String::new(),
        false => format!("  {}", finding.title.lines().next().unwrap_or_default()),
    };
    let score = format!("{:.4}", finding.score);
    out.line(format!(
        "{} {}{title}  {}",
        paint(BOLD, format!("{rank}.")),
        paint(PATH, place),
        paint(DIM, score)
    ))?;
    if explain {
        out.line(paint(DIM, format!("   why: {}", finding.why)))?;
    }
    let text = match highlighter {
        Some(highlighter) => highlighter.highlight(&row.language, &row.text),
        None => row.text.clone(),
    };
    let length = row.text.trim_end().lines().count();
    let first = match length > SNIPPET_LINES {
        true => finding.focus.saturating_sub(LINES_BEFORE).min(length - SNIPPET_LINES),
        false => 0,
    };
    let lines = text.lines().enumerate().take(length).skip(first);
    for (i, line) in lines.take(SNIPPET_LINES) {
        let number = paint(DIM, format!("{:>6} │", row.start_line as usize + i));
        out.line(format!("{number} {}", line.trim_end()))?;
    }
    let more = length.saturating_sub(SNIPPET_LINES);
    if more > 0 {
        out.line(paint(DIM, format!("       ┆ {more} more lines")))?;
    }
    out.line("")
}
