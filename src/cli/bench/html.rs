//! How does a bench become one page that needs nothing beside it?

use super::plot::{Chart, Point, Series, escaped};
use super::table::{columns, headlines, pairs, ratio};
use crate::tools::wire::{Bench, Cell};

const STYLE: &str = include_str!("page.css");

/// The page: headline, plots of each length, table.
pub fn page(bench: &Bench) -> String {
    let title = escaped(&format!("codeintel bench: {} in {}", bench.model, bench.dtype));
    let mut headlines = headlines(bench).into_iter();
    let first = escaped(&headlines.next().unwrap_or_default());
    let about: String = headlines.map(|line| format!("<li>{}</li>", escaped(&line))).collect();
    let notes: String = bench.notes.iter().map(|n| format!("<li>{}</li>", escaped(n))).collect();
    let notes = match notes.as_str() {
        "" => notes,
        notes => format!("<h2>To know</h2><ul class=\"notes\">{notes}</ul>"),
    };
    let stopped = match bench.complete {
        true => "",
        false => "<p class=\"notes\">Stopped before all was measured.</p>",
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <title>{title}</title><style>{STYLE}</style></head>\n<body><main><h1>codeintel bench: {first}</h1>\
         <ul class=\"about\">{about}</ul>{stopped}{}\n{}\n{}\n{notes}</main></body></html>\n",
        legend(bench),
        plots(bench),
        table(bench),
    )
}

/// Which colour is whose; nothing where there is one.
fn legend(bench: &Bench) -> String {
    let Some(against) = &bench.against else { return String::new() };
    let key = |class: &str, name: &str| {
        let name = escaped(name);
        format!(
            "<li><svg viewBox=\"0 0 34 12\" class=\"key\" aria-hidden=\"true\">\
             <path class=\"line {class}\" d=\"M1 6L33 6\"/></svg>{name}</li>"
        )
    };
    let there = format!("there: {}, {}", against.url, against.model);
    let here = format!("here: {}, {}", bench.device, bench.dtype);
    format!("<ul class=\"legend\">{}{}</ul>", key("here", &here), key("there", &there))
}

/// Latency and throughput side by side, for each length.
fn plots(bench: &Bench) -> String {
    let mut lengths: Vec<&str> = Vec::new();
    for cell in &bench.cells {
        if !lengths.contains(&cell.length.as_str()) {
            lengths.push(&cell.length);
        }
    }
    let section = |length: &&str| {
        let of = match *length {
            "mixed" => "real texts of mixed length".to_owned(),
            tokens => format!("texts of {tokens} tokens"),
        };
        let latency = Chart {
            title: format!("Latency, {of}"),
            unit: "ms",
            log: true,
            series: series(bench, length, |cell| Some((cell.p50_ms, Some(cell.p95_ms)))),
        };
        let throughput = Chart {
            title: format!("Throughput, {of}"),
            unit: "tokens/s",
            log: false,
            series: series(bench, length, |cell| Some((cell.tokens_per_s?, None))),
        };
        format!(
            "<section><h2>{}</h2><div class=\"pair\">{}{}</div></section>",
            escaped(&capital(&of)),
            figure(&latency, "Latency: p50, the band up to p95", &format!("latency-{length}")),
            figure(&throughput, "Throughput", &format!("throughput-{length}")),
        )
    };
    lengths.iter().map(section).collect()
}

fn figure(chart: &Chart, caption: &str, id: &str) -> String {
    format!("<figure><figcaption>{caption}</figcaption>{}</figure>", chart.svg(id))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// Lines of the targets that were measured; value: the value and the upper edge of its band.
fn series(
    bench: &Bench,
    length: &str,
    value: impl Fn(&Cell) -> Option<(f64, Option<f64>)>,
) -> Vec<Series> {
    let line = |class: &'static str| {
        let of = |cell: &&Cell| cell.length == length && cell.is_here() == (class == "here");
        let mut cells: Vec<&Cell> = bench.cells.iter().filter(of).collect();
        cells.sort_by_key(|cell| cell.batch);
        let point = |cell: &&Cell| {
            let (value, high) = value(cell)?;
            Some(Point { batch: cell.batch, value, high })
        };
        Series { name: class.to_owned(), class, points: cells.iter().filter_map(point).collect() }
    };
    ["here", "there"].map(line).into_iter().filter(|series| !series.points.is_empty()).collect()
}

fn table(bench: &Bench) -> String {
    let compared = bench.against.is_some();
    let head = columns(bench).map(|column| {
        format!("<th scope=\"col\" title=\"{}\">{}</th>", escaped(column.what), column.head)
    });
    let mut head: String = head.collect();
    let mut what: Vec<(&str, &str)> = columns(bench).map(|c| (c.head, c.what)).collect();
    if compared {
        let times = "times as many texts a second as the endpoint";
        what.push(("to there", times));
        head = format!(
            "<th scope=\"col\"></th>{head}<th scope=\"col\" title=\"{times}\">to there</th>"
        );
    }
    let cells = |cell| -> String {
        columns(bench).map(|c| format!("<td>{}</td>", escaped(&(c.value)(cell)))).collect()
    };
    let mut rows = String::new();
    for (here, there) in pairs(bench) {
        match compared {
            false => rows += &format!("<tr>{}</tr>", cells(here)),
            true => {
                let ratio = ratio(here, there);
                rows += &format!(
                    "<tr class=\"here\"><th scope=\"row\">here</th>{}<td><b>{ratio}</b></td></tr>",
                    cells(here)
                );
            }
        }
        if let Some(there) = there {
            let there = cells(there);
            rows +=
                &format!("<tr class=\"there\"><th scope=\"row\">there</th>{there}<td></td></tr>");
        }
        rows.push('\n');
    }
    let what = what.iter().map(|(head, what)| format!("<dt>{head}</dt><dd>{}</dd>", escaped(what)));
    format!(
        "<section><h2>All figures</h2><div class=\"wide\"><table><thead><tr>{head}</tr></thead>\
         <tbody>\n{rows}</tbody></table></div><h2>What they mean</h2><dl>{}</dl></section>",
        what.collect::<String>()
    )
}
