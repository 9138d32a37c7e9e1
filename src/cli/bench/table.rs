//! A bench as a table on the terminal.

use crate::base::error::Result;
use crate::bench::{Cell, Report};
use crate::cli::out::{BOLD, DIM, GOOD, Out, count, counted, paint};

/// A column of the table.
pub struct Column {
    pub head: &'static str,
    width: usize,
    /// The meaning of the figures.
    pub meaning: &'static str,
    pub value: fn(&Cell) -> String,
}

const fn column(
    head: &'static str,
    width: usize,
    meaning: &'static str,
    value: fn(&Cell) -> String,
) -> Column {
    Column { head, width, meaning, value }
}

/// The columns of every table; the page shows the same.
const COLUMNS: &[Column] = &[
    column("length", 6, "tokens of each text, or real texts as they are", |c| c.length.clone()),
    column("batch", 6, "texts per request", |c| count(c.batch)),
    column("p50 ms", 9, "half of the requests were at least this fast", |c| ms(Some(c.p50_ms))),
    column("p95 ms", 9, "95 % of the requests were at least this fast", |c| ms(Some(c.p95_ms))),
    column("p99 ms", 9, "99 % of the requests were at least this fast", |c| ms(Some(c.p99_ms))),
    column("texts/s", 9, "texts embedded per second", |c| rate(Some(c.sequences_per_s))),
    column("tokens/s", 10, "tokens embedded per second", |c| rate(c.tokens_per_s)),
    column("tok/CPU-s", 11, "tokens embedded per second of CPU time", |c| rate(c.tokens_per_cpu_s)),
    column("roof", 6, "fraction of the highest rate that the device reaches", |c| {
        share(c.roof_share)
    }),
    column("fill", 6, "tokens per batch, as a fraction of the largest batch", |c| {
        share(c.batch_fill)
    }),
    column("cosine", 12, "mean cosine to the same model in f32", |c| match c.cosine {
        Some(cosine) => format!("{cosine:.5}"),
        None => "other model".to_owned(),
    }),
    column("tokenise", 9, "median ms in the tokenizer", |c| ms(c.stages_ms.tokenise)),
    column("queue", 8, "median ms until the first batch was launched", |c| ms(c.stages_ms.queue)),
    column("compute", 9, "median ms on the device", |c| ms(c.stages_ms.compute)),
    column(SEARCH, 9, "median ms of the search for the nearest vectors", |c| {
        ms(c.stages_ms.search)
    }),
];

const SEARCH: &str = "search";

/// The columns that apply to this report.
pub fn columns(report: &Report) -> impl Iterator<Item = &'static Column> {
    let searched = report.vectors.is_some();
    COLUMNS.iter().filter(move |column| searched || column.head != SEARCH)
}

/// The placeholder for an unknown figure.
const UNKNOWN: &str = "-";

fn ms(ms: Option<f64>) -> String {
    ms.map_or_else(|| UNKNOWN.to_owned(), three_digits)
}

fn rate(per_s: Option<f64>) -> String {
    per_s.filter(|rate| rate.is_finite()).map_or_else(|| UNKNOWN.to_owned(), three_digits)
}

/// `1.23`, `12.3`, `1,234`.
fn three_digits(value: f64) -> String {
    match value {
        small if small < 10.0 => format!("{small:.2}"),
        medium if medium < 100.0 => format!("{medium:.1}"),
        large => count(large.round() as usize),
    }
}

fn share(share: Option<f64>) -> String {
    let percent = |share: f64| format!("{:.0}%", 100.0 * share);
    share.map_or_else(|| UNKNOWN.to_owned(), percent)
}

/// The sentences above the table.
pub fn headlines(report: &Report) -> Vec<String> {
    let Report { model, device, dtype, threads, machine, roof, cosine, against, .. } = report;
    let mut lines = vec![
        format!("{model} in {dtype} on {device}, threads: {threads}; texts: {}", report.texts),
        format!(
            "{}, {} cores, {} {}; {}",
            machine.cpu, machine.cores, machine.arch, machine.os, report.measured_at
        ),
        format!("roof: {:.0} GFLOP/s, {}", roof.gflops, roof.what),
        format!(
            "cosine to f32: mean {:.5}, least {:.5} of {} texts",
            cosine.mean, cosine.least, cosine.texts
        ),
    ];
    if let Some(n) = report.vectors {
        lines.push(format!("each text is also searched in {}", counted(n, "random vector")));
    }
    if let Some(against) = against {
        let cosine = match &against.cosine {
            Some(cosine) => {
                format!("cosine to local f32: mean {:.5}, least {:.5}", cosine.mean, cosine.least)
            }
            None => format!("another model: its vectors have {} dimensions", against.dim),
        };
        lines.push(format!("against: {}, model {:?}; {cosine}", against.url, against.model));
    }
    lines
}

/// Throughput of this process divided by that of the other target.
pub fn ratio(local: &Cell, remote: Option<&Cell>) -> String {
    match remote {
        Some(remote) => format!("{:.2}", local.sequences_per_s / remote.sequences_per_s),
        None => UNKNOWN.to_owned(),
    }
}

/// The heading of [`ratio`].
pub const RATIO: &str = "ratio";

pub fn print(out: &mut Out, report: &Report) -> Result<()> {
    for (i, line) in headlines(report).iter().enumerate() {
        out.line(if i == 0 { paint(BOLD, line) } else { paint(DIM, line) })?;
    }
    out.line("")?;
    let compared = report.against.is_some();
    let mut head: String = columns(report).map(|c| format!("{:>1$}", c.head, c.width)).collect();
    if compared {
        head = format!("{:<9}{head}{:>14}", "", RATIO);
    }
    out.line(paint(DIM, head))?;
    for (local, remote) in report.pairs() {
        let row = |cell| -> String {
            columns(report).map(|c| format!("{:>1$}", (c.value)(cell), c.width)).collect()
        };
        if !compared {
            out.line(row(local))?;
            continue;
        }
        let ratio = paint(GOOD, format!("{:>14}", ratio(local, remote)));
        out.line(format!("{:<9}{}{ratio}", "local", row(local)))?;
        if let Some(remote) = remote {
            out.line(format!("{:<9}{}", "against", row(remote)))?;
        }
    }
    if !report.complete {
        out.line(paint(DIM, "stopped before every cell was measured"))?;
    }
    Ok(())
}
