//! How is a run told to a person?

use super::out::{DIM, Out, duration, paint};
use crate::error::Result;
use crate::telemetry::{RunReport, StepStatus};

/// One line a step, indented as they nest, with a bar for its place in the run.
pub fn print_stages(out: &mut Out, report: &RunReport) -> Result<()> {
    const WIDTH: f64 = 32.0;
    let end = report.steps.iter().map(|s| s.started + s.duration).max().unwrap_or_default();
    let column = |at: std::time::Duration| {
        let share = at.as_secs_f64() / end.as_secs_f64().max(1e-9);
        (share * WIDTH).round() as usize
    };
    for step in &report.steps {
        let (from, to) = (column(step.started), column(step.started + step.duration));
        let bar = format!("{}{}", " ".repeat(from), "━".repeat((to - from).max(1)));
        let name = format!("{}{}", "  ".repeat(step.depth.into()), step.stage.name());
        let status = match step.status {
            StepStatus::Run => "",
            StepStatus::Skip => " skipped",
            StepStatus::Error => " failed",
        };
        let took = duration(step.duration);
        out.line(paint(DIM, format!("   {name:<20} {took:>9}{status}  {bar}")))?;
    }
    out.line(paint(DIM, format!("   run {}  trace {}", report.run_id, report.trace_id)))
}
