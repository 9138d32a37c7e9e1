//! The reference tables of docs/telemetry.md, generated from the tables in the code.

use std::fmt::Write;

use super::Stage;
use super::attrs::{self, Attr};
use super::batch_span::{self, BatchSpan};
use super::http_span::HttpSpan;
use super::instruments::{MEASURED, Metric, MetricKind};
use super::labels::Label;
use super::process::OBSERVED;

/// Every metric.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    MEASURED.iter().chain(OBSERVED)
}

/// Every span, attribute and metric, as Markdown.
pub fn markdown() -> String {
    let mut text = String::from(
        "### Spans\n\n| span | kind | parent | stage | attributes |\n|---|---|---|---|---|\n",
    );
    let mut row = |span: &str, kind: &str, parent: &str, stage: &str, attrs: &[Attr]| {
        let attrs: Vec<_> = attrs.iter().map(|attr| format!("`{}`", attr.key())).collect();
        let stage = if stage.is_empty() { String::new() } else { format!("`{stage}`") };
        let attrs = attrs.join(", ");
        let _ = writeln!(text, "| `{span}` | {kind} | {parent} | {stage} | {attrs} |");
    };
    row("METHOD route", "server", "the caller's `traceparent`", "", HttpSpan::ATTRS);
    for stage in Stage::ALL {
        let kind = format!("{:?}", stage.kind()).to_lowercase();
        row(stage.span_name(), &kind, stage.parent(), stage.name(), stage.attrs());
    }
    row(
        batch_span::SPAN_NAME,
        "internal",
        "none; links to the requests it served",
        "",
        BatchSpan::ATTRS,
    );
    text += "\nEvery span of a stage also carries `request.stage`, and `error.type` if it failed; the first span of a run \
             `mcp.tool`, `mcp.run_id` and `mcp.session_id`; every span of a run `run.id` and `session.id`. Channels link \
             to `retrieval.search`, and `retrieval.fuse` links to the channels. Events: `retrieval.gating.decision` on \
             `retrieval.gating`, `channels.gathered` on `retrieval.gather_channels`, \
             `engine.batch.halved` on an `engine.batch` that did not fit into memory, `exception` on a span that failed.\n";
    text += "\n### Attributes\n\n| attribute | official name set as well | with `semconv_compat = \"part2\"` | meaning |\n|---|---|---|---|\n";
    for attr in attrs::ALL {
        let name = |name: Option<&str>| name.map(|name| format!("`{name}`")).unwrap_or_default();
        let (official, part2) = (name(attr.official()), name(attr.part2()));
        let _ = writeln!(text, "| `{}` | {official} | {part2} | {} |", attr.key(), attr.what());
    }
    text += "\n### Metrics\n\n| scraped as | declared as | kind | unit | labels | meaning |\n|---|---|---|---|---|---|\n";
    for metric in metrics() {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let labels = (metric.labels)().join(", ").replace('.', "_");
        let Metric { name, unit, scraped, what, .. } = metric;
        let _ = writeln!(text, "| `{scraped}` | `{name}` | {kind} | {unit} | {labels} | {what} |");
    }
    text
}
