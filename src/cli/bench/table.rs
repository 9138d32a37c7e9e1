//! What does a terminal show of a bench?

use crate::base::error::Result;
use crate::cli::out::{BOLD, DIM, GOOD, Out, count, paint};
use crate::tools::wire::{Bench, Cell};

/// A column: its heading, its width, and what stands in it.
pub struct Column {
    pub head: &'static str,
    width: usize,
    pub what: &'static str,
    pub value: fn(&Cell) -> String,
}

const fn column(
    head: &'static str,
    width: usize,
    what: &'static str,
    value: fn(&Cell) -> String,
) -> Column {
    Column { head, width, what, value }
}

/// The columns of every table; the page shows the same.
const COLUMNS: &[Column] = &[
    column("length", 6, "tokens of each text, or real texts as they are", |c| c.length.clone()),
    column("batch", 6, "texts of a request", |c| count(c.batch)),
    column("p50 ms", 9, "half of the requests took no longer", |c| ms(Some(c.p50_ms))),
    column("p95 ms", 9, "95 of 100 requests took no longer", |c| ms(Some(c.p95_ms))),
    column("p99 ms", 9, "99 of 100 requests took no longer", |c| ms(Some(c.p99_ms))),
    column("texts/s", 9, "texts embedded a second", |c| rate(Some(c.sequences_per_s))),
    column("tokens/s", 10, "tokens embedded a second", |c| rate(c.tokens_per_s)),
    column("tok/CPU-s", 11, "tokens embedded for a second of CPU time", |c| {
        rate(c.tokens_per_cpu_s)
    }),
    column("roof", 6, "share of what the device could multiply", |c| share(c.roof_share)),
    column("fill", 6, "tokens of a batch, as a share of the largest", |c| share(c.batch_fill)),
    column("cosine", 12, "mean cosine to the same model in f32", |c| match c.cosine {
        Some(cosine) => format!("{cosine:.5}"),
        None => "other model".to_owned(),
    }),
    column("tokenise", 9, "ms in the tokenizer, the median", |c| ms(c.stages_ms.tokenise)),
    column("queue", 8, "ms until the first batch was launched, the median", |c| {
        ms(c.stages_ms.queue)
    }),
    column("compute", 9, "ms on the device, the median", |c| ms(c.stages_ms.compute)),
    column(SEARCH, 9, "ms of the search for the nearest vectors, the median", |c| {
        ms(c.stages_ms.search)
    }),
];

const SEARCH: &str = "search";

/// The columns that say something of this bench.
pub fn columns(bench: &Bench) -> impl Iterator<Item = &'static Column> {
    let searched = bench.vectors.is_some();
    COLUMNS.iter().filter(move |column| searched || column.head != SEARCH)
}

/// What cannot be known.
const NOTHING: &str = "-";

fn ms(ms: Option<f64>) -> String {
    ms.map_or_else(
        || NOTHING.to_owned(),
        |ms| match ms {
            ms if ms < 10.0 => format!("{ms:.2}"),
            ms if ms < 100.0 => format!("{ms:.1}"),
            ms => count(ms.round() as usize),
        },
    )
}

fn rate(per_s: Option<f64>) -> String {
    per_s.filter(|rate| rate.is_finite()).map_or_else(
        || NOTHING.to_owned(),
        |rate| match rate {
            rate if rate < 10.0 => format!("{rate:.2}"),
            rate if rate < 100.0 => format!("{rate:.1}"),
            rate => count(rate.round() as usize),
        },
    )
}

fn share(share: Option<f64>) -> String {
    let percent = |share: f64| format!("{:.0}%", 100.0 * share);
    share.map_or_else(|| NOTHING.to_owned(), percent)
}

/// The sentences above the table.
pub fn headlines(bench: &Bench) -> Vec<String> {
    let Bench { model, device, dtype, threads, machine, roof, cosine, against, .. } = bench;
    let mut lines = vec![
        format!("{model} in {dtype} on {device}, threads: {threads}; texts: {}", bench.texts),
        format!(
            "{}, {} cores, {} {}; {}",
            machine.cpu, machine.cores, machine.arch, machine.os, bench.measured_at
        ),
        format!("roof: {:.0} GFLOP/s, {}", roof.gflops, roof.what),
        format!(
            "cosine to f32: mean {:.5}, least {:.5} of {} texts",
            cosine.mean, cosine.least, cosine.texts
        ),
    ];
    if let Some(n) = bench.vectors {
        lines.push(format!("each text is also searched for in {} random vectors", count(n)));
    }
    if let Some(against) = against {
        let near = match &against.cosine {
            Some(cosine) => {
                format!("cosine to ours in f32: mean {:.5}, least {:.5}", cosine.mean, cosine.least)
            }
            None => format!("another model: its vectors have {} values", against.dim),
        };
        lines.push(format!("against: {}, model {:?}; {near}", against.url, against.model));
    }
    lines
}

/// Cells with their twin at the endpoint, where that was measured.
pub fn pairs(bench: &Bench) -> impl Iterator<Item = (&Cell, Option<&Cell>)> {
    let here = bench.cells.iter().filter(|cell| cell.is_here());
    here.map(|cell| {
        let twin = |other: &&Cell| {
            !other.is_here() && (&other.length, other.batch) == (&cell.length, cell.batch)
        };
        (cell, bench.cells.iter().find(twin))
    })
}

/// How many times as many texts a second as the endpoint.
pub fn ratio(here: &Cell, there: Option<&Cell>) -> String {
    let ratio = |there: &Cell| format!("{:.2}", here.sequences_per_s / there.sequences_per_s);
    there.map_or_else(|| NOTHING.to_owned(), ratio)
}

pub fn print(out: &mut Out, bench: &Bench) -> Result<()> {
    for (i, line) in headlines(bench).iter().enumerate() {
        out.line(if i == 0 { paint(BOLD, line) } else { paint(DIM, line) })?;
    }
    out.line("")?;
    let compared = bench.against.is_some();
    let mut head: String = columns(bench).map(|c| format!("{:>1$}", c.head, c.width)).collect();
    if compared {
        head = format!("{:<5}{head}{:>9}", "", "to there");
    }
    out.line(paint(DIM, head))?;
    for (here, there) in pairs(bench) {
        let row = |cell| columns(bench).map(move |c| format!("{:>1$}", (c.value)(cell), c.width));
        let ours: String = row(here).collect();
        if !compared {
            out.line(ours)?;
            continue;
        }
        let ratio = paint(GOOD, format!("{:>9}", ratio(here, there)));
        out.line(format!("{:<5}{ours}{ratio}", "here"))?;
        if let Some(there) = there {
            out.line(format!("{:<5}{}", "there", row(there).collect::<String>()))?;
        }
    }
    if !bench.complete {
        out.line(paint(DIM, "stopped before all was measured"))?;
    }
    Ok(())
}
