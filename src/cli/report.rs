//! The report of a run on the terminal.

use super::out::{BAD, BOLD, DIM, Out, WARN, paint};
use crate::base::error::Result;
use crate::base::telemetry::RunReport;
use crate::tools::wire::{RunRecord, RunStep};

/// Columns of the waterfall.
const WIDTH: f64 = 32.0;

/// One line per stage, indented by depth, with a bar that shows its time within the run.
fn waterfall(stages: &[RunStep]) -> Vec<String> {
    let end = stages.iter().map(|s| s.started_ms + s.duration_ms).fold(1e-6, f64::max);
    let column = |at_ms: f64| (at_ms / end * WIDTH).round() as usize;
    let line = |step: &RunStep| {
        let from = column(step.started_ms).min(WIDTH as usize - 1);
        let to = column(step.started_ms + step.duration_ms);
        let bar = format!("{}{}", " ".repeat(from), "━".repeat((to - from).max(1)));
        let name = format!("{}{}", "  ".repeat(step.depth.into()), step.name);
        let (style, status) = match step.status.as_str() {
            "error" => (BAD, error(step)),
            "skip" => (DIM, "  skipped".to_owned()),
            _ => (DIM, String::new()),
        };
        let took = format!("{:.1} ms", step.duration_ms);
        paint(style, format!("   {name:<20} {took:>11}  {bar:<32}{status}").trim_end())
    };
    stages.iter().map(line).collect()
}

fn error(step: &RunStep) -> String {
    let kind = step.attrs.get("error.type").and_then(|kind| kind.as_str()).unwrap_or("failed");
    format!("  {kind}")
}

/// Prints the stages of a run and its ids, among the results of a command.
pub fn print_stages(out: &mut Out, stages: &[RunStep], run_id: &str, trace_id: &str) -> Result<()> {
    waterfall(stages).iter().try_for_each(|line| out.line(line))?;
    out.line(paint(DIM, format!("   run {run_id}  trace {trace_id}")))
}

/// Prints a run as the answer to `codeintel trace`.
pub fn print_record(out: &mut Out, record: &RunRecord) -> Result<()> {
    record_lines(record).iter().try_for_each(|line| out.line(line))
}

/// Prints a run on standard error, beside the results of a command.
pub fn print_report(report: &RunReport) {
    for line in record_lines(&RunRecord::new(report)) {
        anstream::eprintln!("{line}");
    }
}

fn record_lines(record: &RunRecord) -> Vec<String> {
    let report = &record.report;
    let ended = match report.stopped_because.as_str() {
        "completed" => paint(BOLD, "completed"),
        because => paint(BAD, format!("stopped: {because}")),
    };
    let mut lines = vec![format!("{}  {ended} in {:.1} ms", report.tool, report.elapsed_ms)];
    lines.extend(waterfall(&record.stages));
    if let Some(error) = &report.error {
        lines.push(format!("   {} {}", paint(BAD, "error:"), error.message));
    }
    if let Some(savings) = &report.savings {
        lines.push(paint(DIM, format!("   savings: {savings}")));
    }
    for (name, notes) in [("warning", &report.warnings), ("hint", &report.hints)] {
        let style = if name == "warning" { WARN } else { BOLD };
        lines.extend(
            notes
                .iter()
                .map(|note| format!("   {} {}", paint(style, format!("{name}:")), note.message)),
        );
    }
    let session = record.session_id.iter().map(|id| format!("  session {id}")).collect::<String>();
    lines.push(paint(DIM, format!("   run {}  trace {}{session}", record.run_id, record.trace_id)));
    lines
}
