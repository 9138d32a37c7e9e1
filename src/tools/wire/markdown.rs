//! Markdown and Mermaid renderings of a run.

use std::fmt::Write;

use super::runs::{RunRecord, RunStep};

impl RunRecord {
    /// A page: the result, a table of the stages, warnings and hints, and the chart.
    pub fn markdown(&self) -> String {
        let report = &self.report;
        let mut text = format!("# {} · {}\n\n", report.tool, report.stopped_because);
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "- {name}: {value}");
        };
        line("run", &format!("`{}`", self.run_id));
        line("trace", &format!("`{}`", self.trace_id));
        if let Some(session) = &self.session_id {
            line("session", &format!("`{session}`"));
        }
        line("time", &format!("{:.3} ms", report.elapsed_ms));
        if let Some(savings) = &report.savings {
            line("savings", &savings.to_string());
        }
        if let Some(error) = &report.error {
            line("error", &error.message);
        }
        if let Some(stage) = &report.first_missing_stage {
            line("first missing stage", stage);
        }
        text +=
            "\n| stage | status | started ms | took ms | attributes |\n|---|---|---:|---:|---|\n";
        for step in &self.stages {
            let indent = "· ".repeat(step.depth.into());
            let _ = writeln!(
                text,
                "| {indent}{} | {} | {:.3} | {:.3} | {} |",
                step.name,
                step.status,
                step.started_ms,
                step.duration_ms,
                attributes(step)
            );
        }
        for (title, notes) in [("Warnings", &report.warnings), ("Hints", &report.hints)] {
            if !notes.is_empty() {
                let _ = writeln!(text, "\n## {title}\n");
                for note in notes {
                    let _ = writeln!(text, "- `{}`: {}", note.code, note.message);
                }
            }
        }
        let _ = write!(text, "\n```mermaid\n{}```\n", self.mermaid());
        text
    }

    /// A Mermaid gantt chart of the stages, in microseconds because Mermaid has no fractions of a
    /// millisecond.
    pub fn mermaid(&self) -> String {
        let report = &self.report;
        let mut text = String::from("gantt\n");
        let _ = writeln!(
            text,
            "    title {}, {:.3} ms, in microseconds",
            plain(&report.tool),
            report.elapsed_ms
        );
        text += "    dateFormat x\n    axisFormat %Q\n";
        for step in &self.stages {
            if step.depth <= 1 {
                let _ = writeln!(text, "    section {}", plain(&step.name));
            }
            let status = match step.status.as_str() {
                "error" => "crit, ",
                "skip" => "done, ",
                _ => "",
            };
            let from = (step.started_ms * 1e3) as u64;
            let to = from + ((step.duration_ms * 1e3) as u64).max(1);
            let (name, took) = (plain(&step.name), step.duration_ms);
            let _ = writeln!(text, "    {name} {took:.3} ms :{status}{from}, {to}");
        }
        text
    }
}

/// `text` without the characters that have a meaning in Mermaid.
fn plain(text: &str) -> String {
    text.replace([':', ';', '#', ','], " ")
}

/// The attributes of a step that its other columns do not show.
fn attributes(step: &RunStep) -> String {
    let shown =
        step.attrs.iter().filter(|(key, _)| !key.starts_with("mcp.") && *key != "request.stage");
    let pairs = shown.map(|(key, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{key}={}", value.replace('|', "\\|"))
    });
    pairs.collect::<Vec<_>>().join(" ")
}
